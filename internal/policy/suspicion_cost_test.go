//go:build !race

package policy

import (
	"testing"

	"kanmon/internal/event"
	"kanmon/internal/session"
)

// mailOf plays a mail of one recipient through a session that stays.
func mailOf(v session.Pass) {
	v.Ask(session.Question{Step: event.StepMail, Sender: "a@acme.example"})
	v.Tell(session.News{Step: event.StepMail, Code: 250})
	v.Ask(session.Question{Step: event.StepRecipient, Recipient: "r@x.example"})
	v.Tell(session.News{Step: event.StepRecipient, Code: 250})
	v.Tell(session.News{Step: event.StepMessage, Code: 250, Octets: 2000, Recipients: 1})
}

// A mail of which nobody wants to know its suspicion costs no allocation for it: the gate made as many before there was any.
func TestSuspicionThatIsOffCostsNothing(t *testing.T) {
	r := newRig(t, settingsWith(), nil)
	v, _ := r.enter("10.0.1.1", mx)
	defer v.Close()
	mailOf(v.Pass)
	const before = 3
	if n := testing.AllocsPerRun(500, func() { mailOf(v.Pass) }); n > before {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkMailThroughTheGate is one mail, with suspicion and without.
func BenchmarkMailThroughTheGate(b *testing.B) {
	for name, s := range map[string]Settings{"off": settingsWith(), "on": suspicious()} {
		b.Run(name, func(b *testing.B) {
			r := newRig(b, s, nil)
			v, _ := r.enter("10.0.1.1", mx)
			defer v.Close()
			mailOf(v.Pass)
			b.ReportAllocs()
			for b.Loop() {
				mailOf(v.Pass)
			}
		})
	}
}
