package provider

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
)

// How long answers are kept. The resolver of package net does not tell the TTL of records, so these are bounds of its own:
// MX records rarely change, and a provider that is an hour late costs a less good choice, never a mail.
const (
	freshFor  = time.Hour      // then it is looked up anew, in the background
	usableFor = 24 * time.Hour // as long as that fails, or nobody asks
	// KnownFor is how long it is known whose an MX address is, and which provider a domain has, without a word from DNS about it.
	// Providers give addresses up more rarely than a small site mails to them; and what is known too long makes an IP wait that
	// need not, or sends a mail where it was sent before.
	KnownFor  = 14 * 24 * time.Hour
	absentFor = 10 * time.Minute // a domain without any record
	failedFor = time.Minute      // a lookup without an answer
)

// What a resolver may take, whatever it says or does not say.
const (
	lookupTime  = 10 * time.Second // of one lookup in the background
	atOnce      = 64               // lookups under way
	mostHosts   = 8                // MX names of one domain whose addresses are learned
	mostAddrs   = 64               // addresses of one name
	mostName    = 253              // octets of a name (RFC 1035 section 2.3.4)
	mostDomains = 50_000
)

// MostKnown is how many addresses, and how many domains, are worth remembering: the providers of the list have some thousands of
// addresses.
const MostKnown = 20_000

// ErrBusy is seen when too many lookups are under way for another one.
var ErrBusy = errors.New("too many DNS lookups are under way")

// ErrLate is seen when the answer did not come in the time that a session may wait. It may be there for the next one.
var ErrLate = errors.New("no answer from DNS in time")

// ErrNullMX is seen for a domain that takes no mail (RFC 7505).
var ErrNullMX = errors.New("the domain takes no mail (null MX)")

// A Resolver asks DNS. [*net.Resolver] is one.
type Resolver interface {
	LookupMX(ctx context.Context, name string) ([]*net.MX, error)
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// Config is what a [Lookup] is made from.
type Config struct {
	Set      *Set
	Resolver Resolver      // nil: net.DefaultResolver
	Wait     time.Duration // how long Find may hold a session up; 0: it never waits
	Domains  int           // how many are kept; 0: 50,000, which is some 10 MB

	// What outlives this Lookup: the MX that an address is of, and the MX of a domain. Nil: nothing does.
	Addresses Known[netip.Addr]
	MXs       Known[string]
}

// A Known is a bounded memory of MXs; it keeps what it was given for [KnownFor]. It is safe for concurrent use.
type Known[K comparable] interface {
	Get(K) (mx MX, put time.Time, found bool)
	Put(K, MX)
	All(each func(K, MX) bool)
}

// An MX is how it is known whose an address or a domain is. That is judged by the list of providers when it is asked, not when
// DNS told: another list may be in force by then.
type MX struct {
	Host   string // its name
	Domain string // the recipient domain that led to it, where that is a provider's own; "" else
}

// A Lookup finds providers and keeps what it found. It is safe for concurrent use.
type Lookup struct {
	set      *Set
	resolver Resolver
	wait     time.Duration
	flights  singleflight.Group

	ctx    context.Context // of everything in the background
	cancel context.CancelFunc
	ended  sync.WaitGroup

	addresses Known[netip.Addr]
	mxs       Known[string]

	mu      sync.Mutex
	closed  bool
	running int
	behind  behind
	domains *cache[string, kept]
	hosts   *cache[string, time.Time] // when their addresses were learned
}

// An Answer says which provider a domain belongs to, and how that is known.
type Answer struct {
	Provider string // "": none, or not known
	Known    bool   // false: Err says why not
	MX       string // the MX name that told; "" if the domain did, or nothing
	Name     string // the entry of the list that matched
	Err      error  // ErrLate, ErrBusy, or the resolver's
}

// kept is an Answer with its dates.
type kept struct {
	Answer
	since time.Time // when DNS last said so
	until time.Time // then DNS is asked again
}

// New makes a Lookup.
func New(c Config) *Lookup {
	if c.Resolver == nil {
		c.Resolver = net.DefaultResolver
	}
	if c.Addresses == nil {
		c.Addresses = newMemory[netip.Addr]()
	}
	if c.MXs == nil {
		c.MXs = newMemory[string]()
	}
	most := cmp.Or(c.Domains, mostDomains)
	l := &Lookup{
		set: c.Set, resolver: c.Resolver, wait: c.Wait, addresses: c.Addresses, mxs: c.MXs,
		behind:  newBehind(),
		domains: newCache[string, kept](most),
		hosts:   newCache[string, time.Time](most),
	}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	return l
}

// Close ends all lookups and waits for them. A Find after it answers from what is kept.
func (l *Lookup) Close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.cancel()
	l.ended.Wait()
}

// At gives the provider whose MX has this address, as far as lookups told, this Lookup's or those before it; "" if none did. It
// never waits.
func (l *Lookup) At(addr netip.Addr) string {
	mx, _, found := l.addresses.Get(addr.Unmap())
	if !found {
		return ""
	}
	return l.whose(mx)
}

// Of gives the provider of a recipient domain, as far as that is known; "" if it is not, or there is none. It never waits.
func (l *Lookup) Of(domain string) string {
	domain = normal(domain)
	if own, _ := l.set.OfDomain(domain); own != "" {
		return own
	}
	if k, usable := l.kept(domain); usable && k.Known {
		return k.Provider
	}
	if mx, _, found := l.mxs.Get(domain); found {
		return l.whose(mx)
	}
	return ""
}

