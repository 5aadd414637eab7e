package session_test

import (
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/session"
	"kanmon/internal/smtp/smtptest"
)

// Whoever looks at a session sees what it waits for, in which step, and since when: also where octets drip, and behind a wait.
func TestASessionIsSeenInWhatItWaitsFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		const hold = 40 * time.Second
		late := map[string]string{"BANNER": "220 mx ESMTP\r\n", "EHLO": "250 mx\r\n", "MAIL": "250 ok\r\n", "RCPT": "250 ok\r\n", "DATA": "354 go\r\n", ".": "250 ok\r\n"}
		w.mx.Reply = func(verb string, _ int) string {
			if reply := late[verb]; reply != "" {
				return smtptest.Delay(hold) + reply[:1] + smtptest.Delay(hold) + reply[1:]
			}
			return smtptest.Default
		}
		conn := w.connect()
		looks := func(after time.Duration, doing event.Spending, phase event.Phase) {
			t.Helper()
			time.Sleep(after)
			synctest.Wait()
			seen := only(t, w.engine.Live)
			if is := time.Since(seen.Start) - seen.Since; is != after {
				t.Errorf("%s seen in %s for %s, and it is %s", seen.Doing, seen.Phase, is, after)
			}
			if seen.Doing != doing || seen.Phase != phase || seen.Source != msaAddr || seen.Destination != mxAddr || seen.Held() != (doing != event.SpentOnMSA && doing != event.SpentOnBodyMSA) {
				t.Errorf("seen %+v, and it is %s in %s", seen, doing, phase)
			}
			if phase > event.PhaseDial && seen.SendingIP != ownIP {
				t.Errorf("seen to leave from %s", seen.SendingIP)
			}
		}
		const most = 2*hold - time.Second // the reply has begun, and drips
		looks(most, event.SpentOpening, event.PhaseBanner)
		time.Sleep(time.Second)
		msa := smtptest.NewMSA(t, conn)
		msa.Expect(220)
		looks(7*time.Second, event.SpentOnMSA, event.PhaseIdle)
		for _, step := range []struct {
			line  string
			phase event.Phase
			code  int
		}{{"EHLO msa", event.PhaseEHLO, 250}, {"MAIL FROM:<a@example.jp>", event.PhaseMail, 250}, {"RCPT TO:<b@example.com>", event.PhaseRcpt, 250}, {"DATA", event.PhaseData, 354}} {
			msa.Send(step.line)
			doing := event.SpentOnMX
			if step.phase == event.PhaseEHLO {
				doing = event.SpentOpening
			}
			looks(most, doing, step.phase)
			msa.Expect(step.code)
		}
		msa.Send("Subject: hi", "")
		looks(20*time.Second, event.SpentOnBodyMSA, event.PhaseBody)
		msa.Send(".")
		looks(most, event.SpentOnMX, event.PhaseDot)
		msa.Expect(250)
		msa.Quit()
		w.close()
		for left := range w.engine.Live.All() {
			t.Errorf("seen behind its end: %+v", left)
		}
	})
}

// only is the one session that there is.
func only(t *testing.T, live *session.Live) (one session.Seen) {
	t.Helper()
	n := 0
	for seen := range live.All() {
		one = *seen
		n++
	}
	if n != 1 {
		t.Fatalf("%d sessions are seen", n)
	}
	return one
}

// Whose mail it is, the gate says, and another mail's is another.
func TestASessionIsSeenToBeOfWhomTheGateSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.engine.Gate = &namingGate{}
		msa := smtptest.NewMSA(t, w.connect())
		msa.Expect(220)
		msa.Command("EHLO msa")
		for _, sender := range []string{"a@example.jp", "b@example.jp"} {
			msa.Command("MAIL FROM:<" + sender + ">")
			if seen := only(t, w.engine.Live); seen.Tenant != "acme" || seen.Account != sender {
				t.Errorf("mail of %s is seen as %+v", sender, seen)
			}
			msa.Command("RSET")
		}
		msa.Quit()
		w.close()
	})
}

// A namingGate lets everything pass, and says that all mail is a tenant's, each sender an account.
type namingGate struct{}

func (g *namingGate) Enter(session.Origin) session.Pass { return g }
func (g *namingGate) Tell(session.News)                 {}
func (g *namingGate) Close()                            {}
func (g *namingGate) Ask(q session.Question) (d session.Decision) {
	if q.Step == event.StepMail {
		d.Whose, d.Sender = "acme", q.Sender
	}
	return d
}
