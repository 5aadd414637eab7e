package contain

import (
	"errors"
	"fmt"
	"time"
)

// A Step is what it takes to reach a level. A Share of 0 is never reached.
type Step struct {
	Share     float64 // the least share of bad outcomes, which Wilson's lower bound must reach; 0 to 1
	Bad       int     // the least number of bad outcomes
	Providers int     // that they came from; from fewer, Numbers.FewProviders times as many are needed, and from one Stop is never reached
	Accounts  int     // that they are spread over; of signals of tenants only
}

// Steps are those of a signal.
type Steps struct{ Slow, Divert, Stop Step }

func (s *Steps) at(l Level) *Step {
	switch l {
	case Slow:
		return &s.Slow
	case Divert:
		return &s.Divert
	}
	return &s.Stop
}

// Times are those of the levels.
type Times struct{ Slow, Divert, Stop time.Duration }

func (t *Times) at(l Level) time.Duration {
	switch l {
	case Slow:
		return t.Slow
	case Divert:
		return t.Divert
	}
	return t.Stop
}

// Enforce says which levels are acted on. On is the switch for all; a level that is not enforced is acted on as the next
// lower one that is.
type Enforce struct{ On, Slow, Divert, Stop bool }

func (e *Enforce) cap(l Level) Level {
	switch {
	case !e.On:
		return Normal
	case l >= Stop && e.Stop:
		return Stop
	case l >= Divert && e.Divert:
		return Divert
	case l >= Slow && e.Slow:
		return Slow
	}
	return Normal
}

// Numbers are all numbers of the package. Sources: [M] Momentum's adaptive delivery (3 % slows, 10 % suspends, more than
// 20 % suspends without more ado), [H] Heimdal (5 unknown recipients block for 60 min), [A] Halon's sample (100 spam and
// 1,000 failures per customer are too much), [X] Exchange Online (all bounces leave from a pool of their own), [–] our
// own choice. doc.go has the reasons.
type Numbers struct {
	Enforce Enforce

	Unknown     Steps // recipients that do not exist, of those answered [M, H]
	Content     Steps // messages refused for what they are, of those answered [M, A]
	Sender      Steps // [–]
	Listing     Steps // [–]
	Backscatter Steps // [X]
	// BounceContent is Content of mail without a sender. What is returned has spam in it here and there, and a lost bounce is a lost mail:
	// twice as much is needed, and Stop is never reached [–].
	BounceContent Steps

	// Held are Divert and Stop of Unknown and Content for an account that is held to the slow rate already. Its windows begin anew with
	// every level, and so little of its mail passes that the usual numbers would take most of a day [–].
	HeldUnknown, HeldContent Steps

	SpreadUnknown, SpreadContent Steps // of tenants [–]
	// AccountCap is how many bad outcomes in a day an account adds to those of its tenant, so that spread is not one
	// account's doing [–].
	AccountCap int
	// ManyAccounts of a tenant that are contained contain the tenant: this many, or the square root of all its accounts if
	// that is more. Up to Divert [–].
	ManyAccounts int

	// Overwhelming goes to Stop at once, within an hour [M: 20 %; –].
	OverwhelmingUnknown, OverwhelmingContent Step

	Cases        int     // a share of fewer says nothing [–]
	Z            float64 // of Wilson's bound: 3 is one error in 740 looks [–]
	FewProviders int     // see Step.Providers [–]
	// ElsewhereShare is how many times the share for Slow must be as large if one provider refuses what others accept: a
	// list's part at one provider should not reach it [–].
	ElsewhereShare float64

	// Usual is how many times its usual share of bad outcomes a subject may have before it is slowed, up to UsualMost
	// times Step.Share. Divert and Stop know no excuse [–].
	Usual, UsualMost float64

	// AccountVolume and TenantVolume are distinct recipients an hour that nobody is slowed for [–].
	AccountVolume, TenantVolume float64
	VolumeFactor                float64 // more than so many times its own history is too much [–]

	Between  Times         // the least time from one level to the next one up [M: 60 s]; Stop is not used
	Quiet    Times         // without bad outcomes enough for Slow, until the next one down [H: 60 min; –]
	Longest  time.Duration // what doubling makes of Quiet
	Forget   time.Duration // at Normal, until the next Quiet is a first one again
	HandMost time.Duration // caps a block until a time: a slip of the year must not block for ever
}

