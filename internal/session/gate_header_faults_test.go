package session_test

import (
	"bytes"
	"crypto/tls"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/session"
	"kanmon/internal/smtp/smtptest"
)

// A look-alike of the end of data is refused inside the field, behind it, and behind the header.
//
// law: I4 I7 B3
func TestAccountAndSmuggling(t *testing.T) {
	for _, form := range smtptest.SmugglingForms() {
		for _, before := range []string{"X-Sent-By: a", "X-Sent-By: a\r\nTo: c", "X-Sent-By: a\r\n\r\ntext"} {
			for split := range len(before) + len(form) + 8 {
				smuggle(t, before+form+smuggled, max(1, split), split == 0, naming(split%2 == 0, session.Decision{}))
			}
		}
	}
}

// A delay holds the octets behind the header, and they are the same after it, whatever other sessions do with memory meanwhile.
func TestAccountIsDelayed(t *testing.T) {
	text := strings.Repeat("some text\r\n", 5000)
	for _, rest := range []string{"To: c\r\n\r\n" + text, "To: c\r\n\r\ntext\r\n", ""} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig()
			gate := naming(true, session.Decision{Delay: 10 * time.Second})
			r.engine.Gate = gate
			msa, conn, _ := r.toBody(t)
			send(t, conn, "X-Sent-By: a\r\n"+rest+".\r\n")
			begun := time.Now()
			time.Sleep(time.Second)
			for range 4 {
				_, other, _ := newRig().toBody(t)
				send(t, other, strings.Repeat("other text\r\n", 4000))
				synctest.Wait()
				_ = other.Close()
			}
			msa.Expect(250)
			if took := time.Since(begun); took != 10*time.Second {
				t.Errorf("%d octets behind the field: answered after %s", len(rest), took)
			}
			_ = msa.Quit()
			time.Sleep(time.Hour)
			checkNaming(t, "delayed", r, gate, "", rest, "account? a", true)
		})
	}
}

// A message whose header was held back has the time that any has: for its body, for a refusal in the middle of it, and for the reply to
// its dot (10 min, RFC 5321 section 4.5.3.2.6). What the MX takes is acknowledged, or it would be sent again.
//
// law:I12
func TestHeldHeaderLeavesTheMessageItsTime(t *testing.T) {
	for _, body := range []time.Duration{time.Second, 2 * time.Minute, 5 * time.Minute} {
		for _, late := range []time.Duration{time.Second, 3 * time.Minute, 9 * time.Minute} {
			synctest.Test(t, func(t *testing.T) {
				r := newRig()
				r.mx.Reply = lateReply(".", late)
				r.engine.Gate = naming(true, session.Decision{Delay: 2 * time.Second})
				msa, conn, _ := r.toBody(t)
				send(t, conn, "X-Sent-By: a\r\n\r\ntext\r\n")
				for end := time.Now().Add(body); time.Now().Before(end); {
					time.Sleep(time.Second)
					send(t, conn, "more text\r\n")
				}
				send(t, conn, ".\r\n")
				reply, err := msa.Next()
				if err != nil || reply.Code != 250 {
					t.Errorf("a body of %s, its reply after %s: the MSA was told %d (%v), the MX has %d", body, late, reply.Code, err, r.mx.Mailbox.Len())
				}
				time.Sleep(time.Hour)
				_ = conn.Close()
			})
		}
	}
}

