package outlet

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/outlet/warm"
	"kanmon/internal/session"
)

// A place in the day's amount is one mail's: from before its connection is made until it is known what became of it.

// A busyDialer has something happen while it connects for the first time.
type busyDialer struct {
	meanwhile func()
	fails     map[netip.Addr]error
}

func (d *busyDialer) DialFrom(_ context.Context, from netip.Addr, _ netip.AddrPort) (session.Outbound, error) {
	if do := d.meanwhile; do != nil {
		d.meanwhile = nil
		do()
	}
	return session.Outbound{SendingIP: from}, d.fails[from]
}

var old1 = netip.MustParseAddr("203.0.113.12")

// besideOld is a pool of an IP that is known and the new one.
func besideOld(t *testing.T, plan *warm.Plan) *ramp {
	return newRamp(t, sending("203.0.113.12", "203.0.113.13").pool("default", "203.0.113.12", "203.0.113.13"), plan, new1)
}

// again gives what a session asks for that connects anew for the mail at hand.
func (r *ramp) again(change func(*session.DialRequest)) request {
	r.last++
	req := request{Session: r.last, Source: msa, Destination: netip.MustParseAddrPort(mailbox1), DialRequest: session.DialRequest{
		Sender: "a@s.example", SenderKnown: true, Recipient: "r@x.example",
	}}
	change(&req.DialRequest)
	return req
}

func rescued(req *session.DialRequest) { req.Rescue, req.Avoid = true, []netip.Addr{old1} }

// law: I19
func TestOfTwoRescuesAtOnceOneAloneHasTheLastPlace(t *testing.T) {
	r := besideOld(t, amounts(1, 1))
	first, second := r.again(rescued), r.again(rescued)
	var secondErr error
	r.dialer = &busyDialer{meanwhile: func() { _, secondErr = r.Dial(t.Context(), second) }}
	_, firstErr := r.Dial(t.Context(), first)
	if (firstErr == nil) == (secondErr == nil) {
		t.Errorf("the first: %v, the second: %v; want one of them to have another sending IP", firstErr, secondErr)
	}
	if c := r.class(warm.Others); c.Taken != 1 || c.Over != 0 {
		t.Errorf("counted %+v", c)
	}
}

func TestOfTwoMailsAtOnceOneAloneHasTheLastPlaceAndTheOtherLeavesFromAnotherIP(t *testing.T) {
	r := besideOld(t, amounts(1, 1))
	sender := r.ownSender(0)
	from := map[netip.Addr]int{}
	own := func(req *session.DialRequest) { req.Sender = sender }
	dial := func(req request) {
		out, err := r.Dial(t.Context(), req)
		if err != nil {
			t.Error(err)
		}
		from[out.SendingIP]++
	}
	first, second := r.again(own), r.again(own)
	r.dialer = &busyDialer{meanwhile: func() { dial(second) }}
	dial(first)
	if from[new1] != 1 || from[old1] != 1 {
		t.Errorf("left from %v", from)
	}
	if c := r.class(warm.Others); c.Taken != 1 || c.Over != 0 {
		t.Errorf("counted %+v", c)
	}
}

func TestAMailKeepsItsPlaceWhereItsConnectionIsMadeAnew(t *testing.T) {
	for name, change := range map[string]func(*session.DialRequest){
		"TLS has failed":             func(*session.DialRequest) {},
		"TLS has failed in a rescue": rescued,
	} {
		t.Run(name, func(t *testing.T) {
			r := besideOld(t, amounts(1, 1))
			req := r.again(change)
			if !req.Rescue {
				req.Sender = r.ownSender(0)
			}
			for further := range 3 {
				req.Further = further > 0
				if out, err := r.Dial(t.Context(), req); err != nil || out.SendingIP != new1 || len(out.Notes) > 0 {
					t.Errorf("connection %d: from %s, %v, %+v", further+1, out.SendingIP, err, out.Notes)
				}
			}
			if c := r.class(warm.Others); c.Taken != 1 || c.Over != 0 {
				t.Errorf("counted %+v", c)
			}
		})
	}
}

func TestAPlaceIsGivenBackWhereTheConnectionFails(t *testing.T) {
	r := besideOld(t, amounts(1, 1))
	r.dialer = &busyDialer{fails: map[netip.Addr]error{new1: syscall.ECONNREFUSED}}
	sender := r.ownSender(0)
	if _, err := r.Dial(t.Context(), r.again(func(req *session.DialRequest) { req.Sender = sender })); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Fatal(err)
	}
	if c := r.class(warm.Others); c.Taken != 0 {
		t.Errorf("counted %+v", c)
	}
}

