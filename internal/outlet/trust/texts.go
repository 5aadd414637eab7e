package trust

import (
	"context"
	"net/netip"

	"kanmon/internal/outlet/trust/dns"
	"kanmon/internal/outlet/trust/sts"
)

// Texts lets the keeper of the policies ask the same DNS. It has no need of signed answers (RFC 8461 section 10.2): HTTPS proves the policy.
type Texts struct{ DNS Resolver }

// Texts implements [sts.Resolver]. The Keeper keeps what it hears: whenever it asks it wants to know whether that has changed.
func (t Texts) Texts(ctx context.Context, name, by string) sts.Texts {
	a, _ := asker(ctx, t.DNS.Renew, by)(name, dns.TypeTXT)
	return sts.Texts{All: a.TXT, Answered: a.Outcome != dns.Failed, Until: a.Until, Err: a.Err}
}

// Addresses implements [sts.Resolver]. One family is enough: the other one may have no way out.
func (t Texts) Addresses(ctx context.Context, name, by string) ([]netip.Addr, error) {
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
		return nil, first.Err
	}
	if six.Outcome == dns.Failed {
		return nil, six.Err
	}
	return nil, nil
}
