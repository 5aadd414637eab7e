package outlet

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"kanmon/internal/outlet/host"
	"kanmon/internal/outlet/route"
)

// Absences know which of the configured sending IPs this host does not have at the moment, tell the operator of each that goes and comes
// back, and tell the routers, for which an absent one is none of its pool. All outlets share one.
type absences struct {
	log     *slog.Logger
	missing *route.Absence
	kernel  host.Kernel
	watch   *host.Watch // nil: there was never a sending IP

	mu    sync.Mutex
	ips   []SendingIP // of the current configuration
	pools []route.Pool
	now   map[netip.Addr]absence
	empty []string // pools of which nothing is here
}

type absence struct {
	since time.Time
	state host.State
}

// A SendingIP is a configured one, and what the operator has said of its absence.
type SendingIP struct {
	Address  netip.Addr
	Required bool   // it must not be
	Floating bool   // it is no alarm: the address comes and goes
	Path     string // by which it leaves, with others; "": one of its own
}

func newAbsences(log *slog.Logger) *absences {
	return &absences{log: log, missing: &route.Absence{}, now: map[netip.Addr]absence{}}
}

// of says which sending IPs there are.
func (a *absences) of(ips []SendingIP, pools []route.Pool) {
	a.mu.Lock()
	a.ips, a.pools = ips, pools
	a.mu.Unlock()
	if a.watch == nil && len(ips) > 0 {
		a.watch = host.NewWatch(a.kernel, a.log, a.seen)
	}
	if a.watch != nil {
		var addresses []netip.Addr
		for _, ip := range ips {
			addresses = append(addresses, ip.Address)
		}
		a.watch.Of(addresses)
	}
}

// look has the host looked at soon: a dial has failed as it does where an address is gone.
func (a *absences) look() {
	if a.watch != nil {
		a.watch.Look()
	}
}

func (a *absences) close() {
	if a.watch != nil {
		a.watch.Close()
	}
}

// seen hears what the host has.
func (a *absences) seen(states map[netip.Addr]host.State) {
	now := time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	was := a.now
	a.now = map[netip.Addr]absence{}
	var gone []netip.Addr
	for i := range a.ips {
		ip := &a.ips[i]
		before, absent := was[ip.Address]
		switch state, known := states[ip.Address]; {
		case known && state != host.Here:
			if !absent {
				before.since = now
			}
			if !absent || before.state != state {
				a.tellAbsent(ip, state)
			}
			a.now[ip.Address] = absence{before.since, state}
			gone = append(gone, ip.Address)
		case absent:
			a.log.Info("sending IP is back: mail leaves from it again", "ip", ip.Address, "after", now.Sub(before.since).Round(time.Millisecond))
		}
	}
	a.missing.Set(gone)
	a.tellEmpty()
}

func (a *absences) tellAbsent(ip *SendingIP, state host.State) {
	level := slog.LevelWarn
	switch {
	case ip.Floating:
		level = slog.LevelInfo
	case ip.Required:
		level = slog.LevelError
	}
	a.log.Log(context.Background(), level, "sending IP is absent: no mail leaves from it until it is back", "ip", ip.Address, "why", state.String())
}

// tellEmpty tells of pools that mail waits for. Where all sending IPs of one float, another gateway has them, and the mail as well: this one
// stands by, and that is no alarm.
func (a *absences) tellEmpty() {
	var empty []string
	for _, p := range a.pools {
		absent := func(ip route.WeightedIP) bool { return a.now[ip.Address] != absence{} }
		if len(p.IPs) == 0 || slices.ContainsFunc(p.IPs, func(ip route.WeightedIP) bool { return !absent(ip) }) {
			continue
		}
		empty = append(empty, p.Name)
		switch {
		case slices.Contains(a.empty, p.Name):
		case !slices.ContainsFunc(p.IPs, func(ip route.WeightedIP) bool { return !a.floats(ip.Address) }):
			a.log.Info("this gateway stands by: all sending IPs of the pool float, and none is on this host", "pool", p.Name)
		default:
			a.log.Error("no sending IP of the pool is on this host: its mail is deferred", "pool", p.Name)
		}
	}
	a.empty = empty
}

// floats reports whether an address is a sending IP that floats.
func (a *absences) floats(ip netip.Addr) bool {
	return slices.ContainsFunc(a.ips, func(s SendingIP) bool { return s.Address == ip && s.Floating })
}

// An Absent is a sending IP that this host does not have.
type Absent struct {
	SendingIP
	Since time.Time
	State host.State
}

// list returns those that are absent, in the order of the configuration.
func (a *absences) list() (list []Absent) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, ip := range a.ips {
		if missing, absent := a.now[ip.Address]; absent {
			list = append(list, Absent{ip, missing.since, missing.state})
		}
	}
	return list
}
