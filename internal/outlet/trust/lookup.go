package trust

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"kanmon/internal/outlet/trust/dns"
)

// A lookup asks the DNS what a domain asks of its MXs, in at most three steps: MX, then the addresses of each name, then its TLSA records
// (RFC 7672 section 2.2).
type lookup struct {
	ask   func(name string, kind dns.Kind) (a dns.Answer, known bool)
	state func() dns.State
	dane  bool
	four  bool // the MX was dialled by IPv4: only addresses of that family count
	aside bool // the hosts are asked about at the same time
}

const (
	port       = "_25._tcp." // whatever was dialled: MXs have no other port (RFC 7672 section 2.2.3)
	mostHosts  = 32
	mostAddrs  = 64
	atOnce     = 8                // hosts that are asked about
	failedFor  = 5 * time.Second  // until it is asked again what nobody knew: dns keeps failures for longer, and knows when not
	usableFor  = time.Hour        // whatever the TTL
	mostDomain = 253 - len(port)  // RFC 1035 section 2.3.4
	anew       = 60 * time.Second // what is older is asked for anew before it refuses
	shortRest  = 10 * time.Millisecond
	longRest   = 200 * time.Millisecond
)

// domain returns what is known of a domain; nil: something has to be asked, and nobody may.
func (l *lookup) domain(domain string) *known {
	k := &known{domain: domain, until: time.Now().Add(usableFor)}
	a, ok := l.ask(domain, dns.TypeMX)
	if !ok {
		return nil
	}
	l.names(k, &a)
	k.note(&a)
	if k.dane != daneHosts || l.hosts(k, (*lookup).host) {
		return k
	}
	return nil
}

// named returns what is known of hosts that the operator has named: their own TLSA records count (RFC 7672 section 2.1), no MX records do.
func (l *lookup) named(names []string) *known {
	k := &known{mx: dns.Found}
	k.until = time.Now().Add(usableFor)
	for _, name := range names[:min(len(names), mostHosts)] {
		k.hosts = append(k.hosts, host{name: name, base: name})
	}
	if !l.dane || l.isOff() {
		return k
	}
	if k.dane = daneHosts; l.hosts(k, (*lookup).host) {
		return k
	}
	return nil
}

// isOff reports whether the resolver answers and has never validated: then there is no DANE.
func (l *lookup) isOff() bool {
	s := l.state()
	return s.Answers && !s.Validates && !s.Lost
}

// names takes the MX names out of an answer.
func (l *lookup) names(k *known, a *dns.Answer) {
	k.mx = a.Outcome
	if a.Aliased {
		k.expanded = a.Name
	}
	switch {
	case a.Outcome == dns.Failed:
		k.failed, k.bogus, k.err = true, a.Bogus, a.Err
	case a.Outcome == dns.NoName:
		k.noMail = true
	case a.Outcome == dns.NoData:
		k.implicit = true
		k.hosts = []host{{name: k.domain, base: k.domain}}
	case len(a.MX) == 1 && a.MX[0].Host == "":
		k.noMail, k.null = true, true
	default:
		k.more = a.Truncated || len(a.MX) > mostHosts
		for _, mx := range a.MX[:min(len(a.MX), mostHosts)] {
			if mx.Host != "" && !slices.ContainsFunc(k.hosts, func(h host) bool { return h.name == mx.Host }) {
				k.hosts = append(k.hosts, host{name: mx.Host, base: mx.Host})
			}
		}
	}
	switch {
	case !l.dane:
	case a.Outcome == dns.Failed && !l.isOff(), a.Unsure:
		k.dane = daneUnknown
	case a.Secure:
		k.dane = daneHosts
	}
}

// hosts asks something about each host.
func (l *lookup) hosts(k *known, about func(*lookup, *known, *host) bool) bool {
	if !l.aside {
		for i := range k.hosts {
			if !about(l, k, &k.hosts[i]) {
				return false
			}
		}
		return true
	}
	var all sync.WaitGroup
	var mu sync.Mutex // of what merge notes
	places := make(chan struct{}, atOnce)
	for i := range k.hosts {
		places <- struct{}{}
		all.Go(func() {
			times := known{until: time.Now().Add(usableFor)}
			about(l, &times, &k.hosts[i])
			mu.Lock()
			k.merge(&times)
			mu.Unlock()
			<-places
		})
	}
	all.Wait()
	return true
}

