package slow

import (
	"net/netip"
	"testing"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/event/timing"
)

// spoken are facts of a mail with times of its own in each phase.
func spoken() *event.Facts {
	ok := func(ms int) event.Reply { return event.Reply{Code: 250, Took: event.Micros(ms * 1000)} }
	s := &event.Session{
		Arrival: event.Arrival{ID: 7, Destination: mx},
		Leg:     event.Leg{Number: 1, Mails: 1, SendingIP: netip.MustParseAddr("203.0.113.10"), Way: &event.Way{Provider: google, Tenant: "acme"}},
	}
	s.Phases = [event.PhaseIdle]event.Micros{event.PhaseDial: 1000, event.PhaseBanner: 2000, event.PhaseEHLO: 3000, event.PhaseHandshake: 4000}
	to := []event.Recipient{{Reply: ok(6)}, {Reply: ok(60)}}
	return &event.Facts{Session: s, Recipients: to, Transaction: &event.Transaction{
		Number: 1, Leg: 1, Mail: ok(5), Recipients: to, Data: ok(7), BodyBytes: 100, Window: 8 * time.Millisecond, Dot: ok(9),
	}}
}

// took gives a sample's times in milliseconds, -1 where there is none.
func took(s *sample) (ms [timing.Phases]int) {
	for f, of := range s.took {
		if ms[f] = -1; of != absent {
			ms[f] = int(of) / 1000
		}
	}
	return ms
}

// The opening of a connection is told once: with its first mail, where there is one. What was said on a connection before is that one's.
func TestWhatAMailHasTaken(t *testing.T) {
	for name, test := range map[string]struct {
		change func(f *event.Facts)
		took   [timing.Phases]int
		opened bool
	}{
		"the first mail":  {func(*event.Facts) {}, [...]int{1, 2, 7, 5, 6, 7, 8, 9}, true},
		"the second one":  {func(f *event.Facts) { f.Session.Mails = 2 }, [...]int{-1, -1, -1, 5, 6, 7, 8, 9}, false},
		"moved at RCPT":   {func(f *event.Facts) { f.Session.From = event.PhaseRcpt }, [...]int{1, 2, 7, -1, 60, 7, 8, 9}, true},
		"rescued at DATA": {func(f *event.Facts) { f.Session.From = event.PhaseData }, [...]int{1, 2, 7, -1, -1, 7, 8, 9}, true},
		"rescued at dot":  {func(f *event.Facts) { f.Session.From = event.PhaseBody }, [...]int{1, 2, 7, -1, -1, -1, 8, 9}, true},
		"the mail after":  {func(f *event.Facts) { f.Session.From, f.Session.Mails = event.PhaseBody, 2 }, [...]int{-1, -1, -1, 5, 6, 7, 8, 9}, false},
		"refused by kanmon": {func(f *event.Facts) {
			f.Transaction.Recipients[0].Reply, f.Transaction.Data = event.Reply{Code: 451, Local: true}, event.Reply{}
		}, [...]int{1, 2, 7, 5, 60, -1, 8, 9}, true},
		"without a body": {func(f *event.Facts) {
			f.Transaction.BodyBytes, f.Transaction.Window, f.Transaction.Dot = 0, 0, event.Reply{}
		}, [...]int{1, 2, 7, 5, 6, 7, -1, -1}, true},
	} {
		f := spoken()
		test.change(f)
		var s sample
		if !s.ofMail(f) || took(&s) != test.took || s.opened != test.opened {
			t.Errorf("%s: %v, opened %v", name, took(&s), s.opened)
		}
	}
}

// What makes times no evidence of the IP is told with them.
func TestWhatTimesAreWorth(t *testing.T) {
	for name, test := range map[string]struct {
		change       func(f *event.Facts)
		bad, stalled bool
	}{
		"nothing":                      {func(*event.Facts) {}, false, false},
		"a recipient was refused":      {func(f *event.Facts) { f.Transaction.RcptsRefused = 1 }, true, false},
		"kanmon stood still":           {func(f *event.Facts) { f.Transaction.Stalled = time.Second }, false, true},
		"it did before the first mail": {func(f *event.Facts) { f.Session.Stalled = 300_000 }, false, true},
		"not before this mail":         {func(f *event.Facts) { f.Session.Stalled, f.Session.Mails = 300_000, 2 }, false, false},
	} {
		f := spoken()
		test.change(f)
		var s sample
		if !s.ofMail(f) || s.badRecipient != test.bad || s.stalled != test.stalled {
			t.Errorf("%s: %+v", name, s)
		}
	}
}

