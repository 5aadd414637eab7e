package session_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/session"
	"kanmon/internal/smtp"
	own "kanmon/internal/smtp/replies"
	"kanmon/internal/smtp/smtptest"
)

// A script is a gate that decides by what it is asked, and keeps all that it hears.
type script struct {
	decide func(session.Question) session.Decision
	heard  []string
}

func (g *script) Enter(session.Origin) session.Pass { return g }

func (g *script) Ask(q session.Question) session.Decision {
	if q.Step == event.StepContent { // asked at each DATA: who scripts it hears it in what follows
		return g.decide(q)
	}
	g.heard = append(g.heard, strings.TrimSpace(fmt.Sprint(q.Step, "? ", q.Sender, q.Recipient, fieldTexts(q.Fields))))
	return g.decide(q)
}

// fieldTexts gives fields as a script hears them, with "!" behind one that is cut.
func fieldTexts(fields []smtp.HeaderField) string {
	var texts []string
	for _, f := range fields {
		if f.Cut {
			f.Text += "!"
		}
		texts = append(texts, f.Text)
	}
	return strings.Join(texts, " | ")
}

func (g *script) Tell(n session.News) { g.heard = append(g.heard, newsText(n)) }

// newsText is a piece of news as tests compare it.
func newsText(n session.News) string {
	line := n.Step.String()
	if n.Step != event.StepOver && n.Step != event.StepGivenUp {
		line = fmt.Sprint(line, " ", n.Code)
	}
	if n.Class != event.Unjudged {
		line += " " + n.Class.String()
	}
	if n.Step == event.StepMessage {
		line += fmt.Sprintf(" %d octets, %d recipients", n.Octets, n.Recipients)
	}
	return line
}

func (g *script) Close() { g.heard = append(g.heard, "closed") }

// refusing lets everything pass but what the function says.
func refusing(is func(session.Question) bool, with session.Decision) *script {
	return &script{decide: func(q session.Question) session.Decision {
		if is(q) {
			return with
		}
		return session.Decision{}
	}}
}

func nothing(session.Question) bool { return false }

var tooMuch = session.Decision{
	Refuse: session.RefuseNow, Say: own.LimitReached.Say("this account", "100 messages per hour", "1", "retry in 5 minutes"),
	Notes: []event.Note{{Did: "deferred", Tenant: "acme", Rule: "limit 1", Why: "101 of 100"}},
}

// The gate is asked before each command is forwarded, and told what came of it, in order.
func TestGateIsAskedAndTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		gate := refusing(nothing, session.Decision{})
		r.engine.Gate = gate
		r.mx.Reply = func(verb string, n int) string {
			if verb == "RCPT" && n == 2 {
				return "550 5.1.1 no such user\r\n"
			}
			return smtptest.Default
		}
		msa := r.msa(t)
		msa.Expect(220)
		msa.Command("EHLO msa.example.com")
		msa.Pipeline("MAIL FROM:<a@example.com> SIZE=6", "RCPT TO:<b@example.net>", "RCPT TO:<c@example.net>")
		msa.Command("DATA")
		msa.Send("text", ".")
		msa.Expect(250)
		msa.Command("MAIL FROM:<>")
		msa.Command("RSET")
		msa.Command("QUIT")
		synctest.Wait()
		want := []string{
			"connect?", "over", "mail? a@example.com", "leave?", "rcpt? b@example.net", "rcpt? c@example.net", "mail 250", "rcpt 250", "rcpt 550 policy_unspecified",
			"message 250 6 octets, 1 recipients", "over", "mail?", "leave?", "mail 250", "over", "closed",
		}
		if !slices.Equal(gate.heard, want) {
			t.Errorf("heard\n%q, want\n%q", gate.heard, want)
		}
	})
}

// A delay holds a command back, and no drain.
func TestGateDelayHoldsUpNoDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		r.engine.Gate = refusing(func(q session.Question) bool { return q.Step == event.StepMail }, session.Decision{Delay: time.Hour})
		conn, _, _ := r.connect()
		msa := smtptest.NewMSA(t, conn)
		msa.Expect(220)
		msa.Command("EHLO msa.example.com")
		msa.Send("MAIL FROM:<a@example.com>")
		synctest.Wait()
		begun := time.Now()
		go func() { _ = r.live.Drain(t.Context()) }()
		msa.Expect(421)
		if took := time.Since(begun); took > 5*time.Second {
			t.Errorf("the drain was held up for %s", took)
		}
		_ = conn.Close()
		synctest.Wait()
	})
}

