// Package slow answers against which sending IP time speaks, and how much of the mail it keeps meanwhile. It is between the stream of what
// happens (package event), the detector (package event/timing) and whoever chooses a sending IP (package outlet). docs/why/timing.md is its page.
//
// Normal use:
//
//  1. [New] once a process; [Watch.Configure] with each configuration; [Watch.Close].
//  2. [Watch.Hear] is a subscriber of the stream. It takes what the detector wants to know out of the facts, puts that into a queue, and is done: what
//     does not fit is counted, and missing. One goroutine feeds the detector.
//  3. What is found goes to Options.Tell, and what has come of it is shown by [Watch.Found].
//  4. Whoever chooses asks [Watch.Share]. As long as there is nothing to say, that is one atomic load.
//  5. What is usual, and what was found, is kept in Options.Store: the next process goes on with both.
//
// # What follows of a finding
//
// Nothing but a share of the sessions that would begin from the IP at the provider, beside the one that its standing has:
//
//	suspected                    1/2, so that there is other mail to compare with: half of the mail is split to another IP
//	this IP here                 1/2
//	the same, with act = "move", as long as its mail waits for more than 30 s there: 1/20, or nobody would see it end
//
// All of it with act other than "tell" alone; a finding only where [timing.Detector.MayAct] says so. A share moves new sessions, and those alone. It
// never makes an IP unusable: where there is no other, it takes the mail. A finding with one is told again every ten minutes: who
// tightens what the IP may have there (package shape) lets go when it is not.
//
// Reading order:
//
//	act.go     what an operator may want, and what was done
//	sample.go  from facts to what is put into the queue
//	watch.go   queue, goroutine
//	stand.go   what follows: shares, and what is shown
//	history.go what outlives the process
package slow