// A wait during which kanmon stood still for a little has lasted for the rest of it at least: at a busy gateway no wait for a tarpit is without that. Where
// it stood still for long, nothing is known.
func TestAWaitIsWorthWhatKanmonWatched(t *testing.T) {
	for stood, want := range map[time.Duration]sample{
		0:                       {waits: true},
		1500 * time.Millisecond: {waits: true},
		12 * time.Second:        {waits: true, stalled: true},
	} {
		f := spoken()
		f.Transaction, f.Session.Mails = nil, 0
		var s sample
		if !s.ofWait(f, &event.Wait{Phase: event.PhaseBanner, Waited: 20 * time.Second, Stalled: stood}) || s.stalled != want.stalled || s.waits != want.waits {
			t.Errorf("kanmon stood still for %v: %+v", stood, s)
		}
		if took := s.took[timing.Banner].Duration(); took != 20*time.Second-stood {
			t.Errorf("kanmon stood still for %v: the greeting takes %v", stood, took)
		}
	}
}

// A mail has waited for the MX once for replies that were waited for together, and for the opening of a connection with its first mail. Where a part
// of it was said elsewhere, what is known is what was said here.
func TestWhatAMailHasWaited(t *testing.T) {
	for name, test := range map[string]struct {
		change func(f *event.Facts)
		waited time.Duration
	}{
		"pipelined":      {func(*event.Facts) {}, 10*time.Millisecond + 30*time.Second},
		"the second one": {func(f *event.Facts) { f.Session.Mails = 2 }, 30 * time.Second},
		"moved at RCPT":  {func(f *event.Facts) { f.Session.From = event.PhaseRcpt }, 94 * time.Millisecond},
		"not known":      {func(f *event.Facts) { f.Spent = nil }, 45 * time.Millisecond},
	} {
		f := spoken()
		f.Spent = &event.Spent{event.SpentOnMX: 20 * time.Second, event.SpentOnBodyMX: 10 * time.Second, event.SpentOnMSA: time.Hour, event.SpentOpening: time.Hour}
		test.change(f)
		var s sample
		if !s.ofMail(f) || s.waited() != test.waited {
			t.Errorf("%s: %v", name, s.waited())
		}
	}
}

// A reply drips if it has one line, and took a second in four pieces at least.
func TestWhatDrips(t *testing.T) {
	for name, test := range map[string]struct {
		reply event.Reply
		text  string
		drips bool
	}{
		"in pieces":       {event.Reply{Code: 250, Pieces: 4, First: 2_000_000, Took: 3_000_000}, "250 2.1.0 Ok", true},
		"in three":        {event.Reply{Code: 250, Pieces: 3, Took: 3_000_000}, "250 2.1.0 Ok", false},
		"soon":            {event.Reply{Code: 250, Pieces: 9, First: 2_000_000, Took: 2_900_000}, "250 2.1.0 Ok", false},
		"of two lines":    {event.Reply{Code: 250, Pieces: 9, Took: 3_000_000}, "250-a\n250 b", false},
		"kanmon's own":    {event.Reply{Code: 250, Local: true, Pieces: 9, Took: 3_000_000}, "250 2.1.0 Ok", false},
		"of which is not": {event.Reply{Pieces: 9, Took: 3_000_000}, "", false},
	} {
		r := event.NewRecord()
		test.reply.Text = r.Add([]byte(test.text))
		r.Session, r.Transaction = *spoken().Session, &event.Transaction{Number: 1, Leg: 1, Mail: test.reply}
		var heard sample
		var stream event.Stream
		stream.Subscribe("test", func(f *event.Facts) { heard.ofMail(f) })
		stream.Record(r)
		if drips := heard.dripped == 1<<timing.Mail; drips != test.drips {
			t.Errorf("%s: %b", name, heard.dripped)
		}
	}
}

