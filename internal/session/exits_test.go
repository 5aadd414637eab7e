package session_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/session"
	"kanmon/internal/smtp/smtptest"
)

// An exit is a way for a session to end behind a reply of its MX that says something about the mail.
type exit struct {
	name string
	set  func(r *manyIPs)
	say  func(r *manyIPs, msa *smtptest.MSA)
	want []string // what the gate is told of the mail
}

var (
	untilMail = []string{"over"} // the MSA's EHLO
	untilRcpt = []string{"over", "mail 250"}
	untilData = []string{"over", "mail 250", "rcpt 250"}
)

// mailAnd is a mail that is said step by step, as far as it gets.
func mailAnd(lines ...string) func(*manyIPs, *smtptest.MSA) {
	return func(_ *manyIPs, msa *smtptest.MSA) {
		for _, line := range append([]string{"MAIL FROM:<a@example.com>", "RCPT TO:<b@example.net>", "DATA"}, lines...) {
			reply := msa.Command(line)
			if reply.Class() > 3 {
				return
			}
			if reply.Code == 354 {
				msa.Send("text", ".")
			}
		}
	}
}

// inBody says a mail as far as DATA, waits, and then sends what there is of it.
func inBody(wait time.Duration, text ...string) func(*manyIPs, *smtptest.MSA) {
	return func(_ *manyIPs, msa *smtptest.MSA) {
		msa.Command("MAIL FROM:<a@example.com>")
		msa.Command("RCPT TO:<b@example.net>")
		msa.Command("DATA")
		time.Sleep(wait)
		msa.Send(text...)
		time.Sleep(2 * time.Minute) // the slow look at a leg that nobody reads
	}
}

// cutDuring says a mail as far as a command, and ends the session while another sending IP is tried for it.
func cutDuring(verb string, end func(r *manyIPs, msa *smtptest.MSA)) func(*manyIPs, *smtptest.MSA) {
	return func(r *manyIPs, msa *smtptest.MSA) {
		for _, line := range []string{"MAIL FROM:<a@example.com>", "RCPT TO:<b@example.net>", "DATA", ".\r\ntext\r\n."} {
			msa.Send(strings.TrimPrefix(line, ".\r\n"))
			time.Sleep(time.Second)
			if strings.HasPrefix(line, verb) {
				break
			}
		}
		end(r, msa)
	}
}

func hangUp(_ *manyIPs, msa *smtptest.MSA) { _ = msa.Conn().Close() }

func stop(r *manyIPs, _ *smtptest.MSA) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = r.live.Drain(ctx)
}

