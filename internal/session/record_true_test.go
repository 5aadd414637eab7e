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
	"kanmon/internal/smtp/smtptest"
)

// A clerk keeps what records say of mails, a line each: sender, outcome, the reply that decides, and of each recipient fate, what the MSA
// was told, and who decided.
type clerk struct {
	mails     []string
	trans     []event.Transaction
	actions   []event.Action
	decisions []event.Decided
	notes     []string
	end       event.End
	spent     []event.Spent
	took      []time.Duration
	ips       []string
	tls       event.TLS // with the MSA
}

func (c *clerk) Record(r *event.Record) {
	for _, l := range r.Lines {
		if l.Mark == event.MarkNote {
			c.notes = append(c.notes, string(r.Text(l.Text)))
		}
	}
	c.actions, c.decisions = append(c.actions, r.Actions...), append(c.decisions, r.Decisions...)
	if t := r.Transaction; t != nil {
		line := fmt.Sprintf("%s %s", r.Text(t.Sender), t.Outcome)
		for i := range t.Recipients {
			p := &t.Recipients[i]
			told := uint16(0)
			if by := t.Decides(&p.Reply); by != nil {
				told = by.Told
				if rule := t.Meaning(by).Rule; rule != "" && by.Local {
					line += " by " + rule
				}
			}
			line += fmt.Sprintf("; %s %s told %d by %s", r.Text(p.Address), t.Fate(&p.Reply), told, t.By(&p.Reply))
		}
		c.mails = append(c.mails, line)
		kept := *t
		kept.Recipients = slices.Clone(t.Recipients)
		c.trans, c.spent, c.took = append(c.trans, kept), append(c.spent, r.Spent), append(c.took, r.Took)
		c.ips = append(c.ips, r.Session.SendingIP.String())
	}
	if r.End != nil {
		c.end = *r.End
		c.end.Legs, c.end.Opening = slices.Clone(r.End.Legs), slices.Clone(r.End.Opening)
		if r.Session.MSA != nil {
			c.tls = *r.Session.MSA
		}
	}
	r.Release()
}

// recorded runs a session between what plays the MSA and two sending IPs' MXs, and gives what is on record of it.
func recorded(t *testing.T, set func(*manyIPs), play func(*smtptest.MSA)) (c clerk) {
	return recordedFromConnect(t, set, func(msa *smtptest.MSA) {
		msa.Expect(220)
		msa.Command("EHLO msa.example.com")
		play(msa)
	})
}

// recordedFromConnect is recorded for an MSA that may not be greeted.
func recordedFromConnect(t *testing.T, set func(*manyIPs), play func(*smtptest.MSA)) (c clerk) {
	synctest.Test(t, func(t *testing.T) {
		r := newManyIPs(2)
		r.engine.Recorder = &c
		set(r)
		msa := r.msa(t)
		play(msa)
		_ = msa.Conn().Close()
		time.Sleep(time.Hour)
		synctest.Wait()
	})
	return c
}

// wants compares the mails on record.
func (c *clerk) wants(t *testing.T, want ...string) {
	t.Helper()
	if !slices.Equal(c.mails, want) {
		t.Errorf("on record:\n  %s\nwant:\n  %s", strings.Join(c.mails, "\n  "), strings.Join(want, "\n  "))
	}
}

// sayMail says a mail of a@x, as far as that goes.
func sayMail(msa *smtptest.MSA, rcpts ...string) {
	lines := []string{"MAIL FROM:<a@x>"}
	for _, r := range rcpts {
		lines = append(lines, "RCPT TO:<"+r+">")
	}
	msa.Send(append(lines, "DATA")...)
	for range len(lines) + 2 {
		reply, err := msa.Next()
		if err != nil {
			return
		}
		if reply.Code == 354 {
			msa.Send("text", ".")
		}
	}
}

// limited refuses a sender for now, by a rule.
func limited(sender string) session.Gate {
	return &script{decide: func(q session.Question) (d session.Decision) {
		if q.Step == event.StepMail && q.Sender == sender {
			d = tooMuch
			d.Notes = []event.Note{{Did: "deferred", Tenant: "t", Account: sender, Rule: "limit hourly", Why: "11 of 10"}}
		}
		return d
	}}
}

