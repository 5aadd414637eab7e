package session_test

import (
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
