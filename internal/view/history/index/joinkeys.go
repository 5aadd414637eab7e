package index

import (
	"net/netip"
	"time"

	"kanmon/internal/view/history"
)

// mostJoined is how many recipients of an attempt it is joined by.
const mostJoined = 100

// Keys are by which a mail is asked for, each for one of its recipients.
type Keys struct {
	IDs     []int64 // nil: it has none
	Senders []int64
	Who     []int64 // the recipients themselves
	Mail    int64   // its number by its id; 0: it has none
}

// KeysOf gives those of an attempt.
func KeysOf(a *history.Attempt) (k Keys) {
	var id []string
	tenant := tenantOf(a)
	switch {
	case a.MessageID != "":
		id = []string{tenant, "message", a.MessageID}
	case a.QueueID != "":
		id = []string{tenant, "queue", a.Source.Addr().String(), a.QueueID}
	}
	if id != nil {
		k.Mail = ByID | Hash('M', append(id, copyOf(a)...)...)
	}
	for i := range a.Recipients[:min(len(a.Recipients), mostJoined)] {
		who := Fold(a.Recipients[i].Address)
		k.Who = append(k.Who, Hash('W', who))
		k.Senders = append(k.Senders, Hash('K', tenant, "sender", Fold(a.Sender), who))
		if id != nil {
			k.IDs = append(k.IDs, Hash('K', append(id, who)...))
		}
	}
	return k
}

// tenantOf is whose mail an attempt is of. Where no tenant is known each source counts as one, of IPv6 its /64, as it does elsewhere: two of them may send
// what has one Message-ID to one recipient.
func tenantOf(a *history.Attempt) string {
	from := a.Source.Addr().Unmap()
	switch {
	case a.Tenant != "" || !from.IsValid():
		return a.Tenant
	case from.Is6():
		const network = 64
		return "\x00" + netip.PrefixFrom(from, network).Masked().String()
	}
	return "\x00" + from.String()
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
	return []string{Fold(a.Sender), a.QueueID, when}
}
