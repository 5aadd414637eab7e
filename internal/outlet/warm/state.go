package warm

import (
	"maps"
	"net/netip"
	"time"
)

// A State is what is kept of an IP.
type State struct {
	IP      netip.Addr
	Start   Day     // of the plan, as it was configured when the state began
	Step    int     // from 1; 0: its first day is still to come; beyond the plan's last one: only classes that are behind go on
	Done    bool    // it is warm
	Times   float64 // the plan's share that it has, where once brought too few mails; 0: once
	Begun   Day     // when the warm-up began, as far as is known
	Since   Day     // when the step began
	Repeats int     // how often it was repeated
	Why     string  // it was, the last time
	Day     Day     // that the classes' amounts are of
	Used    Day     // when mail last left; 0: nobody knows
	Finding string  // of the day, about the IP as a whole; "": none
	Classes map[string]Class
}

// A Class is what is kept of a provider, or of all others.
type Class struct {
	Behind   int       `json:"behind,omitempty"`   // the IP, by steps
	Taken    int       `json:"taken,omitempty"`    // today
	Over     int       `json:"over,omitempty"`     // of Taken, beyond the amount: greylisted mail, and where there was no other IP
	Tried    int       `json:"tried,omitempty"`    // mails of the step that were accepted, or refused for the IP
	Accepted int       `json:"accepted,omitempty"` // of Tried
	Finding  string    `json:"finding,omitempty"`  // of the day; "": none
	Pauses   int       `json:"pauses,omitempty"`   // today
	PutOff   int       `json:"put_off,omitempty"`  // mails in a row, today, by what speaks for the class: none was accepted since
	PutBy    *voices   `json:"put_row,omitempty"`  // likewise, by witnesses
	Until    time.Time `json:"until,omitzero"`     // the class pauses
	Against  *voices   `json:"against,omitempty"`  // witnesses who have had something against the IP today
}

// clone gives a copy that shares nothing.
func (s *State) clone() State {
	c := *s
	c.Classes = maps.Clone(s.Classes)
	return c
}

// total adds up all classes.
func (s *State) total() (all Class) {
	for _, c := range s.Classes {
		all.Taken += c.Taken
		all.Over += c.Over
		all.Tried += c.Tried
		all.Accepted += c.Accepted
	}
	return all
}

// begin puts the IP where the date says that it is: at its first step on its first day, and where nothing is known of
// it as many days later as many steps on. Of what was lost it is not known that it went badly.
func (s *State) begin(m *Member, today Day) {
	*s = State{IP: m.IP, Start: m.Start, Begun: m.Start, Since: today, Day: today, Used: s.Used, Classes: map[string]Class{}}
	s.Step = max(0, int(today-m.Start)+1)
	s.Done = s.Step > len(m.Plan.Steps)
}

// goTo puts the IP at a step, all classes with it.
func (s *State) goTo(step int, m *Member, today Day) {
	*s = State{IP: s.IP, Start: s.Start, Begun: s.Begun, Step: step, Since: today, Day: today, Used: s.Used, Classes: s.Classes}
	for name, c := range s.Classes { // what is taken today is taken
		s.Classes[name] = Class{Taken: c.Taken, Over: c.Over}
	}
	if step == 1 {
		s.Begun = today
	}
	s.Done = step > len(m.Plan.Steps)
}

// stepOf gives what holds for a class today; ok is false where it is through with its plan.
func (s *State) stepOf(class string, p *Plan) (step Step, ok bool) {
	at := s.Step - s.Classes[class].Behind
	switch {
	case s.Done || at > len(p.Steps):
		return Step{}, false
	case at <= 0 && s.Step <= 0:
		return Step{}, true
	}
	return p.Steps[max(at, 1)-1], true
}

// share is the part of its senders that the IP has today.
func (s *State) share(p *Plan) float64 {
	switch {
	case s.Done || s.Step > len(p.Steps):
		return 1
	case s.Step <= 0:
		return 0
	}
	return min(1, max(s.Times, 1)*p.Steps[s.Step-1].Share)
}
