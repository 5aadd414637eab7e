package outlet

import (
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Paths know by which ways out nothing gets to any MX: a tunnel that is down looks as if each MX were, from its sending IPs alone. A path is what
// the operator calls so, else each sending IP is one of its own. It is dead when MXs of several providers have not answered its sending IPs while they let
// others in by another path, and nobody has answered it meanwhile. That says nothing of the IPs' reputation: they are passed over where there
// is another path, no MX's silence is held against them, and now and then a session tries whether it is over. MXs that answer nobody are no evidence:
// a tenant can name as many of these as it likes. All outlets share one.
type paths struct {
	log *slog.Logger

	some atomic.Bool // whether any is dead: hardly ever is one

	mu    sync.Mutex
	ips   []SendingIP // of the current configuration
	named map[netip.Addr]string
	known map[pathKey]*path
}

// A pathKey is a path for one kind of addresses: a tunnel need not have both.
type pathKey struct {
	name string
	four bool       // with a name
	ip   netip.Addr // without one
}

// isWith reports whether two sending IPs leave by one path, whatever their kinds.
func (k *pathKey) isWith(other pathKey) bool {
	return *k == other || k.name != "" && k.name == other.name
}

func (k *pathKey) String() string {
	if k.name == "" {
		return k.ip.String()
	}
	return k.name
}

type path struct {
	answered time.Time       // when it was last
	missed   map[string]miss // by provider or network, since then
	since    time.Time       // when it died; zero: it is not dead
	retry    time.Time       // of a dead one: when the next session may try it
	wait     time.Duration   // until the try behind that
}

// A miss is that an MX has let in a sending IP of another path, and not one of this path.
type miss struct {
	IP     netip.Addr // that was not let in
	At     time.Time
	Tenant string // whose mail it was
	Named  bool   // the MX is that of a provider with a name
}

const (
	pathProviders  = 3  // that do not answer
	pathMostMissed = 16 // that are kept
	pathSilence    = 30 * time.Second
	pathMissFor    = 10 * time.Minute // a miss counts as long as that
	pathFirstRetry = 30 * time.Second // doubled with each try that fails
	pathLastRetry  = 5 * time.Minute
)

// of says which sending IPs there are. Paths of those that go are forgotten.
func (p *paths) of(ips []SendingIP) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ips, p.named = ips, make(map[netip.Addr]string)
	keep := make(map[pathKey]bool)
	for _, ip := range ips {
		if ip.Path != "" {
			p.named[ip.Address] = ip.Path
		}
		keep[p.keyOf(ip.Address)] = true
	}
	for key := range p.known {
		if !keep[key] {
			delete(p.known, key)
		}
	}
	p.count()
}

func (p *paths) keyOf(ip netip.Addr) pathKey {
	if name := p.named[ip]; name != "" {
		return pathKey{name: name, four: ip.Is4()}
	}
	return pathKey{ip: ip}
}

func (p *paths) pathOf(ip netip.Addr) *path {
	key := p.keyOf(ip)
	known := p.known[key]
	if known == nil {
		if p.known == nil {
			p.known = make(map[pathKey]*path)
		}
		known = &path{}
		p.known[key] = known
	}
	return known
}

func (p *paths) count() {
	some := false
	for _, known := range p.known {
		some = some || !known.since.IsZero()
	}
	p.some.Store(some)
}

// connected notes that an MX has answered a sending IP: its path is none that is dead.
func (p *paths) connected(ip netip.Addr) {
	if !ip.IsValid() {
		return
	}
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	known := p.pathOf(ip)
	known.answered = now
	if known.missed == nil {
		return
	}
	known.missed = nil
	if known.since.IsZero() {
		return
	}
	// The log may be stuck, and nobody waits for it here.
	key := p.keyOf(ip)
	go p.log.Info("path works again: mail leaves from its sending IPs as before", "path", key.String(), "after", now.Sub(known.since).Round(time.Second))
	known.since, known.retry, known.wait = time.Time{}, time.Time{}, 0
	p.count()
}

