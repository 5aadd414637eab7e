package contain

import (
	"math"
	"time"
)

// An entry is what is kept of an account or a tenant.
type entry struct {
	Subject
	owner *tenant // whose account it is; a tenant's own entry has itself

	level    Level  // by evidence
	signal   Signal // that led to it
	outcomes bool   // it, or one before it, was about outcomes, not volume
	since    time.Duration
	lastBad  time.Duration // when the numbers were last enough for Slow, or the level last changed
	strikes  uint8         // rises in short succession
	fell     bool          // the last change was a step down
	last     *Decision

	countedAt Level // in its tenant's containedAt
	pardoned  bool  // a person has lifted what it has led to for its tenant
	kind      Kind
	traits    Traits // of its last mail
	once      *once  // of another kind than Plain

	block, exempt, allow *hand

	windows
	volume
	usual              [2]usual // unknown recipients, content
	usualSince         time.Duration
	octets, recipients int64   // accepted, since the entry was made
	to                 origins // of answers, good and bad
	evidence           *evidence
	scans              *scans // nil: none of its messages was scanned

	born        time.Duration
	seasoned    bool // known for a day: the made-up senders of a flood are not
	gone        bool // forgotten
	dirty       bool // what is kept of it has changed
	stored      bool // there may be a row of it
	in          *line
	older, next *entry
}

// A tenant has its own entry, those of its accounts, and what is spread over them.
type tenant struct {
	entry
	bit      uint64 // see sendingIP
	accounts map[string]*entry
	// Accounts that may be forgotten, in the order they were touched: those known for a day, and those that are not;
	// those that evidence has contained, of which there are only so many. The others are a person's.
	strangers, known, held line
	ordered                map[*entry]struct{}
	places                 [rankings]int // in the Detector's

	spread        windows     // the outcomes of accounts that are not contained
	spreadFrom    [2]halves   // accounts with unknown recipients, with refused content
	spreadBy      [2]refusers // the providers that said so
	foreign       halves      // domains of those accounts that are not known as the tenant's own
	reached       sketch      // the recipients of this hour, also those that do not count as the tenant's volume
	containedAt   [levels]int
	calls         calls
	idler, busier *tenant // in the order they were heard of; nil while something stands of it: it is not to be forgotten
}

// A usual is what share of bad outcomes a subject usually has: yesterday and before, and today.
type usual struct {
	bad, cases           float32
	badToday, casesToday float32
}

// learn adds to what is usual for a subject.
func (d *Detector) learn(e *entry, n *counts) {
	turned := e.learnUsual(n, d.time.age)
	e.seasoned = e.seasoned || d.time.age-e.born >= seasonedAfter // an account is since it was touched
	if (turned || n[answered]+n[judged] > 0) && (e.stored || e.seasoned) {
		d.mark(e)
	}
}

// learnUsual adds to today. A day is learned when it has passed without the subject being contained. It reports whether
// what was of today is no more.
func (e *entry) learnUsual(n *counts, age time.Duration) (turned bool) {
	some := e.usual[0].today() || e.usual[1].today()
	if e.level > Normal && e.outcomes {
		e.usual[0].badToday, e.usual[0].casesToday, e.usual[1].badToday, e.usual[1].casesToday = 0, 0, 0, 0
		e.usualSince = age
		return some
	}
	if age-e.usualSince >= 24*time.Hour {
		turned = some
		for i := range e.usual {
			e.usual[i].learn()
		}
		e.usualSince = age
	}
	e.usual[0].badToday += float32(n[unknown])
	e.usual[0].casesToday += float32(n[answered])
	e.usual[1].badToday += float32(n[content])
	e.usual[1].casesToday += float32(n[judged])
	return turned
}

// today reports whether there is anything of today.
func (u *usual) today() bool { return u.badToday > 0 || u.casesToday > 0 }

// usualCases is how many cases the past is worth at most: the older half of more is forgotten.
const usualCases = 4000

func (u *usual) learn() {
	u.bad += u.badToday
	u.cases += u.casesToday
	u.badToday, u.casesToday = 0, 0
	if u.cases > usualCases {
		f := usualCases / 2 / u.cases
		u.bad *= f
		u.cases *= f
	}
}

// share returns the usual share, 0 if too little is known.
func (u *usual) share() float64 {
	if u.cases < 300 {
		return 0
	}
	return math.Min(1, float64(u.bad/u.cases))
}
