package session_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/session"
	"kanmon/internal/smtp/smtptest"
)

// afterwards says one command, and is for whoever leaves so long behind it.
func afterwards(wait time.Duration, line string) func(*smtptest.MSA) {
	return func(msa *smtptest.MSA) {
		msa.Command("MAIL FROM:<a@x>")
		if line == "." {
			msa.Pipeline("RCPT TO:<r@x>", "DATA")
			msa.Send("text")
		}
		msa.Send(line)
		time.Sleep(wait)
	}
}

// audit-D17: an MSA that gives up while the MX keeps it waiting is noticed as it goes, however long it has waited, and left in the phase of its
// command.
func TestAnMSAThatGivesUpIsNoticedAsItGoes(t *testing.T) {
	for _, wait := range []time.Duration{time.Second, 3 * time.Second, 15 * time.Second, 100 * time.Second, 290 * time.Second} {
		c := recorded(t, func(r *manyIPs) { r.mx.Reply = refuseAt("RCPT", 1, smtptest.Delay(299*time.Second)+smtptest.Default) },
			afterwards(wait, "RCPT TO:<r@x>"))
		c.wants(t, "a@x aborted; r@x not_sent told 0 by msa")
		if c.end.Reason != "msa_lost" || c.end.Phase != event.PhaseRcpt || c.end.Duration > max(wait, 2*time.Second)+50*time.Millisecond {
			t.Errorf("left after %s: %s at %s after %s", wait, c.end.Reason, c.end.Phase, c.end.Duration)
		}
	}
}

// The same over TCP, where the kernel tells.
func TestAnMSAThatGivesUpIsNoticedOverTCP(t *testing.T) {
	told := make(chan *event.End, 1)
	msa, mx := relayThrough(t, &testEngine{Engine: session.Engine{Observe: true, Recorder: recorderOf(func(r *event.Record) {
		if r.End != nil {
			end := *r.End
			told <- &end
		}
		r.Release()
	})}})
	defer mx.Close()
	if _, err := io.WriteString(msa, "MAIL FROM:<a@example.com>\r\n"); err != nil {
		t.Fatal(err)
	}
	time.Sleep(2500 * time.Millisecond) // behind the first look: the next one would come at ten seconds
	left := time.Now()
	_ = msa.Close()
	end := <-told
	if late := time.Since(left); late > 2*time.Second || end.Reason != "msa_lost" || end.Phase != event.PhaseMail {
		t.Errorf("%s at %s, noticed %s after it had gone", end.Reason, end.Phase, late)
	}
}

// A breaksReading is a connection of which the read panics that is counted down to.
type breaksReading struct {
	net.Conn
	left atomic.Int32
}

func (c *breaksReading) Read(p []byte) (int, error) {
	if c.left.Add(-1) == 0 {
		panic("injected")
	}
	return c.Conn.Read(p)
}

// A session that breaks while its MSA is watched leaves nothing of that.
func TestABrokenSessionIsWatchedNoMore(t *testing.T) {
	msa, near := tcpPair(t)
	far, mx := tcpPair(t)
	defer mx.Close()
	broken := &breaksReading{Conn: far}
	e := &testEngine{Engine: session.Engine{Observe: true, Recorder: release{}, Log: slog.New(slog.DiscardHandler)}}
	e.Dialer, e.Ways, e.Live = dialOnce(broken), e, new(session.Live)
	over := make(chan struct{})
	e.Start(near, session.Origin{Source: msaAddr, Destination: mxAddr}, func() { close(over) })
	if _, err := io.WriteString(mx, "220 mx\r\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := msa.Read(make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	broken.left.Store(2)
	if _, err := io.WriteString(msa, "EHLO msa\r\n"); err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, msa)
	_ = msa.Close()
	<-over
	if n := session.Watched(e.Live); n != 0 {
		t.Errorf("%d MSAs are watched, and there is no session", n)
	}
}

// recorderOf is a session.Recorder made of a function.
type recorderOf func(*event.Record)

func (f recorderOf) Record(r *event.Record) { f(r) }