// Has reports whether an address of an MX of the provider is known.
func (l *Lookup) Has(provider string) (found bool) {
	l.addresses.All(func(_ netip.Addr, mx MX) bool {
		found = l.whose(mx) == provider
		return !found
	})
	return found
}

// Named reports whether the list has a provider of this name.
func (l *Lookup) Named(provider string) bool { return l.set.has(provider) }

// whose judges by the list as it is now. It does not allocate.
func (l *Lookup) whose(mx MX) string {
	if p, _ := l.set.OfMX(mx.Host); p != "" {
		return p
	}
	if mx.Domain == "" {
		return ""
	}
	p, _ := l.set.OfDomain(mx.Domain)
	return p
}

// Find gives the provider of a recipient domain. It waits for DNS only if nothing usable is kept, and then no longer than
// Config.Wait or ctx.
func (l *Lookup) Find(ctx context.Context, domain string) Answer {
	domain = normal(domain)
	if addr, literal := addressOf(domain); literal {
		return Answer{Provider: l.At(addr), Known: true}
	}
	k, usable := l.kept(domain)
	if !usable {
		k, usable = l.remembered(domain)
	}
	var flight <-chan singleflight.Result
	if !usable || !time.Now().Before(k.until) {
		flight = l.flights.DoChan(domain, func() (any, error) { return l.lookUp(domain, nil), nil })
	}
	own, name := l.set.OfDomain(domain)
	switch {
	case own != "": // the lookup is for At alone
		return Answer{Provider: own, Known: true, Name: name}
	case flight == nil, usable && k.Known:
		return k.Answer
	case l.wait == 0:
		return Answer{Err: ErrLate}
	}
	timer := time.NewTimer(l.wait)
	defer timer.Stop()
	select {
	case result := <-flight:
		return result.Val.(Answer)
	case <-timer.C:
		return Answer{Err: ErrLate}
	case <-ctx.Done():
		return Answer{Err: ctx.Err()}
	}
}

// addressOf reads an address literal (RFC 5321 section 4.1.3).
func addressOf(domain string) (netip.Addr, bool) {
	if !strings.HasPrefix(domain, "[") {
		return netip.Addr{}, false
	}
	addr, err := netip.ParseAddr(strings.TrimPrefix(strings.Trim(domain, "[]"), "ipv6:"))
	return addr, err == nil
}

// kept gives what is known of a domain, if it may still be used.
func (l *Lookup) kept(domain string) (k kept, usable bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	k, found := l.domains.get(domain)
	return k, found && time.Since(k.since) < usableFor
}

// remembered gives what was known of a domain before this Lookup, to be used until DNS has told anew.
func (l *Lookup) remembered(domain string) (k kept, usable bool) {
	mx, put, found := l.mxs.Get(domain)
	if !found || time.Since(put) >= usableFor {
		return k, false
	}
	p, name := l.set.OfMX(mx.Host)
	return kept{Answer: Answer{Provider: p, Known: true, MX: mx.Host, Name: name}, since: put}, p != ""
}

// remember keeps an answer beyond this Lookup. Most domains have no provider: of those only what was remembered otherwise.
func (l *Lookup) remember(domain string, answer Answer) {
	if !answer.Known || len(answer.MX) > mostName {
		return
	}
	if _, _, before := l.mxs.Get(domain); before || answer.Provider != "" {
		l.mxs.Put(domain, MX{Host: answer.MX})
	}
}

// lookUp asks DNS, keeps the answer, and goes on to learn the addresses when those who wait have theirs. The asker is whose mail it
// is looked up behind; nil: a session waits for it.
func (l *Lookup) lookUp(domain string, by *asker) Answer {
	if !l.begin(by) {
		return Answer{Err: ErrBusy}
	}
	ctx, cancel := context.WithTimeout(l.ctx, lookupTime)
	defer cancel()
	hosts, absent, err := l.mxOf(ctx, domain)
	answer := l.judge(hosts, err)
	l.keep(domain, answer, absent)
	own, _ := l.set.OfDomain(domain)
	l.remember(domain, answer)
	if answer.Provider == "" && own == "" {
		l.end(by)
		return answer
	}
	go func() {
		defer l.end(by)
		if own == "" {
			domain = ""
		}
		l.learn(hosts, domain)
	}()
	return answer
}

// mxOf gives the MXs of a domain, best first. Absent says that there is no MX record: the domain is then its own MX
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
func (l *Lookup) keep(domain string, answer Answer, absent bool) {
	now := time.Now()
	k := kept{answer, now, now.Add(freshFor)}
	if absent {
		k.until = now.Add(absentFor)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !answer.Known {
		k.until = now.Add(failedFor)
		before, found := l.domains.get(domain)
		if !found {
			before, _ = l.remembered(domain)
		}
		if before.Known && now.Sub(before.since) < usableFor {
			k.Answer, k.since = before.Answer, before.since
		}
	}
	l.domains.put(domain, k)
}

// learn notes whose the addresses of MXs are. The domain is one of a provider's own, "" if it is not: it tells whose they are where
// their names do not.
func (l *Lookup) learn(hosts []*net.MX, domain string) {
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
			l.addresses.Put(addr.Unmap(), named)
		}
		l.mu.Lock()
		l.hosts.put(host, time.Now())
		l.mu.Unlock()
	}
}

// wants reports whether the addresses of a name should be looked up: many domains share one MX.
func (l *Lookup) wants(host string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	since, found := l.hosts.get(host)
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
