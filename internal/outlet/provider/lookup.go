package provider

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"

	"kanmon/internal/who/share"
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
	mostHosts   = 8                // MX names of one domain whose addresses are learned
	mostAddrs   = 64               // addresses of one name
	mostName    = 253              // octets of a name (RFC 1035 section 2.3.4)
	mostDomains = 50_000
)

// MostKnown is how many addresses, and how many domains, are worth remembering: the providers of the list have some thousands of
// addresses.
const MostKnown = 20_000

// ErrBusy is seen when too many lookups are under way for another one, of this asker or of all.
var ErrBusy = errors.New("too many DNS lookups are under way")

// ErrLate is seen when the answer did not come in the time that a session may wait. It may be there for the next one.
var ErrLate = errors.New("no answer from DNS in time")

// ErrNullMX is seen for a domain that takes no mail (RFC 7505).
var ErrNullMX = errors.New("the domain takes no mail (null MX)")

// A Resolver asks DNS. [*net.Resolver] is one, and the host's own is what a running kanmon has: not that of [tls_policy], which need not be there,
// and whose places, answers and canary are for questions that mail is refused by. What a provider is only chooses a sending IP: a resolver that
// tells something else costs a less good choice, never a mail, and nothing is believed of an MX for it.
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
	PutOf(k K, mx MX, by string) // behind whose mail it was learnt
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

	changes atomic.Uint64 // of domains

	mu      sync.Mutex
	closed  bool
	waited  share.Places[string] // lookups under way that a session waits for, by asker
	behind  behind
	domains *share.Map[string, kept]
	hosts   *share.Map[string, time.Time] // when their addresses were learned
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

func (k kept) isOver() bool { return time.Since(k.until) >= 0 && time.Since(k.since) >= usableFor }

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
		domains: share.NewMap[string, kept](most).Until(kept.isOver),
		hosts:   share.NewMap[string, time.Time](most).Until(func(learned time.Time) bool { return time.Since(learned) >= freshFor }),
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

// At returns the provider whose MX has this address, as far as lookups told, this Lookup's or those before it; "" if none did. It
// never waits.
func (l *Lookup) At(addr netip.Addr) string {
	mx, _, found := l.addresses.Get(addr.Unmap())
	if !found {
		return ""
	}
	return l.whose(mx)
}

// Of returns the provider of a recipient domain, as far as that is known; "" if it is not, or there is none. It never waits.
func (l *Lookup) Of(domain string) string {
	provider, _ := l.Heard(domain)
	return provider
}

// Heard is [Lookup.Of] and [Lookup.Due] at once: both are asked with every recipient.
func (l *Lookup) Heard(domain string) (provider string, due bool) {
	domain = normal(domain)
	l.mu.Lock()
	k, found := l.domains.Get(domain)
	l.mu.Unlock()
	now := time.Now()
	due = (!found || !now.Before(k.until)) && !isLiteral(domain)
	if own, _ := l.set.OfDomain(domain); own != "" {
		return own, due
	}
	if found && k.Known && now.Sub(k.since) < usableFor {
		return k.Provider, due
	}
	if mx, _, known := l.mxs.Get(domain); known {
		return l.whose(mx), due
	}
	return "", due
}

// Changes returns a number that is another one whenever this Lookup has learnt something of a domain. What outlives it counts apart.
func (l *Lookup) Changes() uint64 { return l.changes.Load() }

// Until returns when At, Heard and Due may answer otherwise about an MX and a domain, "": none, although nothing is
// learnt until then: what is known grows old.
func (l *Lookup) Until(addr netip.Addr, domain string) time.Time {
	end := time.Now().Add(usableFor)
	ends := func(at time.Time) {
		if at.Before(end) {
			end = at
		}
	}
	if _, put, found := l.addresses.Get(addr.Unmap()); found {
		ends(put.Add(KnownFor))
	}
	if domain == "" || isLiteral(domain) {
		return end
	}
	domain = normal(domain)
	l.mu.Lock()
	k, _ := l.domains.Get(domain) // without one it is looked up at once
	l.mu.Unlock()
	ends(k.until)
	if k.Known {
		ends(k.since.Add(usableFor))
	}
	if _, put, found := l.mxs.Get(domain); found {
		ends(put.Add(KnownFor))
	}
	return end
}

// Met returns the providers of which an address of an MX is known. It looks at all there are, so ask once for all
// providers; whose they are it finds out when At need not wait for it any more.
func (l *Lookup) Met() map[string]bool {
	all := map[MX]struct{}{}
	l.addresses.All(func(_ netip.Addr, mx MX) bool {
		all[mx] = struct{}{}
		return true
	})
	met := map[string]bool{}
	for mx := range all {
		met[l.whose(mx)] = true
	}
	delete(met, "")
	return met
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

// Find returns the provider of a recipient domain. It waits for DNS only if nothing usable is kept, and then no longer than
// Config.Wait or ctx. By is who asks, a tenant: each has a part of the lookups that may be under way.
func (l *Lookup) Find(ctx context.Context, domain, by string) Answer {
	domain = normal(domain)
	if addr, literal := addressOf(domain); literal {
		return Answer{Provider: l.At(addr), Known: true}
	}
	k, usable := l.kept(domain)
	if !usable {
		k, usable = l.remembered(domain)
	}
	stale := !usable || !time.Now().Before(k.until)
	own, name := l.set.OfDomain(domain)
	var flight <-chan singleflight.Result
	if stale {
		flight = l.fly(domain, by)
	}
	switch {
	case own != "": // the lookup is for At alone
		return Answer{Provider: own, Known: true, Name: name}
	case !stale, usable && k.Known:
		return k.Answer
	case l.wait == 0:
		return Answer{Err: ErrLate}
	}
	answer := l.await(ctx, flight)
	if errors.Is(answer.Err, ErrBusy) { // it may have been another asker, who had no room for it
		answer = l.await(ctx, l.fly(domain, by))
	}
	return answer
}

// fly begins a lookup that a session waits for, or joins the one that is under way.
func (l *Lookup) fly(domain, by string) <-chan singleflight.Result {
	return l.flights.DoChan(domain, func() (any, error) { return l.lookUp(domain, by, true), nil })
}

func (l *Lookup) await(ctx context.Context, flight <-chan singleflight.Result) Answer {
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
	if !isLiteral(domain) {
		return netip.Addr{}, false
	}
	addr, err := netip.ParseAddr(strings.TrimPrefix(strings.Trim(domain, "[]"), "ipv6:"))
	return addr, err == nil
}

func isLiteral(domain string) bool { return strings.HasPrefix(domain, "[") }

// kept returns what is known of a domain, if it may still be used.
func (l *Lookup) kept(domain string) (k kept, usable bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	k, found := l.domains.Get(domain)
	return k, found && time.Since(k.since) < usableFor
}

// remembered returns what was known of a domain before this Lookup, to be used until DNS has told anew.
func (l *Lookup) remembered(domain string) (k kept, usable bool) {
	mx, put, found := l.mxs.Get(domain)
	if !found || time.Since(put) >= usableFor {
		return k, false
	}
	p, name := l.set.OfMX(mx.Host)
	return kept{Answer: Answer{Provider: p, Known: true, MX: mx.Host, Name: name}, since: put}, p != ""
}
