package session_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/smtp/smtptest"
)

// The MX answers the dot late. Up to 15 minutes kanmon waits as long as the MSA does, and tells what the MX said when it said it.
//
// law: I1 I12 S7/MX-silent
func TestFaultLateReplyToTheDot(t *testing.T) {
	var delays []time.Duration
	for _, timer := range []time.Duration{time.Second, 30 * time.Second, time.Minute, 2 * time.Minute, 3 * time.Minute, 5 * time.Minute, 10 * time.Minute, 11 * time.Minute, 15 * time.Minute} {
		delays = append(delays, timer-time.Second, timer, timer+time.Second)
	}
	for _, delay := range delays {
		for _, patience := range []time.Duration{10 * time.Minute, time.Hour} {
			t.Run(fmt.Sprintf("MX after %s, MSA waits %s", delay, patience), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { answerDotLate(t, delay, patience) })
			})
		}
	}
}

func answerDotLate(t *testing.T, delay, patience time.Duration) {
	const limit = 15 * time.Minute // event.PhaseDot's default
	r := newRig()
	r.mx.Reply = lateReply(".", delay)
	conn, _, ended := r.connect()
	msa := smtptest.NewMSA(t, conn)
	msa.Wait = patience
	begun := time.Now()
	d := msa.Deliver("a@example.com", []string{"b@example.net"}, []byte("text\r\n"), true)
	took := time.Since(begun)
	_ = conn.Close()
	<-ended
	switch {
	case delay < min(limit, patience):
		if !d.All(smtptest.Accepted) || took != delay || !strings.Contains(d.Replies[0].String(), "queued as") {
			t.Errorf("%v after %s: %s", d.Verdicts, took, d.Replies[0])
		}
	case delay == min(limit, patience): // a tie
	case patience < limit:
		if d.Replies[0].Code != 0 || took != patience {
			t.Errorf("answered %q after %s, before the MSA gave up", d.Replies[0], took)
		}
	default:
		if took != limit || d.Replies[0].Code != 451 || !d.All(smtptest.Deferred) {
			t.Errorf("answered %q after %s, want 451 after %s", d.Replies[0], took, limit)
		}
		if r.log.count(event.OutcomeAmbiguous) != 1 {
			t.Error("not recorded as ambiguous")
		}
	}
	time.Sleep(delay) // the MX is still thinking
}

func lateReply(stage string, delay time.Duration) func(string, int) string {
	return func(verb string, n int) string {
		if verb == stage && n == 1 {
			return smtptest.Delay(delay) + smtptest.Default
		}
		return smtptest.Default
	}
}

// Every other timer: a second before it the MX's own reply is passed on, a second behind it kanmon has answered at the timer, or hung up as
// long as it has not greeted.
//
// law: I12 S1/MX-silent S2/MX-silent S3/MX-silent S4/MX-silent S5/MX-silent
func TestFaultLateReplies(t *testing.T) {
	timers := map[string]time.Duration{
		"BANNER": 5 * time.Minute, "EHLO": 5 * time.Minute, "MAIL": 5 * time.Minute, "RCPT": 5 * time.Minute, "DATA": 2 * time.Minute,
	}
	for verb, timer := range timers {
		for _, early := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s early %t", verb, early), func(t *testing.T) {
				delay := timer + time.Second
				if early {
					delay = timer - time.Second
				}
				synctest.Test(t, func(t *testing.T) {
					r := newRig()
					r.mx.Reply = lateReply(verb, delay)
					conn, _, ended := r.connect()
					conn.Record()
					msa := smtptest.NewMSA(t, conn)
					begun := time.Now()
					d := msa.Deliver("a@example.com", []string{"b@example.net"}, []byte("text\r\n"), false)
					took := time.Since(begun)
					if d.Err == nil {
						_ = msa.Quit()
					}
					_ = conn.Close()
					<-ended
					time.Sleep(delay)
					told := strings.Contains(string(conn.Record()), "kanmon: ")
					want := !early && verb != "BANNER" // who has not been greeted is left without a word
					if d.All(smtptest.Accepted) != early || told != want || took != min(delay, timer) {
						t.Errorf("%v after %s, kanmon answered: %t", d.Verdicts, took, told)
					}
				})
			})
		}
	}
}

