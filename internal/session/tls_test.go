package session_test

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/session"
	"kanmon/internal/smtp/smtptest"
)

// The MSA speaks TLS, sends its message in one record, QUIT in the next, and closes its sending side.
func TestTLSHalfCloseBehindQuit(t *testing.T) {
	cert := smtptest.Certificate(t, smtptest.CertificateOptions{})
	roots := smtptest.Roots(t)
	run := func(t *testing.T, chunked bool) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig()
			r.engine.Certificate = func() (*tls.Certificate, error) { return &cert, nil }
			r.mx.Reply = lateReply("DATA", 500*time.Millisecond)
			conn, proxy, ended := r.connect()
			msa := smtptest.NewMSA(t, conn)
			msa.Expect(220)
			msa.Command("EHLO msa.example.com")
			msa.StartTLS(&tls.Config{RootCAs: roots, ServerName: "mx.example.net"})
			msa.Command("EHLO msa.example.com")
			msa.Pipeline("MAIL FROM:<a@example.com>", "RCPT TO:<b@example.net>")
			msa.Send("DATA")
			synctest.Wait()
			if chunked {
				proxy.Chunk(len("text\r\n.\r\n")+22, 1<<16)
			}
			msa.Send("text", ".")
			msa.Send("QUIT")
			_ = conn.CloseWrite()
			<-ended
			synctest.Wait()
			for i, m := range r.mx.Mailbox.Transactions() {
				if string(m.Body) != "text\r\n" {
					t.Errorf("message %d arrived as %q", i, m.Body)
				}
			}
			if n := r.mx.Mailbox.Len(); n != 1 {
				t.Errorf("%d messages arrived", n)
			}
		})
	}
	t.Run("QUIT in the socket", func(t *testing.T) { run(t, true) })
	t.Run("QUIT inside crypto/tls", func(t *testing.T) { run(t, false) })
}

// S2 × malformed: abort the MX, 421.
func TestGarbledStartTLSReply(t *testing.T) {
	cert := smtptest.Certificate(t, smtptest.CertificateOptions{})
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		r.mx.TLS = newTLSServer(cert)
		r.mx.Reply = func(verb string, _ int) string {
			if verb == "STARTTLS" {
				return "garbage\r\n"
			}
			return smtptest.Default
		}
		conn, _, ended := r.connect()
		_, _ = io.WriteString(conn, "EHLO x\r\nQUIT\r\n")
		heard := readAll(conn)
		_ = conn.Close()
		<-ended
		if !strings.Contains(heard, "\r\n421") {
			t.Errorf("heard %q, %d dials", heard, r.dials())
		}
	})
}

// An MX that answers EHLO after 4½ minutes is within RFC 5321 and Postfix's patience.
func TestSlowEHLOWithTLS(t *testing.T) {
	cert := smtptest.Certificate(t, smtptest.CertificateOptions{})
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		r.mx.TLS = newTLSServer(cert)
		r.mx.Reply = func(verb string, n int) string {
			if verb == "EHLO" && n == 1 {
				return smtptest.Delay(270*time.Second) + smtptest.Default
			}
			return smtptest.Default
		}
		msa := r.msa(t)
		msa.Expect(220)
		if reply := msa.Command("EHLO msa.example.com"); reply.Code != 250 {
			t.Errorf("EHLO was answered with %s after %d dials", reply, r.dials())
		}
		_ = msa.Conn().Close()
		time.Sleep(time.Hour)
	})
}

// TLS with the MSA ends with close_notify (RFC 8446 §6.1), else its library reports a truncation.
func TestTLSEndsInGoodOrder(t *testing.T) {
	cert := smtptest.Certificate(t, smtptest.CertificateOptions{})
	roots := smtptest.Roots(t)
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		r.engine.Certificate = func() (*tls.Certificate, error) { return &cert, nil }
		conn, _, ended := r.connect()
		msa := smtptest.NewMSA(t, conn)
		msa.Expect(220)
		msa.Command("EHLO msa.example.com")
		_, _ = io.WriteString(conn, "STARTTLS\r\n")
		msa.Expect(220)
		c := tls.Client(conn, &tls.Config{RootCAs: roots, ServerName: "mx.example.net"})
		_, _ = io.WriteString(c, "QUIT\r\n")
		<-ended
		buf := make([]byte, 1000)
		n, err := c.Read(buf)
		for err == nil {
			_, err = c.Read(buf)
		}
		c2 := c.ConnectionState()
		_ = c2
		// io.EOF at a record boundary is given for a missing close_notify, too: look at the wire.
		t.Logf("%d octets, %v", n, err)
	})
}

// drip gives octets one by one, 3 ms apart.
type drip struct{ net.Conn }

func (d drip) Write(p []byte) (int, error) {
	for i := range p {
		if _, err := d.Conn.Write(p[i : i+1]); err != nil {
			return i, err
		}
		time.Sleep(3 * time.Millisecond)
	}
	return len(p), nil
}

