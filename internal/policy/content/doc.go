// Package content judges mail by what is in it: which of it is scanned and how (a lane), what follows from what the scanners say, and who
// hears of that. The scanners are those of package inspect, the number of suspicion is package suspect's; what a session does with an
// inspection is the session's business.
//
//  1. [New] makes a [Judge] of [Settings], one for each configuration. Sessions under way keep theirs.
//  2. The gate asks [Judge.Begin] before DATA; what it gives implements [session.Inspection].
//  3. [Settings.Heard] gets an [Outcome] of each message that was judged, whenever that is done: containment and suspicion count it.
//
// # Who is looked at, and how closely
//
// Mail of a tenant that has scan set. Of doubtful senders (a suspicion of 0.3 or more, contained, or new) all is scanned, and it is held:
// kanmon keeps the message, and the MX gets nothing of it before the verdict. Of all others all or a sample is scanned behind the MX's reply,
// and only their next mail feels what is found. A message that should be held and is too large for that, or goes to a slow MX, is streamed,
// and its end waits for the verdict. Where nothing is enforced all of it is scanned behind.
//
// # What follows
//
// The strictest of what the scanners say counts. No verdict is no verdict, never a good one: what becomes of the message then is said by
// the configuration, by default by the suspicion alone. What a sender has made so that no scanner can be asked about it is never accepted.
// Bounces, mail to postmasters and abuse desks, reports and forwarded mail are not refused: a lost one harms somebody else than its sender.
//
// Reading order:
//
//	words.go      what an operator can say
//	settings.go   what a Judge decides by
//	lane.go       which lane
//	verdict.go    what follows
//	exempt.go     which mail is not refused
//	say.go        what the MSA is told; references
//	judge.go      Judge, Begin
//	inspection.go one message
package content
