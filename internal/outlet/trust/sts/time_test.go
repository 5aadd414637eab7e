package sts

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"kanmon/internal/outlet/trust/sts/ststest"
	"kanmon/internal/smtp/smtptest"
)

const month = 30 * day

// TestA19 turns the clock: back prolongs no policy, forward ends it.
func TestA19TheClockIsTurned(t *testing.T) {
	r := newRig(t)
	k := r.open()
	r.publish("example.test", "1", "enforce", month, "mx1.example.test")
	r.look(k, "example.test", "a")
	r.zone.fail("example.test")
	holds := func() bool {
		f, _ := k.Look("example.test", "a")
		r.quiet(k)
		return f.Policy != nil
	}
	r.clock.Pass(-2 * 365 * day)
	if !holds() {
		t.Error("set back two years, and it is over")
	}
	r.clock.Pass(month - time.Minute)
	if !holds() {
		t.Error("a minute before its end it is over")
	}
	if r.clock.Pass(2 * time.Minute); holds() {
		t.Error("set back two years it lives longer")
	}
	r.clock.Pass(2 * 365 * day)
	r.publish("other.test", "1", "enforce", month, "mx1.other.test")
	r.look(k, "other.test", "a")
	r.clock.Pass(365 * day)
	if f, _ := k.Look("other.test", "a"); f.Policy != nil {
		t.Error("set forward a year it is not over")
	}
}

// TestA19 turns the clock between two processes, and before the clock of a host without one is right.
func TestA19TheClockIsTurnedOverARestart(t *testing.T) {
	r := newRig(t)
	disk := &diskOfTest{}
	r.options.Store = disk
	k := r.open()
	r.publish("example.test", "1", "enforce", month, "mx1.example.test")
	r.look(k, "example.test", "a")
	r.zone.fail("example.test") // so nothing is fetched anew
	again := func(turned time.Duration) {
		r.Helper()
		if err := k.Close(); err != nil {
			t.Fatal(err)
		}
		r.clock.Pass(turned)
		k = r.open()
	}
	holds := func() bool {
		f, _ := k.Look("example.test", "a")
		r.quiet(k)
		return f.Policy != nil
	}
	r.clock.Pass(10 * day)
	holds()
	if again(-2 * 365 * day); !holds() {
		t.Error("ten days old, the clock is two years back: it is over")
	}
	if f, _ := k.Look("example.test", "a"); f.Policy.Until.Sub(r.clock.Now()) > 20*day {
		t.Errorf("%s are left", f.Policy.Until.Sub(r.clock.Now()))
	}
	r.clock.Pass(10 * day)
	holds()
	if again(0); !holds() {
		t.Error("twenty days old, started again: it is over")
	}
	if again(2*365*day - time.Hour); !holds() {
		t.Error("twenty days old, the clock is right again: it is over")
	}
	r.clock.Pass(9 * day)
	if again(0); !holds() {
		t.Error("29 days old: it is over")
	}
	if r.clock.Pass(day + 2*time.Hour); holds() {
		t.Error("behind its month it is not over")
	}
}

// A clock with a monotonic reading is set back while the process runs: what has passed counts.
func TestThePassageOfTime(t *testing.T) {
	var p passage
	began := time.Now()
	first := p.until(began)
	if later := p.until(began.Add(time.Hour)); later.Sub(first) != time.Hour {
		t.Errorf("an hour is %s", later.Sub(first))
	}
	back := began.Add(time.Hour).Round(0).Add(-1000 * time.Hour) // no monotonic reading: the wall clock alone
	if later := p.until(back); later.Sub(first) != time.Hour {
		t.Errorf("set back: %s", later.Sub(first))
	}
	if later := p.until(back.Add(time.Minute)); later.Sub(first) != time.Hour+time.Minute {
		t.Errorf("a minute behind: %s", later.Sub(first))
	}
	if later := p.until(began.Round(0).Add(50 * time.Hour)); later.Sub(first) < 50*time.Hour-time.Second {
		t.Errorf("set forward: %s", later.Sub(first))
	}
}

