package trust

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/outlet/trust/dns"
	"kanmon/internal/outlet/trust/sts"
	"kanmon/internal/session"
)

// A crowded zone has no place for the questions of one tenant.
type crowded struct {
	*zone
	by string
}

func (z *crowded) Ask(ctx context.Context, name string, kind dns.Kind, by string) dns.Answer {
	if by == z.by {
		return dns.Answer{Err: fmt.Errorf("ask: %w", dns.ErrBusy)}
	}
	return z.zone.Ask(ctx, name, kind, by)
}

// A tenant whose questions to the DNS have no place asks for a domain: another tenant who asks for it, too, neither waits for his nor is told
// what came of them.
func TestATenantWhoHasNoPlaceHoldsNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.c.DNS = &crowded{r.z, "greedy"}
		ask := func(by string) session.Need {
			q := question(at1)
			q.By = by
			return r.trust().Need(q)
		}
		first := ask("greedy")
		time.Sleep(time.Second)
		began := time.Now()
		if v := wait(ask("other")).Judge(plainText(at1, false, "")); !v.Pass || time.Since(began) > time.Second {
			t.Errorf("another tenant waits for %v: %s", time.Since(began), text(v))
		}
		wait(first)
		r.the.Close()

		r.the = nil
		wait(ask("greedy")) // has waited in vain
		if v := wait(ask("other")).Judge(plainText(at1, false, "")); !v.Pass {
			t.Errorf("another tenant is told that nobody knows: %s", text(v))
		}
		r.the.Close()
	})
}

// A busyKeeper has no place for the questions of one tenant, and a policy for everybody else a moment after he asks.
type busyKeeper struct {
	*policies
	by string
}

func (k *busyKeeper) Look(domain, by string) (sts.Found, <-chan struct{}) {
	if by == k.by {
		return sts.Found{Err: sts.ErrBusy}, nil
	}
	return k.policies.Look(domain, by)
}

// That there was no place for a tenant's question about a policy is news of him: the mail of another one waits for the policy, and is judged by it.
func TestATenantWhoHasNoPlaceForPoliciesLetsNobodyElsePass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.c.DANE = false
		r.c.STS = &busyKeeper{r.p, "greedy"}
		ask := func(by string) session.Need {
			q := question(at1)
			q.By = by
			return wait(r.trust().Need(q))
		}
		if v := ask("greedy").Judge(plainText(at1, false, "")); !v.Pass || v.Told.Policy != event.TrustUnknown {
			t.Errorf("greedy: %s", text(v))
		}
		coming := make(chan struct{})
		r.p.coming[domain] = coming
		time.AfterFunc(time.Second, func() {
			r.p.set(domain, enforce(mx1))
			close(coming)
		})
		if v := ask("quiet").Judge(plainText(at1, false, "")); v.Pass || v.Told.Policy != event.TrustSTS {
			t.Errorf("quiet: %s", text(v))
		}
	})
}

// The addresses of an MX that there was no place to ask for are not kept for another tenant as if nobody knew them.
func TestATenantWhoHasNoPlaceForAddressesIsNotKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.p.set(domain, enforce("*.example.test"))
		r.c.DANE, r.c.Wait = false, time.Second
		crowded := &crowdedAddresses{zone: r.z, by: "greedy"}
		r.c.DNS = crowded
		ask := func(by string) *known {
			q := question(at1)
			q.By = by
			return wait(r.trust().Need(q)).(*need).known.Load()
		}
		if k := ask("greedy"); k.hosts[0].sure {
			t.Fatal("the crowded one has an answer")
		}
		if k := ask("quiet"); !k.hosts[0].sure {
			t.Error("another tenant has what the crowded one could not ask")
		}
	})
}

type crowdedAddresses struct {
	*zone
	by string
}

func (z *crowdedAddresses) Ask(ctx context.Context, name string, kind dns.Kind, by string) dns.Answer {
	if by == z.by && kind == dns.TypeA {
		return dns.Answer{Err: dns.ErrBusy}
	}
	return z.zone.Ask(ctx, name, kind, by)
}
