package session_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/session"
	"kanmon/internal/smtp/smtptest"
)

// A hookedConn calls before ahead of each read and saw behind it.
type hookedConn struct {
	net.Conn
	before func()
	saw    func(p []byte)
}

func (c hookedConn) Read(p []byte) (int, error) {
	c.before()
	n, err := c.Conn.Read(p)
	c.saw(p[:n])
	return n, err
}

// S6': the dot read from the MSA and not yet written is withheld if the MSA has gone.
func TestRescueDotOfALostMSAIsWithheld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newManyIPs(2)
		r.mx.Reply = always(".", listed)
		inBody := false
		r.engine.Dialer = hookedSecond(r, func() {
			if inBody {
				inBody = false
				time.Sleep(time.Minute) // an MX that is slow to read
			}
		}, func(p []byte) { inBody = bytes.HasSuffix(p, []byte("DATA\r\n")) })
		msa := r.msa(t)
		msa.Wait = 30 * time.Second
		got := msa.Deliver("a@example.com", []string{"b@example.net"}, bytes.Repeat([]byte("0123456789\r\n"), 16_000), true)
		finishSession(msa)
		if !got.All(smtptest.Deferred) || r.mxs[1].Mailbox.Len() > 0 {
			t.Errorf("%v, %d delivered behind the MSA's back", got.Verdicts, r.mxs[1].Mailbox.Len())
		}
	})
}

// hookedSecond is r's dialer with hooks in the reads of the second MX.
func hookedSecond(r *manyIPs, before func(), saw func([]byte)) dialFunc {
	return func(ctx context.Context, req session.DialRequest) (session.Outbound, error) {
		if len(req.Avoid) == 0 {
			return r.dial(ctx, req)
		}
		proxy, mx := smtptest.Pair(netip.AddrPortFrom(sendingIPs[1], 50000), mxAddr)
		go r.mxs[1].ServeConn(hookedConn{mx, before, saw})
		return session.Outbound{Conn: proxy, SendingIP: sendingIPs[1], Name: "out1.example.jp"}, nil
	}
}

// Drain cuts what is left; it must not crash the process (every other session loses its last words).
func TestRescueKillDuringSecondRescue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newManyIPs(1)
		r.mxs[0].Reply = always("RCPT", listed)
		dials := 0
		r.engine.Dialer = dialFunc(func(ctx context.Context, req session.DialRequest) (session.Outbound, error) {
			if dials++; dials == 3 {
				<-ctx.Done()
				return session.Outbound{}, ctx.Err()
			}
			return r.dial(ctx, req)
		})
		msa := r.hello(t)
		msa.Pipeline("MAIL FROM:<a@example.com>", "RCPT TO:<b@example.net>") // nobody to rescue: the leg is taken back
		msa.Pipeline("RSET")
		msa.Send("MAIL FROM:<a@example.com>", "RCPT TO:<b@example.net>") // set aside again, the dial hangs
		time.Sleep(5 * time.Second)
		func() {
			defer func() {
				if p := recover(); p != nil {
					t.Errorf("Drain panicked: %v", p)
				}
			}()
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			_ = r.live.Drain(ctx)
		}()
		finishSession(msa)
	})
}

// no mail without TLS. The state of one attempt's TLS passes for that of the next.
func TestRescueTLSRequiredOnEachAttempt(t *testing.T) {
	cert := smtptest.Certificate(t, smtptest.CertificateOptions{})
	for _, rule := range []session.TLSRule{session.TLSRequire, session.TLSOpportunistic} {
		t.Run(fmt.Sprint(rule), bubble(func(t *testing.T) {
			r := newManyIPs(3)
			for _, mx := range r.mxs {
				mx.TLS = newTLSServer(cert)
			}
			r.engine.Destination = func(netip.Addr) session.Destination { return session.Destination{TLS: rule} }
			r.mxs[0].Reply = always("RCPT", listed)
			r.mxs[1].Reply = always("MAIL", listed)
			msa := r.msa(t)
			msa.Deliver("a@example.com", []string{"b@example.net"}, []byte("text\r\n"), true)
			finishSession(msa)
			for _, m := range r.mxs[2].Mailbox.Transactions() {
				if !m.TLS {
					t.Errorf("rule %d: delivered in plain text to an MX that offers TLS: %q", rule, r.mxs[2].Mailbox.Commands())
				}
			}
		}))
	}
}

