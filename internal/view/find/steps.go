package find

import (
	"cmp"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/view/history"
)

// A Step is a phase of an attempt, or a wait in it, and how long it took.
type Step struct {
	Name string
	Took time.Duration
	Drip bool // its reply came in pieces, far apart: a tarpit
	Mute bool // no reply came at all
}

// opening are the phases until a mail may go, in order.
var opening = [...]string{"dial", "banner", "ehlo", "starttls", "handshake", "ehlo_tls"}

// dripped is how long behind its first octet a reply's last one may come without anybody's wondering, as in the session log.
const dripped = 100 * time.Millisecond

// stepsOf gives where the time of an attempt went: the opening of its connection if it was made for it, the MX's replies, and waits that
// were not for the MX.
func stepsOf(e *event.Entry) (all []Step) {
	add := func(name string, took event.Milliseconds) {
		if took > 0 {
			all = append(all, Step{Name: name, Took: took.Duration()})
		}
	}
	var answered event.Milliseconds
	reply := func(name string, r *event.EntryReply) {
		if r.Took > 0 && !r.Local {
			all = append(all, Step{Name: name, Took: r.Took.Duration(), Drip: r.First > 0 && (r.Took-r.First).Duration() >= dripped})
			answered += r.Took
		}
	}
	if e.Number == 1 || e.Times["opening_ms"] > 0 || e.Times["rescue_ms"] > 0 || e.Times["moving_ms"] > 0 {
		for _, p := range opening {
			add(p, e.Phases[p+"_ms"])
		}
	}
	add("held", e.Times["held_ms"])
	add("moving", e.Times["moving_ms"])
	add("rescue", e.Times["rescue_ms"])
	reply("mail", &e.Mail)
	var slowest event.EntryReply
	for i := range e.Recipients {
		if r := &e.Recipients[i].Reply; !r.Local && r.Took > slowest.Took {
			slowest = *r
		}
	}
	reply("rcpt", &slowest)
	reply("data", &e.Data)
	add("body", e.Body)
	reply("dot", &e.Dot)
	// What the MX was waited for beyond its replies: one that never came has no time of its own.
	const felt = 1000
	if mute := e.Times["mx_ms"] - answered; mute >= felt {
		all = append(all, Step{Name: cmp.Or(history.ReplyOf(e).Phase, "mx"), Took: mute.Duration(), Mute: true})
	}
	add("resting", e.Times["resting_ms"])
	return all
}
