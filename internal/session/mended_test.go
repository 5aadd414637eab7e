package session_test

import (
	"context"
	"crypto/tls"
	"io"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/session"
	"kanmon/internal/smtptest"
)

// A banner with a 2xx that is not 220 is a yes for every MSA (Postfix, Exim and sendmail look at the first digit). So the session
// must go on, or end with 421; what must not be is a 5xx to the EHLO that follows: that bounces mail which goes through directly.
//
// law: S1/malformed B17
func TestBannerWithAnother2xx(t *testing.T) {
	for _, banner := range []string{"250 mx\r\n", "221 mx\r\n", "354 mx\r\n"} {
		t.Run(banner[:3], func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig()
				r.mx.Reply = func(verb string, _ int) string {
					if verb == "BANNER" {
						return banner
					}
					return smtptest.Default
				}
				conn, _, _ := r.connect()
				_, _ = io.WriteString(conn, "EHLO msa.example.com\r\nQUIT\r\n")
				heard := readAll(conn)
				_ = conn.Close()
				if strings.Contains(heard, "\r\n5") || strings.HasPrefix(heard, "3") {
					t.Errorf("the MSA heard %q", heard)
				}
			})
		})
	}
}

// Where TLS must be, no MAIL may go in plain text: not after an EHLO that the MX refused either.
//
// law: S2/MX-refuses I8
func TestMailInPlainTextAfterARefusedEHLO(t *testing.T) {
	for name, rule := range map[string]session.TLSRule{"required": session.TLSRequire, "opportunistic": session.TLSOpportunistic} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig()
				r.engine.Destination = func(netip.Addr) session.Destination { return session.Destination{TLS: rule} }
				r.mx.Keywords = []string{"STARTTLS"}
				r.mx.Reply = func(verb string, n int) string {
					if verb == "EHLO" && n == 1 {
						return "502 5.5.1 what\r\n"
					}
					return smtptest.Default
				}
				msa := r.msa(t)
				msa.Expect(220)
				msa.Command("EHLO msa.example.com")
				msa.Pipeline("MAIL FROM:<a@example.com>")
				_ = msa.Quit()
				synctest.Wait()
				if heard := strings.Join(r.mx.Mailbox.Commands(), "\n"); strings.Contains(heard, "MAIL") {
					t.Errorf("the MX heard in plain text: %q", heard)
				}
			})
		})
	}
}

// An MSA that sends its dot and QUIT, closes its sending side and waits is not lost, even where kanmon has not read the QUIT yet:
// then the octets before the FIN stand in the socket.
//
// law: B11 N-c
func TestHalfClosedBehindQuitNotYetRead(t *testing.T) {
	send := func(t *testing.T, sendAll func(msa *smtptest.MSA, conn, proxy *smtptest.Conn)) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig()
			r.mx.Reply = func(verb string, _ int) string {
				switch verb {
				case "DATA":
					return smtptest.Delay(500*time.Millisecond) + smtptest.Default
				case ".":
					return smtptest.Delay(5*time.Minute) + smtptest.Default
				}
				return smtptest.Default
			}
			conn, proxy, _ := r.connect()
			msa := smtptest.NewMSA(t, conn)
			msa.Expect(220)
			msa.Command("EHLO msa.example.com")
			msa.Pipeline("MAIL FROM:<a@example.com>", "RCPT TO:<b@example.net>")
			sendAll(msa, conn, proxy)
			heard := readAll(conn)
			_ = conn.Close()
			time.Sleep(time.Hour)
			if !strings.Contains(heard, "queued as") || r.mx.Mailbox.Len() != 1 {
				t.Errorf("the MSA heard %q, %d in the mailbox", heard, r.mx.Mailbox.Len())
			}
		})
	}
	t.Run("QUIT in the socket when the dot is read", func(t *testing.T) {
		send(t, func(msa *smtptest.MSA, conn, proxy *smtptest.Conn) {
			msa.Send("DATA")
			synctest.Wait()
			proxy.Chunk(len("text\r\n.\r\n"), 1<<16)
			_, _ = io.WriteString(conn, "text\r\n.\r\nQUIT\r\n") // while kanmon waits for the 354: it looks when all is there
			_ = conn.CloseWrite()
		})
	})
	t.Run("QUIT comes while the MX thinks", func(t *testing.T) {
		send(t, func(msa *smtptest.MSA, conn, _ *smtptest.Conn) {
			msa.Command("DATA")
			msa.Send("text", ".")
			synctest.Wait()
			msa.Send("QUIT")
			_ = conn.CloseWrite()
		})
	})
}

// Who has hung up behind the dot cannot have been told, even if the kernel still took the reply.
//
// law: S7/MSA-lost
func TestOrphanAckIsRecordedAsDelivered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		r.mx.Reply = lateReply(".", 40*time.Second)
		conn, _, ended := r.connect()
		msa := smtptest.NewMSA(t, conn)
		msa.Expect(220)
		msa.Command("EHLO msa.example.com")
		msa.Pipeline("MAIL FROM:<a@example.com>", "RCPT TO:<b@example.net>", "DATA")
		msa.Send("text", ".")
		time.Sleep(time.Second)
		_ = conn.Close()
		<-ended
		if r.log.count(session.OutcomeOrphanAck) != 1 {
			t.Errorf("recorded %v", r.log.outcomes)
		}
	})
}

