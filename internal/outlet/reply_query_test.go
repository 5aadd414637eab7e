package outlet

import (
	"testing"

	"kanmon/internal/event"
	"kanmon/internal/outlet/standing"
	"kanmon/internal/who/mailbox"
)

// Of a message that is larger than what is kept nobody knows whether the reply to its dot repeats it: such a reply alone suspends no
// sending IP. Where all of the message is known, or the reply cannot be an echo of it, it does.
//
// law: I20
func TestAnEchoOfWhatIsNotKeptIsDoubted(t *testing.T) {
	const note = "X-Note: Your IP address is on our block list\r\n\r\ntext\r\n"
	for name, c := range map[string]struct {
		phase   event.Phase
		message string
		partial bool
		want    standing.Answer
	}{
		"RCPT":                                    {event.PhaseRcpt, "", false, standing.No},
		"dot, all is known":                       {event.PhaseDot, "Subject: x\r\n\r\ntext\r\n", false, standing.No},
		"dot, an echo":                            {event.PhaseDot, note, false, standing.Yes},
		"dot, an echo of what is known":           {event.PhaseDot, note, true, standing.Yes},
		"dot, a part is known":                    {event.PhaseDot, "Subject: x\r\n", true, standing.Yes},
		"dot, nothing is known":                   {event.PhaseDot, "", true, standing.Yes},
		"in the body, a part of it is known only": {event.PhaseBody, "Subject: x\r\n", true, standing.Yes},
	} {
		o := newOutlet(t, twoIPs)
		r := refusal(first, listing)
		if r.Phase, r.Partial = c.phase, c.partial; c.message != "" {
			r.Message = func() []byte { return []byte(c.message) }
		}
		r.Domain = mailbox.DomainOf(string(r.Recipient))
		key := o.plead(&r).key.At(r.Domain)
		j := o.Judge(r)
		if got := o.book.May(key).Answer; got != c.want {
			t.Errorf("%s: the IP may be used there: %v, want %v", name, got, c.want)
		}
		if c.partial && c.message != note && j.SoftenTo == 0 {
			t.Errorf("%s: the MSA must be let try again, since it may be true", name)
		}
	}
}
