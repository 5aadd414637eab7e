package session_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/smtp/smtptest"
)

// An MSA that closes its sending side behind a command waits for the reply for as long as a FIN may stand for "this was all"; later, the reply to a
// command of a mail is for nobody, and is recorded as not told.
//
// law: S6'/MSA-lost
func TestFINBehindACommand(t *testing.T) {
	for _, tc := range []struct {
		command   string
		late, fin time.Duration
		heard     bool
	}{
		{"RCPT TO:<late@example.net>", 1500 * time.Millisecond, 0, true},
		{"RCPT TO:<late@example.net>", 1500 * time.Millisecond, time.Second, true},
		{"RCPT TO:<late@example.net>", 30 * time.Second, 5 * time.Second, false},
		{"RSET", 1500 * time.Millisecond, 0, true},
		{"RSET", 8 * time.Second, 5 * time.Second, true},
		{"NOOP", 1500 * time.Millisecond, 0, true},
		{"NOOP", 8 * time.Second, 5 * time.Second, true},
	} {
		t.Run(fmt.Sprintf("%s after %s, FIN after %s", tc.command[:4], tc.late, tc.fin), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig()
				r.mx.Reply = func(verb string, n int) string {
					if verb == tc.command[:4] && (verb != "RCPT" || n == 2) {
						return smtptest.Delay(tc.late) + "250 2.0.0 at last\r\n"
					}
					return smtptest.Default
				}
				raw, _, ended := r.connect()
				msa := smtptest.NewMSA(t, raw)
				msa.Expect(220)
				msa.Command("EHLO msa.example.com")
				msa.Command("MAIL FROM:<a@example.com>")
				msa.Command("RCPT TO:<b@example.net>")
				time.Sleep(time.Minute)
				msa.Send(tc.command)
				time.Sleep(tc.fin)
				_ = raw.CloseWrite()
				if heard := readAll(raw); strings.Contains(heard, "at last") != tc.heard {
					t.Errorf("heard %q", heard)
				}
				_ = raw.Close()
				<-ended
				time.Sleep(time.Minute) // the MX may still be writing
				if n := r.log.count(event.OutcomeDelivered); n != 0 {
					t.Errorf("%d delivered", n)
				}
			})
		})
	}
}