// I12: all attempts hidden behind one command take no more than 240 s together.
func TestRescueSumOfAttempts(t *testing.T) {
	replies := map[string]struct {
		attempts int
		reply    func(int) func(string, int) string
	}{
		"slow reply to the command said again": {2, func(i int) func(string, int) string {
			return always("RCPT", smtptest.Delay([]time.Duration{0, 280 * time.Second, 290 * time.Second}[i])+listed)
		}},
		"each EHLO prolongs it": {10, func(i int) func(string, int) string {
			if i == 0 {
				return always("RCPT", listed)
			}
			return func(verb string, _ int) string {
				switch verb {
				case "EHLO":
					return smtptest.Delay(500*time.Millisecond) + smtptest.Default
				case "MAIL":
					return smtptest.Delay(29*time.Second) + listed
				}
				return smtptest.Default
			}
		}},
	}
	for name, c := range replies {
		t.Run(name, bubble(func(t *testing.T) {
			r := newManyIPs(c.attempts + 1)
			r.engine.Rescue.Attempts = c.attempts
			for i, mx := range r.mxs {
				mx.Reply = c.reply(i)
			}
			msa := r.hello(t)
			msa.Command("MAIL FROM:<a@example.com>")
			begun := time.Now()
			msa.Command("RCPT TO:<b@example.net>")
			if took := time.Since(begun); took > 240*time.Second {
				t.Errorf("%s behind one RCPT", took)
			}
			finishSession(msa)
		}))
	}
}

// fuseJudge panics at its n-th question, or when told of a message.
type fuseJudge struct {
	listingJudge
	question, told fuse
}

func (j *fuseJudge) Judge(r session.MXRefusal) session.Judgement {
	j.question.use("Judge")
	return j.listingJudge.Judge(r)
}

func (j *fuseJudge) Accepted(netip.Addr) { j.told.use("Accepted") }

// I4: a panic ends its session; both legs are closed and the dialler is told, also of the leg that is set aside.
func TestRescuePanicWithALegSetAside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newManyIPs(2)
		judge := &fuseJudge{listingJudge: r.judge}
		judge.question.at = 2
		r.engine.Judge = judge
		r.mxs[0].Reply, r.mxs[1].Reply = always("RCPT", listed), always("MAIL", listed)
		msa := r.msa(t)
		msa.Deliver("a@example.com", []string{"b@example.net"}, []byte("text\r\n"), true)
		finishSession(msa)
		if r.closed != len(r.dialed) || len(r.dialed) != 2 {
			t.Errorf("%d connections opened, %d closed", len(r.dialed), r.closed)
		}
		for _, c := range r.conns {
			_ = c.Close() // what leaked would keep the MX, and the test, waiting
		}
	})
}

// Bounded: an IP that this MX has refused in this session is not tried again (DialRequest.Avoid), and the list does not grow.
func TestRescueRefusedIPsAreRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newManyIPs(2)
		r.engine.Rescue.Attempts = 1
		r.mxs[0].Reply, r.mxs[1].Reply = always("RCPT", listed), always("MAIL", listed)
		msa := r.hello(t)
		const mails = 50
		for range mails {
			msa.Pipeline("MAIL FROM:<a@example.com>", "RCPT TO:<b@example.net>", "RSET")
		}
		finishSession(msa)
		if len(r.dialed) > 2 || r.avoid > 2 {
			t.Errorf("%d mails: %d connections, %d IPs to avoid of 2 there are", mails, len(r.dialed), r.avoid)
		}
	})
}

// 452 over kanmon's own limit; else the envelope that is kept grows without bound.
func TestRecipientsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newManyIPs(1)
		r.engine.Limits.Recipients = 5
		msa := r.hello(t)
		accepted := 0
		for range 4 {
			msa.Command("MAIL FROM:<a@example.com>") // 503 from the second on
			for range 5 {
				if msa.Command("RCPT TO:<b@example.net>").Code == 250 {
					accepted++
				}
			}
		}
		finishSession(msa)
		if accepted > 5 {
			t.Errorf("%d recipients in one transaction, 5 allowed", accepted)
		}
	})
}

// octets behind the 220 to STARTTLS: abort and alarm; on any leg.
func TestRescueInjectionIsCounted(t *testing.T) {
	cert := smtptest.Certificate(t, smtptest.CertificateOptions{})
	synctest.Test(t, func(t *testing.T) {
		r := newManyIPs(2)
		r.mxs[0].Reply = always("RCPT", listed)
		r.mxs[1].TLS = newTLSServer(cert)
		r.mxs[1].Reply = always("STARTTLS", "220 go\r\n250 injected\r\n"+smtptest.CloseConn)
		msa := r.msa(t)
		msa.Deliver("a@example.com", []string{"b@example.net"}, []byte("text\r\n"), true)
		finishSession(msa)
		if r.live.Counters().Injected != 1 {
			t.Errorf("%+v", r.live.Counters())
		}
	})
}

// Observe mode leaves the connection as it is: there is no sending IP to change.
func TestRescueObserveMode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		r.engine.Judge = &listingJudge{Judgement: session.Judgement{Rescue: true}}
		r.mx.Reply = always("RCPT", listed)
		msa := r.msa(t)
		msa.Deliver("a@example.com", []string{"b@example.net"}, []byte("text\r\n"), true)
		finishSession(msa)
		if r.dials() != 1 {
			t.Errorf("%d connections from the one address there is", r.dials())
		}
	})
}
