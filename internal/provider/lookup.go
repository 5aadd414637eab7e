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
	freshFor  = time.Hour        // then it is looked up anew, in the background
	usableFor = 24 * time.Hour   // as long as that fails, or nobody asks
	absentFor = 10 * time.Minute // a domain without any record
	failedFor = time.Minute      // a lookup without an answer
)

// What a resolver may take, whatever it says or does not say.
const (
	lookupTime  = 10 * time.Second // of one lookup in the background
	atOnce      = 64               // lookups in the background
	mostHosts   = 8                // MX names of one domain whose addresses are learned
	mostAddrs   = 64               // addresses of one name
	cacheFactor = 4                // addresses, for each domain that is kept
	mostDomains = 50_000
)

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

	mu        sync.Mutex
	closed    bool
	running   int
	domains   *cache[string, kept]
	addresses *cache[netip.Addr, learned]
	hosts     *cache[string, time.Time] // when their addresses were learned
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

type learned struct {
	provider string
	since    time.Time
}

// New makes a Lookup.
func New(c Config) *Lookup {
	if c.Resolver == nil {
		c.Resolver = net.DefaultResolver
	}
	most := cmp.Or(c.Domains, mostDomains)
	l := &Lookup{
		set: c.Set, resolver: c.Resolver, wait: c.Wait,
		domains:   newCache[string, kept](most),
		addresses: newCache[netip.Addr, learned](cacheFactor * most),
		hosts:     newCache[string, time.Time](most),
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

// At gives the provider whose MX has this address, as far as earlier lookups told; "" if none did. It never waits.
func (l *Lookup) At(addr netip.Addr) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if a, found := l.addresses.get(addr.Unmap()); found && time.Since(a.since) < usableFor {
		return a.provider
	}
	return ""
}

// Find gives the provider of a recipient domain. It waits for DNS only if nothing usable is kept, and then no longer than
// Config.Wait or ctx.
func (l *Lookup) Find(ctx context.Context, domain string) Answer {
	domain = normal(domain)
	if addr, literal := addressOf(domain); literal {
		return Answer{Provider: l.At(addr), Known: true}
	}
	k, usable := l.kept(domain)
	var flight <-chan singleflight.Result
	if !usable || !time.Now().Before(k.until) {
		flight = l.flights.DoChan(domain, func() (any, error) { return l.lookUp(domain), nil })
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

// lookUp asks DNS, keeps the answer, and goes on to learn the addresses when those who wait have theirs.
func (l *Lookup) lookUp(domain string) Answer {
	if !l.begin() {
		return Answer{Err: ErrBusy}
	}
	defer l.end()
	ctx, cancel := context.WithTimeout(l.ctx, lookupTime)
	defer cancel()
	hosts, absent, err := l.mxOf(ctx, domain)
	answer := l.judge(hosts, err)
	l.keep(domain, answer, absent)
	own, _ := l.set.OfDomain(domain)
	if (answer.Provider != "" || own != "") && l.begin() {
		go func() {
			defer l.end()
			l.learn(hosts, own)
		}()
	}
	return answer
}

// begin counts a lookup in the background; false if there may be none.
func (l *Lookup) begin() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || l.running >= atOnce {
		return false
	}
	l.running++
	l.ended.Add(1)
	return true
}

func (l *Lookup) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.running--
	l.ended.Done()
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
		if before, found := l.domains.get(domain); found && before.Known && now.Sub(before.since) < usableFor {
			k.Answer, k.since = before.Answer, before.since
		}
	}
	l.domains.put(domain, k)
}

// learn notes whose the addresses of MXs are: those of the domain's own provider, if it has one and their names tell none.
func (l *Lookup) learn(hosts []*net.MX, own string) {
	ctx, cancel := context.WithTimeout(l.ctx, lookupTime)
	defer cancel()
	for _, mx := range hosts[:min(len(hosts), mostHosts)] {
		host := normal(mx.Host)
		p, _ := l.set.OfMX(host)
		p = cmp.Or(p, own)
		if p == "" || !l.wants(host) {
			continue
		}
		addrs, err := l.resolver.LookupNetIP(ctx, "ip", host+".")
		if err != nil {
			continue
		}
		l.mu.Lock()
		now := time.Now()
		for _, addr := range addrs[:min(len(addrs), mostAddrs)] {
			l.addresses.put(addr.Unmap(), learned{p, now})
		}
		l.hosts.put(host, now)
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
