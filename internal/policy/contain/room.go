package contain

import (
	"strings"
	"time"

	"kanmon/internal/event"
)

// Parts of all accounts that evidence may hold on to. Each contained account costs some kilobytes, and whoever invents
// senders has as many contained as he likes: beyond these bounds the one that was longest without a mail is forgotten,
// and its tenant is contained in its place.
const (
	heldPart    = 100 // of one tenant: 1,000 of 100,000
	heldPartAll = 10
	leastHeld   = 4
)

// seasonedAfter is when an account is known: the made-up senders of a flood are not.
const seasonedAfter = 24 * time.Hour

// mostHeld is how many accounts of one tenant may be contained. It is no more where there are many tenants.
func (d *Detector) mostHeld() int {
	return max(min(d.maxAccounts, DefaultMaxAccounts)/heldPart, leastHeld)
}

// mostHeldAll is the same of all tenants together.
func (d *Detector) mostHeldAll() int { return max(d.maxAccounts/heldPartAll, leastHeld) }

// A line is a doubly linked list.
type line struct {
	first, last *entry
	n           int
}

func (l *line) push(e *entry) {
	e.in, e.older, e.next = l, l.last, nil
	if l.last != nil {
		l.last.next = e
	} else {
		l.first = e
	}
	l.last = e
	l.n++
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
	e.in, e.older, e.next = nil, nil, nil
	l.n--
}

// touch makes an account the last one of its line. A day makes it a known one.
func (t *tenant) touch(e *entry, age time.Duration) {
	e.seasoned = e.seasoned || age-e.born >= seasonedAfter
	l := e.in
	if l == nil {
		return
	}
	if l.remove(e); l == &t.strangers && e.seasoned {
		l = &t.known
	}
	l.push(e)
}

// lineOf is where an account belongs; nil if a person has spoken of it.
func (e *entry) lineOf() *line {
	t := e.owner
	switch {
	case e.exempt != nil, e.allow != nil, e.block != nil && !e.block.Rule:
		return nil
	case e.level > Normal, e.strikes > 0 && e.fell, e.block != nil:
		return &t.held
	case e.seasoned:
		return &t.known
	}
	return &t.strangers
}

// place puts an account where its state demands, and sees that not too many are contained.
func (d *Detector) place(e *entry) {
	if e.Account == "" {
		d.reconsider(e.owner)
		return
	}
	if e.gone {
		return
	}
	t, to := e.owner, e.lineOf()
	if to == e.in && to != nil {
		return
	}
	d.takeOut(e)
	if to == nil {
		if t.ordered == nil {
			t.ordered = map[*entry]struct{}{}
		}
		t.ordered[e] = struct{}{}
	} else {
		to.push(e)
	}
	d.rank(t)
	d.reconsider(t)
	if to != &t.held {
		return
	}
	switch d.held++; {
	case t.held.n > d.mostHeld():
		d.fold(t)
	case d.held > d.mostHeldAll():
		d.fold(d.ranked[byHeld].first())
	}
}

// takeOut takes an account out of where it is.
func (d *Detector) takeOut(e *entry) {
	t := e.owner
	if e.in == nil {
		delete(t.ordered, e)
		return
	}
	if e.in == &t.held {
		d.held--
	}
	e.in.remove(e)
}

// fold forgets the contained account of a tenant that was longest without a mail: what stands against it is now the tenant's.
func (d *Detector) fold(t *tenant) {
	d.folded++
	d.forget(t.held.first)
}

func (d *Detector) forget(e *entry) {
	t := e.owner
	d.takeOut(e)
	e.gone = true
	if e.countedAt > Normal {
		t.containedAt[e.countedAt]--
	}
	delete(t.accounts, e.Account)
	d.accounts--
	d.rank(t)
	d.reconsider(t)
	if e.stored {
		d.lose(e.Subject)
	}
}

// makeRoom forgets one account: of the tenant that wants room if it has more than its part of all, else of the one that
// has most. So a flood of made-up senders pushes out the flood, and not the accounts of others.
func (d *Detector) makeRoom(t *tenant) bool {
	if t.forgettable() <= d.maxAccounts/max(len(d.tenants), 1) {
		t = d.ranked[byForgettable].first()
	}
	e := t.strangers.first
	if e == nil {
		e = t.known.first
	}
	if e == nil {
		return false
	}
	d.forget(e)
	return true
}

// forgettable is how many accounts may make room for any other.
func (t *tenant) forgettable() int { return t.strangers.n + t.known.n }

// tenantFor returns the tenant's entry, made if need be; nil if there is no room. For a person there always is.
func (d *Detector) tenantFor(name string, person bool) *tenant {
	if t := d.tenant(name); t != nil {
		d.heardOf(t)
		return t
	}
	if len(d.tenants) >= d.maxTenants && !d.forgetTenant() && !person {
		return nil
	}
	name = event.Printable(name, maxName)
	t := &tenant{accounts: map[string]*entry{}, bit: 1 << (d.hash(name) % 64)}
	t.Subject, t.owner = Subject{Tenant: name}, t
	d.begin(&t.entry)
	d.tenants[name] = t
	d.addTenant(t)
	return t
}

// forgetTenant forgets the tenant that was not heard of for longest, with its accounts. One of which something stands is not in the ring.
func (d *Detector) forgetTenant() bool {
	t := d.idlest.busier
	if t == &d.idlest {
		return false
	}
	d.accounts -= len(t.accounts)
	t.gone = true
	delete(d.tenants, t.Tenant)
	d.removeTenant(t)
	if d.kept && len(d.forgottenTenants.all) < d.maxTenants {
		d.forgottenTenants.push(t)
	}
	return true
}

// mustStay reports whether something stands of a tenant, or of one of its accounts, that must not be forgotten.
func (t *tenant) mustStay() bool {
	return t.level > Normal || t.block != nil || t.exempt != nil || t.allow != nil || t.held.n > 0 || len(t.ordered) > 0
}

// accountFor returns the account's entry, made if need be; nil if there is no room. For a person there always is.
func (d *Detector) accountFor(t *tenant, name string, person bool) *entry {
	if e := t.account(name); e != nil {
		t.touch(e, d.time.age)
		return e
	}
	if d.accounts >= d.maxAccounts && !d.makeRoom(t) && !person {
		return nil
	}
	name = event.Printable(accountName(name), maxName)
	e := &entry{Subject: Subject{Tenant: t.Tenant, Account: name}, owner: t}
	d.begin(e)
	t.accounts[name] = e
	t.strangers.push(e)
	d.accounts++
	d.rank(t)
	return e
}

func (d *Detector) begin(e *entry) {
	e.born, e.usualSince = d.time.age, d.time.age
	e.wallHour, e.jumps = d.time.hour, d.time.jumps
	d.allow(e)
}

// byRule reports whether a limit has said it, not a person. Those of older snapshots are known by their author.
func (h *ByHand) byRule() bool { return h.Rule || strings.HasPrefix(h.By, "limit ") }