// A reply whose TLS record comes octet by octet survives the 1 ms looks at the leg.
func TestRecordCutByDeadline(t *testing.T) {
	cert := smtptest.Certificate(t, smtptest.CertificateOptions{})
	a, b := tcpPair(t)
	go func() {
		s := tls.Server(drip{b}, newTLSServer(cert))
		_, _ = io.WriteString(s, "250 one\r\n")
		_, _ = io.WriteString(s, "250 two\r\n")
	}()
	c := tls.Client(a, session.ClientTLS())
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	buf := make([]byte, 100)
	timeouts := 0
	for all.Len() < 18 {
		_ = c.SetReadDeadline(time.Now().Add(time.Millisecond))
		n, err := c.Read(buf)
		all.Write(buf[:n])
		var ne net.Error
		if errors.As(err, &ne) && ne.Timeout() {
			timeouts++
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d timeouts, %q", timeouts, all.String())
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
			synctest.Wait()
			if n := r.mx.Mailbox.Len(); n > 0 {
				t.Errorf("the MX got a dot for an MSA that is gone: %d messages", n)
			}
		})
	})
}

// An MSA may resume its TLS session with kanmon: a tenant's server connects again and again.
func TestMSAResumesTLS(t *testing.T) {
	cert := smtptest.Certificate(t, smtptest.CertificateOptions{})
	client := &tls.Config{RootCAs: smtptest.Roots(t), ServerName: "mx.example.net", ClientSessionCache: tls.NewLRUClientSessionCache(1)}
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		r.engine.Certificate = func() (*tls.Certificate, error) { return &cert, nil }
		for n := range 2 {
			msa := r.msa(t)
			msa.Expect(220)
			msa.Command("EHLO msa.example.com")
			msa.StartTLS(client)
			msa.Command("EHLO msa.example.com")
			if resumed := msa.Conn().(*tls.Conn).ConnectionState().DidResume; resumed != (n > 0) {
				t.Errorf("connection %d: resumed %t", n, resumed)
			}
			_ = msa.Quit()
			synctest.Wait()
		}
	})
}

// An MX that cannot use a post-quantum key share is offered none the next time, for a day; one that can is always offered it.
func TestPostQuantumKeyShareIsForWhoCanUseIt(t *testing.T) {
	cert := smtptest.Certificate(t, smtptest.CertificateOptions{})
	for _, able := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			var offered []bool
			config := &tls.Config{Certificates: []tls.Certificate{cert}}
			if !able {
				config.CurvePreferences = []tls.CurveID{tls.X25519}
			}
			config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
				offered = append(offered, slices.Contains(hello.SupportedCurves, tls.X25519MLKEM768))
				return nil, nil
			}
			w.mx.TLS = config
			for _, after := range []time.Duration{0, time.Hour, 23*time.Hour + time.Minute} {
				time.Sleep(after)
				msa := smtptest.NewMSA(t, w.connect())
				if got := msa.Deliver("a@example.com", []string{"b@example.net"}, []byte("text\r\n"), true); !got.All(smtptest.Accepted) {
					t.Errorf("%v", got.Verdicts)
				}
				msa.Quit()
				synctest.Wait()
			}
			w.close()
			if want := []bool{true, able, true}; !slices.Equal(offered, want) {
				t.Errorf("able %t: offered %v, want %v", able, offered, want)
			}
		})
	}
}

// Certificates of every kind are good enough for opportunistic TLS (RFC 7435).
//
// law: B19
func TestAnyCertificateWillDo(t *testing.T) {
	for name, o := range map[string]smtptest.CertificateOptions{
		"self-signed": {SelfSigned: true}, "expired": {Expired: true}, "wrong name": {Name: "other.example"}, "rsa": {RSA: true},
	} {
		for _, version := range []uint16{tls.VersionTLS10, tls.VersionTLS11, tls.VersionTLS12, tls.VersionTLS13} {
			t.Run(name+" "+tls.VersionName(version), func(t *testing.T) {
				cert := smtptest.Certificate(t, o)
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t)
					w.mx.TLS = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS10, MaxVersion: version}
					msa := smtptest.NewMSA(t, w.connect())
					got := msa.Deliver("a@example.com", []string{"b@example.net"}, []byte("text\r\n"), true)
					msa.Quit()
					w.close()
					if !got.All(smtptest.Accepted) || w.dials != 1 || w.record.tls[0].Version != version {
						t.Fatalf("%v, %d dials, %s", got.Verdicts, w.dials, tls.VersionName(w.record.tls[0].Version))
					}
				})
			})
		}
	}
}

// An MX that asks for a client certificate gets none, and mail all the same.
//
// law: B19
func TestClientCertificateRequest(t *testing.T) {
	cert := smtptest.Certificate(t, smtptest.CertificateOptions{})
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.mx.TLS = &tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequestClientCert}
		msa := smtptest.NewMSA(t, w.connect())
		got := msa.Deliver("a@example.com", []string{"b@example.net"}, []byte("text\r\n"), true)
		msa.Quit()
		w.close()
		if !got.All(smtptest.Accepted) || w.record.tls[0].State != event.TLSOn {
			t.Fatal(got.Verdicts, w.record.tls[0])
		}
	})
}
