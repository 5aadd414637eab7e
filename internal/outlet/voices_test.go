package outlet

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/outlet/provider"
	"kanmon/internal/outlet/warm"
	"kanmon/internal/session"
)

const (
	tooMuch  = "450 4.7.0 too many messages from your IP address, slow down"
	badName  = "450 4.7.1 your IP address has a poor reputation"
	ownCode  = "421 4.7.28 Our system has detected an unusual rate of mail originating from your IP address"
	nothing1 = "451 4.3.0 try again later"
)

// A said is a refusal of a mail from the new IP.
type said struct{ source, recipient, mx, words string }

const (
	acme1, blue1 = "10.20.1.5", "10.20.2.5"
	google1      = "192.0.2.10:25"
	sink1, sink2 = "198.51.100.7:25", "198.18.0.7:25"
)

// Whoever has an MX of his own, or is the customer of a provider, and sends mail to himself, holds nobody else's mail back from a sending IP that warms
// up; two who have nothing to do with each other, and have said so to two tenants, do.
//
// law: I19
func TestWhoHoldsTheMailOfAWarmingIPBack(t *testing.T) {
	again := func(n int, said ...said) (all []said) {
		return slices.Repeat(said, n)
	}
	for name, c := range map[string]struct {
		said  []said
		class string
		rests bool
	}{
		"a provider":                                   {again(1, said{acme1, "r@gmail.com", google1, tooMuch}), "google", true},
		"a provider, in vague words":                   {again(5, said{acme1, "r@gmail.com", google1, nothing1}), "google", true},
		"a customer of it":                             {again(9, said{acme1, "r@customer.example", google1, tooMuch}), "google", false},
		"a customer of it, in vague words":             {again(9, said{acme1, "r@customer.example", google1, nothing1}), "google", false},
		"two customers, to one tenant":                 {[]said{{acme1, "r@customer.example", google1, tooMuch}, {acme1, "r@another.example", google1, tooMuch}}, "google", false},
		"two customers, to two":                        {[]said{{acme1, "r@customer.example", google1, tooMuch}, {blue1, "r@another.example", google1, badName}}, "google", true},
		"a stranger":                                   {again(1, said{acme1, "r@sink.example", sink1, badName}), warm.Others, false},
		"a stranger, in vague words":                   {again(9, said{acme1, "r@sink.example", sink1, nothing1}), warm.Others, false},
		"a stranger who is given mail for a provider":  {again(9, said{acme1, "r@gmail.com", sink1, tooMuch}), "google", false},
		"a provider by its own code, at a customer's":  {again(1, said{acme1, "r@customer.example", google1, ownCode}), "google", true},
		"two strangers, to one tenant, in vague words": {again(9, said{acme1, "r@sink.example", sink1, nothing1}, said{acme1, "r@other.example", sink2, nothing1}), warm.Others, false},
		"two strangers, to two, in vague words":        {again(5, said{acme1, "r@sink.example", sink1, nothing1}, said{blue1, "r@other.example", sink2, nothing1}), warm.Others, true},
		"one who says it all the time, and a stray":    {append(again(7, said{acme1, "r@sink.example", sink1, nothing1}), said{blue1, "r@other.example", sink2, nothing1}), warm.Others, false},
		"one domain in two networks, to two tenants":   {[]said{{acme1, "r@sink.example", sink1, tooMuch}, {blue1, "r@sink.example", sink2, tooMuch}}, warm.Others, false},
		"two strangers, to one tenant":                 {[]said{{acme1, "r@sink.example", sink1, tooMuch}, {acme1, "r@other.example", sink2, tooMuch}}, warm.Others, false},
		"one stranger, to two tenants":                 {[]said{{acme1, "r@sink.example", sink1, tooMuch}, {blue1, "r@sink.example", sink1, tooMuch}}, warm.Others, false},
		"two strangers, to two tenants":                {[]said{{acme1, "r@sink.example", sink1, tooMuch}, {blue1, "r@other.example", sink2, tooMuch}}, warm.Others, true},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRamp(t, poolOf(4).tenant("acme", "10.20.1.0/24").tenant("blue", "10.20.2.0/24"), amounts(500, 500), new1)
			r.state.learnt.addresses.Put(netip.MustParseAddrPort(google1).Addr(), provider.MX{Host: "aspmx.l.google.com"})
			for _, s := range c.said {
				l := r.fromNew(t, s)
				l.refused(event.PhaseRcpt, 450, s.words)
				l.close()
			}
			for _, class := range []string{"google", warm.Others} {
				got := r.class(class)
				if rests := !got.Until.IsZero(); rests != (c.rests && class == c.class) {
					t.Errorf("class %q: %+v", class, got)
				}
				if !c.rests && (got.Tried != 0 || got.Finding != "") {
					t.Errorf("class %q: counted %+v", class, got)
				}
			}
		})
	}
}

// A word is of its day: who says the same the day after next is alone again.
func TestAVoiceIsForgotten(t *testing.T) {
	r := newRamp(t, poolOf(4).tenant("acme", "10.20.1.0/24").tenant("blue", "10.20.2.0/24"), amounts(500, 500), new1)
	for i, s := range []said{{acme1, "r@sink.example", sink1, tooMuch}, {blue1, "r@other.example", sink2, tooMuch}} {
		r.clock.Pass(time.Duration(i) * 25 * time.Hour)
		l := r.fromNew(t, s)
		l.refused(event.PhaseRcpt, 450, s.words)
		l.close()
	}
	if got := r.class(warm.Others); !got.Until.IsZero() {
		t.Errorf("counted %+v", got)
	}
}

// What a reply repeats of a message that nobody has read, and what nobody can tell the writer of, is no word of the provider's.
//
// law: I19
func TestWhatMayBeNobodysWordHoldsNoMailOfAWarmingIPBack(t *testing.T) {
	for name, changes := range map[string]func(*session.MXRefusal){
		"it may repeat the message":  func(r *session.MXRefusal) { r.Partial = true },
		"recipients of many domains": func(r *session.MXRefusal) { r.Domain = "" },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRamp(t, poolOf(4).tenant("acme", "10.20.1.0/24").tenant("blue", "10.20.2.0/24"), amounts(500, 500), new1)
			r.state.learnt.addresses.Put(netip.MustParseAddrPort(google1).Addr(), provider.MX{Host: "aspmx.l.google.com"})
			for range 6 {
				for _, source := range []string{acme1, blue1} {
					l := r.fromNew(t, said{source: source, recipient: "r@gmail.com", mx: google1})
					refusal := session.MXRefusal{
						SendingIP: l.ip, Phase: event.PhaseDot, Mails: 1, Code: 450, Text: []byte(tooMuch), Sender: []byte(l.req.Sender), Recipient: []byte(l.req.Recipient), Domain: "gmail.com",
					}
					changes(&refusal)
					r.wayOf(l.req).Judge(refusal)
					l.close()
				}
			}
			if got := r.class("google"); !got.Until.IsZero() || got.Finding != "" || got.Tried != 0 {
				t.Errorf("counted %+v", got)
			}
		})
	}
}

// fromNew writes a mail that leaves from the new IP, which its sender is chosen for.
func (r *ramp) fromNew(t *testing.T, s said) *letter {
	t.Helper()
	for i := range 1000 {
		l, err := r.begin(writer{s.source, fmt.Sprintf("a@s%d.example", i)}, s.mx, s.recipient)
		if err != nil {
			t.Fatal(err)
		}
		if l.ip == new1 {
			return l
		}
		l.close()
	}
	t.Fatalf("no mail of %s leaves from the new IP", s.source)
	return nil
}
