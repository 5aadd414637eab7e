package config

import (
	"fmt"
	"net/netip"
	"os"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/intercept"
	"kanmon/internal/policy/contain"
	"kanmon/internal/session"
)

func defaults() *Config {
	cfg := &Config{
		Intercept: Intercept{
			RulesOnStop: RulesKeep,
			TProxyMark:  0x1000,
			TProxyTable: 27501,
		},
		Limits: Limits{
			Sessions:          session.DefaultSessions,
			SessionsPerSource: session.DefaultSessionsPerSource,
			SessionsReserve:   session.DefaultSessions / reservePart,
			Recipients:        session.DefaultRecipients,
			BadCommands:       session.DefaultBadCommands,
			IdleCommands:      session.DefaultIdleCommands,
		},
		Log:   Log{Level: "info", Format: FormatText},
		Drain: Drain{Timeout: 15 * time.Minute, Notice: 3 * time.Second, Soft: 330 * time.Second, Idle: time.Minute},
		Standing: Standing{
			Suspend: true, Within: time.Hour, ListedReplies: 1, ListedDestinations: 1, ListedFor: 2 * time.Hour,
			RefusedTenants: 2, RefusedDestinations: 3, RefusedFor: 30 * time.Minute, Longest: 24 * time.Hour,
		},
		TLSPolicy:   defaultTLSPolicy(),
		Watch:       Watch{Every: time.Hour},
		Metrics:     Metrics{Listen: netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), metricsPort), Tenants: true},
		Web:         defaultWeb(),
		History:     defaultHistory(),
		Notify:      Notify{Language: English, Digest: "08:00"},
		Senders:     Senders{Spoofing: SpoofingRecord, FoldSubaddress: true},
		Containment: Containment{Most: contain.Stop, SlowRate: 60, AccountVolume: 2000, TenantVolume: 5000},
		Content:     defaultContent(),
		Rescue: Rescue{
			Soften:      true,
			Attempts:    session.DefaultRescueAttempts,
			Time:        session.DefaultRescueTime,
			BodyBytes:   session.DefaultRescueBodyBytes,
			BodiesBytes: session.DefaultRescueBodiesBytes,
			PerHour:     20,
			NetblockV4:  24,
			NetblockV6:  48,
		},
	}
	for phase := range event.PhaseCount {
		*cfg.Timeouts.Of(phase) = phase.DefaultTimeout()
	}
	return cfg
}

// complete fills in the defaults that depend on other keys or on the host.
func (d *decoder) complete(cfg *Config) {
	in := &cfg.Intercept
	if !d.has("intercept.listen") {
		in.Listen = defaultListen(in.Mode)
	}
	if !d.has("intercept.user") && !d.has("intercept.mark") {
		in.User = "kanmon"
	}
	for i := range cfg.Tenants {
		if !d.has(fmt.Sprintf("tenant[%d].pool", i)) {
			cfg.Tenants[i].Pool = DefaultPool
		}
		if !d.has(fmt.Sprintf("tenant[%d].on_unreachable", i)) {
			cfg.Tenants[i].OnUnreachable = cfg.OnUnreachable
		}
	}
	for i := range cfg.Routes {
		r, key := &cfg.Routes[i], fmt.Sprintf("route[%d]", i)
		if !d.has(key + ".rescue") {
			r.Rescue = cfg.Rescue.Mode
		}
		if !d.has(key + ".soften") {
			r.Soften = cfg.Rescue.Soften
		}
		if !d.has(key + ".suspend") {
			r.Suspend = cfg.Standing.Suspend
		}
		if !d.has(key + ".rescue_per_hour") {
			r.PerHour = cfg.Rescue.PerHour
		}
	}
	for name, pool := range cfg.Pools {
		if pool.Sticky == "" {
			pool.Sticky = StickySenderDomain
			cfg.Pools[name] = pool
		}
	}
	d.completeSenders(cfg)
	d.completeContent(cfg)
	d.completeNotify(cfg)
	d.completePaths(cfg)
	d.completeHistory(cfg)
	d.completeTLSPolicy(cfg)
	if cfg.Limits.SessionsPerSource > cfg.Limits.Sessions && !d.has("limits.sessions_per_source") {
		cfg.Limits.SessionsPerSource = cfg.Limits.Sessions
	}
	if !d.has("limits.sessions_reserve") {
		cfg.Limits.SessionsReserve = cfg.Limits.Sessions / reservePart
	}
	if !d.has("hostname") {
		// A host without a usable name is no reason to refuse mail: the engine has a name of last resort.
		if name, err := os.Hostname(); err == nil && checkHostname(name) == nil {
			cfg.Hostname = name
		}
	}
}

// defaultListen: a redirected connection arrives at an address of the interface it came in by, a tproxied one where
// the rules say, which is best an address that nobody else can reach.
func defaultListen(mode intercept.Mode) []netip.AddrPort {
	if mode == intercept.TProxy {
		return []netip.AddrPort{
			netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), defaultPort),
			netip.AddrPortFrom(netip.IPv6Loopback(), defaultPort),
		}
	}
	return []netip.AddrPort{
		netip.AddrPortFrom(netip.IPv4Unspecified(), defaultPort),
		netip.AddrPortFrom(netip.IPv6Unspecified(), defaultPort),
	}
}

// DefaultPool is the pool of those for whom the file names none.
const DefaultPool = "default"

const (
	defaultPort = 10025
	metricsPort = 9725
	reservePart = 10 // of all sessions one is held back for tenants that have few
)