// audit-D16: what an MSA has been told is what it can have heard.
func TestWhoHasGoneHasBeenToldNothing(t *testing.T) {
	for _, c := range []struct {
		verb, line, reply string
		answers, leaves   time.Duration
		want              string
		phase             event.Phase
	}{
		{"RCPT", "RCPT TO:<r@x>", "550 5.1.1 no\r\n", 1500 * time.Millisecond, time.Second, "a@x refused; r@x refused told 0 by mx", event.PhaseRcpt},
		{"RCPT", "RCPT TO:<r@x>", "550 5.1.1 no\r\n", 1500 * time.Millisecond, 1600 * time.Millisecond, "a@x refused; r@x refused told 550 by mx", event.PhaseIdle},
		{"RCPT", "RCPT TO:<r@x>", smtptest.CloseConn, 1500 * time.Millisecond, time.Second, "a@x deferred; r@x deferred told 0 by kanmon", event.PhaseRcpt},
		{".", ".", "550 5.7.1 spam\r\n", 1500 * time.Millisecond, time.Second, "a@x refused; r@x refused told 0 by mx", event.PhaseIdle},
		{".", ".", "250 2.0.0 ok\r\n", 1500 * time.Millisecond, time.Second, "a@x orphan_ack; r@x delivered told 0 by mx", event.PhaseIdle},
		{".", ".", "250 2.0.0 ok\r\n", 9 * time.Second, 8750 * time.Millisecond, "a@x orphan_ack; r@x delivered told 0 by mx", event.PhaseIdle},
		{".", ".", "250 2.0.0 ok\r\n", 9 * time.Second, 9100 * time.Millisecond, "a@x delivered; r@x delivered told 250 by mx", event.PhaseIdle},
	} {
		got := recorded(t, func(r *manyIPs) { r.mx.Reply = refuseAt(c.verb, 1, smtptest.Delay(c.answers)+c.reply) }, afterwards(c.leaves, c.line))
		got.wants(t, c.want)
		if got.end.Phase != c.phase {
			t.Errorf("%s answered %q after %s, left after %s: %s at %s", c.line, c.reply, c.answers, c.leaves, got.end.Reason, got.end.Phase)
		}
	}
}

// So it is of each command of a large group.
func TestWhoHasGoneHasBeenToldNothingOfALargeGroup(t *testing.T) {
	for _, rcpts := range []int{4, 40} {
		lines, want := []string{"MAIL FROM:<a@x>"}, "a@x refused"
		for i := range rcpts {
			lines = append(lines, fmt.Sprintf("RCPT TO:<r%d@x>", i))
			want += fmt.Sprintf("; r%d@x refused told 0 by mx", i)
		}
		c := recorded(t, func(r *manyIPs) {
			r.mx.Reply = func(verb string, _ int) string {
				switch verb {
				case "MAIL":
					return smtptest.Delay(1500*time.Millisecond) + smtptest.Default
				case "RCPT":
					return "550 5.1.1 no\r\n"
				}
				return smtptest.Default
			}
		}, func(msa *smtptest.MSA) {
			msa.Send(lines...)
			time.Sleep(time.Second)
		})
		c.wants(t, want)
	}
}

// audit-D15: a banner that refuses is the MX's refusal, also where the MSA is given a 4xx in its place.
func TestARefusalWithTheBannerIsTheMXs(t *testing.T) {
	for name, attempts := range map[string]int{"no other takes over": 0, "none is tried": -1} {
		c := recordedFromConnect(t, func(r *manyIPs) {
			r.mx.Reply = refuseAt("BANNER", 1, "554 5.7.1 listed\r\n")
			r.mxs[1].Reply = refuseAt("BANNER", 1, "554 5.7.1 listed, too\r\n")
			r.engine.Rescue.Attempts = attempts
		}, func(msa *smtptest.MSA) { msa.Expect(421) })
		first := c.end.Opening[0].Reply
		if c.end.Reason != "mx_refused" || c.end.Phase != event.PhaseBanner || first.Code != 554 || !first.Softened {
			t.Errorf("%s: %s at %s, %+v", name, c.end.Reason, c.end.Phase, c.end.Opening)
		}
		if n := len(c.end.Opening); n > 1 && c.end.Opening[n-1].Reply.Softened {
			t.Errorf("%s: the MSA was not given the last one: %+v", name, c.end.Opening)
		}
	}
}