func exits() []exit {
	const spam = "550 5.7.1 spam\r\n"
	replies := func(verb, reply string) func(*manyIPs) {
		return func(r *manyIPs) { r.mx.Reply = always(verb, reply) }
	}
	early := replies("DATA", smtptest.Default+smtptest.Delay(time.Second)+spam+smtptest.Delay(time.Hour))
	list := []exit{
		{"MAIL 421", replies("MAIL", "421 4.7.0 spam\r\n"), mailAnd(), append(untilMail, "mail 421 policy_unspecified")},
		{"RCPT 421", replies("RCPT", "421 4.7.0 spam\r\n"), mailAnd(), append(untilRcpt, "rcpt 421 policy_unspecified")},
		{"DATA 421", replies("DATA", "421 4.7.0 spam\r\n"), mailAnd(), append(untilData, "data 421 policy_unspecified")},
		{"MAIL 421, closed", replies("MAIL", "421 4.7.0 spam\r\n"+smtptest.CloseConn), mailAnd(), append(untilMail, "mail 421 policy_unspecified")},
		{"RCPT 550, closed", replies("RCPT", spam+smtptest.CloseConn), mailAnd(), append(untilRcpt, "rcpt 550 policy_unspecified")},
		{"dot 421", replies(".", "421 4.7.0 spam\r\n"), mailAnd(), append(untilData, "message 421 policy_unspecified 6 octets, 1 recipients", "over")},
		{"dot 550, closed", replies(".", spam+smtptest.CloseConn), mailAnd(), append(untilData, "message 550 policy_unspecified 6 octets, 1 recipients", "over")},
		{"dot lost", replies(".", smtptest.CloseConn), mailAnd(), append(untilData, "message 0 6 octets, 1 recipients")},
		{"dot yes and no", replies(".", "250-2.0.0 yes\r\n550 5.0.0 no\r\n"), mailAnd(), append(untilData, "message 0 6 octets, 1 recipients")},
		{"dot 354", replies(".", "354 more\r\n"), mailAnd(), append(untilData, "message 0 6 octets, 1 recipients")},
		{"dot is no reply", replies(".", "what\r\n"), mailAnd(), append(untilData, "message 0 6 octets, 1 recipients")},
		{"in mid-body, seen at the next piece", early, inBody(1500*time.Millisecond, "text"), append(untilData, "message 550 policy_unspecified 0 octets, 1 recipients")},
		{"in mid-body, seen while the MSA pauses", early, inBody(0, "text"), append(untilData, "message 550 policy_unspecified 0 octets, 1 recipients")},
		{"in mid-body, seen at the dot", early, inBody(1500*time.Millisecond, "text", "."), append(untilData, "message 550 policy_unspecified 6 octets, 1 recipients")},
		{"in mid-body 421", replies("DATA", smtptest.Default+"421 4.7.0 spam\r\n"+smtptest.CloseConn), inBody(time.Second, "text", "."), append(untilData, "message 421 policy_unspecified 6 octets, 1 recipients")},
		{"unasked, seen at DATA", replies("RCPT", smtptest.Default+smtptest.Delay(time.Second)+"421 4.7.0 spam\r\n"), func(_ *manyIPs, msa *smtptest.MSA) {
			msa.Pipeline("MAIL FROM:<a@example.com>", "RCPT TO:<b@example.net>")
			time.Sleep(2 * time.Second)
			msa.Command("DATA")
		}, append(untilData, "data 421 policy_unspecified")},
		{"unasked, seen while the MSA pauses", replies("RCPT", smtptest.Default+smtptest.Delay(time.Second)+"421 4.7.0 spam\r\n"+smtptest.CloseConn), func(_ *manyIPs, msa *smtptest.MSA) {
			msa.Pipeline("MAIL FROM:<a@example.com>", "RCPT TO:<b@example.net>")
			time.Sleep(2 * time.Minute)
			msa.Command("DATA")
		}, append(untilData, "data 421 policy_unspecified", "over")},
		{"unasked, ahead of MAIL", replies("EHLO", smtptest.Default+smtptest.Delay(time.Second)+"421 4.7.0 spam\r\n"), func(_ *manyIPs, msa *smtptest.MSA) {
			time.Sleep(2 * time.Second)
			msa.Command("MAIL FROM:<a@example.com>")
		}, untilMail}, // it can be about none but the mail before
		{"NOOP 421", replies("NOOP", "421 4.7.0 spam\r\n"), func(_ *manyIPs, msa *smtptest.MSA) {
			msa.Pipeline("MAIL FROM:<a@example.com>", "RCPT TO:<b@example.net>")
			msa.Command("NOOP")
		}, append(untilData, "data 421 policy_unspecified")},
	}
	for _, at := range []struct {
		verb string
		want []string
		lost []string // of another MX behind its dot
	}{
		{"MAIL", append(untilMail, "mail 550 ip_blocklisted"), nil},
		{"RCPT", append(untilRcpt, "rcpt 550 ip_blocklisted"), nil},
		{"DATA", append(untilData, "data 550 ip_blocklisted"), nil},
		{".", append(untilData, "message 550 ip_blocklisted 6 octets, 1 recipients"), append(untilData, "message 0 6 octets, 1 recipients")},
	} {
		slowRescue := func(r *manyIPs) {
			r.mx.Reply = always(at.verb, listed)
			r.mxs[1].Reply = always("BANNER", smtptest.Delay(50*time.Second)+smtptest.Default)
		}
		lostRescue := func(how string) func(*manyIPs) {
			return func(r *manyIPs) {
				r.mx.Reply = always(at.verb, listed)
				r.mxs[1].Reply = always(at.verb, how)
			}
		}
		list = append(list,
			exit{"the MSA hangs up during a rescue of " + at.verb, slowRescue, cutDuring(at.verb, hangUp), at.want},
			exit{"kanmon stops during a rescue of " + at.verb, slowRescue, cutDuring(at.verb, stop), at.want})
		if at.lost != nil {
			at.want = at.lost
		}
		list = append(list,
			exit{"the other MX is lost at " + at.verb, lostRescue(smtptest.CloseConn), mailAnd(), at.want},
			exit{"the other MX is silent at " + at.verb, lostRescue(""), mailAnd(), at.want},
			exit{"the other MX says no reply at " + at.verb, lostRescue("what\r\n"), mailAnd(), at.want})
	}
	return list
}

// Whatever ends a session, the gate hears of the reply that the MX gave to the mail, before it hears that the session is over: a refusal
// counts for its sender, and a message that an MX may have taken counts as sent.
//
// law: N-g
func TestGateHearsTheReplyThatEndsASession(t *testing.T) {
	for _, e := range exits() {
		t.Run(e.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newManyIPs(2)
				gate := refusing(nothing, session.Decision{})
				r.engine.Gate = gate
				e.set(r)
				msa := r.msa(t)
				msa.Wait = time.Hour
				msa.Expect(220)
				msa.Command("EHLO msa.example.com")
				e.say(r, msa)
				finishSession(msa)
				synctest.Wait()
				told := slices.DeleteFunc(slices.Clone(gate.heard), func(line string) bool { return strings.Contains(line, "?") })
				if want := append(slices.Clone(e.want), "closed"); !slices.Equal(told, want) {
					t.Errorf("told\n%q, want\n%q", told, want)
				}
			})
		})
	}
}
