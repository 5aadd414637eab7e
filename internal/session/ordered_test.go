package session_test

import (
	"context"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/session"
	"kanmon/internal/smtp/smtptest"
)

// only gives the ID of the one session that runs.
func (w *world) only(t *testing.T) (id event.ID) {
	t.Helper()
	for seen := range w.engine.Live.All() {
		id = seen.ID
	}
	if id == 0 {
		t.Fatal("no session runs")
	}
	return id
}

func (w *world) order(t *testing.T) session.Ending {
	t.Helper()
	return w.engine.Live.End(context.Background(), w.only(t), "alice (web)")
}

// Wherever a session waits but behind its dot, it ends at once by order, and the MSA is told so.
//
// law: I4
func TestSessionEndsByOrder(t *testing.T) {
	const never = time.Hour
	at := func(verb string) func(string, int) string {
		return func(said string, _ int) string {
			if said == verb {
				return smtptest.Delay(never) + smtptest.Default
			}
			return smtptest.Default
		}
	}
	said := []string{"EHLO msa.example.com", "MAIL FROM:<a@example.com>", "RCPT TO:<b@example.net>", "DATA", "half a mess"}
	for name, test := range map[string]struct {
		mx   string // the step that the MX does not answer
		says int    // how many of the above the MSA says
		want string
	}{
		"banner":  {"BANNER", 0, "421"},
		"EHLO":    {"EHLO", 1, "421"},
		"idle":    {"", 1, "421"},
		"MAIL":    {"MAIL", 2, "421"},
		"RCPT":    {"RCPT", 3, "421"},
		"between": {"", 3, "421"},
		"DATA":    {"DATA", 4, "421"},
		"body":    {"", 5, "451"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.mx.Reply = at(test.mx)
				conn := w.connect()
				answers := make(chan string, 1)
				go func() {
					all, _ := io.ReadAll(conn)
					answers <- string(all)
				}()
				for _, line := range said[:test.says] {
					time.Sleep(time.Second)
					_, _ = io.WriteString(conn, line+"\r\n")
				}
				time.Sleep(10 * time.Second)
				begun := time.Now()
				if came := w.order(t); came != session.EndingDone && came != session.EndingSoon {
					t.Errorf("what came of it is %d", came)
				}
				lines := strings.Split(strings.TrimSuffix(<-answers, "\r\n"), "\r\n")
				if took := time.Since(begun); took > 2*time.Second {
					t.Errorf("it took %s", took)
				}
				if last := lines[len(lines)-1]; !strings.HasPrefix(last, test.want+" 4.3.2 ") || !strings.Contains(last, "an operator has ended this session") {
					t.Errorf("the MSA heard %q", lines)
				}
				_ = conn.Close()
				synctest.Wait()
				w.record.mu.Lock()
				if !slices.Equal(w.record.ends, []string{"ended"}) {
					t.Errorf("on record is %q", w.record.ends)
				}
				w.record.mu.Unlock()
				if came := w.engine.Live.End(context.Background(), 1, "x"); came != session.EndingNone {
					t.Errorf("a session that there is not: %d", came)
				}
				time.Sleep(2 * never) // the MX is done, too
				w.close()
				if n := w.mx.Mailbox.Len(); n != 0 {
					t.Errorf("%d messages at the MX", n)
				}
			})
		})
	}
}

// Behind the dot a session waits for its reply, passes that on as it is, and ends then, whatever the MSA has sent ahead.
//
// law: I2 I3
func TestOrderWaitsBehindTheDot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.mx.Reply = func(verb string, _ int) string {
			if verb == "." {
				return smtptest.Delay(time.Minute) + smtptest.Default
			}
			return smtptest.Default
		}
		msa := smtptest.NewMSA(t, w.connect())
		msa.Expect(220)
		msa.Command("EHLO msa.example.com")
		msa.Pipeline("MAIL FROM:<a@example.com>", "RCPT TO:<b@example.net>", "DATA")
		_, _ = io.WriteString(msa.Conn(), "text\r\n.\r\nMAIL FROM:<a@example.com>\r\n")
		time.Sleep(10 * time.Second)
		begun := time.Now()
		for range 2 { // a second order changes nothing
			if came := w.order(t); came != session.EndingWaits {
				t.Errorf("what came of it is %d", came)
			}
		}
		msa.Expect(250)
		if took := time.Since(begun); took < 45*time.Second {
			t.Errorf("the reply came after %s", took)
		}
		msa.Expect(421)
		_ = msa.Conn().Close()
		w.close()
		if n := w.mx.Mailbox.Len(); n != 1 {
			t.Errorf("%d messages at the MX", n)
		}
	})
}

