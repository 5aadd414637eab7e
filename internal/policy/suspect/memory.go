package suspect

import (
	"math/bits"
	"net/netip"
	"sync"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/who/share"
)

// Options make a [Memory].
type Options struct {
	Hash     func(string) uint64 // with a secret: nobody outside can choose names that collide
	Accounts int                 // that are known at most; 0: DefaultAccounts
	Filter   int                 // octets; 0: FilterOctets
}

// DefaultAccounts is how many accounts are known at most.
const DefaultAccounts = 100_000

// A Memory is what is known of accounts. It is safe for concurrent use, and reads no clock: whoever calls says what time it is.
type Memory struct {
	hash func(string) uint64

	mu       sync.Mutex
	accounts *share.Map[uint64, *account]
	filter   *filter
}

// New makes a Memory.
func New(o Options) *Memory {
	if o.Accounts <= 0 {
		o.Accounts = DefaultAccounts
	}
	if o.Filter <= 0 {
		o.Filter = FilterOctets
	}
	return &Memory{hash: o.Hash, accounts: share.NewMap[uint64, *account](o.Accounts), filter: newFilter(o.Filter)}
}

// Grow makes room for ten accounts of each of so many tenants, where there is less.
func (m *Memory) Grow(tenants int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.accounts.Grow(10 * tenants)
}

// A Mail is one that a suspicion is asked for.
type Mail struct {
	Tenant, Account string
	Known           Known

	// Apart says that the account's habits tell nothing: bounces go where others have written, a list or a forwarder to many.
	Apart bool
	// Unnamed says that a header of the message may yet name another account: its age is not this one's.
	Unnamed   bool
	Sender    uint64     // hash of the sender's domain; 0: it has none, or nobody asks about a mail at hand
	Foreign   bool       // that domain is known not to be the tenant's
	Source    netip.Addr // of the MSA; the zero Addr as with Sender
	Recipient uint64     // hash of the first one's address; 0: it is not known yet
}

// Ask says how much speaks against a mail.
func (m *Memory) Ask(mail *Mail, now time.Time) *event.Suspicion {
	f := Figures{Known: mail.Known}
	key := m.keyOf(mail.Tenant, mail.Account)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.filter.turnTo(now)
	a, found := m.accounts.Get(key)
	if mail.Unnamed {
		f.Age, f.Counts = newFor, false
	}
	if found {
		a.turn(now)
		f.Score, f.Scored = a.scoreNow(now), int(a.scored)
		f.Mails = int(a.mails)
		f.Counts = !mail.Unnamed && minuteOf(now)-a.begun >= int64(f.Age/time.Minute)-countsLate
	}
	switch {
	case mail.Apart:
		f.Reached = 0
	case found:
		m.habits(&f, a, mail, key, now)
	}
	s := Judge(&f)
	if found {
		a.inHour.spoiled = a.inHour.spoiled || f.spoils()
		a.inHour.doubted = a.inHour.doubted || s.Score >= doubtful
	}
	return s
}

// doubtful is a suspicion at which what an account does is hardly taken for its habit.
const doubtful = 0.5

// countsLate is how many minutes after an account was first heard of its mails may begin to be counted.
const countsLate = 60

// habits compares a mail with its account's past.
func (m *Memory) habits(f *Figures, a *account, mail *Mail, key uint64, now time.Time) {
	hour := hourOf(now)
	a.inHour.reached = max(a.inHour.reached, uint32(max(0, min(f.Reached, 1<<30))))
	f.Usual, f.Domains, f.UsualDomains, f.UsualNew = a.usual(hour), a.inHour.count(), float64(a.domains), float64(a.news)
	f.InDay, f.AtHour = a.inDay(), a.atHour(hour)
	first := floorDiv(a.begun, 60)
	f.Foreign = mail.Foreign || mail.Sender != 0 && a.isKnown() && a.senders.isNew(placeOf(mail.Sender), hour, first)
	f.NewSource = mail.Source.IsValid() && a.isKnown() && a.sources.isNew(sourceHash(mail.Source), hour, first)
	if !a.knowsRecipients(now) || !m.filter.takes(mail.Tenant) {
		return
	}
	f.Recent, f.RecentNew = a.met(now)
	if mail.Recipient != 0 {
		if f.Recent++; !m.filter.has(recipientKey(key, mail.Recipient)) {
			f.RecentNew++
		}
	}
}

// spoils reports whether evidence speaks against an account so much that what it does now is not to become its habit.
func (f *Figures) spoils() bool { return f.Outcomes && f.Level > 0 || f.Score >= fullScore/2 }

// A Beginning is a mail whose MAIL an MX has accepted.
type Beginning struct {
	Tenant, Account string
	Sender          uint64 // as of a Mail
	Source          netip.Addr
}

// Began counts a mail.
func (m *Memory) Began(b *Beginning, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	a := m.account(b.Tenant, m.keyOf(b.Tenant, b.Account), now)
	if a.mails++; a.inHour.mails < 1<<16-1 {
		a.inHour.mails++
	}
	if b.Sender != 0 {
		a.senders.see(placeOf(b.Sender), a.hour)
	}
	if b.Source.IsValid() {
		a.sources.see(sourceHash(b.Source), a.hour)
	}
}

// Reached counts a recipient whom an MX has accepted, by the hashes of address and domain.
func (m *Memory) Reached(tenant, account string, recipient, domain uint64, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.filter.turnTo(now)
	key := m.keyOf(tenant, account)
	a := m.account(tenant, key, now)
	a.inHour.meet(mix(domain))
	if !m.filter.takes(tenant) {
		return
	}
	of := recipientKey(key, recipient)
	isNew := !m.filter.has(of)
	if m.filter.add(of, tenant) && a.learnt == 0 {
		a.learntFrom = minuteOf(now)
	}
	if isNew {
		a.learnt++
	}
	a.meets(isNew, now)
}

// Scored counts what a scanner has said of a mail: from 0, nothing speaks against it, to 1.
func (m *Memory) Scored(tenant, account string, p float64, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.account(tenant, m.keyOf(tenant, account), now).hear(max(0, min(1, p)), now)
}

// account returns what is known of an account, made if need be.
func (m *Memory) account(tenant string, key uint64, now time.Time) *account {
	a, found := m.accounts.Get(key)
	if !found {
		a = &account{begun: minuteOf(now), hour: hourOf(now)}
		m.accounts.Put(key, a, tenant)
	}
	a.turn(now)
	return a
}

func (m *Memory) keyOf(tenant, account string) uint64 {
	return mix(m.hash(tenant)) ^ bits.RotateLeft64(m.hash(account), 1)
}

func recipientKey(account, recipient uint64) uint64 {
	return mix(account ^ bits.RotateLeft64(recipient, 1))
}

// What of an account the filter must have before a recipient counts as new: else all of them are, when kanmon has begun a day ago.
const (
	learntFor  = 7 * 24 * 60 // minutes
	learntMost = 20
)

func (a *account) knowsRecipients(now time.Time) bool {
	return a.learnt >= learntMost && minuteOf(now)-a.learntFrom >= learntFor
}
