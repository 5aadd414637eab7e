package suspect

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"kanmon/internal/event"
)

const day = 24 * time.Hour

// old is a sender that has been known for long: nothing of it is new.
var old = Known{Age: 100 * day, TenantAge: 100 * day, Before: 100 * day, TenantBefore: 100 * day}

func with(change func(*Figures)) *Figures {
	f := &Figures{Known: old}
	change(f)
	return f
}

// Each part alone, at the edges of what is enough for it.
func TestPartsAlone(t *testing.T) {
	known := func(k func(*Known)) *Figures { return with(func(f *Figures) { k(&f.Known) }) }
	for _, c := range []struct {
		ground event.Ground
		what   string
		f      *Figures
		p      float64
	}{
		{event.GroundContained, "normal", known(func(k *Known) {}), 0},
		{event.GroundContained, "slow", known(func(k *Known) { k.Level = 1 }), 0.35},
		{event.GroundContained, "divert", known(func(k *Known) { k.Level = 2 }), 0.6},
		{event.GroundContained, "stop", known(func(k *Known) { k.Level = 3 }), 0.6},
		{event.GroundScores, "none", with(func(f *Figures) { f.Scored = 20 }), 0},
		{event.GroundScores, "half of what marks a mail", with(func(f *Figures) { f.Score = 0.3 }), 0.35},
		{event.GroundScores, "what marks a mail", with(func(f *Figures) { f.Score = 0.6 }), 0.7},
		{event.GroundScores, "more", with(func(f *Figures) { f.Score = 1 }), 0.7},
		{event.GroundUnknown, "none of 1000", known(func(k *Known) { k.Answered = 1000 }), 0},
		{event.GroundUnknown, "2 % of a large list", known(func(k *Known) { k.Unknown, k.Answered = 200, 10_000 }), 0},
		{event.GroundUnknown, "1 of 1: anybody mistypes", known(func(k *Known) { k.Unknown, k.Answered = 1, 1 }), 0},
		{event.GroundUnknown, "19 of 19: too few", known(func(k *Known) { k.Unknown, k.Answered = 19, 19 }), 0},
		{event.GroundUnknown, "1 of 20", known(func(k *Known) { k.Unknown, k.Answered = 1, 20 }), 0},
		{event.GroundUnknown, "9 of 60", known(func(k *Known) { k.Unknown, k.Answered = 9, 60 }), 0.162},
		{event.GroundUnknown, "40 of 100", known(func(k *Known) { k.Unknown, k.Answered = 40, 100 }), 0.4},
		{event.GroundNewRecipient, "19 of 19: too few", with(func(f *Figures) { f.Recent, f.RecentNew = 19, 19 }), 0},
		{event.GroundNewRecipient, "half", with(func(f *Figures) { f.Recent, f.RecentNew = 20, 10 }), 0},
		{event.GroundNewRecipient, "70 %", with(func(f *Figures) { f.Recent, f.RecentNew = 20, 14 }), 0.15},
		{event.GroundNewRecipient, "90 %", with(func(f *Figures) { f.Recent, f.RecentNew = 20, 18 }), 0.3},
		{event.GroundNewRecipient, "all", with(func(f *Figures) { f.Recent, f.RecentNew = 20, 20 }), 0.3},
		{event.GroundNewRecipient, "all, as ever: a shop", with(func(f *Figures) { f.Recent, f.RecentNew, f.UsualNew = 20, 20, 0.95 }), 0},
		{event.GroundNewRecipient, "all, with many as ever", with(func(f *Figures) { f.Recent, f.RecentNew, f.UsualNew = 20, 20, 0.7 }), 0.3},
		{event.GroundNewRecipient, "80 %, with 70 % as ever", with(func(f *Figures) { f.Recent, f.RecentNew, f.UsualNew = 20, 16, 0.7 }), 0.15},
		{event.GroundBurst, "twice its most", with(func(f *Figures) { f.Usual, f.Reached = 100, 200 }), 0},
		{event.GroundBurst, "three times", with(func(f *Figures) { f.Usual, f.Reached = 100, 300 }), 0.1},
		{event.GroundBurst, "ten times", with(func(f *Figures) { f.Usual, f.Reached = 100, 1000 }), 0.25},
		{event.GroundBurst, "of one who writes little", with(func(f *Figures) { f.Usual, f.Reached = 1, 40 }), 0},
		{event.GroundBurst, "of one without a past", with(func(f *Figures) { f.Reached = 400 }), 0},
		{event.GroundBurst, "of one without a past, more", with(func(f *Figures) { f.Reached = 2000 }), 0.25},
		{event.GroundDomains, "without a past", with(func(f *Figures) { f.Domains = 500 }), 0},
		{event.GroundDomains, "half as much again", with(func(f *Figures) { f.Domains, f.UsualDomains = 30, 20 }), 0},
		{event.GroundDomains, "three times", with(func(f *Figures) { f.Domains, f.UsualDomains = 60, 20 }), 0.2},
		{event.GroundDomains, "of one who writes to few", with(func(f *Figures) { f.Domains, f.UsualDomains = 15, 1 }), 0},
		{event.GroundNewAccount, "of today", known(func(k *Known) { k.Age = 0 }), 0.15},
		{event.GroundNewAccount, "of a week", known(func(k *Known) { k.Age = 7 * day }), 0.075},
		{event.GroundNewAccount, "of two weeks", known(func(k *Known) { k.Age = 14 * day }), 0},
		{event.GroundNewAccount, "old, with 10 mails", with(func(f *Figures) { f.Mails, f.Counts = 10, true }), 0.12},
		{event.GroundNewAccount, "old, with 50 mails", with(func(f *Figures) { f.Mails, f.Counts = 50, true }), 0},
		{event.GroundNewAccount, "old, and nobody has counted", with(func(f *Figures) { f.Mails = 1 }), 0},
		{event.GroundNewAccount, "there from the start", known(func(k *Known) { k.Age, k.Before = 0, 0 }), 0},
		{event.GroundNewTenant, "of today", known(func(k *Known) { k.TenantAge = 0 }), 0.1},
		{event.GroundNewTenant, "there from the start", known(func(k *Known) { k.TenantAge, k.TenantBefore = 0, 0 }), 0},
		{event.GroundNewTenant, "of two weeks", known(func(k *Known) { k.TenantAge = 14 * day }), 0},
		{event.GroundHour, "199 mails are too few", with(func(f *Figures) { f.InDay = 199 }), 0},
		{event.GroundHour, "never", with(func(f *Figures) { f.InDay = 200 }), 0.15},
		{event.GroundHour, "half a percent", with(func(f *Figures) { f.InDay, f.AtHour = 1000, 5 }), 0.075},
		{event.GroundHour, "one percent", with(func(f *Figures) { f.InDay, f.AtHour = 1000, 10 }), 0},
		{event.GroundForeign, "foreign", with(func(f *Figures) { f.Foreign = true }), 0.15},
		{event.GroundNewSource, "a new MSA", with(func(f *Figures) { f.NewSource = true }), 0.1},
	} {
		s, p := Judge(c.f), 0.0
		for _, part := range s.Parts {
			if part.Ground == c.ground {
				p = part.P
			}
		}
		if math.Abs(p-c.p) > 0.0011 || math.Abs(s.Score-c.p) > 0.0011 {
			t.Errorf("%s, %s: %g, in all %g, want %g", c.ground, c.what, p, s.Score, c.p)
		}
	}
}

