package session_test

import (
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/session"
	"kanmon/internal/smtp/smtptest"
)

// A mail that may stay where it is, and would rather leave from elsewhere, costs the MX one connection beside the one that is there, whatever becomes of
// it, and goes over that one. Whoever judges what the other one met hears that there were two, and that no further one follows.
//
// law: I11 I12
func TestAMailThatWouldRatherMoveCostsOneConnection(t *testing.T) {
	for name, reply := range map[string]func(string, int) string{
		"too many connections":       always("BANNER", "421 4.7.0 too many connections from your network\r\n"+smtptest.CloseConn),
		"closed at the banner":       always("BANNER", smtptest.CloseConn),
		"reset at the banner":        always("BANNER", smtptest.ResetConn),
		"closed at EHLO":             always("EHLO", smtptest.CloseConn),
		"late at EHLO":               always("EHLO", smtptest.Delay(70*time.Second)+smtptest.Default),
		"no TLS now":                 always("STARTTLS", "454 4.7.0 not now\r\n"),
		"closed behind the go-ahead": always("STARTTLS", "220 2.0.0 go\r\n"+smtptest.CloseConn),
		"reset behind the go-ahead":  always("STARTTLS", "220 2.0.0 go\r\n"+smtptest.ResetConn),
	} {
		synctest.Test(t, func(t *testing.T) {
			r, m := newManyIPs(3), &ratherMoves{at: "MAIL"}
			cert := smtptest.Certificate(t, smtptest.CertificateOptions{})
			for _, mx := range r.mxs {
				mx.TLS = newTLSServer(cert)
			}
			r.mxs[1].Reply = reply
			r.engine.Room, r.engine.Mover = m, nil
			r.choose = func(req session.DialRequest) netip.Addr {
				switch {
				case req.Rescue:
					return legIP(2)
				case req.SenderKnown:
					return sendingIPs[1]
				}
				return sendingIPs[0]
			}
			msa := r.msa(t)
			before := time.Now()
			if got := msa.Deliver("a@example.com", []string{"c@example.net"}, []byte("text\r\n"), false); !got.All(smtptest.Accepted) {
				t.Errorf("%s: %v %v", name, got.Verdicts, got.Replies)
			}
			if waited := time.Since(before); waited > 31*time.Second {
				t.Errorf("%s: the MSA waited %s", name, waited)
			}
			_ = msa.Quit()
			time.Sleep(time.Hour)
			synctest.Wait()
			if len(r.dialed) != 2 || len(r.mx.Mailbox.Transactions()) != 1 {
				t.Errorf("%s: dialled %v; %d messages over the leg at hand", name, r.dialed, len(r.mx.Mailbox.Transactions()))
			}
			for _, asked := range r.judge.asked {
				if !asked.Beside || !asked.Stuck {
					t.Errorf("%s: judged with another leg there %t, another to follow %t", name, asked.Beside, !asked.Stuck)
				}
			}
		})
	}
}

// A mail that must move tries sending IPs until it has made so many connections, never from the one that it must leave, and none that could not
// take over.
//
// law: I11 I9
func TestAMailThatMustMoveMakesFewConnections(t *testing.T) {
	for name, reply := range map[string]func(string, int) string{
		"no TLS now":                 always("STARTTLS", "454 4.7.0 not now\r\n"),
		"closed behind the go-ahead": always("STARTTLS", "220 2.0.0 go\r\n"+smtptest.CloseConn),
		"closed at the banner":       always("BANNER", smtptest.CloseConn),
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newManyIPs(3)
			cert := smtptest.Certificate(t, smtptest.CertificateOptions{})
			for i, mx := range r.mxs {
				if mx.TLS = newTLSServer(cert); i > 0 {
					mx.Reply = reply
				}
			}
			r.engine.Mover = poolOf{r}
			r.choose = func(req session.DialRequest) netip.Addr {
				if req.Beside != req.SenderKnown {
					t.Errorf("%s: another leg is there: %t; the mail is known: %t", name, req.Beside, req.SenderKnown)
				}
				for i := range 3 { // the last resort of all is the one that the session has
					if ip := legIP((i + 1) % 3); req.SenderKnown && !slices.Contains(req.Avoid, ip) {
						return ip
					}
				}
				return sendingIPs[0]
			}
			msa := r.msa(t)
			got := msa.Deliver("b@example.com", []string{"c@example.net"}, []byte("text\r\n"), false)
			_ = msa.Quit()
			time.Sleep(time.Hour)
			synctest.Wait()
			if got.All(smtptest.Accepted) || len(r.dialed) > 6 {
				t.Errorf("%s: %v; dialled %v", name, got.Verdicts, r.dialed)
			}
			for _, ip := range r.dialed[1:] {
				if ip == sendingIPs[0] {
					t.Errorf("%s: the IP that it must leave was dialled again: %v", name, r.dialed)
				}
			}
		})
	}
}
