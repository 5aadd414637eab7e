package session_test

import (
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/smtp/smtptest"
)

// A 250 that the MX says before it can have the dot is no acknowledgement.
func TestEarly250WhileTheDotIsBeingWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		far := make(chan *smtptest.Conn, 1)
		r.engine.Dialer = dialOnceTo(func(_, mx *smtptest.Conn) { far <- mx })
		conn, _, ended := r.connect()
		mx := <-far
		buf := make([]byte, 1<<17)
		say := func(s string) { _, _ = io.WriteString(mx, s); synctest.Wait() }
		hear := func() { _, _ = mx.Read(buf) }
		say("220 mx\r\n")
		_, _ = io.WriteString(conn, "EHLO x\r\n")
		hear()
		say("250-mx\r\n250 PIPELINING\r\n")
		_, _ = io.WriteString(conn, "MAIL FROM:<a@x>\r\nRCPT TO:<b@x>\r\nDATA\r\n")
		hear()
		_ = mx.SetReadBuffer(1000)
		go func() {
			time.Sleep(100 * time.Millisecond)
			_, _ = io.WriteString(conn, strings.Repeat("0123456789abcd\r\n", 2000)+".\r\n")
		}()
		say("250 ok\r\n250 ok\r\n354 go\r\n")
		time.Sleep(time.Second) // kanmon hangs in the write that ends with the dot, or before it
		say("250 got it\r\n")
		_ = mx.SetReadBuffer(1 << 20)
		for n := 0; n < 32000; {
			m, err := mx.Read(buf)
			if n += m; err != nil {
				break
			}
		}
		synctest.Wait()
		_ = mx.Close()
		_ = conn.CloseWrite()
		heard := readAll(conn)
		if strings.Contains(heard, "250 got it") {
			t.Errorf("a 250 from before the dot went through as its reply: %q", heard)
		}
		_ = conn.Close()
		<-ended
	})
}

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
			synctest.Wait()
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

// What an MSA has pipelined behind the end of a session, in however many pieces it comes, does not cost it the last reply.
func TestLastReplyIsReadBeforeTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		r.mx.Reply = func(verb string, _ int) string {
			if verb == "NOOP" {
				return "421 4.3.2 going down\r\n"
			}
			return smtptest.Default
		}
		conn, proxy, ended := r.connect()
		msa := smtptest.NewMSA(t, conn)
		msa.Expect(220)
		msa.Command("EHLO msa.example.com")
		proxy.Chunk(len("NOOP\r\n"), 1)
		if _, err := io.WriteString(conn, "NOOP\r\n"+strings.Repeat("NOOP "+strings.Repeat("x", 90)+"\r\n", 20)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if heard := readAll(conn); !strings.HasPrefix(heard, "421 4.3.2 going down\r\n") {
			t.Errorf("heard %q", heard)
		}
		_ = conn.Close()
		<-ended
	})
}

// An MX that gives its reply octet by octet does not hide that the MSA has hung up.
//
// law: S1/MSA-lost S3/MSA-lost
func TestHangUpIsSeenBehindADrippingReply(t *testing.T) {
	for _, pause := range []time.Duration{40 * time.Millisecond, 250 * time.Millisecond, time.Second} {
		t.Run(pause.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.mx.Reply = func(verb string, _ int) string {
					if verb != "BANNER" {
						return smtptest.Default
					}
					drip := "220"
					for range 1000 {
						drip += smtptest.Delay(pause) + "-"
					}
					return drip
				}
				msa := w.connect()
				time.Sleep(10 * time.Second)
				begun := time.Now()
				msa.Close()
				for w.record.lastEnd() == "" && time.Since(begun) < time.Hour {
					time.Sleep(time.Second)
				}
				if d := time.Since(begun); d > 5*time.Second {
					t.Errorf("the session went on for %s", d)
				}
				w.close()
			})
		})
	}
}