// A recipient for whom it is being looked up what his domain asks is not waited for, and the MX does not hear of him.
//
// law: I4
func TestOrderEndsAWaitForWhatADomainAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.engine.Trust = silentDNS{newEarnest(t, nil)}
		msa := smtptest.NewMSA(t, w.connect())
		msa.Expect(220)
		msa.Command("EHLO msa.example.com")
		msa.Command("MAIL FROM:<a@example.com>")
		msa.Send("RCPT TO:<b@example.net>")
		time.Sleep(3 * time.Second)
		begun := time.Now()
		id := w.only(t)
		w.done.Go(func() { w.engine.Live.End(context.Background(), id, "alice (web)") })
		msa.Expect(421)
		if took := time.Since(begun); took > time.Second {
			t.Errorf("it took %s", took)
		}
		_ = msa.Conn().Close()
		w.close()
		if said := w.mx.Mailbox.Commands(); slices.ContainsFunc(said, func(line string) bool { return strings.HasPrefix(line, "RCPT") }) {
			t.Errorf("the MX heard %q", said)
		}
	})
}

// What is passed through is left alone: nobody knows whether it is behind a dot.
func TestOrderLeavesAloneWhatIsPassedThrough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := passRig()
		conn, _, over := r.connect()
		msa := smtptest.NewMSA(t, conn)
		msa.Expect(220)
		for seen := range r.live.All() {
			if came := r.live.End(t.Context(), seen.ID, "x"); came != session.EndingPasses {
				t.Errorf("what came of it is %d", came)
			}
		}
		msa.Command("EHLO msa.example.com")
		msa.Command("QUIT")
		_ = conn.Close()
		<-over
	})
}

// A handshake that an order interrupts says nothing of the MX's TLS.
func TestOrderInAHandshakeIsNoFailureOfTLS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.mx.Keywords = []string{"STARTTLS"}
		w.mx.Reply = func(verb string, _ int) string {
			if verb == "STARTTLS" {
				return "220 go ahead\r\n" // and nothing follows
			}
			return smtptest.Default
		}
		msa := smtptest.NewMSA(t, w.connect())
		msa.Expect(220)
		msa.Send("EHLO msa.example.com")
		time.Sleep(3 * time.Second)
		w.order(t)
		msa.Expect(421)
		_ = msa.Conn().Close()
		w.close()
		if known, _ := w.engine.Live.TLSOf(mxAddr.Addr()); known.Strikes != 0 || len(known.Failures) != 0 {
			t.Errorf("remembered is %+v", known)
		}
	})
}

// Whenever the order comes, a message is told as taken exactly if the MX has it.
//
// law: I1 I2 I4
func TestOrderAtAnyTime(t *testing.T) {
	const runs = 300
	random := rand.New(rand.NewPCG(1, 2))
	delivered, ended := 0, 0
	for i := range runs {
		at := time.Duration(random.Int64N(int64(3500 * time.Millisecond)))
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.mx.Reply = func(string, int) string { return smtptest.Delay(300*time.Millisecond) + smtptest.Default }
			conn := w.connect()
			heard := make(chan string, 1)
			go func() {
				all, _ := io.ReadAll(conn)
				heard <- string(all)
			}()
			w.done.Go(func() {
				for _, part := range []string{"EHLO a.example\r\n", "MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n", "text\r\n", "more\r\n.\r\n", "QUIT\r\n"} {
					time.Sleep(500 * time.Millisecond)
					if _, err := io.WriteString(conn, part); err != nil {
						return
					}
				}
			})
			time.Sleep(at)
			for seen := range w.engine.Live.All() {
				_ = w.engine.Live.End(context.Background(), seen.ID, "x")
			}
			all := strings.Split(<-heard, "\r\n")
			_ = conn.Close()
			w.close()
			taken := slices.ContainsFunc(all, func(line string) bool { return strings.Contains(line, "queued as") })
			if has := w.mx.Mailbox.Len() == 1; has != taken {
				t.Fatalf("run %d, order at %s: the MX has it: %v; the MSA heard %q", i, at, has, all)
			} else if has {
				delivered++
			}
			if slices.ContainsFunc(all, func(line string) bool { return strings.Contains(line, "an operator has ended") }) {
				ended++
			}
		})
	}
	if t.Logf("%d runs, %d delivered, %d ended", runs, delivered, ended); delivered < runs/20 || ended < runs/2 {
		t.Errorf("%d delivered, %d ended: that tests little", delivered, ended)
	}
}
