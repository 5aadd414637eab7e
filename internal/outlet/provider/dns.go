package provider

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"time"
)

// lookUp asks DNS, keeps the answer, and goes on to learn the addresses when those who wait have theirs. Whoever asks
// has a place meanwhile: one of those for lookups that a session waits for, or of those behind the mail.
func (l *Lookup) lookUp(domain, by string, waited bool) Answer {
	if !l.begin(by, waited) {
		return Answer{Err: ErrBusy}
	}
	ctx, cancel := context.WithTimeout(l.ctx, lookupTime)
	defer cancel()
	hosts, absent, err := l.mxOf(ctx, domain)
	answer := l.judge(hosts, err)
	l.keep(domain, answer, absent, by)
	own, _ := l.set.OfDomain(domain)
	l.remember(domain, answer, by)
	if answer.Provider == "" && own == "" {
		l.end(by, waited)
		return answer
	}
	go func() {
		defer l.end(by, waited)
		if own == "" {
			domain = ""
		}
		l.learn(hosts, domain, by)
	}()
	return answer
}

// mxOf returns the MXs of a domain, best first. Absent says that there is no MX record: the domain is then its own MX
// (RFC 5321 section 5.1). A null MX (RFC 7505) is none.
func (l *Lookup) mxOf(ctx context.Context, domain string) (hosts []*net.MX, absent bool, err error) {
	list, err := l.resolver.LookupMX(ctx, domain+".") // rooted: no search list
	missing := (*net.DNSError)(nil)
	switch {
	case len(list) > 0: // an error is then about others that are no host names
	case err == nil, errors.As(err, &missing) && missing.IsNotFound:
		return []*net.MX{{Host: domain}}, true, nil
	default:
		return nil, false, err
	}
	list = slices.DeleteFunc(slices.Clone(list), func(mx *net.MX) bool { return mx == nil || normal(mx.Host) == "" })
	slices.SortFunc(list, func(a, b *net.MX) int { return cmp.Or(cmp.Compare(a.Pref, b.Pref), cmp.Compare(a.Host, b.Host)) })
	return list, false, nil
}

// judge lets the most preferred MXs decide: mail goes there.
func (l *Lookup) judge(hosts []*net.MX, err error) Answer {
	if err != nil {
		return Answer{Err: err}
	}
	for _, mx := range hosts {
		if mx.Pref != hosts[0].Pref {
			break
		}
		if p, name := l.set.OfMX(mx.Host); p != "" {
			return Answer{Provider: p, Known: true, MX: normal(mx.Host), Name: name}
		}
	}
	answer := Answer{Known: true}
	if len(hosts) > 0 {
		answer.MX = normal(hosts[0].Host)
	}
	return answer
}

// keep notes an answer. A failure does not drive out what was known before.
func (l *Lookup) keep(domain string, answer Answer, absent bool, by string) {
	now := time.Now()
	k := kept{answer, now, now.Add(freshFor)}
	if absent {
		k.until = now.Add(absentFor)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !answer.Known {
		k.until = now.Add(failedFor)
		before, found := l.domains.Get(domain)
		if !found {
			before, _ = l.remembered(domain)
		}
		if before.Known && now.Sub(before.since) < usableFor {
			k.Answer, k.since = before.Answer, before.since
		}
	}
	l.domains.Put(domain, k, by)
	l.changes.Add(1)
}

// learn notes whose the addresses of MXs are. The domain is one of a provider's own, "" if it is not: it tells whose they are where
// their names do not.
func (l *Lookup) learn(hosts []*net.MX, domain, by string) {
	ctx, cancel := context.WithTimeout(l.ctx, lookupTime)
	defer cancel()
	for _, mx := range hosts[:min(len(hosts), mostHosts)] {
		host := normal(mx.Host)
		named := MX{Host: host}
		if p, _ := l.set.OfMX(host); p == "" {
			named.Domain = domain
		}
		if len(host) > mostName || l.whose(named) == "" || !l.wants(host) {
			continue
		}
		addrs, err := l.resolver.LookupNetIP(ctx, "ip", host+".")
		if err != nil {
			continue
		}
		for _, addr := range addrs[:min(len(addrs), mostAddrs)] {
			l.addresses.PutOf(addr.Unmap(), named, by)
		}
		l.mu.Lock()
		l.hosts.Put(host, time.Now(), by)
		l.mu.Unlock()
	}
}

// wants reports whether the addresses of a name should be looked up: many domains share one MX.
func (l *Lookup) wants(host string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	since, found := l.hosts.Get(host)
	return !found || time.Since(since) >= freshFor
}

// BestMX asks DNS for the MX that mail to a domain is tried at first, and its addresses. It keeps nothing.
func (l *Lookup) BestMX(ctx context.Context, domain string) (host string, addrs []netip.Addr, err error) {
	hosts, _, err := l.mxOf(ctx, normal(domain))
	if err != nil {
		return "", nil, err
	}
	if len(hosts) == 0 {
		return "", nil, ErrNullMX
	}
	host = normal(hosts[0].Host)
	addrs, err = l.resolver.LookupNetIP(ctx, "ip", host+".")
	return host, addrs, err
}

// remember keeps an answer beyond this Lookup. Most domains have no provider: of those only what was remembered otherwise.
func (l *Lookup) remember(domain string, answer Answer, by string) {
	if !answer.Known || len(answer.MX) > mostName {
		return
	}
	if _, _, before := l.mxs.Get(domain); before || answer.Provider != "" {
		l.mxs.PutOf(domain, MX{Host: answer.MX}, by)
	}
}
