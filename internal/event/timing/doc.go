// Package timing tells, from what each mail took, that one provider answers one sending IP more slowly than it answers the others: a
// tarpit, a throttle, a slow window, connections refused in part. It is pure: time and mail come from the caller, nothing is read, written
// or started. docs/why/timing.md is its page.
//
//  1. [New] makes a [Detector], for one goroutine.
//  2. [Detector.Observe] with an [Observation] of each mail that ended, each connection that was refused, and, while something is waited
//     for longer than usual, one with Waits set. It gives each [Finding] that has begun, continues or is cleared.
//  3. Where findings are acted on, [Detector.MayAct], [Detector.Split] and [Detector.Keep] are asked before an IP is chosen.
//  4. [Detector.Look] answers whoever asks about one IP at one provider: it says what is suspected, too, and why it is not told.
//
// # What is compared
//
// Of each phase of a mail y = ln(x + 0.1 s) is taken. The dot's x includes the writing of the body (the kernel takes 64 KiB at once, so a
// slow window is waited for there), less what bodies of its size take at the provider, by octaves. Write is seconds a MB beyond those
// 64 KiB, of bodies of 96 KiB and more; of a smaller body the dot says what a slow window costs, where its size at 30 KB/s would lie
// beyond the dot's first point (below). A greeting to an IP that was not at the host for 20 h is 7 s shorter: it may be a test of newcomers. Nothing is
// taken of mail during which kanmon stood still, and from RCPT on of mail with a refused recipient.
//
// A key is a sending IP at a provider. r = y − base − beside: base is a running median of the provider's mail, of all IPs; beside is how
// this IP lies to it, a running median too. Both learn from a key at most every ten minutes, so that a newsletter is not what is usual, and
// not while anything stands against the key or its IP. So r is against the key's own history.
//
// A mail waits until two mails of other IPs at the provider have ended after it, half an hour at most. odd = r − the
// median of the eight nearest mails of other IPs that have the phase, before it and after it. So what is always slow, and what is slow for
// all, are both ordinary: the worse of the two comparisons counts for the IP. Of others only mail counts, in this and in
// what follows, against whose IP nothing stood in the phase when it ended (evidence under 5), where there are five such: beside a restricted
// IP the rest would look fast, and slow when its restriction ends; and a second restricted IP would look like a provider that is slow for all.
//
// Mails are remembered in three lots, of a key and of a provider: of those that opened a connection, of all, of bodies of 96 KiB and more (of
// a key: of those that a slow window would show in). Else, where most mail goes over connections that stand, few of the last mails would tell
// of a greeting, and everywhere few of a body.
//
// # What is bet
//
// For each provider and phase three points are kept: odd is beyond them for 16, 5 and 1 in 100 of calm mails. They are learnt, so heavy
// tails, pauses and retries of a receiver are in them. Two bettors stake 1 on each mail, a part s1, s2, s3 on its being beyond each
// point, the rest s0 on nothing; after it they have e = s0 + Σ si/share_i of the points it is beyond. Of calm mail the mean of e is
// s0 + s1 + s2 + s3 = 1 whatever the distribution is. One bettor is made for restrictions of all mail (.38 .27 .22 .13), one for those
// that make some of it very slow (.68 0 .10 .22).
//
//	R ← (1+R)·e,   evidence = max over both of ln R − ln 2
//
// Under calm mail the mean of R after n mails is at most n, of the mean of both as well, so the chance that the evidence is ever s within
// n mails is at most n/e^s, whenever one looks (Shiryaev–Roberts). It does not hold where mails are slow together. Therefore a bet that
// gains is taken only
//
//   - if fewer than two of the eight nearest mails of other IPs, and fewer than four of the nearest 24, were as slow; of one or two or three
//     the gain is multiplied by .4, of more it is a loss of .2;
//   - if at the same host, within an hour, not half of up to four mails of others were as slow;
//   - if the IP is not slow elsewhere in that phase, or in two phases: of its last eight votes at other providers not two at two providers, a
//     quarter or more. A key of which a restriction has been told has no vote. Three, and two fifths, take the evidence back to 2. The same of other IPs' votes: then it is us;
//   - once in 90 s, unless a mail of another IP has ended between, and one and a half times for each mail of others (six saved up).
//
// Refused connections: a refusal counts when the provider next lets anybody in, at any host. It does not count, or is
// taken back, if its host refuses another IP before it lets somebody in; of several that one host gives an IP until
// then, one counts: the host may be down. It does not count either if two of the last 16 connections of others were
// refused, or fewer than three are known; with one it counts half. In all this an IP that refused connections stand against is none of the others. It gives ln(p1/p0), a connection that was let in
// ln((1−p1)/(1−p0)); p0 = max(.003, the provider's long run), p1 = max(.3, 5 p0). The long run is learnt of refusals
// that came alone: those of a restriction would weaken their own evidence.
//
// # When it is told
//
// At evidence 10.7; at 12.7 where what is slow is less than a second longer: accidents of that size are frequent. Of refusals at 7.5, of which
// at least three counted. Then the scope, in this order:
//
//	small        fewer than 4 of the last 14 of the lot slow, or these less than 1.7 times as long, or less than 0.5 s longer
//	one host     nine tenths of what is slow went to one host, where no other IP was in time and fast; or three quarters of it, and mail
//	             to the other hosts is mostly fast
//	one tenant   from MAIL on: without the tenant that gives most the evidence is under 3.0, or the recent mail of the others is
//	             not slow at least half as often as that tenant's; unless its mail that was split away is three times as often fast as
//	             slow, or the IP's rate is limited
//	everywhere   30 % of the IP's votes at other places since then are slow too: the evidence is dropped
//	unpaired     fewer than 4 votes elsewhere: it waits, three hours at most
//	this IP here what is left
//
// The IP's rate is limited where mail is slow that follows the key's last one soon, and mail that comes late is not: of the last 14, the times
// since the mail before lie lower for the slow ones by 2.33 standard deviations of the rank sum, a chance of one in a hundred. Of a slow tenant
// all mail is slow, so two quick ones of it are needed, and one slow one of another. It is asked from MAIL to DATA: from the body on a
// newsletter, which comes close together, may be slow for its content.
//
// Evidence is kept apart for four tenants of a key, those that send most, and for all others together. Where the latter gives most, what is slow
// has to be of many of them, none with more than a third.
//
// Widely slow IPs are told apart from that: eight votes within half an hour, half of them slow in a phase, at three providers, for five
// minutes, are [ThisIPEverywhere]; if two fifths of the other IPs' votes say the same, [Everything]. They end at less than a seventh.
//
// Drip needs no comparison: a session with one-line replies in four reads over a second, in two phases, is +1, another
// −½, at 2 it is told. If half of the other IPs at the provider are dripped at, it is the MX's way with everybody.
//
// A finding holds evidence of 14 at most, so about 25 ordinary mails clear it: evidence under 1. A day without mail
// clears it too. What comes back within six hours continues. After a week what is slow is learnt to be usual.
//
// # What is promised, and what is not caught
//
// With one sending IP only drip is told: nothing else can be told from a slow receiver. With two [Detector.MayAct] is
// never true. It is never true of half or more of the IPs at a provider either.
//
// Not caught, or late: a restriction of all our IPs at once; of one IP at several providers at once (that is told as everywhere); of a key
// whose mail is nearly all one tenant's, from MAIL on, unless its mail is split; before 24 mails of history; below 1.7 times or half a
// second; one connection at a time, at few mails; a slow window where the receiver takes seconds for the dot anyway and bodies are small.
// Receivers that punish one IP for a minute at a time are lost among accidents.
//
// # Memory
//
// A key costs at most 1.9 KiB of the heap with its share of a provider of four IPs, and 1.5 KiB where it is alone there; what few keys have at
// a time (evidence, mail that waits for others) is pooled, and a provider remembers mail to compare with from its second IP on. An IP has
// 0.9 KiB. There are at most MaxKeys keys. If a new one finds no room, of sixteen keys the one
// goes that was unused for longest; one with a history counts as unused an eighth of the time, one with a finding an eighth of that. So
// whoever invents destinations displaces others that were invented. No mail allocates.
//
// Reading order:
//
//	words.go     Observation, Finding, the scopes
//	detector.go  Observe
//	key.go       what is kept of a key, and how a mail is measured
//	place.go     what is kept of a provider: the base, the points of the tail
//	ring.go      the mails of a provider, and the nearest of others to one
//	weigh.go     comparing, betting, learning
//	dial.go      refused connections
//	drip.go      drip
//	vote.go      what is slow everywhere
//	recent.go    the last mails of a key, in lots
//	judge.go     findings: scope, beginning, end
//	pace.go      a limit of an IP's rate
//	split.go     the answers: MayAct, Split, Keep
//	look.go      how an IP stands at a provider, told or not
//	history.go   what is usual, beyond the process
//	stood.go     what stands, beyond the process
//	memory.go    room
package timing
