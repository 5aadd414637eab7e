// Package days keeps history in a folder of SQLite files, one for each UTC day.
//
//  1. [Open] for who writes, [Read] for who only reads. Both are a [history.Store].
//  2. [Store.Add] sorts lines by day. Each day is written in one transaction, with its roll-ups, and the last of them with how far the source has been read.
//     So a crash loses nothing, and what comes again is known by its number in its run, and counts once.
//  3. A day's file is DATE.detail.db. [Store.Prune] makes DATE.trouble.db of it, without what was delivered, and of that DATE.counts.db, of roll-ups and
//     news alone, and removes the one before: nothing is deleted inside of a file, and what goes gives its room back.
//
// main.db has what spans days: for which mail is waited, when a refusal's shape was first seen. Each day has what it owes to it until the next lines
// come, so main.db is behind for moments at most, and can be made anew.
//
// Lines are kept whole, compressed in blocks (block.go). Beside them stands only what they are found by: terms (terms.go), a few columns by which they are
// sorted out, and roll-ups, by which it is known in which hours there is something to find (find.go).
package days
