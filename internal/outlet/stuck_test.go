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

	"kanmon/internal/event"
	"kanmon/internal/session"
	"kanmon/internal/smtp/smtptest"
)

// oneAtATime is an MX that takes one connection at a time, from whichever of our IPs.
type oneAtATime struct {
	*firewalled
	open   int
	second func(*oneAtATime, context.Context, netip.Addr, netip.AddrPort) (session.Outbound, error)
}

func (o *oneAtATime) DialFrom(ctx context.Context, from netip.Addr, to netip.AddrPort) (session.Outbound, error) {
	if o.open > 0 {
		o.dialled = append(o.dialled, from)
		return o.second(o, ctx, from, to)
	}
	out, err := o.firewalled.DialFrom(ctx, from, to)
	if err == nil {
		o.open++
		out.Closed = func() { o.open-- }
	}
	return out, err
}

// greets has the second connection meet an MX that begins so.
func greets(with string) func(*oneAtATime, context.Context, netip.Addr, netip.AddrPort) (session.Outbound, error) {
	return func(_ *oneAtATime, _ context.Context, from netip.Addr, to netip.AddrPort) (session.Outbound, error) {
		near, far := smtptest.Pair(netip.AddrPortFrom(from, 50000), to)
		mx := smtptest.MX{Reply: func(string, int) string { return with }}
		go mx.ServeConn(far)
		return session.Outbound{SendingIP: from, Conn: near}, nil
	}
}

func refusesToConnect(_ *oneAtATime, _ context.Context, from netip.Addr, _ netip.AddrPort) (session.Outbound, error) {
	return session.Outbound{SendingIP: from}, fmt.Errorf("dial: %w", os.NewSyscallError("connect", syscall.ECONNREFUSED))
}

func dropsSYNs(_ *oneAtATime, ctx context.Context, from netip.Addr, _ netip.AddrPort) (session.Outbound, error) {
	<-ctx.Done()
	return session.Outbound{SendingIP: from}, fmt.Errorf("dial: %w", ctx.Err())
}

// An MSA sends for several domains, whose mail has an IP each, to an MX that takes one connection at a time, or is slow to greet. All of its mail
// goes as it would directly, nothing is learnt against any IP, and for an hour nobody tries to move.
//
// law: I11
func TestMailThatCannotMoveToItsOwnIPGoesAsItWouldDirectly(t *testing.T) {
	for name, meets := range map[string]func(*oneAtATime, context.Context, netip.Addr, netip.AddrPort) (session.Outbound, error){
		"a banner that says so": greets("421 4.7.0 too many connections from your network\r\n" + smtptest.CloseConn),
		"in a 5xx":              greets("554 5.7.0 too many connections from your network\r\n" + smtptest.CloseConn),
		"closed":                greets(smtptest.CloseConn),
		"reset":                 greets(smtptest.ResetConn),
		"a late banner":         greets(smtptest.Delay(70*time.Second) + smtptest.Default),
		"a RST":                 refusesToConnect,
		"dropped":               dropsSYNs,
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newShutOutWorld(t, threeOfAPool.pool("default", threeOfAPool.ips...))
			w.dials = new(dials)
			w.dialer = &oneAtATime{firewalled: &w.fw, second: meets}
			dials := 0
			for i := range 60 {
				begun := time.Now()
				ok, dialled, _ := w.deliverFor(t, fmt.Sprintf("u@s%d.example", i%6))
				waited := time.Since(begun)
				if dials += len(dialled); !ok || waited > 32*time.Second {
					t.Fatalf("%s: mail %d: delivered %t behind %s; dialled %v", name, i, ok, waited, dialled)
				}
				time.Sleep(10 * time.Second)
			}
			if dials == 60 || dials > 62 {
				t.Errorf("%s: %d connections for 60 mails", name, dials)
			}
			for _, ip := range []netip.Addr{first, second, netip.MustParseAddr("203.0.113.12")} {
				if w.dials.passesOver(mxAddr.Addr(), ip) || w.dials.shutsOut(mxAddr.Addr(), ip) {
					t.Errorf("%s: %s is passed over", name, ip)
				}
				if rules := w.evidence(ip); len(rules) > 0 {
					t.Errorf("%s: evidence against %s: %q", name, ip, rules)
				}
			}
		})
	}
}

