package session_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/session"
	"kanmon/internal/smtp/smtptest"
)

// An ender is an MSA that has been told 354, and how it ends behind its message.
type ender struct {
	*rig
	msa   *smtptest.MSA
	raw   *smtptest.Conn // the MSA's end
	near  *smtptest.Conn // kanmon's
	mx    *smtptest.Conn
	ended <-chan struct{}
}

// newEnder opens both legs, in TLS or not. set may change the rig before.
func newEnder(t *testing.T, msaTLS, mxTLS bool, set func(*ender)) *ender {
	cert := smtptest.Certificate(t, smtptest.CertificateOptions{})
	e := &ender{rig: newRig()}
	e.engine.Certificate = func() (*tls.Certificate, error) { return &cert, nil }
	if mxTLS {
		e.rig.mx.TLS = newTLSServer(cert)
	}
	e.wire = func(_ int, _, mx *smtptest.Conn) { e.mx = mx }
	set(e)
	e.raw, e.near, e.ended = e.connect()
	e.msa = smtptest.NewMSA(t, e.raw)
	e.msa.Expect(220)
	e.msa.Command("EHLO msa.example.com")
	if msaTLS {
		e.msa.StartTLS(&tls.Config{RootCAs: smtptest.Roots(t), ServerName: "mx.example.net"})
		e.msa.Command("EHLO msa.example.com")
	}
	for _, reply := range e.msa.Pipeline("MAIL FROM:<a@example.com>", "RCPT TO:<b@example.net>", "DATA") {
		if reply.Class() > 3 {
			t.Fatal(reply)
		}
	}
	return e
}

// shut closes the MSA's sending side: inside TLS with close_notify.
func (e *ender) shut() {
	if c, ok := e.msa.Conn().(*tls.Conn); ok {
		_ = c.CloseWrite()
	}
	_ = e.raw.CloseWrite()
}

func (e *ender) write(text string) { _, _ = io.WriteString(e.msa.Conn(), text) }

// slowReader lets the MX take nothing of the message for a minute.
func (e *ender) slowReader() {
	e.rig.mx.Reply = func(verb string, _ int) string {
		if verb == "DATA" {
			_ = e.mx.SetReadBuffer(0)
			conn := e.mx
			time.AfterFunc(time.Minute, func() { _ = conn.SetReadBuffer(1 << 20) })
			return smtptest.Default
		}
		return smtptest.Default
	}
}

// forEachTLS runs a test with each of the legs in plain text and in TLS.
func forEachTLS(t *testing.T, test func(t *testing.T, name string, msaTLS, mxTLS bool)) {
	for i := range 4 {
		synctest.Test(t, func(t *testing.T) {
			test(t, fmt.Sprintf("MSA in TLS %t, MX in TLS %t", i&1 != 0, i&2 != 0), i&1 != 0, i&2 != 0)
		})
	}
}

// A device writes the last octets, closes its sending side, and reads on. Directly it gets its reply, however long the MX takes; so it
// does here, and the record says that it was told.
//
// law: S6'/MSA-lost B11 I2
func TestHalfCloseBehindTheDot(t *testing.T) {
	for _, size := range []int{0, 100, 20_000, 300_000} {
		for _, after := range []time.Duration{0, time.Second, 1900 * time.Millisecond} {
			forEachTLS(t, func(t *testing.T, name string, msaTLS, mxTLS bool) {
				e := newEnder(t, msaTLS, mxTLS, func(e *ender) { e.rig.mx.Reply = lateReply(".", 9*time.Minute) })
				e.write(strings.Repeat("0123456789\r\n", size/12) + ".\r\n")
				time.Sleep(after)
				e.shut()
				heard := readAll(e.msa.Conn())
				_ = e.raw.Close()
				<-e.ended
				synctest.Wait()
				if !strings.Contains(heard, "queued as") || e.rig.mx.Mailbox.Len() != 1 || e.log.count(event.OutcomeDelivered) != 1 {
					t.Errorf("%s, %d octets, FIN after %s: heard %q, %d delivered, recorded %v", name, size, after, heard, e.rig.mx.Mailbox.Len(), e.log.outcomes)
				}
				if got := e.rig.mx.Mailbox.Commands(); got[len(got)-1] != "QUIT" {
					t.Errorf("%s: the MX's last command was %q", name, got[len(got)-1])
				}
			})
		}
	}
}

