package session_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/session"
	"kanmon/internal/smtp/smtptest"
)

// An MSA that hangs up while a limit holds what it has said waits for nobody's reply: nothing of that goes to the MX, and the gate is not asked
// about it any more.
func TestWhoLeavesWhileItIsHeldIsNotSpokenFor(t *testing.T) {
	const rest = "a@x aborted"
	for step, want := range map[event.Step]struct{ said, mail string }{
		event.StepConnect:   {},
		event.StepMail:      {"EHLO QUIT", rest},
		event.StepLeave:     {"EHLO QUIT", rest},
		event.StepRecipient: {"EHLO QUIT", rest + "; r@x not_sent told 0 by msa"},
	} {
		for _, again := range []bool{false, true} {
			asked := 0
			gate := &script{decide: func(q session.Question) (d session.Decision) {
				if q.Step != step {
					return d
				}
				if asked++; asked < 100 {
					d = session.Decision{Delay: 5 * time.Second, Again: again}
				}
				return d
			}}
			var rig *manyIPs
			c := recordedFromConnect(t, func(r *manyIPs) { rig, r.engine.Gate = r, gate }, func(msa *smtptest.MSA) {
				if step != event.StepConnect {
					msa.Expect(220)
					msa.Command("EHLO msa.example.com")
					lines := []string{"MAIL FROM:<a@x>", "RCPT TO:<r@x>"}
					if step != event.StepRecipient {
						lines = lines[:1]
					}
					msa.Send(lines...)
				}
				time.Sleep(3 * time.Second)
			})
			if got := strings.Join(verbs(rig.mx.Mailbox.Commands()), " "); got != want.said || asked > 2 {
				t.Errorf("held at %s, asked again %t: the MX heard %q, want %q; asked %d times", step, again, got, want.said, asked)
			}
			if got := strings.Join(c.mails, "\n"); got != want.mail || c.end.Reason != "msa_lost" {
				t.Errorf("held at %s, asked again %t: on record %q and %s, want %q", step, again, got, c.end.Reason, want.mail)
			}
		}
	}
}

// verbs gives the first words of commands.
func verbs(commands []string) (verbs []string) {
	for _, c := range commands {
		verb, _, _ := strings.Cut(c, " ")
		verbs = append(verbs, verb)
	}
	return verbs
}

// Where the gate does not let a session in, each mail has its own recipients: however many mails come without RSET, an MSA that keeps to what it
// may say is not abusive.
//
// law: B9
func TestManyMailsThatAreTurnedAwayAreNoAbuse(t *testing.T) {
	const mails, each = 15, 100
	recorded(t, func(r *manyIPs) {
		r.engine.Gate = refusing(func(q session.Question) bool { return q.Step == event.StepConnect }, tooMuch)
	}, func(msa *smtptest.MSA) {
		lines := slices.Concat([]string{"MAIL FROM:<a@x>"}, slices.Repeat([]string{"RCPT TO:<r@x>"}, each), []string{"DATA"})
		for i := range mails {
			msa.Send(lines...)
			for at, line := range lines {
				reply, err := msa.Next()
				if want := map[bool]int{true: 4, false: 5}[at == 0]; err != nil || reply.Class() != want || reply.Code == 421 {
					t.Errorf("mail %d: %q gets %v, %v", i, line, reply, err)
					return
				}
			}
		}
		if err := msa.Quit(); err != nil {
			t.Error(err)
		}
	})
}

// A mail that cannot leave for where its first recipient is has no recipient: that is what a DATA behind it is told, and not that its MAIL is
// missing, which was accepted.
func TestDATABehindAStrandedRecipientNeedsARecipient(t *testing.T) {
	recordedFromConnect(t, func(r *manyIPs) {
		m := new(byName)
		r.engine.Mover, r.engine.Judge, r.choose = m, nil, m.right
		r.mxs[1].Reply = always("BANNER", smtptest.CloseConn)
	}, func(msa *smtptest.MSA) {
		msa.Expect(220)
		msa.Command("EHLO msa.example.com")
		got := msa.Pipeline("MAIL FROM:<a@example.com>", "RCPT TO:<x@other.example>", "DATA")
		if got[0].Code != 250 || got[1].Class() != 4 || !strings.Contains(got[2].String(), "503 5.5.1 kanmon: need RCPT first") {
			t.Errorf("told %v", got)
		}
	})
}
