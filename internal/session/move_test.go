package session_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/session"
	"kanmon/internal/smtp/smtptest"
)

// byName lets mail of b@… and mail to other.example leave from the second sending IP only, all else from the first only.
type byName struct{ asked int }

func (m *byName) MayStay(req session.DialRequest, ip netip.Addr) bool {
	m.asked++
	return ip == m.right(req)
}

func (*byName) right(req session.DialRequest) netip.Addr {
	if strings.HasPrefix(req.Sender, "b@") || strings.HasSuffix(req.Recipient, "@other.example") {
		return sendingIPs[1]
	}
	return sendingIPs[0]
}

// newMoving is newTwoIPs with two MXs that have nothing against us, and a dialler that goes by byName.
func newMoving() *twoIPs {
	r := newTwoIPs()
	m := new(byName)
	r.engine.Mover, r.engine.Judge = m, nil
	r.choose = m.right
	return r
}

// An MSA reuses its connection for the mail of several senders: each leaves from its own sending IP, and none from another.
//
// law: I11 I9
func TestEachMailLeavesFromItsIP(t *testing.T) {
	for _, pipelined := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			r := newMoving()
			cert := smtptest.Certificate(t, smtptest.CertificateOptions{})
			r.mx.TLS, r.second.TLS = newTLSServer(cert), newTLSServer(cert)
			msa := r.msa(t)
			for _, from := range []string{"a@example.com", "b@example.com", "b@example.com", "", "a@example.com"} {
				if got := msa.Deliver(from, []string{"c@example.net", "d@example.net"}, []byte("from "+from+"\r\n"), pipelined); !got.All(smtptest.Accepted) {
					t.Errorf("pipelined %t, from %q: %v %v", pipelined, from, got.Verdicts, got.Err)
				}
			}
			_ = msa.Quit()
			time.Sleep(time.Hour)
			if got := senders(&r.mx); !slices.Equal(got, []string{"a@example.com", "", "a@example.com"}) {
				t.Errorf("pipelined %t: from the first IP %q", pipelined, got)
			}
			if got := senders(&r.second); !slices.Equal(got, []string{"b@example.com", "b@example.com"}) {
				t.Errorf("pipelined %t: from the second IP %q", pipelined, got)
			}
			if got := len(r.dialed); got != 3 {
				t.Errorf("pipelined %t: %d dials", pipelined, got)
			}
			for _, tx := range append(r.mx.Mailbox.Transactions(), r.second.Mailbox.Transactions()...) {
				if !tx.TLS {
					t.Errorf("pipelined %t: %q went without TLS", pipelined, tx.Sender)
				}
			}
		})
	}
}

func senders(mx *smtptest.MX) (list []string) {
	for _, tx := range mx.Mailbox.Transactions() {
		list = append(list, tx.Sender)
	}
	return list
}

// What is only known at RCPT moves a transaction that has begun: MAIL is said again, and the MSA sees nothing of it.
//
// law: I11 I5
func TestRecipientMovesATransaction(t *testing.T) {
	for _, pipelined := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			r := newMoving()
			msa := r.msa(t)
			got := msa.Deliver("a@example.com", []string{"x@other.example", "y@other.example"}, []byte("text\r\n"), pipelined)
			_ = msa.Quit()
			time.Sleep(time.Hour)
			if !got.All(smtptest.Accepted) || r.mx.Mailbox.Len() != 0 || r.second.Mailbox.Len() != 1 {
				t.Errorf("pipelined %t: %v %v, %d and %d delivered", pipelined, got.Verdicts, got.Err, r.mx.Mailbox.Len(), r.second.Mailbox.Len())
			}
		})
	}
}

// Where the right sending IP cannot reach the MX, the mail waits in the MSA's queue. It never leaves from a wrong one.
//
// law: I11 I15
func TestMailWaitsForItsIP(t *testing.T) {
	for _, at := range []string{"MAIL", "RCPT"} {
		for _, pipelined := range []bool{true, false} {
			synctest.Test(t, func(t *testing.T) {
				r := newMoving()
				r.second.Reply = func(string, int) string { return smtptest.ResetConn }
				msa := r.msa(t)
				from, to := "b@example.com", []string{"c@example.net", "d@example.net"}
				if at == "RCPT" {
					from, to = "a@example.com", []string{"x@other.example", "c@example.net"}
				}
				got := msa.Deliver(from, to, []byte("text\r\n"), pipelined)
				if !got.All(smtptest.Deferred) || got.Replies[0].Code != 451 {
					t.Errorf("%s, pipelined %t: %v %v", at, pipelined, got.Verdicts, got.Replies)
				}
				after := msa.Deliver("a@example.com", []string{"c@example.net"}, []byte("text\r\n"), pipelined)
				if !after.All(smtptest.Accepted) {
					t.Errorf("%s, pipelined %t: the next mail: %v %v %v", at, pipelined, after.Verdicts, after.Replies, after.Err)
				}
				_ = msa.Quit()
				time.Sleep(time.Hour)
				if n := r.mx.Mailbox.Len(); n != 1 {
					t.Errorf("%s, pipelined %t: %d delivered from the first IP", at, pipelined, n)
				}
			})
		}
	}
}

// Where every sending IP is suspended for a destination, its MX is not bothered, and the MSA learns it at MAIL.
//
// law: I13
func TestAllSuspended(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTwoIPs()
		r.suspended = true
		msa := r.msa(t)
		got := msa.Deliver("a@example.com", []string{"b@example.net"}, []byte("text\r\n"), true)
		if !got.All(smtptest.Deferred) || got.Replies[0].Code != 451 || !strings.Contains(strings.Join(got.Replies[0].Lines, " "), "stays queued") {
			t.Errorf("%v %v %v", got.Verdicts, got.Replies, got.Err)
		}
		if reply := msa.Command("NOOP"); reply.Code != 250 {
			t.Errorf("the connection is of no more use: %v", reply)
		}
		_ = msa.Quit()
		time.Sleep(time.Hour)
		if r.live.Count() != 0 || len(r.dialed) > 0 {
			t.Errorf("%d sessions, dialled %v", r.live.Count(), r.dialed)
		}
	})
}