// A script sends all it has to say in one piece, closes its sending side, and reads on; the MX takes its time at every step.
//
// law: S6'/MSA-lost B5 B11
func TestWholeSessionInOnePiece(t *testing.T) {
	for _, quit := range []string{"", "QUIT\r\n"} {
		for verb, takes := range map[string]time.Duration{"": 0, "BANNER": 20 * time.Second, "EHLO": 20 * time.Second, "DATA": 90 * time.Second, ".": 5 * time.Minute} {
			synctest.Test(t, func(t *testing.T) {
				r := newRig()
				r.mx.Reply = lateReply(verb, takes)
				conn, _, ended := r.connect()
				_, _ = io.WriteString(conn, "EHLO x\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.net>\r\nDATA\r\ntext\r\n.\r\n"+quit)
				_ = conn.CloseWrite()
				heard := readAll(conn)
				_ = conn.Close()
				<-ended
				synctest.Wait()
				if !strings.Contains(heard, "queued as") || r.mx.Mailbox.Len() != 1 || r.log.count(event.OutcomeDelivered) != 1 {
					t.Errorf("%q, %s takes %s: heard %q, recorded %v", quit, verb, takes, heard, r.log.outcomes)
				}
			})
		}
	}
}

// Where the MX takes a minute to read the end of the message, kanmon sees when the MSA closes its sending side: soon behind the dot it
// has only said all, later it has given up and will send again. A reset is never a half-close.
//
// law: S6'/MSA-lost I3 I4
func TestFINWhileTheDotIsBeingWritten(t *testing.T) {
	for _, c := range []struct {
		after     time.Duration
		end       string
		delivered bool
	}{
		{0, "FIN", true},
		{1500 * time.Millisecond, "FIN", true},
		{3500 * time.Millisecond, "FIN", false},
		{30 * time.Second, "FIN", false},
		{time.Second, "RST", false},
		{30 * time.Second, "QUIT and FIN", true},
	} {
		// What the MX does not take is less than a last write, more, or all that kanmon reads before it reads the dot.
		for _, of := range []struct{ size, chunk int }{{500, 1 << 16}, {30_000, 1 << 16}, {30_000, 10_000}} {
			forEachTLS(t, func(t *testing.T, name string, msaTLS, mxTLS bool) {
				if msaTLS && of.size > 500 && !c.delivered && c.end == "FIN" {
					return // a read gives less than a record: see TestLateFINInsideTLS
				}
				e := newEnder(t, msaTLS, mxTLS, (*ender).slowReader)
				e.near.Chunk(of.chunk)
				e.write(strings.Repeat("0123456789\r\n", of.size/12) + ".\r\n")
				time.Sleep(c.after)
				switch c.end {
				case "RST":
					e.raw.Reset()
				case "FIN":
					e.shut()
				default:
					e.write("QUIT\r\n")
					e.shut()
				}
				heard := readAll(e.msa.Conn())
				_ = e.raw.Close()
				<-e.ended
				synctest.Wait()
				delivered, told := e.rig.mx.Mailbox.Len() == 1, strings.Contains(heard, "queued as")
				if delivered != c.delivered || told != c.delivered || c.delivered != (e.log.count(event.OutcomeDelivered) == 1) {
					t.Errorf("%s, %v, %s after %s: delivered %t, told %t, recorded %v", name, of, c.end, c.after, delivered, told, e.log.outcomes)
				}
			})
		}
	}
}