// audit-D1 audit-D2
func TestEachMailHasItsOwnLine(t *testing.T) {
	nested := recorded(t, func(*manyIPs) {}, func(msa *smtptest.MSA) {
		msa.Pipeline("MAIL FROM:<a@x>", "RCPT TO:<r@x>")
		msa.Command("MAIL FROM:<b@x>")
		msa.Data([]byte("text\r\n"))
	})
	nested.wants(t, "a@x delivered; r@x delivered told 250 by mx")

	later := recorded(t, func(r *manyIPs) { r.mx.Reply = refuseAt("DATA", 1, "451 4.3.0 later\r\n") }, func(msa *smtptest.MSA) {
		msa.Pipeline("MAIL FROM:<a@x>", "RCPT TO:<r@x>", "DATA")
		msa.Pipeline("MAIL FROM:<b@x>", "RCPT TO:<s@x>")
	})
	later.wants(t, "a@x deferred; r@x deferred told 451 by mx", "b@x refused; s@x refused told 503 by mx")

	limits := recorded(t, func(r *manyIPs) {
		r.engine.Gate = limited("b@x")
		r.mx.Reply = refuseAt("MAIL", 1, "550 5.1.8 no\r\n")
	}, func(msa *smtptest.MSA) {
		msa.Pipeline("MAIL FROM:<a@x>", "MAIL FROM:<b@x>", "RCPT TO:<r@x>", "MAIL FROM:<c@x>", "RCPT TO:<s@x>")
		_ = msa.Data([]byte("text\r\n"))
	})
	limits.wants(t, "a@x refused", "b@x deferred by limit hourly; r@x deferred told 451 by kanmon", "c@x delivered; s@x delivered told 250 by mx")
}

// audit-D3: whatever kanmon does between two replies of a group is not the MX's time.
func TestARescueIsNotTheTimeOfReplies(t *testing.T) {
	c := recorded(t, func(r *manyIPs) {
		r.mx.Reply = refuseAt("RCPT", 1, smtptest.Delay(300*time.Millisecond)+"550 5.7.1 listed\r\n")
		r.mxs[1].Reply = refuseAt("BANNER", 1, smtptest.Delay(2*time.Second)+"554 5.7.1 no\r\n"+smtptest.CloseConn)
	}, func(msa *smtptest.MSA) {
		msa.Pipeline("MAIL FROM:<a@x>", "RCPT TO:<bad@x>", "RCPT TO:<good@x>", "DATA")
		msa.Send("text", ".")
		msa.Expect(250)
	})
	c.wants(t, "a@x delivered; bad@x deferred told 450 by kanmon; good@x delivered told 250 by mx")
	for _, p := range []event.Reply{c.trans[0].Recipients[0].Reply, c.trans[0].Recipients[1].Reply, c.trans[0].Data} {
		if d := p.Took.Duration(); d < 300*time.Millisecond || d > 310*time.Millisecond {
			t.Errorf("took %s, want 300 ms", d)
		}
	}
	if s := c.spent[0]; s[event.SpentRescuing] < 2*time.Second || s[event.SpentOnMX] > 310*time.Millisecond || s[event.SpentByKanmon] > time.Millisecond {
		t.Errorf("spent %v", s)
	}
}

// audit-D4
func TestARescueThatTheMSALeavesKeepsTheRefusal(t *testing.T) {
	c := recorded(t, func(r *manyIPs) {
		r.mx.Reply = refuseAt("RCPT", 1, "550 5.7.1 listed\r\n")
		r.mxs[1].Reply = refuseAt("BANNER", 1, smtptest.Delay(time.Minute)+smtptest.Default)
	}, func(msa *smtptest.MSA) {
		msa.Send("MAIL FROM:<a@x>", "RCPT TO:<r@x>")
		msa.Expect(250)
		time.Sleep(time.Second)
	})
	c.wants(t, "a@x refused; r@x refused told 0 by mx")
	if c.ips[0] != sendingIPs[0].String() || len(c.actions) != 1 || c.actions[0].Did != event.RescueFailed {
		t.Errorf("from %s, %+v", c.ips[0], c.actions)
	}
}

// audit-D5: what was never asked has no reply, however long the session has waited meanwhile.
func TestWhatWasNotAskedHasNoReply(t *testing.T) {
	c := recorded(t, func(r *manyIPs) { r.mx.Reply = refuseAt("RCPT", 1, smtptest.Delay(10*time.Second)+smtptest.Default) }, func(msa *smtptest.MSA) {
		msa.Pipeline("MAIL FROM:<a@x>", "RCPT TO:<r@x>")
		msa.Command("RSET")
	})
	c.wants(t, "a@x reset; r@x not_sent told 0 by msa")
	if tx := c.trans[0]; tx.Data != (event.Reply{}) || tx.Dot != (event.Reply{}) {
		t.Errorf("data %+v, dot %+v", tx.Data, tx.Dot)
	}
}

