// Package dns asks the DNS, and says how far an answer is to be believed: whether it was validated by DNSSEC, whether an absence was answered,
// or whether nobody knows. RFC 1035, 2308 (absence), 4035 and 6840 (the AD bit), 8767 (answers used while a resolver is down), 8914 (extended errors).
//
//  1. [New] makes a [Client] of a list of servers, such as [Servers] reads; it looks at them at once, and at least every half minute.
//  2. [Client.Known] gives what is known and never waits; [Client.Ask] asks if nothing is; [Client.Renew] asks if it is older than a minute.
//  3. An [Answer] is one of three things: records ([Found]), an absence that was answered ([NoData], [NoName]), or [Failed].
//     [Failed] is never an absence. [Answer.Secure] and [Answer.Unsure] say how much an answer proves.
//  4. [Client.State] says how the resolver is.
//
// # What is believed
//
// A question sets AD and not DO (RFC 6840 section 5.7): the resolver validates, kanmon believes its AD bit. That bit is worth something
// only if nobody could have set it on the way: from a resolver on this host, or from one that the operator trusts. What a packet says
// is believed if it comes from the server's address to the port that asked, with the question's id and exactly that question. Anything
// else that comes is dropped, and the question is asked again by TCP, which nobody off the path can answer.
//
// # The resolver
//
// kanmon asks each server for ". SOA", which is signed. That question, the canary, decides two things: whether the server answers at
// all, and whether it validates. It is asked every half minute, and at once if a question gets no answer, or if records that were
// secure are not any more.
//
//   - While no server answers, the last answers are used for up to 24 hours. If a domain's own servers fail, they are not.
//   - If a resolver validated once and stops, an answer that is not secure is Unsure from then on: the records may be signed.
//   - A server that does not validate is asked only if those that do give no answer at all: it would make good what they found forged.
//
// # What is kept
//
// An answer is kept for the shortest TTL in its chain, at least 30 seconds and at most an hour; a failure for 30 seconds, doubling up to
// 5 minutes. There is one question under way for each name and kind, however many ask, and it does not end with whoever asked first.
// Whoever asks has a part in the questions under way and in what is kept (package share).
package dns