// Inside TLS kanmon learns only when it reads the dot that it has come, and whether anything came behind it. Where it reads late, an end
// that it finds there is taken as the MX would take it.
//
// law: S6'/MSA-lost
func TestLateFINInsideTLS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEnder(t, true, false, (*ender).slowReader)
		e.write(strings.Repeat("0123456789\r\n", 2_500) + ".\r\n")
		time.Sleep(30 * time.Second)
		e.shut()
		if heard := readAll(e.msa.Conn()); !strings.Contains(heard, "queued as") || e.rig.mx.Mailbox.Len() != 1 {
			t.Errorf("heard %q, %d delivered", heard, e.rig.mx.Mailbox.Len())
		}
		_ = e.raw.Close()
		<-e.ended
	})
}

// An MSA that was killed behind its dot looks like one that half-closes: the MX delivers, as directly. That it was not told is seen of
// its host's RST, and recorded.
//
// law: S7/MSA-lost
func TestKilledBehindTheDot(t *testing.T) {
	forEachTLS(t, func(t *testing.T, name string, msaTLS, mxTLS bool) {
		e := newEnder(t, msaTLS, mxTLS, func(e *ender) { e.rig.mx.Reply = lateReply(".", 5*time.Minute) })
		e.write("text\r\n.\r\n")
		_ = e.raw.Close()
		<-e.ended
		synctest.Wait()
		if e.rig.mx.Mailbox.Len() != 1 || e.log.count(event.OutcomeOrphanAck) != 1 {
			t.Errorf("%s: %d delivered, recorded %v", name, e.rig.mx.Mailbox.Len(), e.log.outcomes)
		}
	})
}

// An MSA that closes its sending side later, while the MX thinks, has probably given up. The reply is awaited for a minute and passed on:
// if it is still there, it was told.
//
// law: S7/MSA-lost
func TestFINWhileTheMXThinks(t *testing.T) {
	for takes, want := range map[time.Duration]event.Outcome{50 * time.Second: event.OutcomeDelivered, 5 * time.Minute: event.OutcomeAmbiguous} {
		synctest.Test(t, func(t *testing.T) {
			e := newEnder(t, false, false, func(e *ender) { e.rig.mx.Reply = lateReply(".", takes) })
			e.write("text\r\n.\r\n")
			time.Sleep(10 * time.Second)
			e.shut()
			heard := readAll(e.raw)
			<-e.ended
			if e.log.count(want) != 1 || want == event.OutcomeDelivered != strings.Contains(heard, "queued as") {
				t.Errorf("the MX takes %s: heard %q, recorded %v", takes, heard, e.log.outcomes)
			}
			time.Sleep(time.Hour)
		})
	}
}

// A rescue behind the dot goes on for an MSA that has half-closed, and not for one that has gone.
//
// law: S6'/MSA-lost S7/replay
func TestRescueForAHalfClosedMSA(t *testing.T) {
	for after, delivered := range map[time.Duration]bool{0: true, time.Second: true, 10 * time.Second: false} {
		synctest.Test(t, func(t *testing.T) {
			r := newManyIPs(2)
			r.mx.Reply = refuseAt(".", 1, smtptest.Delay(5*time.Second)+listed)
			r.mxs[1].Reply = lateReply("RCPT", 20*time.Second)
			heard := halfCloseBehindDot(t, r, after)
			if got := r.mxs[1].Mailbox.Len() == 1; got != delivered || strings.Contains(heard, "queued as") != delivered {
				t.Errorf("FIN after %s: delivered %t, heard %q", after, got, heard)
			}
		})
	}
}

// halfCloseBehindDot sends a message, and a FIN so long behind its dot; it gives what the MSA heard until the session was over.
func halfCloseBehindDot(t *testing.T, r *manyIPs, after time.Duration) string {
	conn, _, ended := r.connect()
	msa := smtptest.NewMSA(t, conn)
	msa.Expect(220)
	msa.Command("EHLO msa.example.com")
	msa.Pipeline("MAIL FROM:<a@example.com>", "RCPT TO:<b@example.net>", "DATA")
	msa.Send("text", ".")
	time.Sleep(after)
	_ = conn.CloseWrite()
	heard := readAll(conn)
	<-ended
	time.Sleep(time.Hour)
	return heard
}

