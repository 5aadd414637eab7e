package limit

import (
	"math"
	"math/big"
	"testing"
	"time"

	"pgregory.net/rapid"

	"kanmon/test/handclock"
)

func TestRate(t *testing.T) {
	r, l := newRig(t, 0), hourly(t)
	for range 10 {
		r.taken(want(l, "alice", 1))
	}
	v := r.refused(want(l, "alice", 1))
	if v.Limit != l || v.Subject.Of != "alice" || v.Wait != time.Minute || v.Used != 10 || v.Max != 10 || v.Never {
		t.Errorf("%+v", v)
	}
	if v := r.refused(want(l, "alice", 3)); v.Wait != 3*time.Minute {
		t.Errorf("wait %v", v.Wait)
	}
	if v := r.refused(want(l, "bob", 11)); !v.Never {
		t.Errorf("%+v", v)
	}
	r.taken(want(l, "bob", 10))
	r.Pass(time.Minute - 1)
	r.refused(want(l, "alice", 1))
	r.Pass(1)
	r.taken(want(l, "alice", 1))
	r.refused(want(l, "alice", 1))
	r.Pass(9 * time.Minute)
	if n := r.room(want(l, "alice", 1)); n != 9 {
		t.Errorf("%d after nine minutes", n)
	}
	r.Pass(time.Hour)
	if n := r.room(want(l, "alice", 1)); n != 10 {
		t.Errorf("%d after an hour", n)
	}
}

// All or nothing, and the strictest is named.
func TestTakeAllOrNothing(t *testing.T) {
	r, l := newRig(t, 0), hourly(t)
	daily := compile(t, Rule{Name: "daily", Measure: Messages, Amount: 24, Per: 24 * time.Hour, Burst: 2})
	r.taken(want(l, "alice", 10), want(daily, "acme", 2))
	for _, wants := range [][]Want{
		{want(l, "bob", 1), want(l, "alice", 1), want(daily, "acme", 1), want(daily, "zeta", 2)},
		{want(daily, "zeta", 1), want(daily, "acme", 1), want(l, "alice", 1), want(l, "bob", 5)},
	} {
		if v := r.refused(wants...); v.Limit != daily || v.Subject.Of != "acme" || v.Wait != time.Hour {
			t.Errorf("%+v", v)
		}
		r.used(want(l, "bob", 1), 0)
		r.used(want(daily, "zeta", 1), 0)
		r.used(want(l, "alice", 1), 10)
	}
	if v := r.refused(want(daily, "acme", 1), want(l, "bob", 11)); v.Limit != l || !v.Never {
		t.Errorf("%+v", v)
	}
	// Two wants of the same counter are one of both.
	r.refused(want(l, "carol", 6), want(l, "carol", 5))
	r.used(want(l, "carol", 1), 0)
	ticket := r.taken(want(l, "carol", 6), want(l, "carol", 4))
	r.used(want(l, "carol", 1), 10)
	r.Settle(ticket, false, 0)
	r.used(want(l, "carol", 1), 0)
	r.taken()
}

func TestManyWants(t *testing.T) {
	r, l := newRig(t, 0), hourly(t)
	var wants []Want
	for i := range 40 {
		wants = append(wants, want(l, string(rune('a'+i)), 1))
	}
	ticket := r.taken(wants...)
	for _, w := range wants {
		r.used(w, 1)
	}
	r.Settle(ticket, false, 0)
	for _, w := range wants {
		r.used(w, 0)
	}
}

// An event is a mail that was not given back.
type event struct {
	at time.Duration
	n  int64
}

// lawful checks that within no time more than burst + rate × time was taken.
func lawful(t interface{ Fatalf(string, ...any) }, rule Rule, events []event) {
	for i := range events {
		sum := int64(0)
		for _, e := range events[i:] {
			sum += e.n
			// (sum − burst) × Per ≤ time × Amount
			left := new(big.Int).Mul(big.NewInt(sum-rule.Burst), big.NewInt(int64(rule.Per)))
			right := new(big.Int).Mul(big.NewInt(int64(e.at-events[i].at)), big.NewInt(rule.Amount))
			if left.Cmp(right) > 0 {
				t.Fatalf("%d within %v of %+v", sum, e.at-events[i].at, rule)
			}
		}
	}
}