// Of which nothing is known, nothing is said.
func TestNothingIsKnown(t *testing.T) {
	if s := Judge(&Figures{}); s.Score != 0 || len(s.Parts) != 0 {
		t.Errorf("%+v", s)
	}
}

// random figures, each part often there and often not.
func random(r *rand.Rand) *Figures {
	n := func(most int) int {
		if r.IntN(3) == 0 {
			return 0
		}
		return r.IntN(most + 1)
	}
	f := &Figures{
		Known: Known{
			Level: n(3), OfTenant: r.IntN(2) == 0, Answered: n(300), Reached: n(5000), Age: time.Duration(n(40)) * day, TenantAge: time.Duration(n(40)) * day,
			Before: time.Duration(n(40)) * day, TenantBefore: time.Duration(n(40)) * day,
		},
		Score: float64(n(100)) / 100, Scored: n(20), Recent: n(200), Usual: float64(n(500)), Domains: n(300), UsualDomains: float64(n(100)),
		UsualNew: float64(n(100)) / 100, Mails: n(300), Counts: r.IntN(2) == 0, InDay: n(1000), Foreign: r.IntN(2) == 0, NewSource: r.IntN(2) == 0,
	}
	f.Unknown, f.RecentNew, f.AtHour = n(f.Answered), n(f.Recent), n(f.InDay)
	f.Outcomes = f.Level > 0 && r.IntN(2) == 0
	return f
}

