package session_test

import (
	"fmt"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/session"
	"kanmon/internal/smtp/smtptest"
)

// law: B8 K-LIMITS
func TestRecipientsOverTheLimitGet452(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		msa := smtptest.NewMSA(t, w.connect())
		msa.Expect(220)
		msa.Command("EHLO msa.example.com")
		msa.Command("MAIL FROM:<a@example.com>")
		for i := range 1200 {
			want := 250
			if i >= 1000 {
				want = 452
			}
			if r := msa.Command(fmt.Sprintf("RCPT TO:<b%d@example.net>", i)); r.Code != want {
				t.Fatalf("recipient %d: %s", i, r)
			}
		}
		if r := msa.Data([]byte("text\r\n")); r.Code != 250 {
			t.Fatal(r)
		}
		msa.Quit()
		w.close()
		if n := len(w.mx.Mailbox.Transactions()[0].Recipients); n != 1000 {
			t.Errorf("%d recipients at the MX", n)
		}
	})
}

// law: B8
func TestAMillionCommandsWithoutMail(t *testing.T) {
	for _, verb := range []string{"NOOP", "RSET", "VRFY x"} {
		t.Run(verb, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				msa := smtptest.NewMSA(t, w.connect())
				msa.Expect(220)
				msa.Command("EHLO msa.example.com")
				for i := range 1_000_000 {
					if r := msa.Command(verb); r.Code == 421 {
						if i < 99 || i > 101 {
							t.Errorf("cut off after %d", i)
						}
						break
					}
				}
				w.close()
				if w.record.lastEnd() != "msa_abusive" {
					t.Errorf("recorded end %q", w.record.lastEnd())
				}
			})
		})
	}
}

// law: B5
func TestTooMuchBeforeTheBanner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.mx.Reply = func(verb string, _ int) string {
			if verb == "BANNER" {
				return smtptest.Delay(10*time.Second) + "220 mx\r\n"
			}
			return smtptest.Default
		}
		msa, near := smtptest.Pair(msaAddr, mxAddr)
		near.SetReadBuffer(128 << 10)
		w.done.Go(func() { w.engine.Serve(near, session.Origin{Source: msaAddr, Destination: mxAddr}) })
		if _, err := msa.Write([]byte(strings.Repeat("NOOP\r\n", 20_000))); err != nil {
			t.Fatal(err)
		}
		smtptest.NewMSA(t, msa).Expect(554)
		msa.Close()
		w.close()
	})
}

// law: B4
func TestBodyLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.engine.Limits.BodyBytes = 1 << 20
		msa := smtptest.NewMSA(t, w.connect())
		got := msa.Deliver("a@example.com", []string{"b@example.net"}, []byte(strings.Repeat("text\r\n", 300_000)), true)
		w.close()
		if !got.All(smtptest.Bounced) || got.Replies[0].Code != 552 || w.mx.Mailbox.Len() != 0 {
			t.Errorf("%v %v, %d in the mailbox", got.Verdicts, got.Replies, w.mx.Mailbox.Len())
		}
	})
}

// A line of 10 MB, and a body of 200 MB: streamed, in memory that does not depend on either.
//
// law: B4
func TestBodyIsStreamed(t *testing.T) {
	for name, piece := range map[string]string{"one line": strings.Repeat("x", 64<<10), "lines": strings.Repeat("0123456789abcdef\r\n", 3600)} {
		t.Run(name, func(t *testing.T) {
			msa, mx := relay(t, nil)
			defer msa.Close()
			defer mx.Close()
			steps, _ := messageSteps(4096)
			go func() {
				buf := make([]byte, 64<<10)
				mx.Read(buf)
				mx.Write([]byte("250 ok\r\n250 ok\r\n354 go\r\n"))
				var last []byte // the end of data may come in two reads
				for {
					n, err := mx.Read(buf)
					if err != nil {
						return
					}
					last = append(last, buf[max(n-5, 0):n]...)
					last = last[max(len(last)-5, 0):]
					if string(last) == "\r\n.\r\n" {
						mx.Write([]byte("250 2.0.0 Ok: queued as 4711\r\n"))
						return
					}
				}
			}()
			buf := make([]byte, 4096)
			msa.Write(steps[0].write)
			msa.Read(buf)
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			for range (200 << 20) / len(piece) {
				if _, err := msa.Write([]byte(piece)); err != nil {
					t.Fatal(err)
				}
			}
			runtime.ReadMemStats(&after)
			msa.Write([]byte("\r\n.\r\n"))
			if n, _ := msa.Read(buf); string(buf[:3]) != "250" {
				t.Fatalf("%q", buf[:n])
			}
			if grown := int64(after.HeapSys) - int64(before.HeapSys); grown > 32<<20 {
				t.Errorf("heap grew by %d MiB for 200 MiB", grown>>20)
			}
		})
	}
}

// law: B20 S6/MX-silent
func TestMXThatDoesNotReadTheBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		mxSide, kanmonSide := smtptest.Pair(mxAddr, netip.AddrPortFrom(ownIP, 4000))
		w.engine.Dialer = dialOnce(kanmonSide)
		go func() {
			mxSide.Write([]byte("220 mx\r\n"))
			buf := make([]byte, 4096)
			mxSide.Read(buf)
			mxSide.Write([]byte("250-mx\r\n250 PIPELINING\r\n"))
			mxSide.Read(buf)
			mxSide.Write([]byte("250 ok\r\n250 ok\r\n354 go\r\n"))
		}()
		msa := smtptest.NewMSA(t, w.connect())
		begun := time.Now()
		got := msa.Deliver("a@example.com", []string{"b@example.net"}, []byte(strings.Repeat("text\r\n", 100_000)), true)
		if d := time.Since(begun); !got.All(smtptest.Deferred) || got.Replies[0].Code != 451 || d < 179*time.Second || d > 185*time.Second {
			t.Errorf("%v %v after %s, want 451 after 180 s", got.Verdicts, got.Replies, d)
		}
		w.close()
		mxSide.Close()
	})
}