// The MSA is killed around its dot, and tries again. Directly the MX has taken the message by then; through kanmon it has it as often, for
// an MSA that is killed with its dot looks like one that only closes its sending side, and never more often.
//
// law: I1 I4 S6'/MSA-lost S7/MSA-lost
func TestFaultMSAKilledAroundItsDot(t *testing.T) {
	runs := 1000
	if inFull() {
		runs = 10_000
	}
	random := rand.New(rand.NewPCG(3, 4))
	var dups, direct, withheld, lost int
	for range runs {
		k := kill{
			delay: []time.Duration{0, time.Millisecond, time.Second, 40 * time.Second, 2 * time.Minute, 11 * time.Minute}[random.IntN(6)],
			after: []time.Duration{0, 0, 0, time.Millisecond, 2 * time.Second, time.Minute}[random.IntN(6)],
			reset: random.IntN(2) == 0,
			size:  random.IntN(100_000) / (1 + random.IntN(1000)),
		}
		through, plain := k.run(t, true), k.run(t, false)
		if through.copies > plain.copies {
			t.Errorf("%+v: %d copies, directly %d", k, through.copies, plain.copies)
		}
		if through.copies == 0 {
			lost++
		}
		dups, direct = dups+through.copies-1, direct+plain.copies-1
		withheld += through.withheld
	}
	t.Logf("%d MSAs killed around their dot: lost %d, duplicates %d (directly %d), dots withheld %d", runs, lost, dups, direct, withheld)
	if lost > 0 || direct == 0 || dups > direct {
		t.Error("want nothing lost, and no more duplicates than directly")
	}
}

// A kill is an MSA that dies behind its dot.
type kill struct {
	delay time.Duration // the MX thinks
	after time.Duration // dot written → MSA killed; 0: with the write
	reset bool          // by RST
	size  int           // of the body
}

type killed struct{ copies, withheld int }

func (k kill) run(t *testing.T, through bool) (res killed) {
	body := append(bytes.Repeat([]byte("0123456789 text\r\n"), k.size/17), "end\r\n"...)
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		r.mx.Reply = lateReply(".", k.delay)
		connect := func() *smtptest.Conn {
			conn, far := smtptest.Pair(msaAddr, mxAddr)
			go r.mx.ServeConn(far)
			return conn
		}
		if through {
			connect = func() *smtptest.Conn {
				conn, _, _ := r.connect()
				return conn
			}
		}
		conn := connect()
		msa := smtptest.NewMSA(t, conn)
		if msa.Wait = k.after; k.after == 0 {
			how := smtptest.FIN
			if k.reset {
				how = smtptest.RST
			}
			const before = "EHLO msa.example.com\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n"
			conn.CutWriteAfter(len(before)+len(body)+len(".\r\n"), how)
		}
		d := msa.Deliver("a@example.com", []string{"b@example.net"}, body, true)
		if k.reset {
			conn.Reset()
		} else {
			_ = conn.Close()
		}
		if !d.All(smtptest.Accepted) {
			time.Sleep(5 * time.Minute)
			again := smtptest.NewMSA(t, connect())
			again.Wait = time.Hour
			if d = again.Deliver("a@example.com", []string{"b@example.net"}, body, true); !d.All(smtptest.Accepted) {
				t.Errorf("%+v: the second attempt: %v", k, d.Verdicts)
			}
			_ = again.Quit()
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		res = killed{r.mx.Mailbox.Count(body), r.log.count(event.OutcomeWithheld)}
	})
	return res
}
