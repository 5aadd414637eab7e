package outlet

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/session"
	"kanmon/internal/smtp/smtptest"
)

// refusesSecond is an MX whose TLS fails, and that refuses each second connection: the one that kanmon makes because of that.
type refusesSecond struct {
	*firewalled
	dialled int
}

func (s *refusesSecond) DialFrom(ctx context.Context, from netip.Addr, to netip.AddrPort) (session.Outbound, error) {
	if s.dialled++; s.dialled%2 == 0 {
		return session.Outbound{SendingIP: from}, fmt.Errorf("dial: %w", os.NewSyscallError("connect", syscall.ECONNREFUSED))
	}
	return s.firewalled.DialFrom(ctx, from, to)
}

// withoutTLS offers STARTTLS and refuses it.
func withoutTLS(verb string, _ int) string {
	switch verb {
	case "EHLO":
		return "250-mx.example.net\r\n250 STARTTLS\r\n"
	case "STARTTLS":
		return "454 4.7.0 not now\r\n"
	}
	return smtptest.Default
}

// An MX that takes no second connection so soon says nothing of the sending IP.
//
// law: I19
func TestOwnSecondConnectionShutsNobodyOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newShutOutWorld(t, threeOfAPool)
		w.dials = new(dials)
		w.fw.mx.Reply = withoutTLS
		w.dialer = &refusesSecond{firewalled: &w.fw}
		for range 3 {
			w.deliver(t)
			if w.dials.passesOver(mxAddr.Addr(), w.best) || w.dials.shutsOut(mxAddr.Addr(), w.best) {
				t.Fatal("the sending IP is passed over")
			}
			time.Sleep(5 * time.Second)
		}
	})
}

// A session that gives way to what its tenant was told counts once, however often its leg is connected.
//
// law: I19
func TestFurtherConnectionsAreNoFurtherRescues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newShutOutWorld(t, threeOfAPool)
		w.dials = new(dials)
		w.fw.mx.Reply = withoutTLS
		j := w.judged(doubtful(1, w.best, "b@example.net"))
		if j.Rescue {
			t.Fatalf("judged: %+v", j)
		}
		_, dialled, _ := w.deliver(t)
		taken := 0
		for _, tenant := range w.rescues.tenants {
			for _, b := range tenant.spent {
				taken += b.count(time.Now())
			}
		}
		if len(dialled) < 2 || taken != 1 {
			t.Errorf("dialled %v, %d rescues taken, want 1", dialled, taken)
		}
	})
}

// What an MX once did to one sending IP does not make the next time that it is down for all that IP's fault.
func TestOutageIsNotToldOfWhoWasOnceShutOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d dials
		mx := mxAddr.Addr()
		d.failing(mx, first, "acme", true)
		if d.connected(mx, second); len(d.shutOuts(mx, answeredElsewhere)) != 1 {
			t.Fatal("the one that was shut out is not told of")
		}
		time.Sleep(time.Hour) // the MX is down for all
		d.failing(mx, first, "acme", true)
		d.failing(mx, second, "acme", true)
		time.Sleep(30 * time.Minute) // and up again
		if d.connected(mx, second); len(d.shutOuts(mx, answeredElsewhere)) != 0 {
			t.Error("an outage is told of one sending IP")
		}
	})
}
