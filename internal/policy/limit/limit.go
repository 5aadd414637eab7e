package limit

import (
	"sync"
	"time"
)

// A Subject is whose counter it is: a tenant, an account or a sending IP, and the provider where the rule has one. Of each
// text only the first 320 octets count.
type Subject struct{ Of, To string }

// A Want is N units of one limit.
type Want struct {
	Limit   *Limit // of Compile
	Subject Subject
	// Member is who asks among those that share a fair limit: the tenant, where the subject is (sending IP × provider).
	// All that name no one are one member.
	Member string
	// N of Octets is what MAIL declares with SIZE, 0 if nothing: then it is enough that the bucket is not empty. More than
	// the burst counts as the burst. What really passed is told to Settle.
	N int64
	// Spent is not given back if the mail is not delivered: it is an attempt, and of octets what has passed of it.
	Spent bool
	// Number is the caller's own, of the rule that it asks for: a verdict has it.
	Number int32
}

// A Limiter counts. Memory is the one for a single gateway. For several that share their limits it can stand on Redis:
//
//   - Take is one script, so that it is all or nothing there too; it uses the time of Redis, never a gateway's.
//   - A session that is held is a lease: a member of a sorted set with its gateway's name, renewed by the gateway while it
//     lives and dropped by Take when it has run out. Here a holder cannot vanish: it is a goroutine of this process.
//   - Nothing waits for a dead Redis: it then goes on with a Memory of its own, that is, with each gateway's own count.
//
// Every method is safe for concurrent use.
type Limiter interface {
	// Take takes all the wants and adds those to the ticket that can be given back, or takes none and says which limit
	// refuses for the longest. The wants are not kept.
	Take(wants []Want, t *Ticket) Verdict
	// Settle ends the ticket: it gives the sessions back; all else too, unless the mail was delivered (the MX has
	// acknowledged it, or may have): then it counts the octets that passed in place of those that were declared. What is
	// spent stays, and of octets it is what passed. A ticket that has been settled is empty.
	Settle(t *Ticket, delivered bool, octets int64)
	// Explain says how each counter stands. It changes nothing.
	Explain(wants []Want) []Counter
}

// A Ticket is what was taken and is not settled. The zero value is empty; it can be used again after Settle, with the memory
// it has. Each ticket must be settled: until then its counters are not forgotten. What is settled apart has a ticket of its
// own: the session's, each transaction's.
type Ticket struct {
	mu    sync.Mutex
	taken []taking
}

// A Verdict is the answer of Take. If it is not OK, the rest is about the strictest of the limits that refuse.
type Verdict struct {
	OK      bool
	Limit   *Limit
	Subject Subject
	// Wait is when this limit would have room, if nobody else took it. Where a body has left a debt it is what Per is at most,
	// beside the time that the want itself costs. Of sessions it is a guess.
	Wait  time.Duration
	Never bool // more than the burst was asked for at once: no wait helps
	Spent bool // it is an attempt that there is no room for
	// Number is the want's.
	Number int32
	// Used and Max are units. A fair limit may refuse before Used reaches Max, and a debt of octets is Used above Max.
	Used, Max int64
}

// A Counter is how a limit stands for a subject.
type Counter struct {
	Rule      Rule
	Subject   Subject
	Used, Max int64         // units, Used to the nearest
	Free      time.Duration // until all of it is free; 0 of sessions
	Members   int           // of a fair limit: how many have asked of late
	Now       Verdict       // what Take would say to this want alone
}