// audit-D8 audit-D20: the words of an MX that ends the session are on record as its own, and kanmon's as kanmon's.
func TestTheLastWordIsOnRecordWithWhoseItIs(t *testing.T) {
	bye := "421 4.3.2 going down\r\n" + smtptest.CloseConn
	for _, verb := range []string{"MAIL", "RCPT", "DATA", "."} {
		c := recorded(t, func(r *manyIPs) { r.mx.Reply = refuseAt(verb, 1, bye) }, func(msa *smtptest.MSA) {
			sayMail(msa, "r@x")
		})
		tx := c.trans[0]
		r := map[string]*event.Reply{"MAIL": &tx.Mail, "DATA": &tx.Data, ".": &tx.Dot}[verb]
		if verb == "RCPT" {
			r = &tx.Recipients[0].Reply
		}
		if r.Code != 421 || r.Local || r.Told != 421 || tx.Outcome != event.OutcomeDeferred {
			t.Errorf("%s: %s, %+v", verb, tx.Outcome, *r)
		}
		lost := recorded(t, func(r *manyIPs) { r.mx.Reply = refuseAt(verb, 1, smtptest.CloseConn) }, func(msa *smtptest.MSA) {
			sayMail(msa, "r@x")
		})
		tx = lost.trans[0]
		r = map[string]*event.Reply{"MAIL": &tx.Mail, "DATA": &tx.Data, ".": &tx.Dot}[verb]
		if verb == "RCPT" {
			r = &tx.Recipients[0].Reply
		}
		if r.Code/100 != 4 || !r.Local || int(r.Told) != r.Code {
			t.Errorf("lost at %s: %s, %+v", verb, tx.Outcome, *r)
		}
	}
	idle := recorded(t, func(r *manyIPs) {
		r.mx.Reply = refuseAt("NOOP", 1, "250 ok\r\n"+smtptest.Delay(time.Minute)+bye)
	}, func(msa *smtptest.MSA) {
		msa.Command("NOOP")
		time.Sleep(5 * time.Minute / 2)
		msa.Command("MAIL FROM:<a@x>")
	})
	if len(idle.trans) != 1 || idle.trans[0].Mail.Code != 421 || idle.trans[0].Mail.Local {
		t.Errorf("%+v", idle.trans)
	}
}

// audit-D10: replies decide, and not who hangs up, nor how.
func TestTheOutcomeIsWhatTheRepliesDecide(t *testing.T) {
	for name, end := range map[string]func(*smtptest.MSA){
		"RSET": func(msa *smtptest.MSA) { msa.Command("RSET") }, "QUIT": func(msa *smtptest.MSA) { _ = msa.Quit() }, "hang-up": func(*smtptest.MSA) {},
		"silence": func(*smtptest.MSA) { time.Sleep(20 * time.Minute) },
	} {
		for code, want := range map[int]string{550: "refused", 451: "deferred"} {
			c := recorded(t, func(r *manyIPs) { rcptsAt(&r.mx, fmt.Sprintf("%d no\r\n", code)) }, func(msa *smtptest.MSA) {
				msa.Pipeline("MAIL FROM:<a@x>", "RCPT TO:<r@x>", "RCPT TO:<s@x>")
				end(msa)
			})
			if c.mails[0] != fmt.Sprintf("a@x %s; r@x %s told %d by mx; s@x %s told %d by mx", want, want, code, want, code) {
				t.Errorf("%s: %s", name, c.mails[0])
			}
		}
	}
}

// audit-D11: all that was done about one refusal has its number, and its time; that of the sending IP that was tried in vain is told, too.
func TestARefusalIsCountedOnce(t *testing.T) {
	c := recorded(t, func(r *manyIPs) {
		r.mx.Reply = refuseAt("RCPT", 1, "550 5.7.1 listed\r\n")
		r.mxs[1].Reply = refuseAt("EHLO", 1, smtptest.Delay(2*time.Second)+"550 5.7.1 listed, too\r\n")
	}, func(msa *smtptest.MSA) { msa.Pipeline("MAIL FROM:<a@x>", "RCPT TO:<r@x>") })
	var did []string
	for _, a := range c.actions {
		did = append(did, fmt.Sprintf("%d %s %s after %s", a.Refusal, a.Did, a.SendingIP, (a.At-c.actions[1].At).Round(time.Second)))
	}
	want := []string{"2 also_refused 203.0.113.11 after 2s", "1 rescue_failed 203.0.113.10 after 0s", "1 softened 203.0.113.10 after 0s"}
	if !slices.Equal(did, want) {
		t.Errorf("%q, want %q", did, want)
	}
}

