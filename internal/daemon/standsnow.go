package daemon

import (
	"net/netip"
	"strings"
	"time"

	"kanmon/internal/config"
	"kanmon/internal/event"
	"kanmon/internal/event/metrics"
	"kanmon/internal/outlet/standing"
	"kanmon/internal/policy/contain"
	"kanmon/internal/policy/limit"
	"kanmon/internal/session"
)

// shownHeld is from when on a session that waits for an MX is counted as held.
const shownHeld = 10 * time.Second

// standsNow gives metrics what stands now. Nothing of it is waited for: what a disk would have to tell was asked before.
func (d *Daemon) standsNow() metrics.State {
	d.mu.Lock()
	cfg, current, records := d.cfg, d.current, d.journal
	d.mu.Unlock()
	s := metrics.State{SessionsMost: cfg.Limits.Sessions, ListenersOff: d.stream.Off()}
	d.addSessions(&s)
	d.addStandings(&s, cfg)
	d.addSenders(&s, cfg)
	s.Records.Taken, s.Records.Dropped = d.files.Taken(), d.files.Dropped()
	if records != nil {
		s.Records.Waiting = records.Waiting()
	}
	s.StoreErrors = map[string]uint64{"standing": d.book.Counts().Unsaved, "senders": d.policy.Unsaved()}
	s.RulesApplied = applied(d.rulesTold.Load())
	if current == nil {
		return s
	}
	d.addAmounts(&s, current)
	s.TLSPolicies = d.tlsPolicies(current.trust)
	d.addScanners(&s, current)
	if current.engine.Certificate != nil {
		if pair, err := current.engine.Certificate(); err == nil && pair.Leaf != nil {
			s.Certificate = pair.Leaf.NotAfter
		}
	}
	return s
}

// applied says whether the firewall rules are in force, by what was last told of them; nil: kanmon has put none in force, or does not know.
func applied(told *string) *bool {
	is := false
	switch {
	case told == nil:
		return nil
	case strings.HasPrefix(*told, "in force"):
		is = true
	case strings.HasPrefix(*told, "NOT in force"), strings.HasPrefix(*told, "removed"):
	default:
		return nil
	}
	return &is
}

func (d *Daemon) addSessions(s *metrics.State) {
	s.Sessions = map[string]int{}
	for doing := range event.SpendingCount {
		s.Sessions[doingOf(&session.Seen{Doing: doing})] = 0
	}
	s.Sessions[idle] = 0
	now := time.Now()
	for one := range d.live.All() {
		s.Sessions[doingOf(one)]++
		if waited := now.Sub(one.Start) - one.Since; waited >= shownHeld && waitsForMX(one.Doing) {
			s.Held = append(s.Held, metrics.Held{Provider: one.Provider, Waited: waited})
		}
	}
	s.KeptBytes = d.live.Kept()
}

// idle is what a session is called whose MSA says nothing.
const idle = "idle"

// doingOf says what a session is doing in the words of metrics.
func doingOf(s *session.Seen) string {
	switch s.Doing {
	case event.SpentOnMSA:
		if s.Phase == event.PhaseIdle {
			return idle
		}
		return "waiting_msa"
	case event.SpentOnMX:
		return "waiting_mx"
	case event.SpentOnBodyMSA, event.SpentOnBodyMX:
		return "body"
	case event.SpentHeld, event.SpentResting:
		return "delayed"
	case event.SpentOpening, event.SpentMoving, event.SpentRescuing:
		return "opening"
	case event.SpentPassing:
		return "passthrough"
	}
	return "active"
}

func waitsForMX(on event.Spending) bool {
	return on == event.SpentOnMX || on == event.SpentOnBodyMX || on == event.SpentOpening
}

// addStandings adds how the sending IPs stand, and what follows for the pools.
func (d *Daemon) addStandings(s *metrics.State, cfg *config.Config) {
	all := d.book.List()
	for i := range all {
		one := &all[i]
		if one.State == standing.Active {
			continue
		}
		provider, part := standing.Split(one.Provider)
		if part != "" {
			continue // of one MX, or one recipient domain
		}
		s.Standings = append(s.Standings, metrics.Standing{
			IP: one.IP, Provider: strings.TrimPrefix(provider, standing.Every), State: one.State.String(), Share: one.Share,
		})
	}
	s.Pools = d.poolsNow(cfg, all)
	for _, l := range d.book.Listings() {
		s.Listed = append(s.Listed, metrics.Listed{IP: l.IP, List: l.List, Is: l.Listed})
	}
	for _, seen := range d.lookout.watch.Seen() {
		switch {
		case seen.State == event.SightUnknown:
		case !seen.IP.IsValid():
			s.Lists = append(s.Lists, metrics.List{Name: seen.List, Believed: !seen.State.Bad()})
		case seen.List == "":
			s.Named = append(s.Named, metrics.Named{IP: seen.IP, Right: !seen.State.Bad()})
		default:
			s.Listed = append(s.Listed, metrics.Listed{IP: seen.IP, List: seen.List, Is: seen.State == event.SightListed})
		}
	}
	counts := d.book.Counts()
	s.ListQueries, s.Probes = map[[2]string]uint64{}, map[[2]string]uint64{}
	for at, n := range counts.Asked {
		s.ListQueries[[2]string{at.List, at.Result}] = n
	}
	for at, n := range d.lookout.watch.Counts() {
		s.ListQueries[[2]string{at.List, at.Result}] += n
	}
	for at, n := range counts.Probes {
		s.Probes[[2]string{at.Provider, at.Result}] = n
	}
}

