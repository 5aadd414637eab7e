package warm

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestAReceiverThatHasHadTooMuchIsLeftAloneAWhileAndThenForTheDay(t *testing.T) {
	r := newRig(t, nil)
	for _, rest := range []time.Duration{time.Hour, 4 * time.Hour} {
		r.Throttled(ip, "google", Voice{}, "too fast")
		r.Throttled(ip, "google", Voice{}, "too fast") // of what was under way
		if room := r.Room(ip, "google"); room != Rests {
			t.Fatalf("room %v while it rests", room)
		}
		if room := r.Room(ip, "yahoo"); room != Some {
			t.Fatalf("another provider has %v", room)
		}
		r.now = r.now.Add(rest)
		if room := r.Room(ip, "google"); room != Some {
			t.Fatalf("room %v behind the rest", room)
		}
	}
	r.Throttled(ip, "google", Voice{}, "too fast")
	r.now = time.Date(2026, 12, 1, 23, 59, 59, 0, time.UTC)
	if room := r.Room(ip, "google"); room != Rests {
		t.Fatalf("room %v on the same day", room)
	}
	r.day(Others, 20, 0) // to the next day
	if e, _ := r.Get(ip); e.Step != 2 || e.Classes["google"].Behind != 1 || r.Room(ip, "google") != Some {
		t.Fatalf("the next day: %+v", e.State)
	}
}

func TestAReceiverThatTakesNoMoreAndDoesNotSayWhyIsLeftAlone(t *testing.T) {
	r := newRig(t, nil)
	putOff := func(times int) {
		for range times {
			r.PutOff(ip, "google", Voice{}, "try again later")
		}
	}
	for range 3 { // one here and there is greylisting
		putOff(4)
		ticket, _, _ := r.Take(ip, "google", false)
		ticket.Accepted()
	}
	if room := r.Room(ip, "google"); room != Some {
		t.Fatalf("room %v, and between the mails that were put off others were accepted", room)
	}
	putOff(5)
	if room := r.Room(ip, "google"); room != Rests {
		t.Fatalf("room %v behind five in a row", room)
	}
	r.now = r.now.Add(time.Hour)
	if room := r.Room(ip, "google"); room != Some {
		t.Fatalf("room %v behind the rest", room)
	}
	putOff(1)
	r.now = r.now.Add(3 * time.Hour)
	if e, _ := r.Get(ip); r.Room(ip, "google") != Rests || !strings.Contains(e.Classes["google"].Finding, "6 mails in a row were put off: try again later") {
		t.Fatalf("one more is enough then: %+v", e.Classes["google"])
	}
}

// All others are many: what one of them says or does, however often, is its own, and nothing that the IP's mail to the
// rest should suffer from. An MX that is broken is tried again and again; and who wants an IP never to be warm needs no
// more than one of his own.
func TestOfAllOthersOneSpeaksForItself(t *testing.T) {
	const one, another = "192.0.2.0/24", "198.51.100.0/24"
	for name, c := range map[string]struct {
		say     func(r *rig, who string)
		holds   func(r *rig) bool
		because string
	}{
		"too much":        {func(r *rig, who string) { r.Throttled(ip, Others, Voice{Receiver: who}, "too fast") }, (*rig).rests, "rests"},
		"try again later": {func(r *rig, who string) { r.PutOff(ip, Others, Voice{Receiver: who}, "try again later") }, (*rig).rests, "rests"},
		"a finding":       {func(r *rig, who string) { r.Found(ip, Others, Voice{Receiver: who}, false, "suspended") }, (*rig).found, "has a finding"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, nil)
			for range 20 {
				c.say(r, one)
			}
			if c.holds(r) {
				t.Fatalf("for one stranger the class %s", c.because)
			}
			for range 4 {
				c.say(r, another)
				c.say(r, one)
			}
			if !c.holds(r) {
				t.Fatalf("for two of them it does not: %+v", r.others())
			}
			r.next(1)
			if c.say(r, another); c.holds(r) {
				t.Errorf("on another day the class %s for one", c.because)
			}
		})
	}
}

func (r *rig) others() Class {
	e, _ := r.Get(ip)
	return e.Classes[Others]
}

func (r *rig) rests() bool { return r.Room(ip, Others) == Rests }
func (r *rig) found() bool { return r.others().Finding != "" }

func TestAnMXThatIsBrokenKeepsNoIPFromWarmingUp(t *testing.T) {
	r := newRig(t, nil)
	for range 300 { // it is tried again all day
		r.Refused(ip, Others, Voice{Receiver: "192.0.2.0/24"})
	}
	if ticket, _, ok := r.Take(ip, Others, false); ok {
		ticket.Refused(Voice{Receiver: "192.0.2.0/24"})
	}
	r.day(Others, 20, 0)
	if r.is(2, 0.05); r.others().Behind != 0 {
		t.Errorf("%+v", r.others())
	}
	for i := range 20 { // a listing is met at many
		r.Refused(ip, Others, Voice{Receiver: fmt.Sprintf("198.51.%d.0/24", i)})
	}
	r.day(Others, 20, 0)
	r.is(2, 0.05)
}

func TestItIsKnownWhetherAnyMailHasMetAnIPWithoutRoomToday(t *testing.T) {
	r := newRig(t, nil)
	r.fill("google")
	if !r.Tight() {
		t.Error("a full IP was asked")
	}
	r.next(1)
	if r.Tight() {
		t.Error("there is room again")
	}
	r.Throttled(ip, "google", Voice{}, "too fast")
	if r.Room(ip, "google"); !r.Tight() {
		t.Error("one that rests was asked")
	}
}

// BenchmarkRoom is what a choice of a sending IP pays for each that it looks at.
func BenchmarkRoom(b *testing.B) {
	other := netip.MustParseAddr("203.0.113.31")
	for name, c := range map[string]struct {
		ip      netip.Addr
		members []Member
	}{
		"no IP has a plan":    {other, nil},
		"another one has one": {other, []Member{{IP: ip, Start: DayOf(time.Now()), Plan: plan()}}},
		"it has one":          {ip, []Member{{IP: ip, Start: DayOf(time.Now()), Plan: plan()}}},
	} {
		b.Run(name, func(b *testing.B) {
			book, err := New(Options{})
			if err != nil {
				b.Fatal(err)
			}
			defer book.Close()
			book.Configure(c.members)
			b.ReportAllocs()
			for b.Loop() {
				book.Room(c.ip, "google")
			}
		})
	}
}