// What another connection meets that is no matter of there being two counts as ever.
//
// law: I19
func TestWhatASecondConnectionMeetsCountsUnlessItIsTheSecond(t *testing.T) {
	for text, want := range map[string]int{
		"421 4.7.0 too many connections from your network":               0,
		"554 5.7.1 client [203.0.113.10] blocked using zen.spamhaus.org": 1,
	} {
		o := newOutlet(t, twoIPs)
		r := refusal(first, text)
		r.Phase, r.Sender, r.Recipient, r.Beside = event.PhaseBanner, nil, nil, true
		if j := o.Judge(r); j.Class == event.Unjudged || len(o.book.List()) != want {
			t.Errorf("%s: %+v; %v", text, j, o.book.List())
		}
		if r.Beside = false; want == 0 {
			if o.Judge(r); len(o.book.List()) == 0 {
				t.Errorf("%s: alone it is no evidence either", text)
			}
		}
	}
}

// A mail leaves its IP only rather where nothing but the sender's own IP speaks for it; where it must not stay, nothing keeps it.
//
// law: I11
func TestWhatMayStayWhereItCannotMove(t *testing.T) {
	g := sending("203.0.113.10", "203.0.113.11", "203.0.113.20").pool("default", "203.0.113.10", "203.0.113.11").pool("other", "203.0.113.20")
	for name, test := range map[string]struct {
		happens func(s *site, own, at netip.Addr, req *session.DialRequest) (stuckAt netip.Addr)
		stays   bool
	}{
		"the sender has another": {func(_ *site, _, at netip.Addr, _ *session.DialRequest) netip.Addr { return at }, true},
		"no IP of the pool":      {func(*site, netip.Addr, netip.Addr, *session.DialRequest) netip.Addr { return other }, false},
		"refused here": {func(_ *site, _, at netip.Addr, req *session.DialRequest) netip.Addr {
			req.Avoid = []netip.Addr{at}
			return at
		}, false},
		"suspended": {func(s *site, _, at netip.Addr, _ *session.DialRequest) netip.Addr {
			s.Judge(atMAIL(refusal(at, listing)))
			return at
		}, false},
		"greylisted at its own": {func(s *site, own, at netip.Addr, req *session.DialRequest) netip.Addr {
			s.refuse(mailOf{source: msa.String(), sender: req.Sender, recipient: req.Recipient, mx: mxAddr.String()}, own, 450, greylisted)
			return at
		}, false},
	} {
		s := newSite(t, g)
		req := session.DialRequest{Sender: "a@b.example", SenderKnown: true, Recipient: "b@example.net"}
		choice, err := s.router.Choose(s.query(request{Source: msa, Destination: mxAddr, DialRequest: req}))
		if err != nil {
			t.Fatal(err)
		}
		own, at := choice.IP.Address, first
		if own == at {
			at = second
		}
		at = test.happens(s, own, at, &req)
		w := s.enter(&session.Origin{Source: netip.AddrPortFrom(msa, 0), Destination: mxAddr})
		if stay := w.MayStay(req, at); !stay.Moves || stay.Rather != test.stays {
			t.Errorf("%s: %+v", name, stay)
		}
		req.Stuck = true
		for _, req.ByMX = range []bool{false, true} {
			if stay := w.MayStay(req, at); stay.Moves == test.stays {
				t.Errorf("%s, and there is no way elsewhere: %+v", name, stay)
			}
			if s.stuck.has(mxAddr.Addr()) != (test.stays && req.ByMX) {
				t.Errorf("%s: where the MX has let nobody connect again (%t) nobody tries: %t", name, req.ByMX, s.stuck.has(mxAddr.Addr()))
			}
		}
	}
}

// Who hangs up while kanmon connects elsewhere for his mail says nothing of the MX: the mail of other tenants still
// goes where it belongs.
//
// law: I11
func TestAnMSAThatGoesWhileItsMailMovesKeepsNobodyFromMoving(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newShutOutWorld(t, threeOfAPool.pool("default", threeOfAPool.ips...))
		w.dialer = &oneAtATime{firewalled: &w.fw, second: dropsSYNs}
		for i := range 6 { // of one of them or another the own IP is not that of the connection
			far, near := smtptest.Pair(netip.AddrPortFrom(msa, 40000), mxAddr)
			go w.engine.Serve(near, session.Origin{Source: netip.AddrPortFrom(msa, 40000), Destination: mxAddr})
			client := smtptest.NewMSA(t, far)
			client.Expect(220)
			client.Command("EHLO msa.example.com")
			client.Send(fmt.Sprintf("MAIL FROM:<u@s%d.example>", i))
			time.Sleep(time.Second)
			_ = far.Close()
			time.Sleep(time.Minute)
		}
		synctest.Wait()
		if len(w.fw.dialled) < 7 {
			t.Fatalf("nobody has tried to move: %v", w.fw.dialled)
		}
		if w.stuck.has(mxAddr.Addr()) {
			t.Error("nobody moves there any more")
		}
	})
}
