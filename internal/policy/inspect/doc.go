// Package inspect puts messages to scanners of content, and says what they said. What follows from that is not its business.
//
//  1. A [Room] is made of [Scanner]s, each with one or more [Engine]s: packages rspamd, clamd and milter beside this one have them.
//  2. [Room.Inspect] puts one message to all of them at the same time, each getting the same octets, and waits until all have said something,
//     or until the time is over. It always returns one [event.Scan] for each: the absence of a verdict is told, and is never a verdict.
//  3. A [Budget] is the memory that messages are kept in meanwhile. Whoever keeps one asks there first.
//  4. [Room.Probe] has each scanner prove that it works as it is configured: what an unknown setting or a lost envelope would hide otherwise.
//
// # What stands between a message and a scanner
//
// In this order: a message larger than the scanner takes is not put to it, for a part of a message is another message. While the scanner is
// away (breaker.go) nobody waits for it. Then the message waits for one of the scanner's places (places.go), which tenants share in turns,
// for five seconds at most. Then the scanner has its own time, [Scanner.Within].
//
// A scan for which nobody waits any more goes on for as long again: clamd works on after its client has gone, so that its place must not be
// given to the next one, who would only make it slower. What is said then is told to [Settings.Late]: it counts for the account. Such a scan
// reads no octet of the message any more, whose memory is somebody else's by then (mail.go, view).
//
// # What a sender can do
//
// The message and its envelope are the sender's, and so is the wish not to be looked at. What cannot be put to a scanner by the sender's
// doing is [event.LackUnfit], which is never taken for a scanner's failure. Scans that fail count against a scanner only as far as they are
// not all of one tenant while others' succeed (breaker.go).
package inspect
