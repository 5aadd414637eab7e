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

	block, exempt *hand

	windows
	volume
	usual              [2]usual // unknown recipients, content
	usualSince         time.Duration
	octets, recipients int64   // accepted, since the entry was made
	to                 origins // of answers, good and bad
	evidence           *evidence

	born        time.Duration
	seasoned    bool // known for a day: the made-up senders of a flood are not
	older, next *entry
}

// A tenant has its own entry, those of its accounts, and what is spread over them.
type tenant struct {
	entry
	bit      uint64 // see sendingIP
	accounts map[string]*entry
	// Accounts that may be forgotten, in the order they were touched; seasoned ones apart. The others are pinned.
	strangers, known line
	pinned           map[*entry]struct{}

	spread      windows    // the outcomes of accounts that are not contained
	spreadFrom  [2]halves  // accounts with unknown recipients, with refused content
	spreadBy    [2]origins // the providers that said so
	foreign     halves     // domains of those accounts that are not known as the tenant's own
	containedAt [levels]int
	calls       calls
	touched     time.Duration
	forgettable int // in the lines
}

// A line is a doubly linked list.
type line struct{ first, last *entry }

func (l *line) push(e *entry) {
	e.older, e.next = l.last, nil
	if l.last != nil {
		l.last.next = e
	} else {
		l.first = e
	}
	l.last = e
}

func (l *line) remove(e *entry) {
	if e.older != nil {
		e.older.next = e.next
	} else {
		l.first = e.next
	}
	if e.next != nil {
		e.next.older = e.older
	} else {
		l.last = e.older
	}
	e.older, e.next = nil, nil
}

func (t *tenant) lineOf(e *entry) *line {
	if e.seasoned {
		return &t.known
	}
	return &t.strangers
}

// pin takes an entry out of the lines, or puts it back, as its state demands: what stands for it must not be forgotten.
func (e *entry) pin() {
	t := e.owner
	if e.Account == "" {
		return
	}
	must := e.level > Normal || e.strikes > 0 && e.fell || e.block != nil || e.exempt != nil
	_, is := t.pinned[e]
	switch {
	case must && !is:
		t.lineOf(e).remove(e)
		t.pinned[e] = struct{}{}
		t.forgettable--
	case !must && is:
		delete(t.pinned, e)
		t.lineOf(e).push(e)
		t.forgettable++
	}
}

// tenantFor gives the tenant's entry, made if need be; nil if there is no room.
func (d *Detector) tenantFor(name string) *tenant {
	if t := d.tenant(name); t != nil {
		t.touched = d.time.age
		return t
	}
	if len(d.tenants) >= d.maxTenants && !d.forgetTenant() {
		return nil
	}
	name = clean(name, maxName)
	t := &tenant{
		accounts: map[string]*entry{}, pinned: map[*entry]struct{}{}, touched: d.time.age, bit: 1 << (d.hash(name) % 64),
	}
	t.Subject, t.owner = Subject{Tenant: name}, t
	d.begin(&t.entry)
	d.tenants[name] = t
	return t
}

// forgetTenant forgets the tenant that was not heard of for longest. Tenants are an operator's, so this is rare: nobody
// outside can make them up.
func (d *Detector) forgetTenant() bool {
	var oldest *tenant
	for _, t := range d.tenants {
		if t.level == Normal && t.block == nil && t.exempt == nil && len(t.pinned) == 0 &&
			(oldest == nil || t.touched < oldest.touched) {
			oldest = t
		}
	}
	if oldest == nil {
		return false
	}
	d.accounts -= len(oldest.accounts)
	delete(d.tenants, oldest.Tenant)
	return true
}

// accountFor gives the account's entry, made if need be; nil if there is no room.
func (d *Detector) accountFor(t *tenant, name string) *entry {
	if e := t.account(name); e != nil {
		t.touch(e, d.time.age)
		return e
	}
	if d.accounts >= d.maxAccounts && !d.makeRoom(t) {
		return nil
	}
	name = clean(accountName(name), maxName)
	e := &entry{Subject: Subject{Tenant: t.Tenant, Account: name}, owner: t}
	d.begin(e)
	t.accounts[name] = e
	t.strangers.push(e)
	t.forgettable++
	d.accounts++
	return e
}

func (d *Detector) begin(e *entry) {
	e.born, e.usualSince = d.time.age, d.time.age
	e.wallHour, e.jumps = d.time.hour, d.time.jumps
	d.allow(e)
}

func (t *tenant) touch(e *entry, age time.Duration) {
	if _, pinned := t.pinned[e]; pinned {
		return
	}
	t.lineOf(e).remove(e)
	e.seasoned = e.seasoned || age-e.born >= 24*time.Hour
	t.lineOf(e).push(e)
}

// makeRoom forgets one account: of the tenant that wants room if it has more than its part of all, else of the one that
// has most. So a flood of made-up senders pushes out the flood, and not the accounts of others.
func (d *Detector) makeRoom(t *tenant) bool {
	if t.forgettable <= d.maxAccounts/max(len(d.tenants), 1) {
		for _, other := range d.tenants {
			if other.forgettable > t.forgettable {
				t = other
			}
		}
	}
	e := t.strangers.first
	if e == nil {
		e = t.known.first
	}
	if e == nil {
		return false
	}
	t.lineOf(e).remove(e)
	t.forgettable--
	delete(t.accounts, e.Account)
	d.accounts--
	return true
}

// A usual is what share of bad outcomes a subject usually has: yesterday and before, and today.
type usual struct {
	bad, cases           float32
	badToday, casesToday float32
}

// learnUsual adds to today. A day is learned when it has passed without the subject being contained.
func (e *entry) learnUsual(n *counts, age time.Duration) {
	if e.level > Normal && e.outcomes {
		e.usual[0].badToday, e.usual[0].casesToday, e.usual[1].badToday, e.usual[1].casesToday = 0, 0, 0, 0
		e.usualSince = age
		return
	}
	if age-e.usualSince >= 24*time.Hour {
		for i := range e.usual {
			e.usual[i].learn()
		}
		e.usualSince = age
	}
	e.usual[0].badToday += float32(n[unknown])
	e.usual[0].casesToday += float32(n[answered])
	e.usual[1].badToday += float32(n[content])
	e.usual[1].casesToday += float32(n[judged])
}

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

// share gives the usual share, 0 if too little is known.
func (u *usual) share() float64 {
	if u.cases < 300 {
		return 0
	}
	return math.Min(1, float64(u.bad/u.cases))
}