// What a mail is admitted for holds when it then moves to another sending IP: the gate hears of no end in between.
func TestGateHearsNoEndOfAMailThatMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newMoving()
		gate := refusing(nothing, session.Decision{})
		r.engine.Gate = gate
		msa := r.msa(t)
		msa.Expect(220)
		msa.Command("EHLO msa.example.com")
		gate.heard = nil
		msa.Pipeline("MAIL FROM:<b@example.com>", "RCPT TO:<c@example.net>")
		if want := []string{"mail? b@example.com", "leave?", "rcpt? c@example.net", "mail 250", "rcpt 250"}; !slices.Equal(gate.heard, want) {
			t.Errorf("heard %q, want %q", gate.heard, want)
		}
		msa.Command("RSET")
		gate.heard = nil
		msa.Pipeline("MAIL FROM:<a@example.com>", "RCPT TO:<x@other.example>")
		if want := []string{"mail? a@example.com", "leave?", "leave?", "rcpt? x@other.example", "mail 250", "rcpt 250"}; !slices.Equal(gate.heard, want) {
			t.Errorf("a recipient that moves: heard %q, want %q", gate.heard, want)
		}
		finishSession(msa)
	})
}

// Two mails in one group are two questions, whatever became of the first; inside a transaction there is no second.
//
// law: B9
func TestGateSeesEveryMailOfAGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		r.engine.Gate = refusing(func(q session.Question) bool { return q.Step == event.StepMail && q.Sender == "bad@example.com" }, tooMuch)
		r.mx.Reply = func(verb string, n int) string {
			if verb == "MAIL" && n == 1 {
				return "553 5.1.8 no\r\n"
			}
			return smtptest.Default
		}
		msa := r.msa(t)
		msa.Expect(220)
		msa.Command("EHLO msa.example.com")
		for _, group := range [][]string{
			{"MAIL FROM:<x@example.com>", "MAIL FROM:<bad@example.com>", "RCPT TO:<c@example.net>", "DATA"},
			{"MAIL FROM:<x@example.com>", "RCPT TO:<c@example.net>", "mail FROM:<bad@example.com>", "RCPT TO:<d@example.net>", "DATA"},
		} {
			replies := msa.Pipeline(group...)
			if last := replies[len(replies)-1]; last.Code == 354 {
				msa.Send("text", ".")
				msa.Expect(250)
			}
		}
		finishSession(msa)
		if got := senders(&r.mx); !slices.Equal(got, []string{"x@example.com"}) {
			t.Errorf("delivered from %q", got)
		}
	})
}

// A MAIL that is not one, behind a DATA that the MX refused, begins nothing: what follows it is not for the old transaction.
func TestStrayMailBehindRefusedData(t *testing.T) {
	for _, stray := range []string{"MAIL FROM:<caf\xe9@example.com>", "MAIL FROM:<a\x00@example.com>", "MAIL FROM:<" + strings.Repeat("x", 5000) + ">"} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig()
			r.mx.Reply = func(verb string, n int) string {
				if verb == "DATA" && n == 1 {
					return "451 not now\r\n"
				}
				return smtptest.Default
			}
			msa := r.msa(t)
			msa.Expect(220)
			msa.Command("EHLO msa.example.com")
			msa.Pipeline("MAIL FROM:<a@example.com>", "RCPT TO:<b@example.net>", "DATA")
			for i, reply := range msa.Pipeline(stray, "RCPT TO:<c@example.net>", "DATA") {
				if reply.Class() != 5 {
					t.Errorf("%.20q, reply %d: %s", stray, i, reply)
				}
			}
			finishSession(msa)
			if r.mx.Mailbox.Len() != 0 {
				t.Errorf("%.20q: delivered %+v", stray, r.mx.Mailbox.Transactions())
			}
		})
	}
}

// The sender is known to whoever judges, however long the envelope.
func TestJudgeKnowsTheSenderOfALongEnvelope(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		judge := &heardRefusals{}
		r.engine.Judge = judge
		r.mx.Reply = func(verb string, n int) string {
			if verb == "RCPT" && n == 700 {
				return "550 no\r\n"
			}
			return smtptest.Default
		}
		msa := r.msa(t)
		msa.Expect(220)
		msa.Command("EHLO msa.example.com")
		msa.Command("MAIL FROM:<a@example.com>")
		for i := range 700 {
			msa.Command(fmt.Sprintf("RCPT TO:<%s%d@example.net>", strings.Repeat("x", 120), i))
		}
		finishSession(msa)
		if len(judge.heard) != 1 || string(judge.heard[0].Sender) != "a@example.com" || !strings.HasSuffix(string(judge.heard[0].Recipient), "x699@example.net") {
			t.Errorf("heard %d: %+v", len(judge.heard), judge.heard)
		}
	})
}

// heardRefusals keeps what it is asked to judge.
type heardRefusals struct {
	indifferent
	heard []session.MXRefusal
}

func (h *heardRefusals) Judge(r session.MXRefusal) session.Judgement {
	h.heard = append(h.heard, r)
	return session.Judgement{}
}
