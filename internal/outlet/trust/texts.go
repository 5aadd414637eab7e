package trust

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"kanmon/internal/outlet/trust/dns"
	"kanmon/internal/outlet/trust/sts"
)

// Texts lets the keeper of the policies ask the same DNS. It has no need of signed answers (RFC 8461 section 10.2): HTTPS proves the policy.
type Texts struct{ DNS Resolver }

// Texts implements [sts.Resolver]. The Keeper keeps what it hears: whenever it asks it wants to know whether that has changed.
func (t Texts) Texts(ctx context.Context, name string, by func() string) sts.Texts {
	a, _ := asker(ctx, t.DNS.Renew, by)(name, dns.TypeTXT)
	if a.Truncated { // one that is left out may announce a policy, or take from another one that it is the only one
		return sts.Texts{Until: a.Until, Err: errManyTexts}
	}
	return sts.Texts{All: a.TXT, Answered: a.Outcome != dns.Failed, Until: a.Until, Err: busy(a.Err)}
}

var errManyTexts = errors.New("there are more TXT records than are looked at, so whether one announces a policy is not known")

// Addresses implements [sts.Resolver]. One family is enough: the other one may have no way out.
func (t Texts) Addresses(ctx context.Context, name string, by func() string) ([]netip.Addr, error) {
	ask := asker(ctx, t.DNS.Ask, by)
	four := make(chan dns.Answer, 1)
	go func() {
		a, _ := ask(name, dns.TypeA)
		four <- a
	}()
	six, _ := ask(name, dns.TypeAAAA)
	first := <-four
	if all := append(append([]netip.Addr(nil), first.Addrs...), six.Addrs...); len(all) > 0 {
		return all, nil
	}
	if first.Outcome == dns.Failed {
		return nil, busy(first.Err)
	}
	if six.Outcome == dns.Failed {
		return nil, busy(six.Err)
	}
	return nil, nil
}

// busy makes what the DNS had no place for what the policies had none for: it says nothing of the domain.
func busy(err error) error {
	if errors.Is(err, dns.ErrBusy) {
		return fmt.Errorf("%w: %w", sts.ErrBusy, err)
	}
	return err
}
