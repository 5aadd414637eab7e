package contain

import (
	"testing"
	"time"

	"kanmon/internal/event"
)

// Who has an MX of his own can have as much mail accepted as he likes. That makes what providers with a name refuse no smaller: what he sends
// to them is judged as if it were all, and as soon.
func TestAStrangersYesDilutesNobodysNo(t *testing.T) {
	for name, c := range map[string]struct {
		class          event.Class
		from           Subject
		before, beside int // mails to his own MXs: before it all, and for each that is refused
		want           Level
	}{
		"spam":                         {event.ContentRejected, alice, 0, 24, Stop},
		"recipients that do not exist": {event.RecipientInvalid, alice, 0, 24, Stop},
		"a day's yes before":           {event.RecipientInvalid, alice, 5400, 0, Stop},
		"refusals of the sender":       {event.SenderRejected, alice, 0, 24, Slow},
		"bounces":                      {event.RecipientInvalid, Subject{"acme", NullSender}, 0, 24, Divert},
	} {
		for _, washed := range []bool{false, true} {
			r := newRig(t, enforced())
			yes := func(n int) {
				for i := range n {
					if washed {
						r.mail(c.from, outsider(i%3), event.NoRefusal)
					}
				}
			}
			yes(c.before)
			slowed := 0
			for i := range 500 {
				yes(c.beside)
				r.mail(c.from, providers[i%2*3], c.class)
				r.leap(4 * time.Second)
				if slowed == 0 && r.level(c.from) > Normal {
					slowed = i + 1
				}
			}
			if got := r.level(c.from); got != c.want || slowed == 0 || slowed > 31 {
				t.Errorf("%s, washed %t: %v, slowed after %d", name, washed, got, slowed)
			}
		}
	}
}

// Nor is a provider's no crowded out by those of his own MXs: it stays that of two providers.
func TestAStrangersNoHidesNobodysNo(t *testing.T) {
	r := newRig(t, enforced())
	for i := range 400 {
		for j := range 24 {
			r.mail(alice, outsider(j%3), each(j, 2, event.ContentRejected))
		}
		r.mail(alice, providers[i%2], event.ContentRejected)
		r.leap(4 * time.Second)
	}
	r.want(alice, Stop)
}

// It is so for a tenant: many accounts, each with some.
func TestATenantIsNotWashed(t *testing.T) {
	r := newRig(t, enforced())
	for i := range 1000 {
		from := account(i % 200)
		for j := range 24 {
			r.mail(from, outsider(j%3), event.NoRefusal)
		}
		r.mail(from, providers[i%2], event.RecipientInvalid)
		r.leap(4 * time.Second)
	}
	if l := r.level(acme); l < Divert {
		t.Errorf("%v: %+v", l, r.Explain(acme).Readings)
	}
}

// What of an account counts for its tenant is bounded. What strangers refuse takes no room there of what providers refuse.
func TestStrangersTakeNoRoomOfATenantsEvidence(t *testing.T) {
	r := newRig(t, enforced())
	const accounts, own = 200, 20
	for i := range accounts {
		for j := range own * 24 {
			r.mail(account(i), outsider(j%3), each(j, 24, event.RecipientInvalid))
		}
	}
	for i := range 5 * accounts {
		r.mail(account(i%accounts), providers[i%2], event.RecipientInvalid)
		r.leap(4 * time.Second)
	}
	if l := r.level(acme); l < Divert {
		t.Errorf("%v: %+v", l, r.Explain(acme).Readings)
	}
}