// missed notes a miss at a provider with a name, or in a stranger's network. It returns whose failures are to be forgotten, and since when, if the path
// has died of it.
func (p *paths) missed(m *miss, by netip.Addr, at string, oneTenant bool) (ips []netip.Addr, since time.Time) {
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	key := p.keyOf(m.IP)
	known := p.pathOf(m.IP)
	if key.isWith(p.keyOf(by)) || !known.since.IsZero() || !known.answered.Before(m.At) {
		return nil, since
	}
	known.forget(now)
	if known.missed == nil {
		known.missed = make(map[string]miss)
	}
	if _, counted := known.missed[at]; counted || len(known.missed) < pathMostMissed {
		known.missed[at] = *m
	}
	if now.Sub(known.answered) < pathSilence || !known.isProved(oneTenant) {
		return nil, since
	}
	known.since, known.wait = now, pathFirstRetry
	known.retry = now.Add(known.wait)
	p.some.Store(true)
	go p.log.Warn("path is dead: MXs answer other sending IPs, and none of it. Mail leaves by other paths, where there are any",
		"path", key.String(), "not_answered_by", known.providers())
	return p.ipsOf(key), known.answered
}

// forget ends what is too old to count.
func (p *path) forget(now time.Time) {
	for of, m := range p.missed {
		if now.Sub(m.At) >= pathMissFor {
			delete(p.missed, of)
		}
	}
}

// isProved reports whether enough MXs have missed the path that have nothing to do with each other. Whoever has a few hosts can be as many strangers to its own
// mail: that is not enough where there are other tenants.
func (p *path) isProved(oneTenant bool) bool {
	if len(p.missed) < pathProviders {
		return false
	}
	tenant, several, named := "", false, false
	for _, m := range p.missed {
		several = several || tenant != "" && m.Tenant != tenant
		tenant, named = m.Tenant, named || m.Named
	}
	return oneTenant || several || named
}

func (p *path) providers() (all []string) {
	for of := range p.missed {
		all = append(all, of)
	}
	slices.Sort(all)
	return all
}

// ipsOf returns the sending IPs of a path.
func (p *paths) ipsOf(key pathKey) (all []netip.Addr) {
	for i := range p.ips {
		if ip := p.ips[i].Address; p.keyOf(ip) == key {
			all = append(all, ip)
		}
	}
	return all
}

// passesOver reports whether nothing gets out from a sending IP, and it is not yet time to try again.
func (p *paths) passesOver(ip netip.Addr) bool {
	if !p.some.Load() {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	known := p.known[p.keyOf(ip)]
	return known != nil && !known.since.IsZero() && time.Now().Before(known.retry)
}

// isDead reports whether nothing gets out from a sending IP.
func (p *paths) isDead(ip netip.Addr) bool {
	if !p.some.Load() {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	known := p.known[p.keyOf(ip)]
	return known != nil && !known.since.IsZero()
}

// try reports whether a dial that begins now tries a dead path. No other one does so for a while.
func (p *paths) try(ip netip.Addr) bool {
	if !p.some.Load() {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	known := p.known[p.keyOf(ip)]
	if known == nil || known.since.IsZero() {
		return false
	}
	known.wait = min(2*known.wait, pathLastRetry)
	known.retry = time.Now().Add(known.wait)
	return true
}

// answeredSince reports whether any MX has answered a sending IP's path since a time: else a silence from then on may be the path's.
func (p *paths) answeredSince(ip netip.Addr, at time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	known := p.known[p.keyOf(ip)]
	return known != nil && !known.answered.IsZero() && !known.answered.Before(at)
}

// A DeadPath is one by which nothing gets to any MX.
type DeadPath struct {
	Name  string
	IPs   []netip.Addr // that leave by it
	Since time.Time
	MXs   []string // providers and networks that do not answer it, and do answer others
}

func (p *paths) list() (list []DeadPath) {
	if !p.some.Load() {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for key, known := range p.known {
		if ips := p.ipsOf(key); !known.since.IsZero() && len(ips) > 0 { // else it is that of a configuration before, whose sessions go on
			list = append(list, DeadPath{key.String(), ips, known.since, known.providers()})
		}
	}
	slices.SortFunc(list, func(a, b DeadPath) int { return a.IPs[0].Compare(b.IPs[0]) })
	return list
}
