package outlet

import (
	"net/netip"
	"testing"

	"kanmon/internal/outlet/standing"
	"kanmon/internal/outlet/warm"
)

func TestWhatEvidenceHasSuspendedOrSlowedIsAFindingOfTheDay(t *testing.T) {
	for name, c := range map[string]struct {
		provider string
		state    standing.State
		session  uint64
		whole    bool
		class    string
	}{
		"slowed at a provider":             {"google", standing.Slowed, 1, false, "google"},
		"suspended at a provider":          {"google", standing.Suspended, 1, true, ""},
		"suspended for one customer":       {"google/x.example", standing.Suspended, 1, false, ""},
		"suspended at a stranger's MX":     {"mx:192.0.2.25", standing.Suspended, 1, false, ""},
		"everywhere":                       {standing.Every, standing.Suspended, 1, true, ""},
		"better than before, or by a hand": {"google", standing.Slowed, 0, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRamp(t, poolOf(4), amounts(5, 5), new1)
			r.state.StandingChanged(&standing.Change{Standing: standing.Standing{Key: standing.Key{IP: new1, Provider: c.provider}, State: c.state}, Session: c.session, Tenant: "acme"})
			e, _ := r.state.Warming().Get(new1)
			found := ""
			for name, of := range e.Classes {
				if of.Finding != "" {
					found = name
				}
			}
			if (e.Finding != "") != c.whole || found != c.class {
				t.Errorf("found %q, classes %+v", e.Finding, e.Classes)
			}
		})
	}
}

// What one customer, or one MX of nobody's, has led to is a finding where another has led to the same with another tenant's mail; not where nobody knows
// any more whose mail it was.
//
// law: I19
func TestWhatTwoWitnessesHaveLedToIsAFindingOfTheDay(t *testing.T) {
	at := func(provider, tenant string) standing.Change {
		return standing.Change{Standing: standing.Standing{Key: standing.Key{IP: new1, Provider: provider}, State: standing.Suspended}, Session: 1, Tenant: tenant}
	}
	for name, c := range map[string]struct {
		changes []standing.Change
		found   bool
	}{
		"two of one tenant":               {[]standing.Change{at("mx:192.0.2.25", "acme"), at("mx:198.51.100.7", "acme")}, false},
		"two of two":                      {[]standing.Change{at("mx:192.0.2.25", "acme"), at("mx:198.51.100.7", "blue")}, true},
		"one of a tenant, one of nobody":  {[]standing.Change{at("mx:192.0.2.25", "acme"), at("mx:198.51.100.7", "")}, false},
		"one network of two tenants":      {[]standing.Change{at("mx:192.0.2.25", "acme"), at("mx:192.0.2.26", "blue")}, false},
		"two customers of one tenant":     {[]standing.Change{at("google/x.example", "acme"), at("google/y.example", "acme")}, false},
		"two customers of two":            {[]standing.Change{at("google/x.example", "acme"), at("google/y.example", "blue")}, true},
		"two names of a customer, of two": {[]standing.Change{at("google/a.x.example", "acme"), at("google/b.x.example", "blue")}, false},
		"two customers' MXs, of two":      {[]standing.Change{at("google/[192.0.2.25]", "acme"), at("google/[198.51.100.7]", "blue")}, true},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRamp(t, poolOf(4), amounts(5, 5), new1)
			for i := range c.changes {
				r.state.StandingChanged(&c.changes[i])
			}
			if found := r.class("google").Finding + r.class(warm.Others).Finding; (found != "") != c.found {
				t.Errorf("found %q", found)
			}
		})
	}
}

func TestASiteWithoutWarmUpPaysNothing(t *testing.T) {
	r := newRamp(t, poolOf(4), nil)
	req := request{Session: 1, Source: msa, Destination: netip.MustParseAddrPort(mailbox1)}
	l := &letter{r: r, req: req}
	l.dial()
	w := r.wayOf(req)
	l.mail("a@s.example", "r@x.example")
	mail := l.req.DialRequest
	atMail := mail
	atMail.Recipient = ""
	stays := func() {
		w.MayStay(atMail, l.ip)
		w.MayStay(mail, l.ip)
		w.Accepted(l.ip)
	}
	stays()
	stays()
	if n := testing.AllocsPerRun(100, stays); n > 0 {
		t.Errorf("%v allocations a mail", n)
	}
	if r.warming.of != nil {
		t.Error("something is kept of its sessions")
	}
}
