package contain

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"kanmon/internal/event"
)

// news is a list's account.
var news = Subject{"acme", "news-bounces@lists.acme.example"}

// tell tells of a mail to one recipient, of a message.
func (r *rig) tell(s Subject, k Kind, traits Traits, provider string, class event.Class, to, message uint64) {
	r.leap(time.Second)
	r.Begin(Mail{s.Tenant, s.Account, k, traits})
	rcpt := Recipient{Tenant: s.Tenant, Account: s.Account, Provider: provider, Hash: mix(to, 99), Class: event.NoRefusal, Kind: k, Traits: traits, Message: message}
	if class == event.RecipientInvalid {
		rcpt.Class = class
	}
	if r.Recipient(rcpt); rcpt.Class == event.NoRefusal {
		r.Message(Message{
			Tenant: s.Tenant, Account: s.Account, Provider: provider, Hash: mix(to, 99), Class: class, Recipients: 1, Octets: 1000, Kind: k, Traits: traits, Message: message,
		})
	}
}

// A list's message that providers refuse for each of its recipients is one refusal of each. Without the mark it is one for each recipient,
// whatever its messages have in common.
func TestOneMessageIsOnePieceOfEvidence(t *testing.T) {
	for _, k := range []Kind{List, Forwarder, Plain} {
		r := newRig(t, nil)
		for i := range 500 {
			class := event.NoRefusal
			if i%2 == 0 {
				class = event.ContentRejected
			}
			r.tell(news, k, 0, providers[i/2%4], class, uint64(i), 1)
		}
		x := r.Explain(news)
		switch k {
		case Plain:
			if x.Level != Stop && x.Level != Divert {
				t.Errorf("500 messages, half of them spam: %v", x.Level)
			}
		default:
			if x.Level != Normal || x.Day.Content != 4 || x.Day.Judged != 4 || x.Day.Delivered != 250 {
				t.Errorf("%v: %v, %+v", k, x.Level, x.Day)
			}
		}
	}
}

// Many messages that are refused contain a list.
func TestListThatSendsSpam(t *testing.T) {
	r := newRig(t, nil)
	for i := range 400 {
		r.tell(news, List, 0, providers[i/2%4], each(i, 2, event.ContentRejected), uint64(i), uint64(i))
	}
	if got := r.level(news); got < Divert {
		t.Errorf("it is %v", got)
	}
	r.want(acme, Normal)
}

// A recipient who does not exist is one, however many messages go there; so is one who does.
func TestOneRecipientIsOnePieceOfEvidence(t *testing.T) {
	r := newRig(t, nil)
	for issue := range 20 {
		for i := range 100 {
			class := event.NoRefusal
			if i < 9 {
				class = event.RecipientInvalid
			}
			r.tell(news, List, NamesRecipient, providers[i%4], class, uint64(i), uint64(issue))
		}
	}
	r.want(news, Normal)
	if x := r.Explain(news); x.Day.Unknown != 9 || x.Day.Answered != 100 || x.Day.Tried != 2000 {
		t.Errorf("%+v", x.Day)
	}
}

// However many lists are contained, and however bad they are, their tenant is left alone; without the mark it is not.
func TestListsDoNotContainTheirTenant(t *testing.T) {
	for _, k := range []Kind{List, Forwarder, Plain} {
		r := newRig(t, nil)
		for i := range 40 * 120 {
			s := Subject{"acme", fmt.Sprintf("list%d@lists.acme.example", i%40)}
			r.tell(s, k, 0, providers[i/120%4], each(i/40, 3, event.RecipientInvalid), uint64(i), uint64(i))
		}
		if got := r.level(acme); (got == Normal) != (k != Plain) {
			t.Errorf("of kind %v: the tenant is %v", k, got)
		}
		if k == Plain {
			continue
		}
		if got := r.level(Subject{"acme", "list7@lists.acme.example"}); got == Normal {
			t.Errorf("of kind %v: the account is left alone", k)
		}
		for _, reading := range r.Explain(acme).Readings {
			if reading.Signal != Volume && reading.Bad != 0 {
				t.Errorf("of kind %v: %+v", k, reading)
			}
		}
	}
}

// Marked behind the fact, contained accounts no longer count for their tenant; unmarked, they do again.
func TestMark(t *testing.T) {
	r := newRig(t, nil)
	for i := range 4 {
		r.send(account(i), 300, 6, event.RecipientInvalid)
	}
	r.Mark("acme", func(_, name string) Kind {
		if name == account(1).Account || name == account(2).Account {
			return List
		}
		return Plain
	})
	r.want(account(1), Slow)
	sound(t, r.Detector)
	if got := r.tenant("acme").containedAt[Slow]; got != 2 {
		t.Errorf("%d count for the tenant, want 2", got)
	}
	r.Mark("", func(_, _ string) Kind { return Plain })
	sound(t, r.Detector)
	if got := r.tenant("acme").containedAt[Slow]; got != 4 {
		t.Errorf("%d count for the tenant, want 4", got)
	}
}

