// Package contain decides from what MXs answer, as they answer, whether an account or a tenant misbehaves, and how far to
// step in: normal, slow, divert (to sending IPs kept for doubtful mail), stop. It is pure: events in, levels out.
//
//		┌────────┐  bad outcomes,  ┌──────┐  fresh ones,    ┌────────┐  fresh ones,     ┌──────┐
//		│ normal │ ──or volume───▶ │ slow │ ──not volume──▶ │ divert │ ───────────────▶ │ stop │
//		└────────┘ ◀───2 h quiet── └──────┘ ◀───6 h quiet── └────────┘ ◀───24 h quiet── └──────┘
//		    └───────────────────── overwhelming, within an hour ────────────────────────────▲
//
//		by hand: any ──Block──▶ stop until Unblock;  any ──Unblock──▶ normal;  Exempt: computed, but not acted on
//
//	  - A mail that is put off (4xx) and tried again is no new outcome as long as the reason is the same. After a reply for good, 2xx or
//	    5xx, every mail is one, whatever it has in common with the one before: 500 times the same spam is 500 outcomes.
//	  - Nothing is enforced by default: [Answer] has what is to be done and what would be.
//	  - A share of bad outcomes counts by the lower bound of Wilson's interval (z = 3), from 30 cases on: 3 of 5 unknown
//	    recipients are "surely 14 %", and too few to be looked at.
//	  - Every step but the overwhelming one is a single one, and the windows begin anew with it: the next one rests on fresh
//	    evidence, and comes minutes later at the earliest.
//	  - Replies that are kanmon's own, and those about the moment or the receiver (greylisted, throttled, system_error,
//	    tls_required, auth_failed, …), are no cases at all, neither bad nor good.
//	  - Bad outcomes must come from several providers; from fewer, five times as many are needed, and one provider alone stops
//	    nobody. If one refuses what others accept, and they get at least half of the mail, that is worth slow at most, at
//	    three times the share: it may be a provider's filter, or its bad day.
//	  - What providers with a name refuse is also judged as a share of what they alone have answered: who has a receiver of his own can
//	    have as much accepted there as he likes, and that makes nobody else's refusals fewer.
//	  - A receiver without a provider's name is a stranger, and cheap to be (package witness): what MX organisation, recipient domain or
//	    network have in common is one. Beyond slow the strangers' refusals count as much as those of providers with a name beside them,
//	    and no more. Eight strangers divert by themselves, if it is enough without what
//	    the five that refuse most say; stop needs a name.
//	  - Refusals for our IP count only if the same IP's mail of three other tenants is accepted, nobody else's is refused, and
//	    on two IPs. All others are the IP's matter (package standing). They go to divert at most.
//	  - What an operator has marked as a list or a forwarder ([Kind]) gives less evidence: a message that a provider refuses is one
//	    refusal, however many copies of it there are; a recipient is one, dead or alive, however many messages it gets within
//	    half a day; nothing of it counts for the tenant, and a list's volume for nothing. Without the mark nothing that a
//	    sender chooses makes evidence smaller. What only looks like one is told of in the decision, and weighs as much as ever.
//	  - A usual share of bad outcomes (of 300 cases, yesterday and before) raises the one for slow up to twice: who forwards
//	    mail forwards spam. Divert and stop know no excuse, and a day with containment for outcomes is not learned.
//	  - Volume alone slows, and no more. Bounces go to divert at most: they are not wanted, but a lost one is a lost mail.
//	  - An account's outcomes count for its tenant only until it is contained for outcomes, and no more than 15 bad ones a
//	    day (strangers take no room of what
//	    providers with a name refuse). A tenant is contained if bad outcomes are spread over many accounts, or if many accounts are contained: five, or
//	    the square root of all if that is more; this way up to divert.
//
// # Defaults, and why
//
//	signal                             slow                 divert               stop
//	unknown_recipients                 10 %, 10             20 %, 25             35 %, 100
//	content                            5 %, 10              10 %, 25             20 %, 100
//	sender                             30 %, 30             -                    -
//	listing                            20 %, 20             40 %, 50             -
//	backscatter                        30 %, 30             40 %, 60             -
//	content, of bounces                10 %, 20             20 %, 50             -
//	spread_unknown (tenant)            10 %, 30, 10 acc.    20 %, 75, 15 acc.    35 %, 300, 30 acc.
//	spread_content (tenant)            5 %, 30, 10 acc.     10 %, 75, 15 acc.    20 %, 300, 30 acc.
//	unknown_recipients, held           -                    20 %, 10             25 %, 25
//	content, held                      -                    10 %, 10             15 %, 25
//	overwhelming, unknown recipients   -                    -                    30 %, 250 within an hour
//	overwhelming, content              -                    -                    30 %, 250 within an hour
//	scanners, refused of scanned/hour  -                    30 %, 3              50 %, 10
//	viruses in a day                   1                    -                    3
//	volume: distinct recipients/hour   account 2000, tenant 5000, or its history if that is more
//
// A share, the number of bad outcomes, and for tenants the accounts they come from. Momentum throttles from 3 % of bounces
// on and suspends at 10 %, or at more than 20 % rejects, of 2,000 attempts an hour at least: numbers of bulk senders' own
// streams. Here the cases are fewer, which the bound makes good, and lists of the innocent have some percent of stale
// addresses: so slow begins at 10 % for unknown recipients, far above what a kept list has. Receivers call little of
// innocent mail spam, so 5 % and 10 % stand for content. Ten bad outcomes are twice what Heimdal blocks for (5 in 60 min).
// Backscatter is higher, since bounces to forged senders are part of any mail server's life, and so is spam that they return.
//
// Held are the numbers of an account that has been slowed, where that is enforced: it sends so little from then on that
// the usual ones would take most of a day, and what it sends now it sends after it was slowed.
//
// Volume counts distinct recipients that were answered for good, not mails, so that MSAs' retries are none. With three weeks
// known it is compared with three times the median plus 3 MAD of the same hour (and those beside it) of up to four weeks
// before, or half as much again as the most at this hour of any day of five weeks, whichever is more; before that with the
// latter only; never with less than what all may. Some thousand recipients within an hour or two are a small tenant's
// whole list. In an hour in which volume is beyond that, divert for unknown recipients and content begins at half its share.
// The hours are those of the clock in UTC: at the turn of an hour twice the allowance may pass in a short time.
//
// What scanners of content say (of those messages that were scanned, with z = 2) goes to its level at once: it is said of each message by the
// same rules, where MXs see some. Bounces, reports and forwarded mail go to divert at most. It is not kept over a restart.
//
// Quiet doubles with every rise that follows a step down within 7 days, up to 7 days. From slow to divert it takes
// 2 min, from divert to stop 10 min, at least.
//
// # What is not caught
//
//   - Abuse that MXs accept: a good list, little refused, within the allowance. Its outcomes are an innocent's.
//   - Shares below the thresholds, for ever; at divert, those below the thresholds for stop. A drip of 15 % refusals is
//     diverted and stays diverted; a person may block it.
//   - Abuse that is mixed with much mail that the same providers accept, be it to the abuser's own mailboxes there; and abuse that only
//     strangers refuse, mixed with much that they accept. Made-up senders and snowshoe in a
//     tenant with much innocent mail are slowed late and diverted later.
//   - One insider who may send with any local part is as many accounts as he likes. 60 of them with a few bad outcomes each are
//     each too little to be contained, and together enough for spread_unknown or spread_content: the tenant is slowed, its
//     innocent accounts with it. Only its MSA can know better: senders bound to logins, or a header that names who has logged in.
//   - A marked list, or whoever sends as one, has its first message of spam free, to all recipients.
//   - What only strangers refuse is never stopped. Where no provider is known (no DNS), that is all mail: a person may block.
//   - A provider that refuses everything by mistake may slow who sends much there, and divert who sends most there.
//
// # Memory
//
// An account costs about 1 KiB: the entry, and a bucket of 76 octets for each minute of the last hour and each hour of
// the last day in which something was counted, so 7 KiB at most where that is all of them. The first bad outcome adds
// 0.6 KiB and up to eight replies, 5 KiB at most; mail that is scanned 1.4 KiB at most; an hour beyond a quarter of what all may, 0.8 KiB of history; a mark
// as a list or a forwarder, what it needs to know messages and recipients again, 400 KiB at most. At most 100,000
// accounts are kept, of all tenants together, or ten for each tenant of the configuration if that is more
// ([Detector.Grow]). When there are more, the longest untouched one is forgotten: of the tenant that wants room if it
// has more than its part, else of the one with most; those known for less than a day first. What there is no room for
// counts for its tenant.
//
// Accounts that are contained, blocked by a limit or have fallen lately are not forgotten for those: but of one tenant
// there are 1,000 at most, and of all a tenth. Beyond that the one that was longest without a mail goes, of the tenant
// with most, and a tenant that has as many as it may is contained, up to divert. What a person has said is never
// forgotten, and always has room; it counts against nobody's bound.
//
// Of tenants 10,000 are kept, or as many as are configured. The one that was not heard of for longest goes, with its
// accounts; those of which something stands are not among those that may.
//
// Nothing looks at all accounts at once while sessions wait: at most 256, and then they have their turn.
//
// # Normal use
//
//  1. [New], then [Detector.Restore] what was kept of [Detector.Changed] before the restart.
//  2. [Detector.Ask] before MAIL; [Detector.Begin], [Detector.Recipient] and [Detector.Message] with every answer of an MX.
//  3. [Detector.Tick] every minute, then [Detector.Decisions] with the last Seq seen, to log and to alert; from time to time
//     [Detector.Changed], for whoever keeps it.
//  4. Operators use [Detector.List], [Detector.Explain], [Detector.Block], [Detector.Unblock], [Detector.Exempt] and
//     [Detector.Unexempt].
//
// go test ./internal/policy/contain -run Replay -full -v prints what the defaults do to 210 innocent tenants in a year, and to
// abuse, of synthetic mail; -seed chooses others. It takes some minutes.
//
// Reading order, which is call order:
//
//	contain.go    the words: Subject, Level, events, Answer, Reading, Decision
//	policy.go     every number, with source
//	detector.go   the Detector: New, Ask, Tick, Decisions
//	timeline.go   time that neither jumps nor goes back
//	count.go      from an MX's answer to what is counted
//	kind.go       lists and forwarders: what of it is evidence
//	spread.go     what of it counts for the tenant
//	scanned.go    what scanners of content have said
//	judge.go      from numbers to levels, up and down
//	weigh.go      which level a signal's numbers are enough for
//	decide.go     what was decided, and why, in words
//	looks.go      what looks like a list or a forwarder
//	volume.go     how many recipients, against history
//	window.go     sliding windows, Wilson's bound
//	sketch.go     distinct recipients, accounts
//	origins.go    who has refused: providers, strangers
//	entry.go      what is kept of a subject
//	room.go       which is forgotten when there are too many
//	rank.go       which tenant has most
//	walk.go       all of them, without anybody waiting
//	hand.go       Block, Unblock, Exempt, Unexempt
//	explain.go    Explain, List
//	dirty.go      what has changed, to be kept
//	save.go       in which form; Restore
//	counts.go     and what was counted lately, as octets
//	codec.go      that are written and read by one text
package contain