func TestARescueOfAGreylistedMailDoesNotGoBeyondTheAmount(t *testing.T) {
	r := besideOld(t, amounts(1, 1))
	l := r.write(r.ownSender(0), "r@grey.example", mailbox1)
	l.refused(event.PhaseRcpt, 450, greylisted)
	l.close()
	sender := l.req.Sender
	r.write(r.ownSender(1), "r@x.example", mailbox1).accepted()
	out, err := r.Dial(t.Context(), r.again(func(req *session.DialRequest) {
		rescued(req)
		req.Sender, req.Recipient = sender, "r@grey.example"
	}))
	if err == nil {
		t.Errorf("the rescue leaves from %s", out.SendingIP)
	}
	if c := r.class(warm.Others); c.Taken != 1 || c.Over != 0 {
		t.Errorf("counted %+v", c)
	}
}

func TestAMailThatCannotMoveLeavesFromItsIPAllTheSame(t *testing.T) {
	r := besideOld(t, amounts(1, 1))
	sender := r.ownSender(0)
	r.write(sender, "r@x.example", mailbox1).accepted()
	req := r.again(func(req *session.DialRequest) { req.Sender, req.Recipient = sender, "" })
	stay := func() session.Stay { return r.wayOf(req).MayStay(req.DialRequest, new1) }
	for _, recipient := range []string{"", "r@x.example"} {
		req.Recipient, req.Stuck = recipient, false
		if s := stay(); !s.Moves || !s.Rather {
			t.Fatalf("to %q: %+v, want it to move if it can", recipient, s)
		}
		req.Stuck = true
		if s := stay(); s.Moves || (len(s.Notes) > 0) != (recipient != "") {
			t.Errorf("to %q, and no other connection: %+v", recipient, s)
		}
	}
	if c := r.class(warm.Others); c.Taken != 2 || c.Over != 1 {
		t.Errorf("counted %+v", c)
	}
}

func TestTwoSendingIPsOfOnePoolWarmUpEachByItsOwnAmount(t *testing.T) {
	new2 := netip.MustParseAddr("203.0.113.12")
	r := newRamp(t, poolOf(4), amounts(7, 7), new1, new2)
	from, beyond := map[netip.Addr]int{}, 0
	for i := range 200 {
		l := r.write(fmt.Sprintf("a@s%d.example", i), "r@x.example", mailbox1)
		from[l.ip]++
		for _, n := range l.notes {
			if n.Did == beyondAmount {
				beyond++
			}
		}
		l.accepted()
	}
	if from[new1] != 7 || from[new2] != 7 || beyond != 0 {
		t.Errorf("left from %v, %d beyond the amount", from, beyond)
	}
}

func TestAMailAcrossMidnightTakesNothingOfTheNewDay(t *testing.T) {
	r := besideOld(t, amounts(1, 1))
	r.clock.Pass(24*time.Hour - time.Minute)
	l := r.write(r.ownSender(0), "r@x.example", mailbox1)
	r.clock.Pass(2 * time.Minute)
	next := r.write(r.ownSender(1), "r@x.example", mailbox1)
	if l.ip != new1 || next.ip != new1 {
		t.Fatalf("left from %s, and behind midnight from %s", l.ip, next.ip)
	}
	l.accepted()
	if c := r.class(warm.Others); c.Taken != 1 || c.Accepted != 1 {
		t.Errorf("the old day's mail is accepted: %+v", c)
	}
	next.close() // its MSA has gone
	if c := r.class(warm.Others); c.Taken != 0 || c.Accepted != 1 {
		t.Errorf("the new day's mail has not left: %+v", c)
	}
}

func TestAReloadInTheMiddleOfAMailLosesNoStepAndCountsNothingTwice(t *testing.T) {
	r := besideOld(t, amounts(3, 3))
	book, first := r.state.Warming(), warm.DayOf(r.clock.Now())
	configure := func(plan *warm.Plan) {
		book.Configure([]warm.Member{{IP: new1, Start: first, Plan: plan}})
	}
	sender := r.ownSender(0)
	r.write(sender, "r@x.example", mailbox1).accepted()
	l := r.write(sender, "r@x.example", mailbox1)
	configure(amounts(2, 2))
	if other := r.write(sender, "r@x.example", mailbox1); other.ip != old1 {
		t.Errorf("a smaller amount is taken, and a mail leaves from %s", other.ip)
	}
	l.accepted()
	if c := r.class(warm.Others); c.Taken != 2 || c.Accepted != 2 {
		t.Errorf("the mail at hand: %+v", c)
	}
	configure(amounts(9, 9))
	l = r.write(sender, "r@x.example", mailbox1)
	book.Configure(nil)
	l.accepted()
	if l = r.write(sender, "r@x.example", mailbox1); l.ip != new1 {
		t.Errorf("without warm_up its mail leaves from %s", l.ip)
	}
	configure(amounts(9, 9))
	l.accepted()
	if e, _ := book.Get(new1); e.Step != 1 || e.Classes[warm.Others].Taken != 3 || e.Classes[warm.Others].Accepted != 2 {
		t.Errorf("with warm_up again: %+v", e.State)
	}
}