// audit-D12 audit-D23
func TestADecisionNamesTheMailItIsAbout(t *testing.T) {
	c := recorded(t, func(r *manyIPs) { r.engine.Gate = limited("b@x") }, func(msa *smtptest.MSA) {
		sayMail(msa, "r@x")
		msa.Command("MAIL FROM:<b@x>")
	})
	if len(c.decisions) != 1 || c.decisions[0].Transaction != 2 {
		t.Errorf("%+v", c.decisions)
	}
	if !slices.Contains(c.notes, "deferred at mail by limit hourly: 11 of 10") {
		t.Errorf("the session log does not tell of it: %q", c.notes)
	}
}

// audit-D13: a message that was cut has the octets that came, and a refusal in the middle of it no time.
func TestAMessageThatWasCutHasItsOctets(t *testing.T) {
	c := recorded(t, func(*manyIPs) {}, func(msa *smtptest.MSA) {
		msa.Pipeline("MAIL FROM:<a@x>", "RCPT TO:<r@x>", "DATA")
		msa.Send(strings.Repeat("x", 998))
		time.Sleep(time.Second)
	})
	if tx := c.trans[0]; tx.BodyBytes < 990 || tx.Outcome != event.OutcomeAborted {
		t.Errorf("%s, %d octets", tx.Outcome, tx.BodyBytes)
	}
}

// audit-D14 audit-D21: each connection has its own line, with its own phases, also the one whose TLS failed and those of a rescue.
func TestEachConnectionIsOnRecord(t *testing.T) {
	c := recorded(t, func(r *manyIPs) {
		r.mx.Keywords = append(smtptest.DefaultKeywords(), "STARTTLS")
		r.mx.Reply = func(verb string, _ int) string {
			switch verb {
			case "STARTTLS":
				return "220 go ahead\r\n" + smtptest.CloseConn
			case "MAIL":
				return "550 5.7.1 listed\r\n"
			}
			return smtptest.Default
		}
	}, func(msa *smtptest.MSA) { sayMail(msa, "r@x") })
	for i, l := range c.end.Legs {
		if int(l.Number) != i+1 || !l.Local.IsValid() {
			t.Errorf("leg %d: %+v", i+1, l)
		}
	}
	if n := len(c.end.Legs); n < 3 || int(c.trans[0].Leg) != n || c.end.Legs[1].MX.State != event.TLSDowngraded {
		t.Errorf("%d legs, the mail ended on %d: %+v", n, c.trans[0].Leg, c.end.Legs)
	}
	var all time.Duration
	for _, d := range c.end.Spent {
		all += d
	}
	if diff := c.end.Duration - all; diff < 0 || diff > time.Millisecond {
		t.Errorf("%v of %s", c.end.Spent, c.end.Duration)
	}
}

// audit-D20
func TestRecipientsBeyondThoseListedAreCounted(t *testing.T) {
	c := recorded(t, func(r *manyIPs) { r.engine.Limits.Recipients = 1500 }, func(msa *smtptest.MSA) {
		sayMail(msa, addressees(1200, "r")...)
	})
	if tx := &c.trans[0]; tx.MoreRcpts != 200 || tx.Results()[event.FateDelivered] != 1200 {
		t.Errorf("%d more, %v", tx.MoreRcpts, tx.Results())
	}
}

// A refusal that the MSA does not get to see is in the session log all the same, with the time that its MX took.
func TestHiddenRefusalHasItsTimeInTheSessionLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newManyIPs(2)
		r.mx.Reply = refuseAt("RCPT", 1, smtptest.Delay(3*time.Second)+"550-5.7.1 203.0.113.10\r\n"+smtptest.Delay(2*time.Second)+"550 5.7.1 is listed\r\n")
		var found int
		r.engine.Recorder = recorderOf(func(rec *event.Record) {
			for _, l := range rec.Lines {
				if l.Mark != event.MarkFromMX || !strings.HasPrefix(string(rec.Text(l.Text)), "550") {
					continue
				}
				if found++; l.First.Round(time.Second) != 3*time.Second || l.Took.Round(time.Second) != 5*time.Second {
					t.Errorf("%q: first octet after %s, all of it after %s", rec.Text(l.Text), l.First, l.Took)
				}
			}
			rec.Release()
		})
		msa := r.msa(t)
		if got := msa.Deliver("a@example.com", []string{"b@example.net"}, []byte("text\r\n"), true); !got.All(smtptest.Accepted) {
			t.Errorf("%v", got)
		}
		_ = msa.Quit()
		_ = msa.Conn().Close()
		synctest.Wait()
		if found != 1 {
			t.Errorf("the refusal is in the session log %d times", found)
		}
	})
}