// Whatever comes when, and is given back when: what stays is within the rule, of every limit that counts it.
func TestLaw(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := &rig{Clock: handclock.At(start)}
		r.Memory = New(Options{Clock: r.Now})
		rules := rapid.Custom(func(t *rapid.T) Rule {
			return Rule{
				Name: rapid.StringMatching(`[a-z]{8}`).Draw(t, "name"), Amount: rapid.Int64Range(1, 5000).Draw(t, "amount"),
				Per:   time.Duration(rapid.Int64Range(int64(time.Second), int64(2*time.Hour)).Draw(t, "per")),
				Burst: rapid.Int64Range(2, 20).Draw(t, "burst"), Fair: rapid.Bool().Draw(t, "fair"),
			}
		})
		var limits []*Limit
		for range rapid.IntRange(1, 3).Draw(t, "limits") {
			l, err := Compile(rules.Draw(t, "rule"))
			if err != nil {
				t.Fatalf("%v", err)
			}
			limits = append(limits, l)
		}
		type mail struct {
			event
			ticket *Ticket
			back   bool
		}
		var mails []*mail
		var open []*mail
		settle := func(i int, delivered bool) {
			r.Settle(open[i].ticket, delivered, 0)
			open[i].back = !delivered
			open = append(open[:i], open[i+1:]...)
		}
		for range rapid.IntRange(30, 80).Draw(t, "steps") {
			switch step := rapid.IntRange(0, 5).Draw(t, "step"); {
			case step == 0:
				r.Pass(time.Duration(rapid.Int64Range(0, int64(10*time.Minute)).Draw(t, "long")))
			case step == 1:
				r.Pass(time.Duration(rapid.Int64Range(0, int64(2*time.Second)).Draw(t, "short")))
			case step == 2 && len(open) > 0:
				settle(rapid.IntRange(0, len(open)-1).Draw(t, "which"), rapid.IntRange(0, 3).Draw(t, "delivered") == 0)
			default:
				m := &mail{event: event{r.Now().Sub(start), rapid.Int64Range(1, 4).Draw(t, "n")}, ticket: &Ticket{}}
				var wants []Want
				for _, l := range limits {
					w := want(l, "acme", m.n)
					w.Member = rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "member")
					wants = append(wants, w)
				}
				if r.Take(wants, m.ticket).OK {
					mails, open = append(mails, m), append(open, m)
				}
			}
		}
		for len(open) > 0 {
			settle(0, rapid.Bool().Draw(t, "delivered at last"))
		}
		var kept []event
		for _, m := range mails {
			if !m.back {
				kept = append(kept, m.event)
			}
		}
		for _, l := range limits {
			lawful(t, l.Rule(), kept)
		}
	})
}

func TestCompile(t *testing.T) {
	for _, r := range []Rule{
		{},
		{Name: "x", Amount: 0, Per: time.Hour},
		{Name: "x", Amount: -1, Per: time.Hour},
		{Name: "x", Amount: math.MaxInt64, Per: time.Hour},
		{Name: "x", Amount: 1},
		{Name: "x", Amount: 1, Per: -time.Hour},
		{Name: "x", Amount: 1, Per: Longest + 1},
		{Name: "x", Amount: 1, Per: time.Hour, Burst: -1},
		{Name: "x", Amount: 1, Per: 24 * time.Hour, Burst: 32},
		{Name: "x", Amount: 1, Per: Longest, Burst: math.MaxInt64},
		{Name: "x", Amount: 1, Per: time.Hour, Burst: 1, Fair: true},
		{Name: "x", Amount: 1, Per: time.Hour, Measure: Sessions},
		{Name: "x", Amount: 1, Measure: Sessions, Burst: 1},
		{Name: "x", Amount: 1, Measure: Sessions, Fair: true},
		{Name: "x", Amount: 1 << 40, Measure: Sessions},
		{Name: "x", Amount: 1, Per: time.Hour, Measure: measureCount},
		{Name: "x", Amount: 1, Per: time.Hour, Scope: scopeCount},
	} {
		if _, err := Compile(r); err == nil {
			t.Errorf("compiled: %+v", r)
		}
	}
	for amount, burst := range map[int64]int64{1: 1, 7: 7, 10: 10, 60: 10, 1000: 100} {
		if l := compile(t, Rule{Name: "x", Amount: amount, Per: time.Hour}); l.Rule().Burst != burst {
			t.Errorf("burst of %d: %d, want %d", amount, l.Rule().Burst, burst)
		}
	}
}

// Rounding never allows more, and huge numbers do not wrap.
func TestScale(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := rapid.Int64Range(0, math.MaxInt64).Draw(t, "a")
		b := rapid.Int64Range(0, math.MaxInt64).Draw(t, "b")
		c := rapid.Int64Range(1, math.MaxInt64).Draw(t, "c")
		exact := new(big.Int).Mul(big.NewInt(a), big.NewInt(b))
		exact.Add(exact, big.NewInt(c-1)).Div(exact, big.NewInt(c))
		got := scale(a, b, c)
		if exact.IsInt64() && got != exact.Int64() || !exact.IsInt64() && got != math.MaxInt64 {
			t.Fatalf("%d×%d/%d = %d, want %v", a, b, c, got, exact)
		}
	})
}

// A rule that changes leaves what was taken as it is: a raised limit has room at once, a lowered one waits for its own time.
func TestChangedRule(t *testing.T) {
	r := newRig(t, 0)
	of := func(amount int64) Want {
		return want(compile(t, Rule{Name: "hourly", Measure: Messages, Amount: amount, Per: time.Hour, Burst: amount}), "a", 1)
	}
	for range 10 {
		r.passed(of(10))
	}
	r.refused(of(10))
	r.used(of(25), 10)
	for range 15 {
		r.passed(of(25))
	}
	r.refused(of(25))
	if v := r.refused(of(5)); v.Wait > time.Hour {
		t.Errorf("lowered: wait %s", v.Wait)
	}
	r.Pass(time.Hour)
	r.passed(of(5))
}