// A connection that was refused, not answered, or never carried a mail is told when its session ends.
func TestConnectionsWithoutMail(t *testing.T) {
	const none, refused, timed = 0, 1, 2
	for name, test := range map[string]struct {
		change func(l *event.Leg)
		told   int
		took   [timing.Phases]int
	}{
		"refused":                   {func(l *event.Leg) { l.Failed, l.Phases = event.DialRefused, [event.PhaseIdle]event.Micros{} }, refused, [...]int{-1, -1, -1, -1, -1, -1, -1, -1}},
		"closed before a greeting":  {func(l *event.Leg) { l.Failed, l.Phases[event.PhaseBanner] = event.OpeningLost, 0 }, refused, [...]int{-1, -1, -1, -1, -1, -1, -1, -1}},
		"closed behind it":          {func(l *event.Leg) { l.Failed = event.OpeningLost }, timed, [...]int{1, 2, 7, -1, -1, -1, -1, -1}},
		"not answered":              {func(l *event.Leg) { l.Failed, l.Phases[event.PhaseDial] = event.DialUnanswered, 30_000_000 }, timed, [...]int{30_000, -1, -1, -1, -1, -1, -1, -1}},
		"barred":                    {func(l *event.Leg) { l.Failed = event.DialBarred }, none, [timing.Phases]int{}},
		"not dialled":               {func(l *event.Leg) { l.Failed = event.DialNot }, none, [timing.Phases]int{}},
		"there, and left unused":    {func(*event.Leg) {}, timed, [...]int{1, 2, 7, -1, -1, -1, -1, -1}},
		"one that has carried mail": {func(l *event.Leg) { l.Mails = 1 }, none, [timing.Phases]int{}},
		"one of a pass-through":     {func(l *event.Leg) { l.MX.State = event.TLSPassthrough }, none, [timing.Phases]int{}},
	} {
		f := spoken()
		leg := f.Session.Leg
		leg.Mails = 0
		test.change(&leg)
		f.Transaction, f.End = nil, &event.End{Legs: []event.Leg{leg}}
		var s sample
		is := none
		switch told := s.ofLeg(f, &leg); {
		case told && s.refused:
			is = refused
		case told:
			is = timed
		}
		if is != test.told || is != none && took(&s) != test.took || is == refused != (s.opened && s.refused) || s.opened && leg.Failed == event.DialUnanswered {
			t.Errorf("%s: %+v", name, s)
		}
	}
}

// An opening that drips is told where no mail came of it: else its session is told of by that.
func TestAnOpeningDrips(t *testing.T) {
	f := spoken()
	r := event.Reply{Code: 250, Pieces: 40, Took: 40_000_000}
	f.Session.Mails = 0
	f.Transaction, f.End = nil, &event.End{
		Legs:    []event.Leg{f.Session.Leg},
		Opening: []event.Opening{{Phase: event.PhaseBanner, Leg: 1, Reply: r}, {Phase: event.PhaseEHLO, Leg: 1, Reply: r}, {Phase: event.PhaseStartTLS, Leg: 2, Reply: r}},
	}
	var s sample
	if !s.ofLeg(f, &f.End.Legs[0]) || s.dripped != 1<<timing.Banner|1<<timing.Hello {
		t.Errorf("%b", s.dripped)
	}
}

// What is told of a mail while it waits, and when it has ended, is told of one mail. A wait is no new connection.
func TestAWaitIsOfItsMail(t *testing.T) {
	for name, test := range map[string]struct {
		wait event.Wait
		took [timing.Phases]int
	}{
		"for a connection": {event.Wait{Phase: event.PhaseDial, Waited: 10 * time.Second}, [...]int{10_000, -1, -1, -1, -1, -1, -1, -1}},
		"for a greeting":   {event.Wait{Phase: event.PhaseBanner, Waited: 20 * time.Second}, [...]int{-1, 20_000, -1, -1, -1, -1, -1, -1}},
		"in TLS":           {event.Wait{Phase: event.PhaseHandshake, Waited: 20 * time.Second}, [...]int{-1, -1, 20_000, -1, -1, -1, -1, -1}},
		"for room":         {event.Wait{Phase: event.PhaseBody, Waited: 10 * time.Second, Window: 10 * time.Second, Size: 70_000}, [...]int{-1, -1, -1, -1, -1, -1, 10_000, -1}},
		"behind the dot":   {event.Wait{Phase: event.PhaseDot, Waited: 40 * time.Second, Window: 5 * time.Second}, [...]int{-1, -1, -1, -1, -1, -1, 5_000, 40_000}},
	} {
		f := spoken()
		var wait, mail sample
		test.wait.Session = f.Session.ID
		if !mail.ofMail(f) || !wait.ofWait(f, &test.wait) || mail.id != wait.id || !wait.waits || wait.opened || wait.size != test.wait.Size || took(&wait) != test.took {
			t.Errorf("%s: %+v", name, wait)
		}
	}
}
