package contain

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"kanmon/internal/event"
)

// sound checks what must hold of a Detector at any time.
func sound(t interface {
	Helper()
	Fatalf(string, ...any)
}, d *Detector,
) {
	t.Helper()
	accounts, held, ordered := 0, 0, 0
	for name, tn := range d.tenants {
		accounts += len(tn.accounts)
		var at [levels]int
		lined := 0
		for _, l := range []*line{&tn.strangers, &tn.known, &tn.held} {
			n := 0
			for e := l.first; e != nil; e = e.next {
				if e.gone || e.in != l || e.lineOf() != l && l == &tn.held || tn.accounts[e.Account] != e {
					t.Fatalf("%v is at the wrong place", e.Subject)
				}
				if l != &tn.held && (e.level > Normal || e.block != nil || e.exempt != nil) {
					t.Fatalf("%v may be forgotten", e.Subject)
				}
				n++
			}
			if n != l.n {
				t.Fatalf("%s: a line of %d, %d said", name, n, l.n)
			}
			lined += n
		}
		if held += tn.held.n; tn.held.n > d.mostHeld() {
			t.Fatalf("%s: %d are contained", name, tn.held.n)
		}
		if lined+len(tn.ordered) != len(tn.accounts) {
			t.Fatalf("%s: %d in lines, %d a person's, %d accounts", name, lined, len(tn.ordered), len(tn.accounts))
		}
		if ordered += len(tn.ordered); tn.gone || tn.held.n > d.ranked[byHeld].first().held.n || tn.forgettable() > d.ranked[byForgettable].first().forgettable() {
			t.Fatalf("%s has the most, and is not the first", name)
		}
		for _, e := range tn.accounts {
			if e.owner != tn || e.Tenant != name {
				t.Fatalf("%v is at the wrong place", e.Subject)
			}
			if e.level > Normal && e.outcomes && e.kind == Plain && e.block == nil && e.exempt == nil && !e.pardoned {
				at[e.level]++
			}
			if e.level > Slow && !e.outcomes {
				t.Fatalf("%v is at %v for volume", e.Subject, e.level)
			}
		}
		if (tn.idler == nil) != tn.mustStay() {
			t.Fatalf("%s may be forgotten: %t; something stands of it: %t", name, tn.idler != nil, tn.mustStay())
		}
		if at != tn.containedAt {
			t.Fatalf("%s: %v are contained, %v said", name, at, tn.containedAt)
		}
	}
	if accounts != d.accounts || held != d.held || held > d.mostHeldAll() || accounts > d.maxAccounts+ordered || len(d.tenants) > d.maxTenants {
		t.Fatalf("%d accounts, %d said, of %d; %d tenants", accounts, d.accounts, d.maxAccounts, len(d.tenants))
	}
}

// A world is random use by mails, operators and a bad clock.
type world struct {
	*rig
	blocked map[Subject]bool
	seen    uint64
}

func (w *world) subject(t *rapid.T) Subject {
	s := Subject{
		rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "tenant"),
		fmt.Sprint(rapid.IntRange(0, 12).Draw(t, "account")),
	}
	if s.Account == "0" {
		s.Account = NullSender
	}
	return s
}

var classes = []event.Class{event.NoRefusal, event.RecipientInvalid, event.ContentRejected, event.SenderRejected, event.IPBlocklisted, event.Greylisted, event.Unjudged}

func (w *world) mail(t *rapid.T) {
	s := w.subject(t)
	n, every := rapid.IntRange(1, 400).Draw(t, "n"), rapid.IntRange(1, 20).Draw(t, "every")
	w.send(s, n, every, rapid.SampledFrom(classes).Draw(t, "class"))
}

func (w *world) operate(t *rapid.T) {
	s := w.subject(t)
	if rapid.IntRange(0, 3).Draw(t, "of all") == 0 {
		s.Account = ""
	}
	switch rapid.IntRange(0, 4).Draw(t, "hand") {
	case 0:
		if w.Block(s, time.Time{}, "carol", "") == nil {
			w.blocked[s] = true
		}
	case 1, 2:
		if w.Unblock(s, "carol") == nil {
			delete(w.blocked, s)
		}
	case 3:
		_ = w.Exempt(s, w.at.Add(time.Hour), "carol", "")
	case 4:
		_ = w.Unexempt(s, "carol")
	}
}

// save gathers what has changed as it is gathered: between two parts of it sessions go on.
func (w *world) save(t *rapid.T) {
	for range rapid.IntRange(1, 4).Draw(t, "parts") {
		w.Changed(&w.part, rapid.IntRange(0, 8).Draw(t, "most"))
		rapid.SampledFrom([]func(*rapid.T){w.mail, w.operate}).Draw(t, "meanwhile")(t)
	}
}

func (w *world) turn(t *rapid.T) {
	d := rapid.SampledFrom([]time.Duration{time.Minute, time.Hour, 6 * time.Hour, -time.Minute, -year, year}).Draw(t, "turn")
	if d > 0 && d < year {
		w.pass(d)
	} else {
		w.leap(d)
	}
}

func (w *world) reload(t *rapid.T) {
	s := w.Snapshot()
	again := newRigWith(w.t, Options{MaxAccounts: w.maxAccounts})
	again.at, again.one, again.file = w.at, w.one, w.file
	again.seq = w.seq
	again.time.start()
	if err := again.Restore(s); err != nil && !errors.Is(err, ErrFull) { // people may have said more than there is room for
		t.Fatal(err)
	}
	w.rig = again
}

func (w *world) check(t *rapid.T) {
	sound(t, w.Detector)
	w.wantWhole(t)
	for s := range w.blocked {
		a := s.Account
		if a == "" {
			a = "anybody"
		}
		if got := w.Ask(s.Tenant, a); got.Level != Stop || !got.Hand {
			t.Fatalf("%v was blocked by hand, and is %+v", s, got)
		}
	}
	for _, n := range w.Decisions(w.seen) {
		w.seen = n.Seq
		r := n.Reading
		switch {
		case n.By == "evidence" && n.To != n.From+1 && !r.Overwhelming && n.From != n.To:
			t.Fatalf("not a step: %+v", n)
		case n.By == "evidence" && r.Signal != Volume && r.Signal != ManyAccounts && (r.Low < r.Threshold || r.Cases < 30):
			t.Fatalf("not enough: %+v", n)
		case n.By == "quiet" && n.To != n.From-1:
			t.Fatalf("not a step down: %+v", n)
		}
	}
}

func TestModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := &world{rig: newRigWith(t, Options{MaxAccounts: rapid.SampledFrom([]int{10, 1000}).Draw(rt, "room")}), blocked: map[Subject]bool{}}
		rt.Repeat(map[string]func(*rapid.T){
			"mail": w.mail, "mail again": w.mail, "operate": w.operate, "turn": w.turn, "save": w.save, "reload": w.reload, "": w.check,
		})
	})
}