// Wherever the rescue waits, a FIN that comes later than two seconds behind the dot is an MSA that has given up: it sends again, and the
// other MX gets no dot. One that comes before is a half-close, however short the waits are.
//
// law: S6'/MSA-lost S7/replay
func TestRescueLooksForTheFIN(t *testing.T) {
	for _, verb := range []string{"dial", "BANNER", "EHLO", "MAIL", "RCPT", "DATA", "every"} {
		for _, refused := range []time.Duration{0, 300 * time.Millisecond, time.Second, 1900 * time.Millisecond} {
			for after, delivered := range map[time.Duration]bool{
				0: true, 500 * time.Millisecond: true, 1950 * time.Millisecond: true, 2050 * time.Millisecond: false, 2500 * time.Millisecond: false, 3500 * time.Millisecond: false,
			} {
				synctest.Test(t, func(t *testing.T) {
					r := newManyIPs(2)
					r.mx.Reply = refuseAt(".", 1, smtptest.Delay(refused)+listed)
					r.mxs[1].Reply = lateReply(verb, 6*time.Second)
					if verb == "every" { // no wait is as long as a look takes to come
						r.mxs[1].Reply = func(string, int) string { return smtptest.Delay(800*time.Millisecond) + smtptest.Default }
					}
					dial := r.engine.Dialer
					r.engine.Dialer = dialFunc(func(ctx context.Context, req session.DialRequest) (session.Outbound, error) {
						if verb == "dial" && req.Rescue {
							time.Sleep(6 * time.Second)
						}
						return dial.Dial(ctx, req)
					})
					heard := halfCloseBehindDot(t, r, after)
					if got := r.mxs[1].Mailbox.Len() == 1; got != delivered || strings.Contains(heard, "queued as") != delivered {
						t.Errorf("refused after %s, %s waits, FIN after %s: delivered %t, heard %q", refused, verb, after, got, heard)
					}
				})
			}
		}
	}
}

// The same on the kernel's connections: what a shell script does with nc -N, and a process that is killed.
//
// law: S6'/MSA-lost S7/MSA-lost
func TestHalfCloseOverTCP(t *testing.T) {
	for _, killed := range []bool{false, true} {
		var log recorder
		msa, mx := relay(t, &log)
		buf := make([]byte, 4096)
		hear := func(c net.Conn, want string) {
			var got []byte
			for !bytes.HasSuffix(got, []byte(want)) {
				n, err := c.Read(buf)
				if err != nil {
					t.Fatalf("waiting for %q behind %q: %v", want, got, err)
				}
				got = append(got, buf[:n]...)
			}
		}
		_, _ = io.WriteString(msa, "MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n")
		hear(mx, "DATA\r\n")
		_, _ = io.WriteString(mx, "250 ok\r\n250 ok\r\n354 go\r\n")
		hear(msa, "354 go\r\n")
		_, _ = io.WriteString(msa, "text\r\n.\r\n")
		want := event.OutcomeDelivered
		if killed {
			want = event.OutcomeOrphanAck
			_ = msa.Close()
		} else {
			_ = msa.(*net.TCPConn).CloseWrite()
		}
		hear(mx, "\r\n.\r\n")
		time.Sleep(50 * time.Millisecond)
		_, _ = io.WriteString(mx, "250 queued\r\n")
		if !killed {
			hear(msa, "250 queued\r\n")
		}
		hear(mx, "QUIT\r\n")
		if rest := readAll(mx); rest != "" {
			t.Errorf("behind QUIT the MX heard %q", rest)
		}
		for end := time.Now().Add(10 * time.Second); log.lastEnd() == "" && time.Now().Before(end); {
			time.Sleep(time.Millisecond)
		}
		if log.count(want) != 1 {
			t.Errorf("killed %t: recorded %v, want %v", killed, log.outcomes, want)
		}
		_, _ = msa.Close(), mx.Close()
	}
}
