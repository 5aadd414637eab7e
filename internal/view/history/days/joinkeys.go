package days

import (
	"time"

	"kanmon/internal/view/history"
)

// mostJoined is how many recipients of an attempt it is joined by.
const mostJoined = 100

// keys are by which a mail is asked for, each for one of its recipients.
type keys struct {
	ids     []int64 // nil: it has none
	senders []int64
	who     []int64 // the recipients themselves
	mail    int64   // its number by its id; 0: it has none
}

func keysOf(a *history.Attempt) (k keys) {
	var id []string
	switch {
	case a.MessageID != "":
		id = []string{a.Tenant, "message", a.MessageID}
	case a.QueueID != "":
		id = []string{a.Tenant, "queue", a.Source.Addr().String(), a.QueueID}
	}
	if id != nil {
		k.mail = byID | hashOf('M', append(id, copyOf(a)...)...)
	}
	for i := range a.Recipients[:min(len(a.Recipients), mostJoined)] {
		who := fold(a.Recipients[i].Address)
		k.who = append(k.who, hashOf('W', who))
		k.senders = append(k.senders, hashOf('K', a.Tenant, "sender", fold(a.Sender), who))
		if id != nil {
			k.ids = append(k.ids, hashOf('K', append(id, who)...))
		}
	}
	return k
}

// copyOf tells mails apart that have one Message-ID. A list sends many: to each of its people one of his own, or one after the other to some of them, each
// with a queue id, and a time at which the MSA has taken it in. An MSA that takes apart one mail, by domains or for its retries, leaves these as they are.
// Where it names neither, what is begun within one hour of the clock is one mail.
func copyOf(a *history.Attempt) []string {
	at := a.Received
	if at.IsZero() && a.QueueID == "" {
		at = a.Start.Truncate(time.Hour)
	}
	when := ""
	if !at.IsZero() {
		when = at.UTC().Format(time.RFC3339)
	}
	return []string{fold(a.Sender), a.QueueID, when}
}
