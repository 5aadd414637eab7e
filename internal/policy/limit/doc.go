// Package limit says how much may pass: messages, recipients, octets and new connections in a time, sessions at once; for a
// tenant, an account, a (tenant × provider), a (sending IP × provider), all of them together or not at all. It counts in
// memory and knows nothing of SMTP; what must be counted where is the caller's business.
//
// Normal use:
//
//  1. [Compile] the rules of the configuration, again at each reload: counters are found by the rule's name and measure.
//  2. [New] makes a [Memory]. [Memory.Restore] takes over the debts of the last process.
//  3. Before a command is forwarded, [Memory.Take] with all limits that apply to it. Take adds to a [Ticket]: the session
//     has one for its place among the sessions, each transaction has one.
//  4. [Memory.Settle] when the transaction or the session is over, however it ended. What it comes to is in [Limiter].
//  5. Now and then, and at the end, what [Memory.Changed] gives is kept. Operators use [Memory.Explain], metrics [Memory.Stats].
//
// # Rates
//
// A rate is GCRA, the leaky bucket that needs one number. A unit costs T = Per/Amount of time, rounded up to a nanosecond;
// a counter keeps free, the time at which all of it is free again; it owes d = max(0, free−now). With full = Burst×T:
//
//	N units are taken if d + N×T ≤ full;   then free = max(free, now) + N×T;   else wait = d + N×T − full
//
// So d ≤ full after every Take, and within any time t no more than Burst + t/T units are taken, whatever the arrivals are.
// Asking and being refused costs nothing. More than Burst at once is never granted.
//
// # Giving back
//
// Time passes over a charge, and what it has passed over has come back by itself; only the rest is given back. A charge with B units
// taken behind it has d − B×T of the debt before its end: the least of that and its cost is given
// back. Given back at once that is all of it. Were a late one given back in full, a holder of many old tickets could have
// its burst again with each of them. What is behind a charge and was given back since still counts as behind it, so that when
// most of those who took together give back, the last ones may get less than all; time brings what is missing. A charge is units, and T is
// what it is when it is given back: where a reload has changed the rate, what is owed has changed with it.
// What holds: within any time t, what was taken less what of it was given back is at most Burst + t/T.
//
// # Octets
//
// How many pass is known when they have. Take charges what MAIL declares, at most Burst; if it declares nothing,
// something must be left (d < full). Of a mail that was delivered Settle puts what passed in its place and may so leave
// a debt, d > full, which all later ones wait for; of another one all is given back. It is cut at full + Per: nobody
// waits for longer than Per, and a body of more than Burst + Amount costs no more than that. Bodies that are under way
// at the same time do not see each other beyond what they declared.
//
// # Shares
//
// With plain GCRA a shared limit goes to whoever asks most. A fair one keeps a reserve, half of Burst, for members within
// their share. From what is above the reserve anybody takes. From the reserve a member takes only as its own counter says, at
// the rate Amount/Per/(n+1) with a burst of reserve/(n+1); n is how many members have asked within the last five to ten
// minutes, this one included. One that owes nothing to its share may always take.
//
// What is promised: while n stays, all shares together come to n/(n+1) of the rate and of the reserve, so the reserve is
// never used up by those who are there: a take within the share is granted at once, of a member that has come just now as
// well, however many sessions the others have and however often they ask. Where n grows at the same moment, where n+1 is
// more than the reserve has units, and where bodies have left a debt, it may have to wait; it then waits for others within
// their share, never for those beyond. Nothing is lost by it: what no share uses comes to stand above the reserve.
//
// Of sessions the reserve is a quarter of Amount, the share reserve/(n+1) places, at least one, and the last place is for a
// member that has none. Nobody's session is ended for it. So the price is that a sole member cannot have all places: it gets
// Amount−1 of 5, 17 of 20, 87 of 100. A session that ends leaves the reserve first.
//
// # The clock
//
// Only differences of readings count, and time.Now has a monotonic one: setting the wall clock does nothing. If a reading goes
// back all the same, time goes on from where it was; if it leaps ahead, counters become free as if so much time had passed,
// which costs one burst and no more. In a Snapshot debts are lengths of time; the wall clock says how much of them has passed, never
// less than nothing and never more than all.
//
// # Memory
//
// There are at most MaxKeys counters, in 64 shards of equal size. A counter in which nothing is owed, and which no ticket has,
// is dropped when new ones come: four places of the shard are looked at for each. In a full shard sixteen are looked at, and
// if none of them is free, the one that owes the least part of its burst goes, if that is less than half. So a flood of
// invented senders costs those that had used little of their limit that little, and offenders stay known. If there is no
// such one either, subjects without a counter share one, for each limit and shard, of the same rule: strangers are then slow
// together, at most at 64 times the rule's rate, and all who are known are as before.
//
// Reading order:
//
//	scope.go     whom a rule counts: the rows of the scopes
//	words.go     what is counted, and what may be done
//	rule.go      Rule, Compile
//	limit.go     the words: Want, Ticket, Verdict, the interface Limiter
//	memory.go    Memory: New, Take, Settle
//	take.go      one want: rates, shares, sessions
//	settle.go    giving back, correcting octets, releasing
//	entry.go     a counter; a shard, and what it forgets
//	explain.go   for the operator
//	snapshot.go  over a restart
//	clock.go     time that goes forward
package limit
