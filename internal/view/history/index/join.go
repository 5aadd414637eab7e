package index

import (
	"slices"
	"time"

	"kanmon/internal/view/history"
)

// Attempts are joined to mails as they come: a ledger has who waits for mail, and which. An attempt is of the mail that waits for one of its
// recipients, of the same message id, or else of the same queue id of the same MSA, or else of the same sender and about the same size. What is refused
// before its header has come has no id and no size, whatever its gateway looks for: so a mail is asked for by its ids and by its sender, and who has an id
// is never one whose id is another.

// A Ledger knows which mail waits, and for whom.
type Ledger interface {
	// For gives the mails that wait by a key.
	For(key int64) ([]Waiting, error)
	// Waiting gives a mail that is waited for; nil: it is not.
	Waiting(mail int64) (*Waiting, error)
	// Left counts the recipients who wait for a mail.
	Left(mail int64) (int, error)
	// Note says how a mail is from then on, NoteFor who waits for it.
	Note(w Waiting) error
	NoteFor(f WaitsFor) error
}

// A Waiting is a mail of which recipients wait. Times are unix milliseconds.
type Waiting struct {
	Mail                 int64
	Tenant, Provider, IP string
	First, Last, Size    int64
	Deferred, Gone       bool
	Named                bool // an attempt had an id
}

// A WaitsFor is a recipient of a mail, by one of the keys that the mail is asked for.
type WaitsFor struct {
	Key, Mail, Who int64
	Gone           bool // whatever the key is
}

// MostAsked is how many mails of one key are told apart: who has one recipient wait for more has none of them told apart.
const MostAsked = 500

// Join says of which mail an attempt is, 0 where it is the first of one that has no id, and whether mail waited for it. First is the number that such
// a first one gives its mail.
func Join(l Ledger, a *history.Attempt, first int64) (mail int64, joined bool, err error) {
	k := KeysOf(a)
	found, err := asked(l, a, k.IDs, func(*Waiting) bool { return true }) // of that id
	if err == nil && found == nil {
		found, err = asked(l, a, k.Senders, func(w *Waiting) bool { return mayBe(a, w) })
	}
	if err != nil {
		return 0, false, err
	}
	mail = k.Mail
	if found != nil {
		mail = found.Mail
	}
	number := mail
	if number == 0 {
		number = first
	}
	return mail, found != nil, Settle(l, number, a, &k, found)
}

// asked finds the mail that waits for one of the recipients; nil: none does.
func asked(l Ledger, a *history.Attempt, keys []int64, is func(*Waiting) bool) (found *Waiting, err error) {
	for _, key := range keys {
		all, err := l.For(key)
		if err != nil {
			return nil, err
		}
		for i := range all {
			if w := &all[i]; is(w) && (found == nil || nearer(a, w, found)) {
				found = w
			}
		}
	}
	return found, nil
}

const (
	sizeMayDiffer = 64 // octets: a Received field more
	timeMayDiffer = time.Second
)

// mayBe reports whether an attempt may be one of a mail, where no id says so.
func mayBe(a *history.Attempt, w *Waiting) bool {
	if w.Named && (a.MessageID != "" || a.QueueID != "") {
		return false
	}
	since := a.Start.UnixMilli() - w.Last
	if since < -timeMayDiffer.Milliseconds() || since > history.Keeps.Milliseconds() {
		return false
	}
	return a.Octets == 0 || w.Size == 0 || max(a.Octets-w.Size, w.Size-a.Octets) <= sizeMayDiffer // of what was refused early nobody knows the size
}

// nearer reports which of two mails an attempt is rather of: that whose size it has, then that which has waited longer for its turn.
func nearer(a *history.Attempt, w, than *Waiting) bool {
	if same := w.Size == a.Octets; same != (than.Size == a.Octets) {
		return same
	}
	return w.Last < than.Last
}

// opens reports whether a recipient waits behind an attempt, as far as it tells.
func opens(a *history.Attempt, fate string, known bool) bool {
	switch fate {
	case "delivered", "refused":
		return a.Outcome == "orphan_ack" // the MSA has not heard of it
	case "not_sent":
		return known || a.Outcome != "reset" // which asked, and sent nothing
	}
	return true
}

// Settle notes who waits for a mail behind an attempt; was is how it waited before, nil: it did not.
func Settle(l Ledger, mail int64, a *history.Attempt, k *Keys, was *Waiting) (err error) {
	if was == nil && mail&ByID != 0 && slices.ContainsFunc(a.Recipients, func(r history.Recipient) bool { return opens(a, r.Fate, false) }) {
		if was, err = l.Waiting(mail); err != nil { // by others of its recipients
			return err
		}
	}
	at := a.At.UnixMilli()
	if was != nil && at < was.Last { // it came late: what was told behind it stands
		return nil
	}
	w := Waiting{Mail: mail, Tenant: a.Tenant, Provider: a.Provider, First: a.Start.UnixMilli(), Last: at, Size: a.Octets, Named: k.Mail != 0}
	if a.SendingIP.IsValid() {
		w.IP = a.SendingIP.String()
	}
	if was != nil {
		w.First, w.Named = min(w.First, was.First), w.Named || was.Named
		if w.Size == 0 {
			w.Size = was.Size
		}
	}
	open := 0
	for i, who := range k.Who {
		fate := a.Recipients[i].Fate
		if !opens(a, fate, was != nil) {
			if was != nil {
				if err := l.NoteFor(WaitsFor{Mail: mail, Who: who, Gone: true}); err != nil {
					return err
				}
			}
			continue
		}
		open++
		w.Deferred = w.Deferred || fate == "deferred"
		if err := noteFor(l, k, i, mail); err != nil {
			return err
		}
	}
	if open == 0 && was == nil {
		return nil
	}
	if was != nil {
		left, err := l.Left(mail)
		if err != nil {
			return err
		}
		w.Gone = left == 0
		w.Deferred = w.Deferred || was.Deferred && left > open
	}
	return l.Note(w)
}

// noteFor notes that a recipient waits, by all that its mail is asked for.
func noteFor(l Ledger, k *Keys, recipient int, mail int64) error {
	f := WaitsFor{Key: k.Senders[recipient], Mail: mail, Who: k.Who[recipient]}
	err := l.NoteFor(f)
	if err == nil && k.IDs != nil {
		f.Key = k.IDs[recipient]
		err = l.NoteFor(f)
	}
	return err
}
