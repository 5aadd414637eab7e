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
func newMoving() *manyIPs {
	r := newManyIPs(2)
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
			r.mx.TLS, r.mxs[1].TLS = newTLSServer(cert), newTLSServer(cert)
			msa := r.msa(t)
			for _, from := range []string{"a@example.com", "b@example.com", "b@example.com", "", "a@example.com"} {
				if got := msa.Deliver(from, []string{"c@example.net", "d@example.net"}, []byte("from "+from+"\r\n"), pipelined); !got.All(smtptest.Accepted) {
					t.Errorf("pipelined %t, from %q: %v %v", pipelined, from, got.Verdicts, got.Err)
				}
			}
			_ = msa.Quit()
			time.Sleep(time.Hour)
			synctest.Wait()
			if got := senders(&r.mx); !slices.Equal(got, []string{"a@example.com", "", "a@example.com"}) {
				t.Errorf("pipelined %t: from the first IP %q", pipelined, got)
			}
			if got := senders(r.mxs[1]); !slices.Equal(got, []string{"b@example.com", "b@example.com"}) {
				t.Errorf("pipelined %t: from the second IP %q", pipelined, got)
			}
			if got := len(r.dialed); got != 3 {
				t.Errorf("pipelined %t: %d dials", pipelined, got)
			}
			for _, tx := range append(r.mx.Mailbox.Transactions(), r.mxs[1].Mailbox.Transactions()...) {
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
