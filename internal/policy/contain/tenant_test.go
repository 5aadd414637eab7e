package contain

import (
	"fmt"
	"testing"
	"time"

	"kanmon/internal/event"
)

// However bad one account is, its tenant is left alone.
func TestOneAccountDoesNotContainItsTenant(t *testing.T) {
	for _, class := range []event.Class{event.RecipientInvalid, event.ContentRejected} {
		r := newRig(t, nil)
		for range 20 {
			for i := range 1500 {
				r.leap(100 * time.Millisecond)
				r.mail(alice, providers[i/2%4], each(i, 2, class))
			}
			r.pass(10 * time.Minute)
			r.want(acme, Normal)
		}
		r.want(alice, Stop)
		r.wantAsk(bob, Answer{})
	}
}

// Enough contained accounts contain the tenant: as far as enough of them are, and not to Stop.
func TestManyAccounts(t *testing.T) {
	r := newRig(t, nil)
	bad := func(n, mails, every int) {
		for i := range n {
			r.send(account(i), mails, every, event.RecipientInvalid)
		}
		r.pass(3 * time.Minute)
	}
	bad(4, 300, 6)
	r.want(acme, Normal)
	for i := range 4 {
		r.want(account(i), Slow)
	}
	r.send(account(4), 300, 6, event.RecipientInvalid)
	r.want(acme, Slow)
	if d := r.lastOf(acme); d.Reading.Signal != ManyAccounts || d.Reading.Bad != 5 {
		t.Errorf("%+v", d)
	}
	r.wantAsk(bob, Answer{Would: Slow, Tenant: true})
	for range 3 {
		bad(5, 300, 2)
	}
	for i := range 5 {
		r.want(account(i), Stop)
	}
	r.want(acme, Divert)
	r.pass(12 * time.Hour)
	r.want(acme, Divert) // they are still contained
	r.pass(8 * 24 * time.Hour)
	r.want(acme, Normal)
}

// Of a tenant with many accounts more must be contained.
func TestManyOfVeryMany(t *testing.T) {
	p := DefaultNumbers()
	p.SpreadUnknown = Steps{Slow: Step{Share: 0.99, Bad: 1e6}} // which would come first
	r := newRig(t, p)
	for i := range 400 * 30 {
		r.leap(4 * time.Second)
		r.mail(account(i%400), "google", event.NoRefusal)
	}
	for i := range 20 {
		r.want(acme, Normal)
		r.send(account(i), 200, 5, event.RecipientInvalid)
	}
	r.want(acme, Slow)
}

// Of one account a few bad outcomes count for its tenant's spread, even if it is not contained for them.
func TestAccountCap(t *testing.T) {
	r := newRig(t, nil)
	r.send(alice, 1000, 12, event.RecipientInvalid)
	r.want(alice, Normal)
	for _, reading := range r.Explain(acme).Readings {
		if reading.Signal == SpreadUnknown && reading.Window == "day" && (reading.Bad != 15 || reading.Cases < 900) {
			t.Errorf("%+v", reading)
		}
	}
}

// Bad outcomes over many accounts, none of them bad enough by itself.
func TestSnowshoe(t *testing.T) {
	r := newRig(t, nil)
	for range 8 { // each account too few to be judged
		for i := range 200 {
			r.leap(500 * time.Millisecond)
			r.mail(account(i), providers[i/3%4], each(i, 3, event.RecipientInvalid))
		}
	}
	r.want(acme, Divert)
	if d := r.lastOf(acme); d.Reading.Signal != SpreadUnknown || d.Reading.Accounts < 15 {
		t.Errorf("%+v", d)
	}
	for i := range 200 {
		r.want(account(i), Normal)
	}
}

// Made-up senders: each account a single mail. The tenant's counters go on when there is no room for more accounts.
func TestMadeUpSendersAreCaught(t *testing.T) {
	r := newRigWith(t, Options{MaxAccounts: 100})
	for i := range 8000 {
		r.leap(100 * time.Millisecond)
		r.mail(Subject{"acme", fmt.Sprintf("x%d", i)}, providers[i/2%4], each(i, 2, event.ContentRejected))
	}
	r.want(acme, Stop)
	if s := r.Stats(); s.Accounts > 100 {
		t.Errorf("%+v", s)
	}
}

// An exempt or blocked account's outcomes do not count for its tenant, nor do bounces.
func TestWhatDoesNotCountForTheTenant(t *testing.T) {
	r := newRig(t, nil)
	for i := range 40 {
		if err := r.Exempt(account(i), time.Time{}, "op", "test"); err != nil {
			t.Fatal(err)
		}
		if err := r.Block(account(100+i), time.Time{}, "op", "test"); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 4000 {
		r.leap(time.Second)
		r.mail(account(i%40), providers[i%4], event.RecipientInvalid)
		r.mail(account(100+i%40), providers[i%4], event.RecipientInvalid)
		r.mail(Subject{"acme", NullSender}, providers[i%4], event.RecipientInvalid)
	}
	x := r.Explain(acme)
	if x.Day.NullSender != 4000 {
		t.Errorf("%d mails without a sender", x.Day.NullSender)
	}
	for _, reading := range x.Readings {
		if reading.Signal == SpreadUnknown && reading.Cases != 0 {
			t.Errorf("%+v", reading)
		}
	}
}

// What is refused as spam counts for the tenant whoever its sender is: also that of nobody.
func TestSpamWithoutASenderCountsForTheTenant(t *testing.T) {
	r := newRig(t, nil)
	cases := func() (bad, all int) {
		for _, reading := range r.Explain(acme).Readings {
			if reading.Signal == SpreadContent && reading.Window == "day" {
				bad, all = reading.Bad, reading.Cases
			}
		}
		return bad, all
	}
	for i := range 18 { // below what contains the account
		r.leap(time.Minute)
		r.mail(Subject{"acme", NullSender}, providers[i%4], each(i, 2, event.ContentRejected))
	}
	if bad, all := cases(); bad != 9 || all != 18 {
		t.Errorf("%d of %d messages without a sender count for the tenant, want 9 of 18", bad, all)
	}
	for i := range 60 { // with those of fifteen senders, each of whom is not contained for them, the tenant is
		r.leap(time.Minute)
		r.mail(account(i%15), providers[i%4], each(i, 2, event.ContentRejected))
	}
	r.want(acme, Slow)
}
