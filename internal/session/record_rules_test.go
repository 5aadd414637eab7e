package session_test

import (
	"context"
	"testing"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/session"
	"kanmon/internal/smtp/smtptest"
)

// did is a gate's refusal for now, or what it says of one that is held, by the rule "limit hourly".
func did(what string, d session.Decision) session.Decision {
	d.Refuse, d.Say = session.RefuseNow, tooMuch.Say
	if what != "" {
		d.Notes = []event.Note{{Did: what, Tenant: "t", Rule: "limit hourly", Why: "11 of 10"}}
	}
	return d
}

// What kanmon has refused names the rule in the same line, whatever the rule had done about it: also where it blocks, and where what was held
// back is refused in the end because nobody can wait any longer.
//
// audit-D12
func TestARefusalOfOursNamesItsRuleWhateverWasDone(t *testing.T) {
	for _, what := range []string{"deferred", "rejected", "blocked", "delayed"} {
		held := what == "delayed"
		c := recorded(t, func(r *manyIPs) {
			asked := 0
			r.engine.Gate = &script{decide: func(q session.Question) (d session.Decision) {
				switch {
				case q.Step != event.StepMail:
					return d
				case !held:
					return did(what, d)
				}
				if asked++; asked > 1 { // it is said once
					what = ""
				}
				return did(what, session.Decision{Delay: 40 * time.Second, Again: true})
			}}
		}, func(msa *smtptest.MSA) { msa.Pipeline("MAIL FROM:<a@x>", "RCPT TO:<r@x>") })
		c.wants(t, "a@x deferred by limit hourly; r@x deferred told 451 by kanmon")
	}
}

// What was held back, and passes, has been refused by nobody: no later refusal is by that rule.
func TestWhatWasHeldAndPassesIsRefusedByNoRule(t *testing.T) {
	c := recorded(t, func(r *manyIPs) {
		asked := 0
		r.engine.Limits.Recipients = 1
		r.engine.Gate = &script{decide: func(q session.Question) (d session.Decision) {
			if q.Step == event.StepMail {
				if asked++; asked == 1 {
					return did("delayed", session.Decision{Delay: time.Second, Again: true})
				}
			}
			return d
		}}
	}, func(msa *smtptest.MSA) { msa.Pipeline("MAIL FROM:<a@x>", "RCPT TO:<r@x>", "RCPT TO:<s@x>", "RSET") })
	c.wants(t, "a@x reset; r@x not_sent told 0 by msa; s@x deferred told 452 by kanmon")
}

// A mail that cannot leave for where its recipients are is refused by one rule, and each of them names it.
func TestEachRecipientOfAStrandedMailNamesTheRule(t *testing.T) {
	c := recorded(t, func(r *manyIPs) {
		m := &byName{}
		r.engine.Mover, r.engine.Judge = m, nil
		r.choose = m.right
		leaves := 0
		r.engine.Gate = &script{decide: func(q session.Question) (d session.Decision) {
			if q.Step == event.StepLeave {
				if leaves++; leaves > 1 {
					return did("deferred", d)
				}
			}
			return d
		}}
	}, func(msa *smtptest.MSA) {
		msa.Pipeline("MAIL FROM:<a@x>", "RCPT TO:<r@other.example>", "RCPT TO:<s@other.example>")
	})
	c.wants(t, "a@x deferred by limit hourly; r@other.example deferred told 451 by kanmon by limit hourly; s@other.example deferred told 451 by kanmon")
}

// What is refused for want of room names what has none: where the mail stands, where another connection is wanted, and where a recipient is added.
func TestWantOfRoomIsTheRuleOfItsRefusal(t *testing.T) {
	const rule = " by shaping of orange: connections"
	for name, test := range map[string]struct {
		set  func(*roomRig)
		want string
	}{
		"MAIL": {func(r *roomRig) {
			r.stay = func(session.DialRequest) session.Stay { return session.Stay{Full: full(time.Hour, false)} }
		}, "a@x deferred" + rule + "; r@x deferred told 451 by kanmon"},
		"dial": {func(r *roomRig) { r.open = time.Hour }, "a@x deferred" + rule + "; r@x deferred told 451 by kanmon"},
		"RCPT": {func(r *roomRig) {
			r.add = func() session.Stay { return session.Stay{Full: full(time.Hour, false)} }
		}, "a@x deferred" + rule + "; r@x deferred told 451 by kanmon"},
	} {
		t.Run(name, bubble(func(t *testing.T) {
			var c clerk
			r := newRoomRig()
			r.engine.Recorder = &c
			test.set(r)
			msa := r.msa(t)
			msa.Expect(220)
			msa.Command("EHLO msa.example.com")
			msa.Pipeline("MAIL FROM:<a@x>", "RCPT TO:<r@x>")
			_ = msa.Quit()
			finishSession(msa)
			c.wants(t, test.want)
		}))
	}
}

// crampedDialer has room for one connection.
type crampedDialer struct {
	dialer
	dials int
}

func (d *crampedDialer) Dial(ctx context.Context, req session.DialRequest) (session.Outbound, error) {
	if d.dials++; d.dials > 1 {
		return session.Outbound{}, full(time.Hour, false)
	}
	return d.dialer.Dial(ctx, req)
}

// A rescue that finds no room refuses nothing by that: no reply of kanmon's own behind it names what has none.
func TestARescueWithoutRoomIsNoRule(t *testing.T) {
	c := recorded(t, func(r *manyIPs) {
		r.mx.Reply = refuseAt("RCPT", 1, listed)
		r.engine.Limits.Recipients = 2
		r.engine.Dialer = &crampedDialer{dialer: r.engine.Dialer}
	}, func(msa *smtptest.MSA) {
		msa.Pipeline("MAIL FROM:<a@x>", "RCPT TO:<r@x>", "RCPT TO:<s@x>")
		msa.Command("RCPT TO:<t@x>")
		msa.Command("RSET")
	})
	c.wants(t, "a@x reset; r@x deferred told 450 by kanmon; s@x not_sent told 0 by msa; t@x deferred told 452 by kanmon")
	if len(c.decisions) != 1 || c.decisions[0].Did != "passed_over" {
		t.Errorf("%+v", c.decisions)
	}
}
