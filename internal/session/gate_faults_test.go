package session_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/session"
	"kanmon/internal/smtp/smtptest"
	"kanmon/internal/who/mailbox"
)

// A DATA that the MX refuses leaves the mail open at many MXs, for another try. It is not over for the gate either; where the MX then
// refuses a MAIL, what follows would be a mail that the gate takes for another sender's.
//
// law: B9
func TestGateBehindARefusedData(t *testing.T) {
	refused := []string{"MAIL FROM:<a@example.com>", "RCPT TO:<b@example.net>", "DATA"}
	const over = "mail 503 policy_unspecified"
	for name, c := range map[string]struct {
		groups    [][]string
		delivered int
		heard     []string // behind the refusal
	}{
		"another DATA":      {[][]string{refused, {"DATA"}}, 1, []string{"message 250 6 octets, 1 recipients", "over"}},
		"another recipient": {[][]string{refused, {"RCPT TO:<c@example.net>", "DATA"}}, 1, []string{"rcpt? c@example.net", "rcpt 250", "message 250 6 octets, 2 recipients", "over"}},
		"no recipient yet": {
			[][]string{{"MAIL FROM:<a@example.com>", "DATA"}, {"RCPT TO:<c@example.net>", "DATA"}, {"DATA"}},
			1,
			[]string{"message 250 6 octets, 1 recipients", "over"},
		},
		"a nested MAIL":               {[][]string{refused, {"MAIL FROM:<x@example.com>"}, {"RCPT TO:<c@example.net>", "DATA"}}, 0, []string{"mail? x@example.com", "leave?", over}},
		"a nested MAIL in one group":  {[][]string{refused, {"MAIL FROM:<x@example.com>", "RCPT TO:<c@example.net>", "DATA"}}, 0, []string{"mail? x@example.com", "leave?", over}},
		"a nested MAIL and DATA only": {[][]string{refused, {"MAIL FROM:<x@example.com>", "DATA"}}, 0, []string{"mail? x@example.com", "leave?", over}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig()
				gate := refusing(nothing, session.Decision{})
				r.engine.Gate = gate
				r.mx.Reply = refuseAt("DATA", 1, "451 not now\r\n")
				msa := r.msa(t)
				msa.Expect(220)
				msa.Command("EHLO msa.example.com")
				for _, group := range c.groups {
					replies := msa.Pipeline(group...)
					if replies[len(replies)-1].Code == 354 {
						msa.Send("text", ".")
						msa.Expect(250)
					}
				}
				synctest.Wait()
				heard := gate.heard[slices.IndexFunc(gate.heard, func(line string) bool { return strings.HasPrefix(line, "data ") })+1:]
				if r.mx.Mailbox.Len() != c.delivered || !slices.Equal(heard, c.heard) {
					t.Errorf("%d delivered, want %d; heard %q, want %q", r.mx.Mailbox.Len(), c.delivered, heard, c.heard)
				}
				msa.Command("RSET")
				msa.Pipeline("MAIL FROM:<a@example.com>", "RCPT TO:<b@example.net>")
				if reply := msa.Data([]byte("text\r\n")); reply.Code != 250 {
					t.Errorf("the next mail: %s", reply)
				}
				finishSession(msa)
				synctest.Wait()
			})
		})
	}
}

// The gate is asked about the mailbox that an MX may read in the line, in its one form; what can be read in two ways is nobody's, and
// never the null sender's.
//
// law: B10 I17
func TestGateKnowsASenderWithoutBrackets(t *testing.T) {
	for line, want := range map[string]string{
		"MAIL FROM:a@example.com":                  "a@example.com",
		"MAIL FROM: a@example.com SIZE=6":          "a@example.com",
		"MAIL FROM:Bob <a@example.com>":            mailbox.Unreadable,
		"MAIL FROM:<a@example.com":                 mailbox.Unreadable,
		"MAIL FROM:<>":                             "",
		"MAIL FROM: <>":                            "",
		"MAIL FROM:< >":                            "",
		"MAIL FROM:<@r.example:>":                  "",
		"MAIL FROM:<\"\">":                         "",
		"MAIL FROM:":                               "",
		"MAIL FROM:<\"a>b\"@example.com> X=1":      "\"a>b\"@example.com",
		"MAIL FROM:<@r.example:A@EXAMPLE.com>":     "a@example.com",
		"MAIL FROM:< a@example.com>":               "a@example.com",
		"MAIL FROM:<a@example.com\t>":              "a@example.com",
		"MAIL FROM:<a(x)@example.com.>":            "a@example.com",
		"MAIL FROM:<\"\\a\"@example.com>":          "a@example.com",
		"MAIL FROM:<a@example.com> SIZE=6 AUTH=<>": "a@example.com",
		"MAIL FROM:<a@example.com><b@example.com>": mailbox.Unreadable,
		"MAIL FROM:<a@example.com> b@example.com":  mailbox.Unreadable,
		"MAIL FROM:(x) a@example.com":              mailbox.Unreadable,
		"MAIL FROM:<a@b@example.com>":              mailbox.Unreadable,
		"MAIL <a@example.com>":                     mailbox.Unreadable,
		"MAIL FROM:SIZE=6":                         mailbox.Unreadable,
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig()
			gate := refusing(nothing, session.Decision{})
			r.engine.Gate = gate
			msa := r.msa(t)
			msa.Expect(220)
			msa.Command("EHLO msa.example.com")
			msa.Command(line)
			finishSession(msa)
			synctest.Wait()
			if asked := strings.TrimSpace("mail? " + want); !slices.Contains(gate.heard, asked) {
				t.Errorf("%s: heard %q, want %q", line, gate.heard, asked)
			}
		})
	}
}

// A panickingGate cannot take the news of a message.
type panickingGate struct{ *script }

func (g panickingGate) Enter(session.Origin) session.Pass { return g }

func (g panickingGate) Tell(n session.News) {
	if n.Step == event.StepMessage {
		panic("no news today")
	}
	g.script.Tell(n)
}

// Whatever becomes of the news, the gate is told that the session has ended: else its places would be lost.
func TestGateIsLeftAfterAPanic(t *testing.T) {
	for _, reply := range []string{smtptest.Default, smtptest.CloseConn} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig()
			gate := refusing(nothing, session.Decision{})
			r.engine.Gate = panickingGate{gate}
			r.mx.Reply = refuseAt(".", 1, reply)
			msa := r.msa(t)
			_ = msa.Deliver("a@example.com", []string{"b@example.net"}, []byte("text\r\n"), true)
			_ = msa.Conn().Close()
			synctest.Wait()
			if n := strings.Count(strings.Join(gate.heard, "\n"), "closed"); n != 1 {
				t.Errorf("reply %q: told %d times that it is over: %q", reply, n, gate.heard)
			}
		})
	}
}

// An MSA that has gone while its command is held is not asked about again and again.
func TestNobodyIsAskedAboutAnMSAThatHasGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, asked := newRig(), 0
		gate := &script{decide: func(q session.Question) (d session.Decision) {
			if q.Step == event.StepMail {
				if asked++; asked < 100 { // else this would never end
					return did("delayed", session.Decision{Delay: time.Second, Again: true})
				}
			}
			return d
		}}
		r.engine.Gate = gate
		msa := r.msa(t)
		msa.Expect(220)
		msa.Command("EHLO msa.example.com")
		msa.Send("MAIL FROM:<a@example.com>")
		_ = msa.Conn().Close()
		time.Sleep(time.Hour)
		synctest.Wait()
		if asked > 2 {
			t.Errorf("asked %d times", asked)
		}
	})
}
