package main

import (
	"context"
	"net/netip"
	"slices"

	"kanmon/internal/admin"
	"kanmon/internal/config"
	"kanmon/internal/daemon"
	"kanmon/internal/outlet/route"
)

// A warmToday is how far sending IPs have warmed up, and who says so.
type warmToday struct {
	*daemon.Today
	full   *route.Router // as they will all be warm
	source string        // "": none warms up
}

// today asks the running kanmon, if any sending IP has a warm_up: how far it has come is state, and not in the file.
// Where none answers, their start dates say.
func (e *explainCommand) today(cfg *config.Config, lacks []netip.Addr) (*warmToday, error) {
	var t warmToday
	var said []admin.WarmUp
	if slices.ContainsFunc(cfg.SendingIPs, func(ip config.SendingIP) bool { return ip.Warms() }) {
		said, t.source = e.askWarmUps()
	}
	var err error
	if t.full, err = daemon.Router(cfg); err == nil {
		t.Today, err = daemon.NewToday(cfg, said, lacks)
	}
	return &t, err
}

func (e *explainCommand) askWarmUps() (said []admin.WarmUp, source string) {
	ctx, cancel := context.WithTimeout(context.Background(), explainTimeout)
	defer cancel()
	client, _, err := (&socketFlag{configFlag: e.configFlag}).client()
	if err == nil {
		said, err = client.WarmUps(ctx, netip.Addr{})
	}
	if err != nil {
		return nil, "by their start dates: the running kanmon was not heard"
	}
	return said, "as the running kanmon says"
}

// warmUp says what the warm-up of sending IPs makes of a mail whose MSA and MX are known.
func (p *explanation) warmUp(q route.Query, course route.Choice, ips []route.SendingIP) {
	if p.today.source == "" {
		return
	}
	own := course.IP.Address
	will := own
	if full, err := p.today.full.Course(q, q.Provider); err == nil {
		will = full.IP.Address
	}
	var told []string
	if text := p.today.Warming(will); will != own && text != "" {
		told = append(told, will.String()+" warms up, and this mail will be its own: "+text+" so far")
	}
	if text := p.today.Warming(own); text != "" {
		told = append(told, own.String()+" warms up: "+text)
		if why := p.today.Lacks(own, q.Provider); why != "" {
			told = append(told, why+": "+p.insteadOf(own, q.Provider, ips))
		}
	}
	for i, text := range told {
		if i == 0 {
			text += " (" + p.today.source + ")"
		}
		p.line("warm-up", text)
	}
}

// insteadOf says where a mail leaves from that there is no room for at its own sending IP.
func (p *explanation) insteadOf(own netip.Addr, provider string, ips []route.SendingIP) string {
	for _, ip := range ips {
		if ip.Address != own && p.today.Lacks(ip.Address, provider) == "" {
			return "meanwhile this mail leaves from " + ip.Address.String() + ", unless it was greylisted at its own"
		}
	}
	return "it leaves from there all the same, for no other sending IP can take it"
}
