// Package shape says how much a provider takes from one sending IP, and whether there is room: connections at once and new ones in a time,
// messages and recipients in a time, messages and recipients of one connection, recipients of one message.
//
// What a provider takes is data with a source ([Limit]). It is kept to where its receiver documents it, or an operator says so; the rest is
// shown. It counts with package limit, in memory; it knows nothing of SMTP, and who waits, or goes elsewhere, is the caller's business.
//
// Normal use:
//
//  1. [Compile] what a configuration says of each provider, again at each reload: counters are found by the provider's name.
//  2. [New] makes a [Memory], which outlives reloads.
//  3. Before a connection is made, [Memory.Connect]: it gives a [Lane], which is one connection's. Each dial counts, whatever it is for.
//  4. [Lane.Mail] before each MAIL, [Lane.Recipient] before each RCPT.
//  5. [Lane.Close] at the end of the connection.
//  6. [Memory.Tighten] when the provider says that it is too much; [Memory.TightenByTime] as long as the times of mail speak against the IP there.
//
// # Tightening
//
// A reply that says too many, or too fast, halves the amount that it is about, for this sending IP at this provider: at
// most every ten minutes, and never below one. Each hour without such a reply gives back a tenth of the amount. Where
// nobody knows an amount, what was in use when the reply came stands for it. It needs no timer: what holds follows from
// when it was tightened last.
//
// Times do not tell of what there is too much. So they halve all that is counted for all connections together, once (twice where it is worse),
// and nothing where nobody knows an amount. Of both the lower amount holds.
//
// Reading order: takes.go (what a provider takes), lane.go (one connection), tighten.go, show.go (for the operator).
package shape