// DefaultNumbers returns the defaults. They enforce nothing.
func DefaultNumbers() *Numbers {
	return &Numbers{
		Enforce: Enforce{Slow: true, Divert: true, Stop: true},
		Unknown: Steps{
			Slow:   Step{Share: 0.10, Bad: 10, Providers: 2},
			Divert: Step{Share: 0.20, Bad: 25, Providers: 2},
			Stop:   Step{Share: 0.35, Bad: 100, Providers: 3},
		},
		Content: Steps{
			Slow:   Step{Share: 0.05, Bad: 10, Providers: 2},
			Divert: Step{Share: 0.10, Bad: 25, Providers: 2},
			Stop:   Step{Share: 0.20, Bad: 100, Providers: 3},
		},
		HeldUnknown: Steps{
			Divert: Step{Share: 0.20, Bad: 10, Providers: 2},
			Stop:   Step{Share: 0.25, Bad: 25, Providers: 3},
		},
		HeldContent: Steps{
			Divert: Step{Share: 0.10, Bad: 10, Providers: 2},
			Stop:   Step{Share: 0.15, Bad: 25, Providers: 3},
		},
		Sender:  Steps{Slow: Step{Share: 0.30, Bad: 30, Providers: 2}},
		Listing: Steps{Slow: Step{Share: 0.20, Bad: 20, Providers: 2}, Divert: Step{Share: 0.40, Bad: 50, Providers: 2}},
		Backscatter: Steps{
			Slow:   Step{Share: 0.30, Bad: 30, Providers: 2},
			Divert: Step{Share: 0.40, Bad: 60, Providers: 2},
		},
		BounceContent: Steps{
			Slow:   Step{Share: 0.10, Bad: 20, Providers: 2},
			Divert: Step{Share: 0.20, Bad: 50, Providers: 2},
		},
		SpreadUnknown: Steps{
			Slow:   Step{Share: 0.10, Bad: 30, Providers: 2, Accounts: 10},
			Divert: Step{Share: 0.20, Bad: 75, Providers: 2, Accounts: 15},
			Stop:   Step{Share: 0.35, Bad: 300, Providers: 3, Accounts: 30},
		},
		SpreadContent: Steps{
			Slow:   Step{Share: 0.05, Bad: 30, Providers: 2, Accounts: 10},
			Divert: Step{Share: 0.10, Bad: 75, Providers: 2, Accounts: 15},
			Stop:   Step{Share: 0.20, Bad: 300, Providers: 3, Accounts: 30},
		},
		AccountCap:          15,
		ManyAccounts:        5,
		OverwhelmingUnknown: Step{Share: 0.30, Bad: 250, Providers: 3},
		OverwhelmingContent: Step{Share: 0.30, Bad: 250, Providers: 3},
		Cases:               30,
		Z:                   3,
		FewProviders:        5,
		ElsewhereShare:      3,
		Usual:               2,
		UsualMost:           2,
		AccountVolume:       2000,
		TenantVolume:        5000,
		VolumeFactor:        3,
		Between:             Times{Slow: 2 * time.Minute, Divert: 10 * time.Minute},
		Quiet:               Times{Slow: 2 * time.Hour, Divert: 6 * time.Hour, Stop: 24 * time.Hour},
		Longest:             7 * 24 * time.Hour,
		Forget:              7 * 24 * time.Hour,
		HandMost:            10 * 366 * 24 * time.Hour,
	}
}

// Validate says what cannot work, all of it.
func (p *Numbers) Validate() error {
	var wrong []error
	complain := func(ok bool, format string, args ...any) {
		if !ok {
			wrong = append(wrong, fmt.Errorf(format, args...))
		}
	}
	for _, name := range []Signal{UnknownRecipients, Content, SenderRefused, Listing, Backscatter, SpreadUnknown, SpreadContent} {
		complain(p.of(name).Slow.Share > 0, "%s: wants a share for slow", name)
		p.of(name).validate(string(name), complain)
	}
	complain(p.BounceContent.Slow.Share > 0, "content of bounces: wants a share for slow")
	p.BounceContent.validate("content of bounces", complain)
	p.HeldUnknown.validate("unknown_recipients, held", complain)
	p.HeldContent.validate("content, held", complain)
	for _, s := range []Step{p.OverwhelmingUnknown, p.OverwhelmingContent} {
		complain(s.Share >= 0 && s.Share < 1, "overwhelming: the share must be 0 to less than 1, not %v", s.Share)
		complain(s.Share == 0 || s.Bad >= 100, "overwhelming: fewer than 100 bad outcomes are not overwhelming, not %d", s.Bad)
	}
	for _, n := range []struct {
		name     string
		n, least float64
	}{
		{"cases", float64(p.Cases), 10},
		{"z", p.Z, 1},
		{"few providers", float64(p.FewProviders), 1},
		{"elsewhere", p.ElsewhereShare, 1},
		{"usual", p.Usual, 1},
		{"usual at most", p.UsualMost, 1},
		{"account cap", float64(p.AccountCap), 1},
		{"many accounts", float64(p.ManyAccounts), 2},
		{"account volume", p.AccountVolume, 1},
		{"tenant volume", p.TenantVolume, 1},
		{"volume factor", p.VolumeFactor, 1},
	} {
		complain(n.n >= n.least && n.n < 1e12, "%s: must be at least %v, not %v", n.name, n.least, n.n)
	}
	for l := Slow; l <= Stop; l++ {
		complain(p.Between.at(l) >= 0, "between, %v: must not be negative, but is %v", l, p.Between.at(l))
		complain(p.Quiet.at(l) > 0 && p.Quiet.at(l) <= p.Longest, "quiet, %v: must be more than 0 and at most %v, not %v", l, p.Longest, p.Quiet.at(l))
	}
	complain(p.Forget > 0 && p.HandMost > 0, "forget, and the longest block by hand: must be more than 0")
	return errors.Join(wrong...)
}

func (s *Steps) validate(name string, complain func(ok bool, format string, args ...any)) {
	last := Step{}
	for l := Slow; l <= Stop; l++ {
		step := s.at(l)
		complain(step.Share >= 0 && step.Share < 1, "%s, %v: the share must be 0 to less than 1, not %v", name, l, step.Share)
		if step.Share == 0 {
			continue
		}
		complain(step.Bad >= 5, "%s, %v: fewer than 5 bad outcomes are chance, not %d", name, l, step.Bad)
		complain(step.Share >= last.Share && step.Bad >= last.Bad, "%s, %v: must not be easier to reach than the level below", name, l)
		last = *step
	}
}
