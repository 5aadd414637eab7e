// Package follow takes the records into history, as they are written, and old ones on request.
//
//  1. [New] makes a [Follower] of a path and a [history.Store]; [Follower.Run] follows until its context ends.
//  2. [Import] takes in files that nobody writes to any more, or standard input, also meanwhile.
//
// A file is read in whole lines. How far is kept by history itself, with the lines, in one step: so a line is kept once, whenever the
// process ends. A rotation is no end: files are known by their first octets, so what a rotation has moved, copied or compressed is found
// beside the path and read from where it was left, however many there were while nobody read.
//
// Nothing here can hold up mail: whoever writes the records does not know that they are read.
//
// Reading order, which is call order:
//
//	follow.go  Run: read a file, keep its lines, wait, see what has become of it
//	files.go   which files there are, in which order, and how much of each is known
//	place.go   how far everything was read, as the mark says it
//	tail.go    whole lines of one file, plain or compressed
//	watch.go   when to look again
//	tell.go    what the log is told
package follow