// A list may write to many; nobody else may, marked or not. Its recipients are not its tenant's volume.
func TestVolumeOfAList(t *testing.T) {
	for _, k := range []Kind{List, Forwarder, Plain} {
		r := newRig(t, nil)
		for i := range 12_000 {
			r.leap(-900 * time.Millisecond)
			r.tell(news, k, 0, providers[i%4], event.NoRefusal, uint64(i), 1)
		}
		if got := r.level(news); (got == Normal) != (k == List) {
			t.Errorf("of kind %v: %v", k, got)
		}
		if got := r.level(acme); (got == Normal) != (k != Plain) {
			t.Errorf("of kind %v: the tenant is %v", k, got)
		}
	}
}

// What is remembered of a list is bounded, and what is forgotten counts again.
func TestOnceIsBounded(t *testing.T) {
	o := &once{}
	for i := range uint64(100_000) {
		if o.note(0, i, asCase) == 0 {
			t.Fatalf("%d was counted before", i)
		}
		if len(o.now) > mostOnce || len(o.before) > mostOnce {
			t.Fatalf("%d and %d are remembered", len(o.now), len(o.before))
		}
	}
	last := uint64(100_000 - 1)
	for _, c := range []struct {
		minute int32
		what   uint8
		fresh  uint8
	}{
		{0, asCase, 0}, {1, asCase | asBad, asBad}, {2, asBad, 0}, {halfDay, asBad, 0}, {3 * halfDay, asCase | asBad, asCase | asBad},
	} {
		if got := o.note(c.minute, last, c.what); got != c.fresh {
			t.Errorf("minute %d: %b is new of %b, want %b", c.minute, got, c.what, c.fresh)
		}
	}
}

// A decision about what looks like a list or a forwarder names both readings and the command; others do not.
func TestLooks(t *testing.T) {
	relay := Subject{"acme", "<srs>@alumni.acme.example"}
	for _, c := range []struct {
		name string
		of   Subject // the decision's
		play func(r *rig)
		want Kind
		says string
	}{
		{"VERP", news, func(r *rig) { r.mails(news, Plain, NamesRecipient, 200, 3, event.RecipientInvalid) }, List, "its senders name their recipients"},
		{"marked already", news, func(r *rig) { r.mails(news, List, NamesRecipient, 200, 3, event.RecipientInvalid) }, Plain, ""},
		{"many recipients", news, func(r *rig) { r.mails(news, Plain, 0, 4000, 0, event.NoRefusal) }, List, "one sender to very many recipients"},
		{"SRS", relay, func(r *rig) { r.mails(relay, Plain, WasForwarded, 200, 5, event.ContentRejected) }, Forwarder, "its senders are of SRS"},
		{"a person", alice, func(r *rig) { r.mails(alice, Plain, OwnDomain, 200, 3, event.RecipientInvalid) }, Plain, ""},
		{"strangers", acme, func(r *rig) { r.strangers(0, "x@o%d.example") }, Forwarder, "many senders of other domains look like forwarding"},
		{"the tenant's own domains", acme, func(r *rig) { r.strangers(OwnDomain, "x@o%d.example") }, Plain, ""},
		{"many of one domain", acme, func(r *rig) { r.strangers(0, "x%d@acme.example") }, Plain, ""},
	} {
		r := newRig(t, nil)
		c.play(r)
		d := r.lastOf(c.of)
		if d.Looks != c.want || !strings.Contains(d.Why, c.says) {
			t.Errorf("%s: looks like %v: %s", c.name, d.Looks, d.Why)
		}
		both := strings.Contains(d.Why, "stolen") && strings.Contains(d.Why, " kind ")
		if both != (c.want != Plain) {
			t.Errorf("%s: %s", c.name, d.Why)
		}
		if len(d.Why) > 2*maxName {
			t.Errorf("%s: %d octets are cut over a restart", c.name, len(d.Why))
		}
	}
}

func (r *rig) mails(s Subject, k Kind, traits Traits, n, every int, class event.Class) {
	for i := range n {
		r.leap(-500 * time.Millisecond)
		r.tell(s, k, traits, providers[i/max(every, 1)%4], each(i, every, class), uint64(i), uint64(i))
	}
}

// strangers each send a few mails, of which some are refused.
func (r *rig) strangers(traits Traits, name string) {
	for i := range 1500 {
		s := Subject{"acme", fmt.Sprintf(name, i%150)}
		r.tell(s, Plain, traits, providers[i/5%4], each(i, 5, event.ContentRejected), uint64(i), uint64(i))
	}
}
