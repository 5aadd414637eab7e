package policy

import (
	"fmt"
	"testing"

	"kanmon/internal/event"

	"kanmon/internal/policy/limit"
	"kanmon/internal/session"
)

// BenchmarkRecipients is a mail with 1,000 recipients of its tenant's own MX: what limits and containment cost for each of them must not grow
// with how many there are.
func BenchmarkRecipients(b *testing.B) {
	for _, n := range []int{10, 100, 1000} {
		for _, code := range []int{250, 550} {
			b.Run(fmt.Sprintf("%d, %d each", n, code), func(b *testing.B) {
				r := newRig(b, settingsWith(rule("t", limit.PerTenant, 1<<40), rule("r", limit.PerAccount, 1<<40, func(r *limit.Rule) { r.Measure = limit.Recipients })), nil)
				v, _ := r.enter("10.0.1.1", mx)
				rcpts, told := many(n), session.News{Step: event.StepRecipient, Code: code}
				if code == 550 {
					told.Class, told.Text = event.RecipientInvalid, []byte("550 5.1.1 User unknown")
				}
				b.ReportAllocs()
				for b.Loop() {
					v.Ask(session.Question{Step: event.StepMail, Sender: "news@acme.example"})
					v.Ask(session.Question{Step: event.StepLeave, SendingIP: ours})
					for _, rcpt := range rcpts {
						v.Ask(session.Question{Step: event.StepRecipient, Recipient: rcpt})
					}
					v.Tell(session.News{Step: event.StepMail, Code: 250})
					for range rcpts {
						v.Tell(told)
					}
					v.Tell(session.News{Step: event.StepOver})
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/rcpt")
				v.Close()
			})
		}
	}
}
