package daemon

import (
	"fmt"
	"net/netip"

	"kanmon/internal/admin"
	"kanmon/internal/config"
	"kanmon/internal/event"
	"kanmon/internal/outlet"
	"kanmon/internal/outlet/shape"
	"kanmon/internal/outlet/slow"
)

// shapingOf gives what a configuration says of what providers take from one sending IP.
func shapingOf(cfg *config.Config) (outlet.Shaping, error) {
	s := outlet.Shaping{Mode: cfg.Shaping.Mode, Internal: cfg.Senders.Internal, ByTime: cfg.Timing.Act == slow.Slow || cfg.Timing.Act == slow.Move}
	for _, p := range cfg.Shaped() {
		takes, err := shape.Compile(p.Provider, p.Limits, severalTenants(cfg))
		if err != nil {
			return s, fmt.Errorf("what %s takes: %w", p.Provider, err)
		}
		s.Takes = append(s.Takes, takes)
	}
	return s, nil
}

// tellTightened tells that a provider takes less from a sending IP than was thought.
func (d *Daemon) tellTightened(t outlet.Tightened) {
	text, by := "a provider says that it is too much", byShaping
	if t.ByTime() {
		text, by = "a provider is slow to answer a sending IP: it gets less from there", byTiming
	}
	go d.log.Info(text, "sending_ip", t.IP, "provider", t.Provider, "left", t.Left, "rule", t.Rule, "observed", t.Observed) //nolint:sloglint // one of two texts, each a constant
	d.stream.Tell(event.Changed{
		Cause: event.Cause{Session: t.Session}, IP: t.IP, Provider: t.Provider, State: tightened, Would: t.Observed, By: by, Rule: t.Rule, Why: "halved: " + t.Left + " are left",
	})
}

// Words of the records, as of a standing.
const (
	tightened = "tightened"
	byShaping = "shaping"
	byTiming  = "timing"
)

// Shaping implements [admin.SendingIPs].
func (o *operator) Shaping(ip netip.Addr) (all admin.Shaping, err error) {
	if ip.IsValid() && !o.configured(ip) {
		return all, unknownIP(ip)
	}
	o.d.mu.Lock()
	current, ips := o.d.current, o.d.cfg.SendingIPs
	all.Mode = o.d.cfg.Shaping.Mode.String()
	o.d.mu.Unlock()
	if current == nil {
		return all, nil
	}
	for i := range ips {
		if addr := ips[i].Address; !ip.IsValid() || ip == addr {
			for _, shown := range current.out.Shaped(addr) {
				all.Takes = append(all.Takes, takesShown(addr, &shown))
			}
		}
	}
	return all, nil
}

func takesShown(ip netip.Addr, s *outlet.Shaped) admin.Takes {
	t := admin.Takes{
		IP: ip, Provider: s.Provider, Count: s.Count.String(), Amount: s.Amount, Kept: s.Keep, Now: s.Now, Used: s.Used, Since: s.Since, ByTime: s.ByTime, Source: s.Source,
	}
	if s.Per > 0 {
		t.Every = s.Per.String()
	}
	return t
}
