package contain

import (
	"cmp"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"net/netip"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"kanmon/internal/event"
	"kanmon/internal/who/witness"
)

// start is when the tests' clock begins, a Monday. It has no monotonic reading, so that the tests see what jumps do.
var start = time.Date(2026, 3, 30, 0, 0, 0, 0, time.UTC)

// A rig is a Detector whose clock the test turns. Its hashes are the same in every run.
type rig struct {
	*Detector
	t     testing.TB
	at    time.Time
	one   uint64 // the last recipient
	again bool   // what is told was put off before
	file  map[Subject]Saved
	part  Changes // that is being gathered for it
}

func newRig(t testing.TB, p *Numbers) *rig {
	t.Helper()
	return newRigWith(t, Options{Numbers: p})
}

func newRigWith(t testing.TB, o Options) *rig {
	t.Helper()
	r := &rig{t: t, at: start}
	o.Clock, o.Kept, o.Secret = func() time.Time { return r.at }, true, witness.Secret{1}
	var err error
	if r.Detector, err = New(o); err != nil {
		t.Fatal(err)
	}
	r.hash = func(name string) uint64 {
		h := fnv.New64a()
		h.Write([]byte(name))
		return mix(h.Sum64(), 1)
	}
	r.seed = 1
	return r
}

// Snapshot is what a file has that has heard of all changes.
func (r *rig) Snapshot() Snapshot {
	c := &r.part
	for r.Changed(c, 3) > 0 {
	}
	if r.file == nil {
		r.file = map[Subject]Saved{}
	}
	for _, s := range c.Gone {
		delete(r.file, s)
	}
	for _, one := range c.Subjects {
		r.file[one.Subject] = one
	}
	s := c.Snapshot
	s.Subjects, r.part = slices.SortedFunc(maps.Values(r.file), byName), Changes{}
	return s
}

func byName(x, y Saved) int {
	return cmp.Or(cmp.Compare(x.Tenant, y.Tenant), cmp.Compare(x.Account, y.Account))
}

// whole is what a file would have to have: all that is worth it.
func (r *rig) whole() Snapshot {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.time.turn()
	c, all := Changes{}, []*entry{}
	for _, t := range r.tenants {
		all = append(all, &t.entry)
		for _, e := range t.accounts {
			all = append(all, e)
		}
	}
	r.stamp(&c)
	for _, e := range all {
		r.settle(e)
	}
	for _, e := range all {
		if r.turnHour(e); !e.over() && r.worth(e) {
			c.Subjects = append(c.Subjects, r.saved(e))
		}
	}
	slices.SortFunc(c.Subjects, byName)
	return c.Snapshot
}

// wantWhole restores from a file that was written as things changed, and looks that this is what it comes to if all is written now.
func (r *rig) wantWhole(t interface {
	Helper()
	Fatalf(string, ...any)
},
) {
	t.Helper()
	restored := func(s Snapshot) map[Subject]Saved {
		again := newRigWith(r.t, Options{MaxAccounts: r.maxAccounts, MaxTenants: r.maxTenants, Numbers: r.policy})
		again.at = r.at
		again.time.start()
		if err := again.Restore(s); err != nil && !errors.Is(err, ErrFull) {
			t.Fatalf("%v", err)
		}
		all := map[Subject]Saved{}
		for _, one := range again.whole().Subjects {
			one.Since, one.Quiet, one.Known, one.Day = one.Since/3, one.Quiet/3, one.Known/3, one.Day/3 // whole seconds are cut twice
			if s.Jumps > 0 {                                                                            // which hour of a history an hour was that the clock has shown twice, nobody knows: all of it is doubted (timeline)
				one.History, one.Hour, one.Volume = nil, 0, 0
			}
			e := again.find(one.Subject) // of an hour that the clock has shown twice a file may know who was reached, and the process not
			e.recountVolume()
			one.Counts = again.savedCounts(e)
			all[one.Subject] = one
		}
		return all
	}
	whole := r.whole()
	file, want := restored(r.Snapshot()), restored(whole)
	near := gocmp.Comparer(func(x, y int64) bool { return x-y <= 1 && y-x <= 1 })
	if diff := gocmp.Diff(want, file, near); diff != "" {
		t.Fatalf("the file has not heard of something:\n%s", diff)
	}
}

// enforced is the default policy, switched on.
func enforced() *Numbers {
	p := DefaultNumbers()
	p.Enforce.On = true
	return p
}

// pass lets time pass as it does: with a Tick every minute.
func (r *rig) pass(d time.Duration) {
	for d > 0 {
		step := min(d, time.Minute)
		r.at = r.at.Add(step)
		d -= step
		r.Tick()
	}
}

// leap turns the clock without that.
func (r *rig) leap(d time.Duration) { r.at = r.at.Add(d) }

var providers = []string{"google", "microsoft", "yahoo", "docomo"}

// send sends n mails to new recipients, a second after the other, of which every nth has the class.
func (r *rig) send(s Subject, n, every int, class event.Class) {
	for i := range n {
		r.leap(time.Second)
		r.mail(s, providers[i/max(every, 1)%len(providers)], each(i, every, class))
	}
}

// each gives the class once in every.
func each(i, every int, class event.Class) event.Class {
	if every > 0 && i%every == every-1 {
		return class
	}
	return event.NoRefusal
}

// mail is one mail to one new recipient.
func (r *rig) mail(s Subject, provider string, class event.Class) {
	r.one++
	r.mailTo(s, provider, class, mix(r.one, 99))
}

func (r *rig) mailTo(s Subject, provider string, class event.Class, to uint64) {
	r.Begin(Mail{Tenant: s.Tenant, Account: s.Account})
	rcpt := Recipient{
		Tenant: s.Tenant, Account: s.Account, Provider: provider, Hash: to, Class: event.NoRefusal,
		IP: netip.MustParseAddr("203.0.113.10"), Sample: "250 ok", Again: r.again,
	}
	if class != event.ContentRejected {
		rcpt.Class, rcpt.Sample = class, "550 5.1.1 no such user"
	}
	r.Recipient(rcpt)
	if rcpt.Class == event.NoRefusal {
		r.Message(Message{
			Tenant: s.Tenant, Account: s.Account, Provider: provider, Hash: to, Class: class, IP: rcpt.IP,
			Octets: 1000, Recipients: 1, Sample: "554 5.7.1 looks like spam", Again: r.again,
		})
	}
}

func (r *rig) level(s Subject) Level { return r.Explain(s).Level }

func (r *rig) want(s Subject, want Level) {
	r.t.Helper()
	if x := r.Explain(s); x.Level != want {
		r.t.Fatalf("%v is %v (%v), want %v: %+v", s, x.Level, x.Signal, want, x.Readings)
	}
}

func (r *rig) wantAsk(s Subject, want Answer) {
	r.t.Helper()
	if a := r.Ask(s.Tenant, s.Account); a != want {
		r.t.Fatalf("Ask(%v) is %+v, want %+v", s, a, want)
	}
}

// lastOf gives the last decision about a subject.
func (r *rig) lastOf(s Subject) Decision {
	r.t.Helper()
	all := r.Decisions(0)
	for i := len(all) - 1; i >= 0; i-- {
		if all[i].Subject == s {
			return all[i]
		}
	}
	r.t.Fatalf("no decision about %v", s)
	return Decision{}
}

func account(n int) Subject { return Subject{"acme", fmt.Sprintf("user%d@acme.example", n)} }

var (
	alice = Subject{"acme", "alice@acme.example"}
	bob   = Subject{"acme", "bob@acme.example"}
	acme  = Subject{Tenant: "acme"}
)
