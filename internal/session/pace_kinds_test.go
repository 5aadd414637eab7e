package session_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/session"
	"kanmon/internal/smtp/smtptest"
)

// A host is one that has more to do than it can, with an MX that can do TLS, and two tenants: greedy, of
// 10.20.1.0/24, and quiet, of 10.20.2.0/24.
type host struct {
	*world
	t testing.TB
}

func newHost(t *testing.T, cert tls.Certificate) *host {
	h := &host{newWorld(t), t}
	h.mx.TLS, h.mx.OnlyHashes = newTLSServer(cert), true
	h.engine.Judge, h.engine.Observe = indifferent{}, false
	h.engine.Tenant = func(o session.Origin) string {
		return map[byte]string{1: "greedy", 2: "quiet"}[o.Source.Addr().As4()[2]]
	}
	var dialling sync.Mutex
	h.engine.Dialer = dialFunc(func(ctx context.Context, r session.DialRequest) (session.Outbound, error) {
		dialling.Lock()
		defer dialling.Unlock()
		return h.dial(ctx, r)
	})
	h.engine.Live.Strained = func() bool { return true }
	return h
}

// open begins a session, with its EHLO: behind that there is TLS with the MX.
func (h *host) open(source string) *smtptest.MSA {
	at := netip.MustParseAddrPort(source)
	conn, near := smtptest.Pair(at, mxAddr)
	h.done.Go(func() { h.engine.Serve(near, session.Origin{Source: at, Destination: mxAddr}) })
	return smtptest.NewMSA(h.t, conn)
}

// mails sends ordinary mail, each in a session of its own and over TLS, until done is closed. It gives how long the slowest took.
func (h *host) mails(done <-chan struct{}) (slowest time.Duration, sent int) {
	for ; ; sent++ {
		begun := time.Now()
		msa := h.open(fmt.Sprintf("10.20.2.%d:40001", sent%200))
		if d := msa.Deliver("a@example.org", []string{"b@example.net"}, bytes.Repeat([]byte("text\r\n"), 1000), true); !d.All(smtptest.Accepted) {
			h.t.Error("mail of the quiet tenant was not taken")
		}
		_ = msa.Quit()
		slowest = max(slowest, time.Since(begun))
		time.Sleep(20 * time.Millisecond)
		select {
		case <-done:
			return slowest, sent
		default:
		}
	}
}

// Work is not commands alone: a tenant that sends large messages or does nothing but handshakes is slowed as one is that
// sends many commands. Another's ordinary mail, each in a session of its own and with a handshake, is as fast as before.
func TestEveryKindOfWorkCounts(t *testing.T) {
	cert := smtptest.Certificate(t, smtptest.CertificateOptions{})
	large := bytes.Repeat([]byte("a line of a large message that is as long as most\r\n"), 80_000)
	for name, greedy := range map[string]func(h *host) (alone time.Duration){
		"large messages in one session": func(h *host) time.Duration {
			msa := h.open("10.20.1.1:40001")
			for range 30 {
				time.Sleep(10 * time.Millisecond)
				if d := msa.Deliver("a@example.com", []string{"b@example.net"}, large, true); !d.All(smtptest.Accepted) {
					h.t.Error("a large message was not taken")
				}
			}
			_ = msa.Quit()
			return 300 * time.Millisecond
		},
		"handshakes and no mail": func(h *host) time.Duration {
			for i := range 600 {
				time.Sleep(time.Millisecond)
				msa := h.open(fmt.Sprintf("10.20.1.%d:40001", i%200))
				msa.Expect(220)
				msa.Command("EHLO msa.example.com")
				_ = msa.Quit()
			}
			return 600 * time.Millisecond
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHost(t, cert)
				done := make(chan struct{})
				var took, alone time.Duration
				go func() {
					defer close(done)
					begun := time.Now()
					alone = greedy(h)
					took = time.Since(begun)
				}()
				slowest, sent := h.mails(done)
				t.Logf("the greedy one took %s, alone it would %s; the slowest of %d mails of the quiet one took %s", took, alone, sent, slowest)
				if took < 2*alone || slowest != 0 {
					t.Error("want the greedy one slowed down, and the quiet one not at all")
				}
				h.close()
			})
		})
	}
}

// A refusal that is judged is more work than a command: who has many is slowed more than who sends as many that are accepted.
func TestRefusalsCount(t *testing.T) {
	cert := smtptest.Certificate(t, smtptest.CertificateOptions{})
	var took [2]time.Duration
	for i, refused := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			h := newHost(t, cert)
			h.mx.Reply = func(verb string, n int) string {
				if refused && verb == "RCPT" && n > 1 { // the quiet one's sessions have one
					return "550 5.1.1 no such user\r\n"
				}
				return smtptest.Default
			}
			done := make(chan struct{})
			go func() {
				defer close(done)
				msa := h.open("10.20.1.1:40001")
				msa.Expect(220)
				msa.Command("EHLO msa.example.com")
				begun := time.Now()
				for range 200 {
					time.Sleep(5 * time.Millisecond)
					group := []string{"MAIL FROM:<a@example.com>"}
					for i := range 20 {
						group = append(group, fmt.Sprintf("RCPT TO:<b%d@example.net>", i))
					}
					msa.Pipeline(append(group, "RSET")...)
				}
				took[i] = time.Since(begun)
				_ = msa.Quit()
			}()
			h.mails(done)
			h.close()
		})
	}
	if t.Logf("4,000 recipients take %s where they are accepted, and %s where they are refused", took[0], took[1]); took[1] < took[0]*3/2 {
		t.Error("want half as much again, at least")
	}
}

// On a host that is not strained nobody is slowed for any kind of work.
func TestNoWorkIsSlowedWithoutStrain(t *testing.T) {
	cert := smtptest.Certificate(t, smtptest.CertificateOptions{})
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, cert)
		h.engine.Live.Strained = func() bool { return false }
		begun := time.Now()
		for i := range 300 {
			msa := h.open(fmt.Sprintf("10.20.1.%d:40001", i%200))
			msa.Expect(220)
			msa.Command("EHLO msa.example.com")
			_ = msa.Quit()
		}
		if took := time.Since(begun); took != 0 {
			t.Errorf("300 handshakes waited %s", took)
		}
		h.close()
	})
}