// daysGoBy turns the clock by days, with mail on each of them if the domain is in use, and returns how often its policy was fetched.
func (r *rig) daysGoBy(k *Keeper, domain string, days int, mail bool) int {
	r.Helper()
	before := r.hosts.Gets(domain)
	for range days * 24 {
		r.clock.Pass(time.Hour)
		if mail {
			k.Look(domain, "a")
			r.quiet(k)
		}
		k.tend()
		r.quiet(k)
	}
	return r.hosts.Gets(domain) - before
}

// TestC31 lets days pass: what had mail in the last 30 days is fetched anew each day, and so does not end.
func TestC31PoliciesAreRenewed(t *testing.T) {
	r := newRig(t)
	k := r.open()
	r.publish("example.test", "1", "enforce", 14*day, "mx1.example.test")
	r.look(k, "example.test", "a")
	if n := r.daysGoBy(k, "example.test", 5, true); n < 5 || n > 7 {
		t.Errorf("%d fetches in 5 days with mail", n)
	}
	if n := r.daysGoBy(k, "example.test", 29, false); n < 28 || n > 38 {
		t.Errorf("%d fetches in 29 days without mail", n)
	}
	f, _ := k.Look("example.test", "a")
	r.wantPolicy(f, Enforce, "1", "mx1.example.test")
	r.daysGoBy(k, "example.test", 31, false)
	if n := r.daysGoBy(k, "example.test", 16, false); n != 0 || len(k.List()) != 0 {
		t.Errorf("%d fetches behind a month without mail, %d policies", n, len(k.List()))
	}
}

// One that lasts for less than a day is renewed at three quarters of it, if there was mail.
func TestC31AShortPolicyIsRenewed(t *testing.T) {
	r := newRig(t)
	k := r.open()
	r.publish("example.test", "1", "enforce", 8*time.Hour, "mx1.example.test")
	r.look(k, "example.test", "a")
	if n := r.daysGoBy(k, "example.test", 2, true); n < 6 || n > 12 {
		t.Errorf("%d fetches in 48 hours with mail", n)
	}
	if n := r.daysGoBy(k, "example.test", 2, false); n > 1 {
		t.Errorf("%d fetches in 48 hours without", n)
	}
}

// Without a valid record no host is asked: a policy that is kept counts until its end, and is fetched anew when the record is there again, in
// time or behind the end. That it is not renewed is told when more than half of its time is over.
func TestC30NoFetchWithoutARecord(t *testing.T) {
	for name, without := range map[string]Texts{
		"none":     {Answered: true},
		"SERVFAIL": {Err: errors.New("SERVFAIL")},
		"two":      {Answered: true, All: []string{"v=STSv1; id=1;", "v=STSv1; id=2;"}},
		"no id":    {Answered: true, All: []string{"v=STSv1;"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			var log lines
			r.options.Log = slog.New(slog.NewTextHandler(&log, nil))
			k := r.open()
			r.publish("example.test", "1", "enforce", 10*day, "mx1.example.test")
			r.look(k, "example.test", "a")
			r.zone.set("example.test", without)
			if n := r.daysGoBy(k, "example.test", 4, true); n != 0 || log.String() != "" {
				t.Errorf("%d fetches in four days, told %q", n, log.String())
			}
			asked := r.zone.questions("example.test")
			if n := r.daysGoBy(k, "example.test", 1, false); n != 0 || r.zone.questions("example.test")-asked > 50 {
				t.Errorf("%d fetches, %d questions in a day without mail", n, r.zone.questions("example.test")-asked)
			}
			if wait := k.Renew("example.test", "a"); wait != nil { // a recipient is about to be refused
				r.await(wait)
			}
			f, err := k.Refresh(t.Context(), "example.test")
			if r.wantPolicy(f, Enforce, "1", "mx1.example.test"); err != nil || r.hosts.Gets("example.test") != 1 {
				t.Errorf("a person's order, and a renewal: %d fetches, %v", r.hosts.Gets("example.test")-1, err)
			}
			r.daysGoBy(k, "example.test", 1, true)
			smtptest.WaitUntil(t, "it is told", func() bool { return strings.Contains(log.String(), "cannot be renewed") })
			r.record("example.test", "1")
			if n := r.daysGoBy(k, "example.test", 1, true); n < 1 || n > 2 {
				t.Errorf("the record is there again: %d fetches in a day", n)
			}
			r.zone.set("example.test", without)
			r.daysGoBy(k, "example.test", 8, true)
			f, _ = k.Look("example.test", "a")
			r.wantPolicy(f, Enforce, "1", "mx1.example.test")
			before := r.hosts.Gets("example.test")
			r.daysGoBy(k, "example.test", 3, true)
			if f, _ := k.Look("example.test", "a"); f.Policy != nil || r.hosts.Gets("example.test") != before {
				t.Errorf("behind its end: %+v, %d fetches", f, r.hosts.Gets("example.test")-before)
			}
			r.quiet(k)
			r.record("example.test", "1")
			r.clock.Pass(time.Hour)
			r.wantPolicy(r.look(k, "example.test", "a"), Enforce, "1", "mx1.example.test")
		})
	}
}

