package session_test

import (
	"fmt"
	"io"
	"net/netip"
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
	if n.Class != "" {
		line += " " + n.Class
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
			"connect?", "over", "mail? a@example.com", "leave?", "rcpt? b@example.net", "rcpt? c@example.net", "mail 250", "rcpt 250", "rcpt 550 other",
			"message 250 6 octets, 1 recipients", "over", "mail?", "leave?", "mail 250", "over", "closed",
		}
		if !slices.Equal(gate.heard, want) {
			t.Errorf("heard\n%q, want\n%q", gate.heard, want)
		}
	})
}

// A mail that the gate refuses does not reach the MX, whatever is pipelined behind it; the next one passes.
//
// law: I6 I13
func TestGateRefusesAMail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		r.engine.Gate = refusing(func(q session.Question) bool { return q.Step == event.StepMail && q.Sender == "bad@example.com" }, tooMuch)
		r.mx.Reply = func(verb string, n int) string {
			if verb == "DATA" && n == 1 {
				return "451 not now\r\n" // the transaction stays open at this MX
			}
			return smtptest.Default
		}
		msa := r.msa(t)
		msa.Expect(220)
		msa.Command("EHLO msa.example.com")
		msa.Pipeline("MAIL FROM:<a@example.com>", "RCPT TO:<b@example.net>", "DATA")
		replies := msa.Pipeline("MAIL FROM:<bad@example.com>", "RCPT TO:<c@example.net>", "DATA")
		for i, code := range []int{451, 503, 503} {
			if replies[i].Code != code {
				t.Errorf("reply %d: %+v, want %d", i, replies[i], code)
			}
		}
		if text := fmt.Sprint(replies[0]); !strings.Contains(text, `4.7.1 kanmon: sending limit reached for this account: 100 messages per hour (limit "1"); retry in 5 minutes`) {
			t.Errorf("told %q", text)
		}
		msa.Command("RSET")
		msa.Pipeline("MAIL FROM:<a@example.com>", "RCPT TO:<b@example.net>")
		if reply := msa.Data([]byte("text\r\n")); reply.Code != 250 {
			t.Errorf("the next mail: %+v", reply)
		}
		_ = msa.Quit()
		time.Sleep(time.Hour)
		if got := senders(&r.mx); !slices.Equal(got, []string{"a@example.com"}) {
			t.Errorf("delivered from %q", got)
		}
	})
}

// One recipient too many is refused, the others get the mail.
func TestGateRefusesARecipient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		forGood := tooMuch
		forGood.Refuse = session.RefuseForGood
		r.engine.Gate = refusing(func(q session.Question) bool { return q.Recipient == "c@example.net" }, forGood)
		msa := r.msa(t)
		got := msa.Deliver("a@example.com", []string{"b@example.net", "c@example.net", "d@example.net"}, []byte("text\r\n"), true)
		if got.Verdicts[0] != smtptest.Accepted || got.Verdicts[1] == smtptest.Accepted || got.Verdicts[2] != smtptest.Accepted {
			t.Errorf("%v %v", got.Verdicts, got.Err)
		}
		_ = msa.Quit()
		time.Sleep(time.Hour)
		if tx := r.mx.Mailbox.Transactions(); len(tx) != 1 || !slices.Equal(tx[0].Recipients, []string{"b@example.net", "d@example.net"}) {
			t.Errorf("delivered: %+v", tx)
		}
	})
}

// Whom the gate does not let in learns it at MAIL, in a 4xx, and the MX is not connected to.
//
// law: I13
func TestGateRefusesASession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		r.engine.Gate = refusing(func(q session.Question) bool { return q.Step == event.StepConnect }, tooMuch)
		msa := r.msa(t)
		msa.Expect(220)
		msa.Command("EHLO msa.example.com")
		if reply := msa.Command("MAIL FROM:<a@example.com>"); reply.Code != 451 || !strings.Contains(fmt.Sprint(reply), "retry in 5 minutes") {
			t.Errorf("told %+v", reply)
		}
		msa.Command("QUIT")
		if r.dialled != 0 {
			t.Errorf("%d dials", r.dialled)
		}
	})
}