// worse makes one figure worse than it is.
func worse(r *rand.Rand, f Figures) Figures {
	switch r.IntN(12) {
	case 0:
		f.Level = min(f.Level+1, 3)
	case 1:
		f.Score = min(1, f.Score+r.Float64()/5)
	case 2:
		f.Unknown = min(f.Answered, f.Unknown+1+r.IntN(10))
	case 3:
		f.RecentNew = min(f.Recent, f.RecentNew+1+r.IntN(10))
	case 4:
		f.Reached += r.IntN(1000)
	case 5:
		f.Domains += r.IntN(50)
	case 6:
		f.Age = max(0, f.Age-day)
	case 7:
		f.TenantAge = max(0, f.TenantAge-day)
	case 8:
		f.AtHour = max(0, f.AtHour-1)
	case 9:
		f.Foreign = true
	case 10:
		f.NewSource = true
	case 11:
		f.Mails = max(0, f.Mails-1)
	}
	return f
}

// No part undoes another: what makes one figure worse never makes the suspicion smaller.
func TestMonotone(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 200_000 {
		f := random(r)
		g := worse(r, *f)
		if a, b := Judge(f), Judge(&g); b.Score < a.Score {
			t.Fatalf("%g falls to %g\n%+v\n%+v", a.Score, b.Score, f, g)
		}
	}
}

// Whatever conduct is: without a word of receivers or scanners it comes to no more than 0.79, and with one to more than the largest part.
func TestCeilings(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	most := 0.0
	for range 200_000 {
		f := random(r)
		s := Judge(f)
		largest := 0.0
		for _, p := range s.Parts {
			if p.P <= 0 || p.P > ceilings[p.Ground] {
				t.Fatalf("%s has %g, and may have %g", p.Ground, p.P, ceilings[p.Ground])
			}
			largest = max(largest, p.P)
		}
		if s.Score < largest || s.Score > 1 {
			t.Fatalf("%g, with a part of %g: %+v", s.Score, largest, f)
		}
		if f.Score == 0 && !f.Outcomes {
			if most = max(most, s.Score); s.Score > ConductMost {
				t.Fatalf("conduct alone comes to %g: %+v", s.Score, f)
			}
		}
	}
	if most < ConductMost {
		t.Errorf("conduct never came to its most, but to %g: the test tests nothing", most)
	}
}

// The number is that of its parts, in whichever order they are multiplied.
func TestOrderFree(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for range 50_000 {
		f := random(r)
		s := Judge(f)
		conduct, evidence := 1.0, 1.0
		for _, i := range r.Perm(len(s.Parts)) {
			if p := s.Parts[i]; f.isEvidence(p.Ground) {
				evidence *= 1 - p.P
			} else {
				conduct *= 1 - p.P
			}
		}
		if got := 1 - max(conduct, 1-ConductMost)*evidence; math.Abs(got-s.Score) > 0.0006 {
			t.Fatalf("%g, by its parts %g: %+v", s.Score, got, s.Parts)
		}
	}
}
