package policy

import (
	"net/netip"
	"strings"
	"testing"

	"kanmon/internal/policy/contain"
	"kanmon/internal/policy/limit"
	"kanmon/internal/session"
)

// ofDocomo has the limits for mail to docomo, which a domain of its own tells.
func ofDocomo(limits ...*Limit) Settings {
	s := settingsWith(limits...)
	s.ProviderOf = func(_ netip.Addr, domain, _ string) string {
		if strings.EqualFold(domain, "docomo.ne.jp") {
			return "docomo"
		}
		return ""
	}
	return s
}

func toDocomo(l *Limit) *Limit {
	l.Providers = []string{"docomo"}
	return l
}

// A provider's limit counts from the first mail, also where nobody knows yet that the MX is the provider's: the domain tells.
func TestProvidersLimitCountsFromTheFirstMail(t *testing.T) {
	for name, l := range map[string]*Limit{
		"of a tenant":                 toDocomo(rule("hour", limit.PerTenant, 3)),
		"of an account":               toDocomo(rule("hour", limit.PerAccount, 3)),
		"of a tenant there":           rule("hour", limit.PerTenantProvider, 3),
		"of a tenant there and named": toDocomo(rule("hour", limit.PerTenantProvider, 3)),
		"of a sending IP":             toDocomo(rule("hour", limit.PerIPProvider, 3)),
		"of recipients":               toDocomo(rule("hour", limit.PerTenant, 3, func(r *limit.Rule) { r.Measure = limit.Recipients })),
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, ofDocomo(l), nil)
			for i := range 5 {
				to := netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), 25) // a new MX each time
				v, _ := r.enter("10.0.1.1", to)
				s := v.send("a@acme.example", []string{"b@Docomo.ne.jp"}, nil)
				if passed := s.rcpts == 1; passed != (i < 3) || s.refused.Refuse != session.RefuseNot {
					t.Errorf("mail %d: %d recipients pass, MAIL %+v; the limit is 3", i+1, s.rcpts, s.refused)
				}
				if s = v.send("a@acme.example", rcpt, nil); s.rcpts != 1 && name != "of a tenant there" {
					t.Errorf("mail %d to others in the same session: %+v", i+1, s)
				}
				v.Close()
			}
		})
	}
}

// What it takes is given back with the rest: where the MX refuses the mail, and where another limit has no room.
func TestLateLimitIsGivenBack(t *testing.T) {
	r := newRig(t, ofDocomo(toDocomo(rule("hour", limit.PerTenant, 2)), toDocomo(rule("account", limit.PerAccount, 1))), nil)
	mail := func(from, reply string) sent {
		v, _ := r.enter("10.0.1.1", mx)
		defer v.Close()
		return v.send(from, []string{"b@docomo.ne.jp"}, map[string]string{"": reply})
	}
	for range attemptsEach - 1 { // the account may be tried so often, and once more
		if s := mail("a@acme.example", "content_rejected"); s.rcpts != 1 {
			t.Fatalf("what the MX has refused is counted: %+v", s)
		}
	}
	mail("a@acme.example", "")
	for range 5 {
		if s := mail("a@acme.example", ""); s.rcpts != 0 {
			t.Fatalf("beyond the account's limit: %+v", s)
		}
	}
	if s := mail("b@acme.example", ""); s.rcpts != 1 {
		t.Errorf("mails for which the account had no room are counted against the tenant: %+v", s)
	}
	if s := mail("c@acme.example", ""); s.rcpts != 0 {
		t.Errorf("beyond the tenant's limit: %+v", s)
	}
	for _, u := range r.Usages(contain.Subject{Tenant: "acme"}) {
		if u.Used > 2 {
			t.Errorf("%+v", u)
		}
	}
}

// What MXs refuse has its bound, five times the limit, also where only the recipient's domain tells whose MX it is.
func TestAttemptsAtALateLimitAreBounded(t *testing.T) {
	for name, l := range map[string]*Limit{
		"of messages": toDocomo(rule("hour", limit.PerTenant, 3)), "of octets": toDocomo(octets(limit.PerTenant, 3000)), "of a tenant there": rule("hour", limit.PerTenantProvider, 3),
	} {
		r := newRig(t, ofDocomo(l), nil)
		passed := 0
		for ; passed < 100; passed++ {
			v, _ := r.enter("10.0.1.1", netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(passed)}), 25))
			s := v.send("a@acme.example", []string{"b@docomo.ne.jp"}, map[string]string{"": "content_rejected"})
			v.Close()
			if s.rcpts == 0 {
				break
			}
		}
		if passed < 15 || passed > 16 { // of octets it is known behind the message how many it has
			t.Errorf("%s: %d refused mails pass, want 15", name, passed)
		}
	}
}

// A delay of a late limit is one delay, asked about once more, and told once.
func TestLateLimitDelays(t *testing.T) {
	l := toDocomo(rule("rate", limit.PerTenant, 3600, func(r *limit.Rule) { r.Burst = 1 }))
	l.Action = limit.Delay
	r := newRig(t, ofDocomo(l), nil)
	for i := range 3 {
		began := r.Now()
		v, _ := r.enter("10.0.1.1", mx)
		s := v.send("a@acme.example", []string{"b@docomo.ne.jp"}, nil)
		if s.rcpts != 1 {
			t.Errorf("mail %d: %+v", i+1, s)
		}
		if waited := r.Now().Sub(began); waited > 0 != (i > 0) || i > 0 && did(v.notes) != "delayed by limit rate" {
			t.Errorf("mail %d has waited %s: %s", i+1, waited, did(v.notes))
		}
		v.Close()
	}
}

// Who only observes is told, and nobody is refused.
func TestLateLimitObserves(t *testing.T) {
	l := toDocomo(rule("hour", limit.PerTenant, 1))
	l.Enforce = false
	r := newRig(t, ofDocomo(l), nil)
	v, _ := r.enter("10.0.1.1", mx)
	for range 2 {
		if s := v.send("a@acme.example", []string{"b@docomo.ne.jp"}, nil); s.rcpts != 1 {
			t.Errorf("%+v", s)
		}
	}
	if got := did(v.notes); got != "would_defer by limit hour" {
		t.Errorf("told: %s", got)
	}
	v.Close()
}