// RFC 2920 §3.1 lets RSET and a second MAIL stand in one group. Both transactions must be on record.
//
// law: I6
func TestSecondTransactionOfAGroupIsNotRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		msa := r.msa(t)
		msa.Expect(220)
		msa.Command("EHLO msa.example.com")
		msa.Pipeline("MAIL FROM:<a@example.com>", "RCPT TO:<b@example.net>", "RSET", "MAIL FROM:<c@example.com>", "RCPT TO:<d@example.net>", "DATA")
		msa.Send("text", ".")
		msa.Expect(250)
		_ = msa.Quit()
		synctest.Wait()
		if r.log.count(session.OutcomeReset) != 1 || r.log.count(session.OutcomeDelivered) != 1 {
			t.Errorf("recorded %v, want reset and delivered", r.log.outcomes)
		}
	})
}

// A Recorder that panics must not end the process, where a connection is refused either.
//
// law: I14
func TestPanicWhileRefusing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		f := new(fuses)
		f.record.at = 1
		r.engine.Recorder = f
		conn, near := smtptest.Pair(msaAddr, mxAddr)
		escaped := make(chan any, 1)
		go func() {
			defer func() { escaped <- recover() }()
			r.engine.Refuse(near, session.Origin{Source: msaAddr, Destination: mxAddr}, session.RefuseLimit)
		}()
		heard := readAll(conn)
		_ = conn.Close()
		if p := <-escaped; p != nil || !strings.HasPrefix(heard, "421") {
			t.Errorf("the panic went on to the caller: %v; the MSA heard %q", p, heard)
		}
	})
}

// So must what the dialler is told at the end of a session.
//
// law: I14
func TestPanicInClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		dial := r.engine.Dialer
		r.engine.Dialer = dialFunc(func(ctx context.Context, req session.DialRequest) (session.Outbound, error) {
			out, err := dial.Dial(ctx, req)
			out.Closed = func() { panic("injected at Closed") }
			return out, err
		})
		conn, near := smtptest.Pair(msaAddr, mxAddr)
		escaped := make(chan any, 1)
		go func() {
			defer func() { escaped <- recover() }()
			r.engine.Serve(near, session.Origin{Source: msaAddr, Destination: mxAddr})
		}()
		msa := smtptest.NewMSA(t, conn)
		msa.Expect(220)
		_ = msa.Quit()
		if p := <-escaped; p != nil || r.live.Count() != 0 {
			t.Errorf("the panic went on to the caller: %v; %d sessions live", p, r.live.Count())
		}
	})
}

// An MX whose second EHLO offers STARTTLS, as the first did not, has answered an EHLO all the same: MAIL behind it is in order.
// (Two EHLOs on one connection are lawful, RFC 5321 §4.1.4; MXs behind one address differ.)
//
// law: B16
func TestStartTLSFirstOfferedByTheSecondEHLO(t *testing.T) {
	cert := smtptest.Certificate(t, smtptest.CertificateOptions{})
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		r.mx.TLS = newTLSServer(cert)
		r.mx.Reply = func(verb string, n int) string {
			if verb == "EHLO" && n == 1 {
				return "250-mx\r\n250 PIPELINING\r\n"
			}
			return smtptest.Default
		}
		msa := r.msa(t)
		msa.Expect(220)
		msa.Command("EHLO msa.example.com")
		msa.Command("EHLO msa.example.com")
		if reply := msa.Command("MAIL FROM:<a@example.com>"); reply.Code != 250 {
			t.Errorf("MAIL was answered with %s", reply)
		}
		_ = msa.Quit()
	})
}

// An MSA that ends its TLS in good order has hung up, though its close_notify stands unread in front of its FIN.
//
// law: S3/MSA-lost S6'/MSA-lost
func TestMSAInTLSHangsUp(t *testing.T) {
	cert := smtptest.Certificate(t, smtptest.CertificateOptions{})
	roots := smtptest.Roots(t)
	start := func(t *testing.T, slow string) (r *rig, msa *smtptest.MSA, ended <-chan struct{}) {
		r = newRig()
		r.engine.Certificate = func() (*tls.Certificate, error) { return &cert, nil }
		r.mx.Reply = lateReply(slow, 4*time.Minute)
		conn, _, ended := r.connect()
		msa = smtptest.NewMSA(t, conn)
		msa.Expect(220)
		msa.Command("EHLO msa.example.com")
		msa.StartTLS(&tls.Config{RootCAs: roots, ServerName: "mx.example.net"})
		msa.Command("EHLO msa.example.com")
		return r, msa, ended
	}
	t.Run("while the MX thinks about MAIL", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			_, msa, ended := start(t, "MAIL")
			msa.Send("MAIL FROM:<a@example.com>")
			time.Sleep(time.Second)
			begun := time.Now()
			_ = msa.Conn().Close()
			if <-ended; time.Since(begun) > time.Minute {
				t.Errorf("the session went on for %s", time.Since(begun))
			}
			time.Sleep(time.Hour) // until the MX has slept enough
		})
	})
	t.Run("behind its dot", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r, msa, ended := start(t, "DATA")
			msa.Pipeline("MAIL FROM:<a@example.com>", "RCPT TO:<b@example.net>")
			msa.Send("DATA")
			msa.Send("text", ".") // ahead of the 354, so that all is there when kanmon looks
			time.Sleep(239 * time.Second)
			_ = msa.Conn().Close()
			<-ended
			time.Sleep(time.Hour)
			if n := r.mx.Mailbox.Len(); n > 0 {
				t.Errorf("the MX got a dot for an MSA that is gone: %d messages", n)
			}
		})
	})
}