// audit-D19: a session's time is over when its MSA has been told the last word, however long that takes to read it.
func TestReadingTheLastWordIsNotTheSessionsTime(t *testing.T) {
	c := recorded(t, func(r *manyIPs) { r.mx.Reply = refuseAt("RCPT", 1, smtptest.CloseConn) }, func(msa *smtptest.MSA) {
		msa.Pipeline("MAIL FROM:<a@x>", "RCPT TO:<r@x>")
		time.Sleep(time.Minute)
	})
	if c.end.Duration > time.Second || c.took[0] > time.Second {
		t.Errorf("the session took %s, its mail %s", c.end.Duration, c.took[0])
	}
}

// audit-D19
func TestCommandsThatNobodyUnderstoodAreCounted(t *testing.T) {
	c := recorded(t, func(*manyIPs) {}, func(msa *smtptest.MSA) {
		msa.Command("MAIL FROM:<a\x00@x>")
		msa.Command("FOO")
		msa.Command("MAIL FROM:<a@x>")
	})
	if c.end.BadCommands != 2 || c.end.Transactions != 1 {
		t.Errorf("%d bad commands, %d transactions", c.end.BadCommands, c.end.Transactions)
	}
}

// audit-D19
func TestWhyThereIsNoTLSWithTheMSAIsOnRecord(t *testing.T) {
	cert := smtptest.Certificate(t, smtptest.CertificateOptions{})
	for _, sent := range []string{"STARTTLS\r\nMAIL FROM:<a@x>\r\n", "STARTTLS\r\n"} {
		c := recorded(t, func(r *manyIPs) { r.engine.Certificate = func() (*tls.Certificate, error) { return &cert, nil } }, func(msa *smtptest.MSA) {
			_, _ = io.WriteString(msa.Conn(), sent)
			time.Sleep(time.Second)
			_, _ = io.WriteString(msa.Conn(), "this is no handshake\r\n")
			time.Sleep(time.Second)
		})
		if c.end.Reason != "msa_tls" || c.tls.State != event.TLSNone || c.tls.Err == "" {
			t.Errorf("%q: %s, %+v", sent, c.end.Reason, c.tls)
		}
	}
}

// A goesAsSeen is a connection whose peer goes just when somebody has seen it to be there, with a look at it that is counted down to.
type goesAsSeen struct {
	*smtptest.Conn
	looks  atomic.Int32 // until then; negative: nobody counts
	leaves func()
}

func (c *goesAsSeen) HungUp() bool {
	gone := c.Conn.HungUp()
	if c.looks.Add(-1) == 0 {
		c.leaves()
	}
	return gone
}

// audit-D17: also who goes between a look at it and the wait behind that is noticed then, and not by the next look.
func TestAnMSAThatGoesBetweenTwoLooksIsNoticed(t *testing.T) {
	went := true
	for look := int32(1); went; look++ {
		synctest.Test(t, func(t *testing.T) {
			r := newManyIPs(1)
			r.mx.Reply = refuseAt("MAIL", 1, smtptest.Delay(150*time.Second)+smtptest.Default)
			far, near := smtptest.Pair(msaAddr, mxAddr)
			proxy := &goesAsSeen{Conn: near, leaves: func() { _ = far.Close() }}
			ended := r.serve(proxy)
			msa := smtptest.NewMSA(t, far)
			msa.Expect(220)
			msa.Command("EHLO msa.example.com")
			proxy.looks.Store(look)
			begun := time.Now()
			msa.Send("MAIL FROM:<a@x>")
			for went = false; !went && time.Since(begun) < 140*time.Second; {
				time.Sleep(time.Second)
				went = proxy.looks.Load() <= 0
			}
			if synctest.Wait(); went {
				select {
				case <-ended:
				default:
					t.Errorf("it went at look %d, behind %s, and nobody has noticed", look, time.Since(begun))
				}
			}
			finishSession(msa)
		})
	}
}
