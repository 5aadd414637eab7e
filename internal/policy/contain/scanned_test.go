package contain

import (
	"strings"
	"testing"
	"time"
)

// scanned tells of so many messages of an account, of which the last ones are bad.
func (r *rig) scanned(account string, clean, refused, infected int, change ...func(*Scanned)) {
	for i := range clean + refused + infected {
		m := Scanned{Tenant: "acme", Account: account, Refuse: i >= clean, Virus: i >= clean+refused}
		for _, c := range change {
			c(&m)
		}
		r.Scanned(m)
	}
}

func TestWhatScannersSayContains(t *testing.T) {
	mild := func(m *Scanned) { m.Mild = true }
	for _, c := range []struct {
		name                     string
		account                  string
		clean, refused, infected int
		change                   []func(*Scanned)
		want                     Level
	}{
		{name: "nothing but clean mail", clean: 1000, want: Normal},
		{name: "two refused", refused: 2, want: Normal},
		{name: "three of three", refused: 3, want: Divert},
		{name: "three of three, and five clean ones first", clean: 5, refused: 3, want: Normal},
		{name: "four of five", clean: 1, refused: 4, want: Divert},
		{name: "nine of nine", refused: 9, want: Divert},
		{name: "ten of ten", refused: 10, want: Stop},
		{name: "ten of twelve", clean: 2, refused: 10, want: Stop},
		{name: "ten of eighteen", clean: 8, refused: 10, want: Divert},
		{name: "ten of a hundred", clean: 90, refused: 10, want: Normal},
		{name: "one virus among many clean ones", clean: 100, infected: 1, want: Slow},
		{name: "two", clean: 100, infected: 2, want: Slow},
		{name: "three", clean: 100, infected: 3, want: Stop},
		{name: "three in forwarded mail", clean: 100, infected: 3, change: []func(*Scanned){mild}, want: Divert},
		{name: "bounces", account: NullSender, refused: 50, want: Divert},
		{name: "reports", refused: 50, change: []func(*Scanned){mild}, want: Divert},
	} {
		r := newRig(t, enforced())
		account := c.account
		if account == "" {
			account = "bob"
		}
		r.scanned(account, c.clean, c.refused, c.infected, c.change...)
		if got := r.Ask("acme", account).Level; got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
		if got := r.Ask("acme", "carol").Level; got != Normal {
			t.Errorf("%s: another account is at %v", c.name, got)
		}
	}
}

func TestWhatScannersSaidIsOver(t *testing.T) {
	r := newRig(t, enforced())
	r.scanned("bob", 0, 2, 0)
	r.at = r.at.Add(time.Hour)
	r.scanned("bob", 0, 2, 0)
	if got := r.Ask("acme", "bob").Level; got != Normal {
		t.Errorf("two in each of two hours: %v", got)
	}
	r.scanned("eve", 20, 0, 2)
	for range 25 {
		r.at = r.at.Add(time.Hour)
		r.Tick()
	}
	r.scanned("eve", 20, 0, 1)
	if got := r.Explain(Subject{"acme", "eve"}).Level; got > Slow {
		t.Errorf("three viruses in two days: %v", got)
	}
}

func TestWhatScannersSayIsExplainedAndForgivenByHand(t *testing.T) {
	r := newRig(t, enforced())
	r.scanned("bob", 3, 10, 0, func(m *Scanned) { m.Cause = Cause{7, 2} })
	x := r.Explain(Subject{"acme", "bob"})
	if x.Last.Reading.Signal != ScannersRefuse || x.Last.Cause != (Cause{7, 2}) || !strings.Contains(x.Last.Why, "messages that scanners would refuse") {
		t.Errorf("%+v", x.Last)
	}
	readings := 0
	for _, one := range x.Readings {
		if one.Signal == ScannersRefuse && one.Bad == 10 && one.Cases == 13 || one.Signal == Viruses {
			readings++
		}
	}
	if readings != 2 {
		t.Errorf("%+v", x.Readings)
	}
	if err := r.Unblock(Subject{"acme", "bob"}, "alice"); err != nil {
		t.Fatal(err)
	}
	r.scanned("bob", 0, 1, 0)
	if got := r.Ask("acme", "bob").Level; got != Normal {
		t.Errorf("one more, behind the pardon: %v", got)
	}
}

func TestScannedMailIsBounded(t *testing.T) {
	r := newRig(t, enforced())
	for range 3000 {
		r.scanned("bob", 1, 0, 0)
		r.at = r.at.Add(time.Minute)
	}
	s := r.tenant("acme").account("bob").scans
	if len(s.hour) > hourSpan || len(s.day) > daySpan || cap(s.hour) > 4*hourSpan || cap(s.day) > 4*daySpan {
		t.Errorf("%d minutes, %d hours; room for %d, %d", len(s.hour), len(s.day), cap(s.hour), cap(s.day))
	}
}

func TestContentIsAllowedForATimeAndOverARestart(t *testing.T) {
	r := newRig(t, enforced())
	bob := Subject{"acme", "bob"}
	if err := r.Allow(bob, r.at.Add(3*time.Hour), "alice", "a newsletter"); err != nil {
		t.Fatal(err)
	}
	if !r.Allows("acme", "bob") || r.Allows("acme", "carol") || r.Explain(bob).Allow.By != "alice" || len(r.List()) != 1 {
		t.Errorf("%+v", r.List())
	}
	kept := r.Snapshot()
	again := newRig(t, enforced())
	if err := again.Restore(kept); err != nil {
		t.Fatal(err)
	}
	if !again.Allows("acme", "bob") {
		t.Error("a restart has forgotten it")
	}
	for range 4 {
		again.at = again.at.Add(time.Hour)
		again.Tick()
	}
	if again.Allows("acme", "bob") {
		t.Error("its end has come")
	}
	if err := r.Allow(Subject{Tenant: "acme"}, time.Time{}, "alice", "all of it"); err != nil {
		t.Fatal(err)
	}
	if !r.Allows("acme", "carol") {
		t.Error("what holds for the tenant does not hold for its accounts")
	}
	if err := r.Withdraw(Subject{Tenant: "acme"}, "alice"); err != nil || r.Allows("acme", "carol") {
		t.Error("it still holds", err)
	}
}
