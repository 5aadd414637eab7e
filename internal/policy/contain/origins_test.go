package contain

import (
	"fmt"
	"testing"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/who/witness"
)

// outsider names the MX of somebody whom nobody knows.
func outsider(n int) (name string) { return fmt.Sprintf("%s%d.example", witness.Strange, n) }

// Whoever owns a few MXs, and gets an account to send there, can have it slowed and no more, be it by dead addresses or by calling its mail
// spam, of few or of many mails, and whoever else accepts.
//
// audit-A3
func TestAFewStrangersSlowAtMost(t *testing.T) {
	for _, class := range []event.Class{event.RecipientInvalid, event.ContentRejected} {
		for n := 1; n <= 5; n++ {
			for _, accepted := range []int{0, 1, 3} { // mails elsewhere for each that is refused
				r := newRig(t, enforced())
				highest := Normal
				for i := range 3000 {
					r.mail(alice, outsider(i%n), class)
					for j := range accepted {
						r.mail(alice, providers[(i+j)%len(providers)], event.NoRefusal)
					}
					r.leap(4 * time.Second)
					highest = max(highest, r.level(alice), r.level(acme))
				}
				if highest > Slow {
					t.Errorf("%d strangers, %s, %d accepted for each: %v", n, class, accepted, highest)
				}
			}
		}
	}
}

// The refusals of strangers count as much as those of providers with a name beside them, and no more: who is refused by Google now and
// then is not stopped because somebody adds to it.
//
// audit-A3
func TestStrangersAddNoMoreThanIsSaidByOthers(t *testing.T) {
	r := newRig(t, enforced())
	for i := range 4000 {
		class := event.NoRefusal
		if i%50 == 0 { // 2 % of what a provider gets: nothing
			class = event.ContentRejected
		}
		r.mail(alice, providers[i%2], class)
		if i%5 == 0 {
			r.mail(alice, outsider(i%3), event.ContentRejected)
		}
		r.leap(2 * time.Second)
		if l := r.level(alice); l > Slow {
			t.Fatalf("%v after %d mails: %+v", l, i, r.lastOf(alice).Reading)
		}
	}
}

// Spam that many strangers refuse is diverted without a word of a provider that has a name, and stopped only with one.
func TestManyStrangersDivert(t *testing.T) {
	r := newRig(t, enforced())
	for i := range 4000 {
		r.mail(alice, outsider(i%40), event.ContentRejected)
		r.leap(2 * time.Second)
	}
	r.want(alice, Divert)
	for i := range 1000 {
		r.mail(alice, providers[i%len(providers)], event.ContentRejected)
		r.leap(2 * time.Second)
	}
	r.want(alice, Stop)
}

// Strangers who come first do not crowd out the providers that have a name.
func TestProvidersTakeThePlaceOfStrangers(t *testing.T) {
	for _, first := range []bool{true, false} {
		var o refusers
		add := func(name string, n int) {
			for range n {
				o.add(0, witness.Called(name, func(s string) uint64 { return mix(uint64(len(s))*977+uint64(s[len(s)-1]), 1) }))
			}
		}
		named := func() { add("google", 30); add("microsoft", 30) }
		if first {
			named()
		}
		for i := range 6 {
			add(fmt.Sprintf("%sstranger-%d", witness.Strange, i), 10)
		}
		if !first {
			named()
		}
		if part, divert := o.attested(); part != 1 || divert != 1 || o.count() < 2 {
			t.Errorf("named first %t: %v attested, %v to divert, %d", first, part, divert, o.count())
		}
	}
}

// Innocent receivers each have a dead address now and then. They make no crowd of the outsider who has five: without what the five that refuse
// most say, it must still be enough. It is so for accounts, and for tenants.
func TestStrayRefusalsMakeNoCrowd(t *testing.T) {
	for n := 1; n <= 5; n++ {
		for _, accounts := range []int{1, 40} {
			r := newRig(t, enforced())
			highest := Normal
			for i := range 4000 {
				from := account(i % accounts)
				r.mail(from, outsider(i%n), event.RecipientInvalid)
				r.mail(from, providers[i%4], event.NoRefusal)
				r.mail(from, outsider(100+i%61), each(i, 20, event.RecipientInvalid))
				r.leap(4 * time.Second)
				highest = max(highest, r.level(from), r.level(acme))
			}
			if highest != Slow {
				t.Errorf("%d strangers beside others with strays, %d accounts: %v", n, accounts, highest)
			}
		}
	}
}