// poolsNow says how many sending IPs of each pool mail can leave from: to any provider, and to each of those where one may not.
func (d *Daemon) poolsNow(cfg *config.Config, all []standing.Standing) (list []metrics.Pool) {
	barred := map[string]map[netip.Addr]bool{"": d.absent()}
	for i := range all {
		one := &all[i]
		provider, part := standing.Split(one.Provider)
		if part != "" || !bars(cfg, one) || provider != standing.Every && !isNamed(cfg, provider) {
			continue
		}
		provider = strings.TrimPrefix(provider, standing.Every)
		if barred[provider] == nil {
			barred[provider] = map[netip.Addr]bool{}
		}
		barred[provider][one.IP] = true
	}
	for _, pool := range poolsOf(cfg) {
		for provider := range barred {
			usable := map[string]int{}
			for _, of := range pool.IPs {
				ip, of := of.Address, familyOf(pool.Name, of.Address)
				usable[of.name] += 0
				if !barred[""][ip] && !barred[provider][ip] {
					usable[of.name]++
				}
			}
			for family, n := range usable {
				list = append(list, metrics.Pool{Name: pool.Name, Provider: provider, Family: family, Usable: n})
			}
		}
	}
	return list
}

// absent are the sending IPs that are no addresses of this host.
func (d *Daemon) absent() map[netip.Addr]bool {
	all := map[netip.Addr]bool{}
	for _, missing := range d.outlets.Absent() {
		all[missing.Address] = true
	}
	return all
}

// A family is the addresses of a pool for the MXs of one kind of address.
type family struct{ pool, name string }

func familyOf(pool string, ip netip.Addr) family {
	if ip.Unmap().Is4() {
		return family{pool, "ipv4"}
	}
	return family{pool, "ipv6"}
}

// bars reports whether mail does not leave because of a standing.
func bars(cfg *config.Config, one *standing.Standing) bool {
	if one.State != standing.Suspended && one.State != standing.Stopped && one.State != standing.Probing {
		return false
	}
	return strings.HasPrefix(one.By, standing.ByOperator) || cfg.Handling(0).Heeds()
}

// isNamed reports whether a provider is one of the list.
func isNamed(cfg *config.Config, provider string) bool {
	for _, p := range cfg.Providers() {
		if p.Name == provider {
			return true
		}
	}
	return false
}

// blockedLevel is above all levels that evidence leads to.
const blockedLevel = int(contain.Stop) + 1

// addSenders adds who is contained, and which limits of tenants are nearly used up.
func (d *Daemon) addSenders(s *metrics.State, cfg *config.Config) {
	type alike struct {
		scope, level string
		enforced     bool
	}
	n := map[alike]int{}
	s.TenantLevels = map[string]int{}
	for _, one := range d.policy.List() {
		at := alike{"account", one.Level.String(), cfg.Containment.Enforce && one.Level <= cfg.Containment.Most}
		level := int(one.Level)
		if one.Block != nil {
			at.level, at.enforced, level = "blocked", true, blockedLevel
		}
		if level == 0 {
			continue
		}
		if one.Subject.Account == "" {
			at.scope = "tenant"
			s.TenantLevels[one.Subject.Tenant] = level
		}
		n[at]++
	}
	for at, count := range n {
		s.Senders = append(s.Senders, metrics.Senders{Scope: at.scope, Level: at.level, Enforced: at.enforced, Count: count})
	}
	for _, u := range d.policy.Near(metrics.Nearly) {
		l := metrics.Limit{Name: u.Rule.Name, Provider: u.Subject.To, Used: float64(u.Used) / float64(u.Max)}
		if u.Rule.Scope.Of() != limit.OfIP {
			l.Tenant = u.Subject.Of
			s.TenantLimits = append(s.TenantLimits, l)
		} else if ip, err := netip.ParseAddr(u.Subject.Of); err == nil {
			l.IP = ip
			s.IPLimits = append(s.IPLimits, l)
		}
	}
}

// addAmounts adds what providers take of a sending IP, as far as that is nearly used up.
func (d *Daemon) addAmounts(s *metrics.State, current *generation) {
	for ip, all := range current.out.ShapedAt(current.sendingIPs) {
		for _, one := range all {
			if one.Keep && one.Now > 0 && float64(one.Used) >= metrics.Nearly*float64(one.Now) {
				s.IPLimits = append(s.IPLimits, metrics.Limit{Name: one.Count.String(), IP: ip, Provider: one.Provider, Used: float64(one.Used) / float64(one.Now)})
			}
		}
	}
}