// An MSA that hangs up while its message is held at its end would send it again: the dot is withheld.
//
// law: S6'/MSA-lost
func TestMSALostWhileItsAccountIsDelayed(t *testing.T) {
	cert, roots := smtptest.Certificate(t, smtptest.CertificateOptions{}), smtptest.Roots(t)
	for _, rest := range []string{"", "\r\ntext\r\n", "\r\n" + strings.Repeat("text\r\n", 5000)} {
		for _, encrypted := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				r := newRig()
				r.engine.Gate = naming(true, session.Decision{Delay: time.Minute})
				r.engine.Certificate = func() (*tls.Certificate, error) { return &cert, nil }
				msa := r.msa(t)
				msa.Expect(220)
				msa.Command("EHLO msa.example.com")
				if encrypted {
					msa.StartTLS(&tls.Config{RootCAs: roots, ServerName: "mx.example.net"})
					msa.Command("EHLO msa.example.com")
				}
				msa.Pipeline("MAIL FROM:<a@example.com>", "RCPT TO:<b@example.net>", "DATA")
				send(t, msa.Conn(), "X-Sent-By: a\r\n"+rest+".\r\n")
				time.Sleep(5 * time.Second)
				_ = msa.Conn().Close()
				time.Sleep(time.Hour)
				synctest.Wait()
				if encrypted && len(rest) > 1000 {
					return // kanmon reads the dot later: see TestLateFINInsideTLS
				}
				if r.mx.Mailbox.Len() != 0 || r.log.count(event.OutcomeWithheld) != 1 || r.log.lastEnd() != "msa_lost" {
					t.Errorf("%d octets behind the field, TLS %t: %d delivered, recorded %v %q",
						len(rest), encrypted, r.mx.Mailbox.Len(), r.log.outcomes, r.log.ends)
				}
			})
		}
	}
}

// A field of 50 MB, and a message of 50 MB behind one, in memory that does not depend on either.
//
// law: B4
func TestAccountOfAnEndlessMessage(t *testing.T) {
	for begin, arrives := range map[string]bool{"X-Sent-By: ": false, "X-Sent-By: a\r\n\r\n": true} {
		asked := make(chan string, 2)
		decide := naming(true, session.Decision{}).decide
		gate := &script{decide: func(q session.Question) session.Decision {
			if q.Step == event.StepAccount {
				asked <- fieldTexts(q.Fields)
			}
			return decide(q)
		}}
		msa, mx := relayThrough(t, &testEngine{Engine: session.Engine{Gate: gate, Observe: true}})
		defer msa.Close()
		defer mx.Close()
		steps, _ := messageSteps(0)
		came := make(chan int, 1)
		go func() {
			buf := make([]byte, 64<<10)
			mx.Read(buf)
			mx.Write([]byte("250 ok\r\n250 ok\r\n354 go\r\n"))
			octets := 0
			for last := ""; last != ".\r\n"; {
				n, err := mx.Read(buf)
				if err != nil {
					return
				}
				octets += n
				last += string(buf[max(n-3, 0):n])
				last = last[max(len(last)-3, 0):]
			}
			mx.Write([]byte("250 2.0.0 Ok: queued as 4711\r\n"))
			came <- octets
		}()
		buf := make([]byte, 4096)
		msa.Write(steps[0].write)
		msa.Read(buf)
		send(t, msa, begin)
		piece := bytes.Repeat([]byte("x"), 64<<10)
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		for range 800 {
			if _, err := msa.Write(piece); err != nil {
				t.Fatal(err)
			}
		}
		send(t, msa, "\r\n.\r\n")
		if n, _ := msa.Read(buf); !strings.HasPrefix(string(buf[:n]), "250") {
			t.Fatalf("%q", buf[:n])
		}
		runtime.ReadMemStats(&after)
		want := len(".\r\n")
		if arrives {
			want = len("\r\n") + 800*len(piece) + len("\r\n.\r\n")
		}
		if got, account := <-came, <-asked; got != want || account == "" || len(account) > 1000 || len(asked) > 0 {
			t.Errorf("%q: %d octets came, want %d; asked %.80q, and %d times more", begin, got, want, account, len(asked))
		}
		if grown := int64(after.HeapSys) - int64(before.HeapSys); grown > 8<<20 {
			t.Errorf("%q: the heap grew by %d octets for 50 MiB", begin, grown)
		}
	}
}
