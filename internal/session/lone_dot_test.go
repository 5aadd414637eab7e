package session_test

import (
	"strings"
	"testing"
	"testing/synctest"

	"kanmon/internal/event"
	"kanmon/internal/session"
	"kanmon/internal/smtp/smtptest"
)

// Where the MX has refused every recipient, it says 354 all the same, and 250 to the lone dot that follows (RFC 2920 §3.1): nothing was
// delivered. The record says what the recipients were told, and nobody counts a message.
//
// firstday-11
func TestALoneDotDeliversNothing(t *testing.T) {
	for name, c := range map[string]struct {
		second string
		want   event.Outcome
	}{
		"refused":  {"550 5.1.1 no such user\r\n", event.OutcomeRefused},
		"deferred": {"450 4.2.0 greylisted\r\n", event.OutcomeDeferred},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig()
				gate := refusing(nothing, session.Decision{})
				r.engine.Gate = gate
				r.mx.Reply = func(verb string, n int) string {
					switch {
					case verb == "RCPT" && n == 1:
						return "550 5.1.1 no such user\r\n"
					case verb == "RCPT":
						return c.second
					case verb == "DATA":
						return "354 go\r\n" + smtptest.Accept
					case verb == ".":
						return "250 2.0.0 nothing to do\r\n"
					}
					return smtptest.Default
				}
				msa := r.msa(t)
				msa.Expect(220)
				msa.Command("EHLO msa.example.com")
				msa.Pipeline("MAIL FROM:<a@example.com>", "RCPT TO:<b@example.net>", "RCPT TO:<c@example.net>", "DATA")
				msa.Send(".")
				msa.Expect(250)
				_ = msa.Quit()
				synctest.Wait()
				if r.log.count(c.want) != 1 || r.log.count(event.OutcomeDelivered) != 0 {
					t.Errorf("recorded %v, want %v", r.log.outcomes, c.want)
				}
				if told := strings.Join(gate.heard, ", "); strings.Contains(told, "message") {
					t.Errorf("the gate hears of a message: %s", told)
				}
			})
		})
	}
}