// A delay holds the command back, and nothing else: the mail arrives, and a drain is not held up.
func TestGateDelays(t *testing.T) {
	for _, delay := range []time.Duration{10 * time.Second, time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig()
			r.engine.Gate = refusing(func(q session.Question) bool { return q.Step == event.StepMail }, session.Decision{Delay: delay})
			msa := r.msa(t)
			msa.Expect(220)
			msa.Command("EHLO msa.example.com")
			begun := time.Now()
			replies := msa.Pipeline("MAIL FROM:<a@example.com>", "RCPT TO:<b@example.net>")
			if took := time.Since(begun); replies[0].Code != 250 || replies[1].Code != 250 || took != min(delay, session.MaxDelay) {
				t.Errorf("%+v after %s", replies, took)
			}
			msa.Command("DATA")
			msa.Send("text", ".")
			msa.Expect(250)
			if r.mx.Mailbox.Len() != 1 {
				t.Error("not delivered")
			}
			msa.Command("QUIT")
		})
	}
	t.Run("the MSA hangs up", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig()
			r.engine.Gate = refusing(func(q session.Question) bool { return q.Step == event.StepMail }, session.Decision{Delay: time.Hour})
			conn, _, ended := r.connect()
			msa := smtptest.NewMSA(t, conn)
			msa.Expect(220)
			msa.Command("EHLO msa.example.com")
			_, _ = io.WriteString(conn, "MAIL FROM:<a@example.com>\r\n")
			synctest.Wait()
			_ = conn.Close()
			begun := time.Now()
			<-ended
			if took := time.Since(begun); took > 5*time.Second {
				t.Errorf("the session went on for %s", took)
			}
		})
	})
	t.Run("drain", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig()
			r.engine.Gate = refusing(func(q session.Question) bool { return q.Step == event.StepMail }, session.Decision{Delay: time.Hour})
			conn, _, _ := r.connect()
			msa := smtptest.NewMSA(t, conn)
			msa.Expect(220)
			msa.Command("EHLO msa.example.com")
			_, _ = io.WriteString(conn, "MAIL FROM:<a@example.com>\r\n")
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
	})
}

// A mail inside a transaction is the MX's to refuse: the gate's account of the first one stands.
func TestGateCountsAMailOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		gate := refusing(nothing, session.Decision{})
		r.engine.Gate = gate
		msa := r.msa(t)
		msa.Expect(220)
		msa.Command("EHLO msa.example.com")
		msa.Pipeline("MAIL FROM:<a@example.com>", "MAIL FROM:<b@example.com>", "RCPT TO:<c@example.net>")
		msa.Command("MAIL FROM:<d@example.com>")
		asked := slices.DeleteFunc(slices.Clone(gate.heard), func(line string) bool { return !strings.HasPrefix(line, "mail?") })
		if !slices.Equal(asked, []string{"mail? a@example.com"}) {
			t.Errorf("asked %q", asked)
		}
		msa.Command("QUIT")
	})
}

// A message whose reply never came may have been delivered: the gate hears of it.
func TestGateHearsOfADotWithoutReply(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		gate := refusing(nothing, session.Decision{})
		r.engine.Gate = gate
		r.mx.Reply = func(verb string, _ int) string {
			if verb == "." {
				return smtptest.CloseConn
			}
			return smtptest.Default
		}
		msa := r.msa(t)
		_ = msa.Deliver("a@example.com", []string{"b@example.net"}, []byte("text\r\n"), true)
		_ = msa.Conn().Close()
		synctest.Wait()
		if !slices.Contains(gate.heard, "message 0 6 octets, 1 recipients") || gate.heard[len(gate.heard)-1] != "closed" {
			t.Errorf("heard %q", gate.heard)
		}
	})
}

// The pool that the gate names reaches whoever dials and whoever judges the sending IP, and the next mail is free of it.
func TestGateNamesAPool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newMoving()
		m := &byPool{}
		r.engine.Mover = m
		r.choose = m.right
		r.engine.Gate = refusing(func(q session.Question) bool { return q.Step == event.StepMail && q.Sender == "bad@example.com" },
			session.Decision{Pool: "quarantine"})
		msa := r.msa(t)
		for _, from := range []string{"a@example.com", "bad@example.com", "a@example.com"} {
			if got := msa.Deliver(from, []string{"c@example.net"}, []byte("text\r\n"), true); !got.All(smtptest.Accepted) {
				t.Errorf("from %q: %v %v", from, got.Verdicts, got.Err)
			}
		}
		_ = msa.Quit()
		time.Sleep(time.Hour)
		if first, second := senders(&r.mx), senders(&r.second); !slices.Equal(first, []string{"a@example.com", "a@example.com"}) || !slices.Equal(second, []string{"bad@example.com"}) {
			t.Errorf("from the first IP %q, from the second %q", first, second)
		}
	})
}

// byPool has the second sending IP for the pool "quarantine".
type byPool struct{}

func (m *byPool) MayStay(req session.DialRequest, ip netip.Addr) bool { return ip == m.right(req) }

func (*byPool) right(req session.DialRequest) netip.Addr {
	if req.Pool == "quarantine" {
		return sendingIPs[1]
	}
	return sendingIPs[0]
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

// However many commands of a group are held, their replies come in time for the MSA.
//
// law: I12
func TestGateDelaysDoNotAddUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		r.engine.Gate = refusing(func(q session.Question) bool { return q.Step != event.StepLeave }, session.Decision{Delay: time.Hour})
		begun := time.Now()
		msa := r.msa(t)
		msa.Expect(220)
		if took := time.Since(begun); took > 25*time.Second {
			t.Errorf("the banner took %s", took)
		}
		msa.Command("EHLO msa.example.com")
		begun = time.Now()
		group := []string{"MAIL FROM:<a@example.com>"}
		for i := range 10 {
			group = append(group, fmt.Sprintf("RCPT TO:<b%d@example.net>", i))
		}
		if msa.Pipeline(group...); time.Since(begun) > session.MaxDelay {
			t.Errorf("a group took %s", time.Since(begun))
		}
		finishSession(msa)
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
