// Package standing is what kanmon thinks of each (sending IP × provider): whether mail may leave from the IP to the
// provider, and how much of it. It goes from evidence (refusals of MXs, already classified) to suspension, and back.
//
//	               throttled, or a neighbour's netblock named
//	    ┌──────────────────────────────────────────────────────┐
//	    │            time and successes: share rises to 1      ▼
//	┌────────┐ ◀──────────────────────────────────────────  ┌────────┐ ──┐ throttled again:
//	│ active │                                              │ slowed │   │ half the share, twice the hold
//	└────────┘                                              └────────┘ ◀─┘
//	    │ listed, or refused for enough tenants × destinations │   ▲
//	    └──────────────────────┬───────────────────────────────┘   │ success: a tenth of the traffic, then a third
//	                           ▼                                   │
//	                     ┌───────────┐  until passed, or     ┌─────────┐
//	                     │ suspended │  delisted: the next   │ probing │ ──┐ no word from the probe:
//	                     │  until T  │ ────────────────────▶ │   one   │   │ suspended for ProbeRetry
//	                     └───────────┘   session is let in   │ session │ ◀─┘
//	                           ▲                             └─────────┘
//	                           └───────────────────────────────────┘ refused: twice as long, up to Longest
//
//	by hand: any ──stop──▶ stopped ──resume──▶ active;  any ──suspend──▶ suspended;  any ──resume──▶ active
//
// A reply is the word of a stranger. It acts on the standing at its own provider and, within a netblock, on the share of
// the neighbours there. It reaches other providers only through a public list of weight strong, and only after a DNSBL
// query of our own. A confirmed listing stands for the whole IP (provider [Every]); each provider is suspended and then
// probed by itself, so one that does not use the list is found out by accepting.
//
// Normal use:
//
//  1. Open the store with [OpenSQLite], and make a [Book] with it ([New]). A standing survives restarts.
//  2. Ask [Book.May] about the IP that would be used, and only when it would be used: a [Probe] is given to one session.
//     [Book.Peek] only looks, [Book.Probing] says whether that session's probe is under way still.
//  3. Tell what came of it: [Book.Succeeded], [Book.Observe], and [Book.Abandon] at the end of every session that was
//     a probe; after one of the others it changes nothing.
//  4. Operators use [Book.List], [Book.Show], [Book.Suspend], [Book.Stop] and [Book.Resume].
//  5. [Book.Close] writes what is not on disk yet; then close the store.
//
// No call of a session waits for the disk, for DNS or for the log (docs/engine.md, I14): each has a goroutine of its own. An
// operator's call returns when the store has what was ordered (I21).
//
// Reading order, which is call order:
//
//	standing.go   the words: Key, State, Standing, Evidence, Permit
//	policy.go     every number, with unit and source
//	book.go       the Book: New, May, Peek, Close
//	observe.go    Observe: from evidence to suspended or slowed
//	meter.go      counting within a window: replies, tenants, destinations
//	recover.go    Succeeded, Abandon: from a probe back to active
//	counts.go     what has happened, in numbers
//	hand.go       List, Show, Suspend, Stop, Resume
//	checks.go     which lists are asked, when, and how many at once
//	listing.go    public lists: confirm, judge other providers, notice a delisting
//	dnsbl.go      a DNSBL query (RFC 5782)
//	entry.go      what is kept of a key, and which key is forgotten when there are too many
//	save.go       the goroutines that save and tell
//	sqlite.go     the store
package standing
