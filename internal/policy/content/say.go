package content

import (
	"crypto/rand"
	"strings"

	"kanmon/internal/event"
	"kanmon/internal/smtp/replies"
)

// say is what the MSA is told of a message that is not let through. It names no rule of a scanner: that would teach whoever writes spam. The
// reference finds the rest.
func (v *Verdict) say(reference string) replies.Said {
	switch {
	case v.Handle == event.HandleRefuse && v.Virus != "":
		return replies.Infected.Say(shown(v.Virus), reference)
	case v.Handle == event.HandleRefuse:
		return replies.Spam.Say(reference).As(v.Code)
	case v.Kind == event.LackUnfit:
		return replies.Unfit.Say(reference)
	case v.Kind != event.LackNot:
		return replies.Unscanned.Say(reference)
	case v.Handle == event.HandleDefer && v.Virus != "":
		return replies.InfectedForNow.Say(shown(v.Virus), reference)
	}
	return replies.SpamForNow.Say(reference)
}

// mostVirus bounds the name of a virus in a reply.
const mostVirus = 60

func shown(virus string) string { return event.Printable(virus, mostVirus) }

// The letters of a reference: none looks or sounds like another one, on a bad line too.
const letters = "23456789CDFGHJKMNPQRTVWX"

// NewReference makes a reference: eight letters and digits that somebody can say on the telephone. One of a million in two weeks is the
// same as another one for about one in a hundred thousand.
func NewReference() string {
	var octets [8]byte
	_, _ = rand.Read(octets[:]) // it never fails
	var b strings.Builder
	for i, o := range octets {
		if i == 4 {
			b.WriteByte('-')
		}
		b.WriteByte(letters[int(o)%len(letters)])
	}
	return b.String()
}

// Reference brings what somebody has typed into the form of a reference; "" if it is none.
func Reference(typed string) string {
	typed = strings.ToUpper(strings.NewReplacer("-", "", " ", "").Replace(typed))
	if len(typed) != 8 || strings.Trim(typed, letters) != "" {
		return ""
	}
	return typed[:4] + "-" + typed[4:]
}