// A refresh that fails is tried again, and told of when more than half of the policy's time is over.
func TestC30ARefreshGoesOn(t *testing.T) {
	r := newRig(t)
	var log lines
	r.options.Log = slog.New(slog.NewTextHandler(&log, nil))
	k := r.open()
	r.publish("example.test", "1", "enforce", 10*day, "mx1.example.test")
	r.look(k, "example.test", "a")
	r.hosts.Set("example.test", ststest.Host{Status: 503})
	if n := r.daysGoBy(k, "example.test", 4, true); n < 24 || n > 30*4 || log.String() != "" {
		t.Errorf("%d tries in four days, told %q", n, log.String())
	}
	r.daysGoBy(k, "example.test", 4, true)
	f, _ := k.Look("example.test", "a")
	r.wantPolicy(f, Enforce, "1", "mx1.example.test")
	smtptest.WaitUntil(t, "it is told", func() bool {
		return strings.Contains(log.String(), "cannot be renewed") && strings.Contains(log.String(), "answers 503")
	})
	r.daysGoBy(k, "example.test", 4, true)
	if f, _ := k.Look("example.test", "a"); f.Policy != nil {
		t.Errorf("behind its end: %+v", f)
	}
}

// lines is a log that is read while it is written.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(text []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(text)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// A policy with a max_age of a moment is one for a moment, and its host is not asked with each mail.
func TestVeryShortPolicies(t *testing.T) {
	r := newRig(t)
	r.zone.life = time.Hour
	k := r.open()
	r.publish("zero.test", "1", "enforce", 0, "mx1.zero.test")
	r.publish("short.test", "1", "enforce", 3*time.Second, "mx1.short.test")
	if f := r.look(k, "zero.test", "a"); f.Policy != nil || !f.Known || f.Err == nil {
		t.Errorf("%+v", f)
	}
	r.wantPolicy(r.look(k, "short.test", "a"), Enforce, "1", "mx1.short.test")
	enforced := 0
	for range 60 {
		r.clock.Pass(time.Second)
		r.look(k, "zero.test", "a")
		if r.look(k, "short.test", "a").Policy != nil {
			enforced++
		}
	}
	if z, s := r.hosts.Gets("zero.test"), r.hosts.Gets("short.test"); z != 1 || s < 5 || s > 7 || enforced < 12 {
		t.Errorf("%d and %d fetches in a minute, enforced for %d s", z, s, enforced)
	}
}
