package warm

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// The gate before each step.
const (
	leastMails    = 20   // in a step
	leastAccepted = 0.90 // of them
	leastOfClass  = 5    // fewer mails say nothing of a class
	idleDays      = 30   // without mail an IP is as good as new
	mostPutOff    = 5    // mails in a row, for no reason that is said: it is too much, and not said so
)

// A News is a step that begins or is repeated, or the end.
type News struct {
	IP    State // as it is now
	Steps int   // that its plan has
	Kind  Kind
	Why   string // with Repeated, and Began again
}

// A Kind is what has happened.
type Kind uint8

// The kinds.
const (
	Began    Kind = iota // a step
	Repeated             // a step
	Ended                // the IP is warm
)

// turn judges the days before today, and gives what came of it. Of several days only one can be judged: on the others no mail left here.
func (s *State) turn(m *Member, today Day) (news News, told bool) {
	if today < s.Day { // the clock was set back: what is taken stays taken
		s.Day, s.Since, s.Begun = today, min(s.Since, today), min(s.Begun, today) // not Used: at a clock that is right again it would look idle
		return news, false
	}
	if today == s.Day {
		return news, false
	}
	step, done := s.Step, s.Done
	kind, why := s.judge(m, today)
	s.endDay(today)
	switch {
	case kind == Began && s.Step == step && s.Done == done: // nothing has happened
		return news, false
	case done && s.Done:
		return news, false
	}
	return News{IP: s.clone(), Steps: len(m.Plan.Steps), Kind: kind, Why: why}, true
}

// judge decides where the IP goes from here.
func (s *State) judge(m *Member, today Day) (kind Kind, why string) {
	switch {
	case s.Used > 0 && today-s.Used >= idleDays:
		why = fmt.Sprintf("no mail left from it since %s", s.Used)
		s.Classes = map[string]Class{}
		s.goTo(1, m, today)
		s.Why = why
		return Began, why
	case s.Done:
		return Ended, ""
	case s.Step == 0:
		if today < m.Start {
			return Began, ""
		}
		s.goTo(1, m, today)
		return Began, ""
	}
	all := s.total()
	switch {
	case s.Finding != "":
		return s.repeat(s.Finding, true)
	case all.Tried < leastMails:
		if share := s.share(m.Plan); share < 1 {
			s.Times = min(2*max(s.Times, 1), 1/m.Plan.Steps[min(s.Step, len(m.Plan.Steps))-1].Share) // the amounts hold all the same
		}
		return s.repeat(fmt.Sprintf("%d mails in the step, of %d that it takes", all.Tried, leastMails), false)
	case float64(all.Accepted) < leastAccepted*float64(all.Tried):
		return s.repeat(fmt.Sprintf("%d of %d mails were accepted, less than %.0f %%", all.Accepted, all.Tried, 100*leastAccepted), true)
	}
	return s.advance(m, today), ""
}

// repeat has the step again. What it has had counts on only where it lacked nothing but mail.
func (s *State) repeat(why string, anew bool) (Kind, string) {
	s.Repeats++
	s.Why = why
	if anew {
		s.countAnew()
	}
	return Repeated, why
}

func (s *State) countAnew() {
	for name, c := range s.Classes {
		c.Tried, c.Accepted = 0, 0
		s.Classes[name] = c
	}
}

// advance begins the next step, for all classes that have earned it.
func (s *State) advance(m *Member, today Day) Kind {
	for name, c := range s.Classes {
		if c.trouble() != "" {
			c.Behind = min(c.Behind+1, s.Step)
			s.Classes[name] = c
		}
	}
	s.countAnew()
	s.Step++
	s.Since, s.Repeats, s.Why = today, 0, ""
	if s.isThrough(m.Plan) {
		s.finish()
		return Ended
	}
	return Began
}

// isThrough reports whether no class has a step left.
func (s *State) isThrough(p *Plan) bool {
	last := s.Step
	for _, c := range s.Classes {
		last = min(last, s.Step-c.Behind)
	}
	return last > len(p.Steps)
}

func (s *State) finish() { s.Done, s.Times = true, 0 }

// trouble says why a class repeats its step, if it does.
func (c *Class) trouble() string {
	switch {
	case c.Finding != "":
		return c.Finding
	case c.Tried >= leastOfClass && float64(c.Accepted) < leastAccepted*float64(c.Tried):
		return fmt.Sprintf("%d of %d mails were accepted", c.Accepted, c.Tried)
	}
	return ""
}

// endDay forgets what was the day's.
func (s *State) endDay(today Day) {
	for name, c := range s.Classes {
		c.Taken, c.Over, c.Finding, c.Pauses, c.PutOff, c.PutBy, c.Until, c.Against = 0, 0, "", 0, 0, nil, time.Time{}, nil
		if c == (Class{}) || s.Done {
			delete(s.Classes, name)
			continue
		}
		s.Classes[name] = c
	}
	s.Day, s.Finding = today, ""
}

// pauses are how long a class rests after its receiver said that it is too much: the first time, and the next; after that for the day.
var pauses = [...]time.Duration{time.Hour, 4 * time.Hour}

// pause has a class rest.
func (c *Class) pause(now time.Time, why string) {
	if now.Before(c.Until) { // said of what was under way
		return
	}
	c.Until = DayOf(now).Time().AddDate(0, 0, 1)
	if c.Pauses < len(pauses) {
		c.Until = slices.MinFunc([]time.Time{c.Until, now.Add(pauses[c.Pauses])}, time.Time.Compare)
	}
	if c.Pauses++; c.Pauses > 1 { // once may have been an accident
		c.Finding = cmp.Or(c.Finding, why)
	}
}