// host asks what DANE asks of a host.
func (l *lookup) host(k *known, h *host) bool {
	a, ok := l.addresses(k, h)
	if !ok {
		return false
	}
	switch {
	case a.Outcome == dns.Failed, a.Unsure:
		h.unknown(&a)
		return true
	case a.Outcome != dns.Found:
		return true // nobody dials it, so it asks nothing
	case a.Secure && a.Aliased:
		return l.bases(k, h, a.Name, h.name) // RFC 7672 section 2.2.2: where the alias ends counts before the name
	case a.Secure:
		return l.bases(k, h, h.name)
	case !a.Aliased:
		return true
	}
	// An alias into a zone that is not signed: the name's own zone may be, and then its TLSA records count.
	alias, ok := l.ask(h.name, dns.TypeCNAME)
	if !ok {
		return false
	}
	k.note(&alias)
	switch {
	case alias.Outcome == dns.Failed, alias.Unsure:
		h.unknown(&alias)
	case alias.Outcome == dns.Found && alias.Secure:
		return l.bases(k, h, h.name)
	}
	return true
}

// addresses asks for the addresses of a host.
func (l *lookup) addresses(k *known, h *host) (dns.Answer, bool) {
	kind := dns.TypeAAAA
	if l.four {
		kind = dns.TypeA
	}
	a, ok := l.ask(h.name, kind)
	if !ok {
		return a, false
	}
	k.note(&a)
	h.signed = a.Secure
	h.addrs = a.Addrs[:min(len(a.Addrs), mostAddrs)]
	h.sure = a.Outcome != dns.Failed && !a.Truncated && len(a.Addrs) <= mostAddrs
	h.gone = (a.Outcome == dns.NoData || a.Outcome == dns.NoName) && !a.Unsure
	return a, true
}

// where asks for the addresses of a host that DANE has not asked about: they say which names to try first.
func (l *lookup) where(k *known, h *host) bool {
	_, ok := l.addresses(k, h)
	return ok
}

// bases asks for the TLSA records at names, until one has some that count.
func (l *lookup) bases(k *known, h *host, names ...string) bool {
	for i, name := range names {
		if len(name) > mostDomain || i > 0 && name == names[0] {
			continue // where there can be none
		}
		a, ok := l.ask(port+name, dns.TypeTLSA)
		if !ok {
			return false
		}
		k.note(&a)
		switch {
		case a.Outcome == dns.Failed, a.Unsure, a.Truncated:
			h.unknown(&a)
			return true
		case a.Outcome == dns.Found && a.Secure:
			h.base, h.asks, h.records = name, asksTLS, len(a.TLSA)
			if h.tlsa = usable(a.TLSA); len(h.tlsa) > 0 {
				h.asks = asksDANE
			}
			return true
		}
	}
	return true
}

// unknown notes that nobody knows what a host asks.
func (h *host) unknown(a *dns.Answer) { h.asks, h.bogus, h.err = asksUnknown, a.Bogus, a.Err }

// note notes how old an answer is, and how long it may be used.
func (k *known) note(a *dns.Answer) {
	until := a.Until
	if a.Outcome == dns.Failed || a.Unsure {
		until = time.Now().Add(failedFor)
	}
	k.merge(&known{heard: a.Heard, until: until, crowded: errors.Is(a.Err, dns.ErrBusy)})
}

// merge notes the times of something that is known, too, and whether there was no place to ask for it.
func (k *known) merge(other *known) {
	k.crowded = k.crowded || other.crowded
	if k.heard.IsZero() || !other.heard.IsZero() && other.heard.Before(k.heard) {
		k.heard = other.heard
	}
	if k.until.IsZero() || other.until.Before(k.until) {
		k.until = other.until
	}
}

// asker returns how a lookup asks a resolver, in the part of whom by gives. Where that has no place for a question now, it may have one soon, or
// the next one that by gives.
func asker(ctx context.Context, ask func(context.Context, string, dns.Kind, string) dns.Answer, by func() string) func(string, dns.Kind) (dns.Answer, bool) {
	return func(name string, kind dns.Kind) (dns.Answer, bool) {
		for rest := shortRest; ; rest = min(2*rest, longRest) {
			a := ask(ctx, name, kind, by())
			if a.Outcome != dns.Failed || !errors.Is(a.Err, dns.ErrBusy) {
				return a, true
			}
			timer := time.NewTimer(rest)
			select {
			case <-timer.C:
			case <-ctx.Done():
				timer.Stop()
				return a, true
			}
		}
	}
}
