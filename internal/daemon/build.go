package daemon

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"

	"kanmon/internal/config"
	"kanmon/internal/event"
	"kanmon/internal/event/journal"
	"kanmon/internal/intercept"
	"kanmon/internal/outlet"
	"kanmon/internal/outlet/classify"
	"kanmon/internal/outlet/dial"
	"kanmon/internal/outlet/route"
	"kanmon/internal/outlet/standing"
	"kanmon/internal/session"
)

// build makes a generation from a configuration. Nothing of it is in use yet.
func (d *Daemon) build(cfg *config.Config, inUse *openedJournal) (*generation, error) {
	rules, err := rulesOf(&cfg.Classification)
	if err != nil {
		return nil, err
	}
	out, err := d.outlet(cfg, rules)
	if err != nil {
		return nil, err
	}
	certificate, err := certificateOf(&cfg.TLS)
	if err != nil {
		return nil, err
	}
	options, err := d.journalOptions(cfg)
	if err != nil {
		return nil, err
	}
	asks, err := d.trust(cfg)
	if err != nil {
		return nil, err
	}
	judges, err := d.judge(cfg)
	if err != nil {
		return nil, errors.Join(err, asks.close(&d.trusting))
	}
	records, err := d.openJournal(options, inUse)
	if err != nil {
		judges.close(&d.judging)
		return nil, errors.Join(err, asks.close(&d.trusting))
	}
	g := &generation{
		journal: records,
		trust:   asks,
		judge:   judges,
		over:    make(chan struct{}),
		engine: &session.Engine{
			Ways:        out,
			Rescue:      rescueOf(cfg),
			Live:        d.live,
			Destination: Destinations(cfg),
			Unreachable: OnUnreachable(cfg, out.Router()),
			Tenant:      holders(cfg, out.Router()),
			Hostname:    cfg.Hostname,
			Certificate: certificate,
			Timeouts:    timeoutsOf(&cfg.Timeouts),
			Limits:      limitsOf(cfg),
			Log:         d.log,
		},
	}
	if asks != nil {
		g.engine.Trust = asks.Trust
	}
	of := recorder{Stream: d.stream}
	if len(cfg.Tenants) > 0 {
		of.router = out.Router()
	}
	g.engine.Recorder = of
	g.sendingIPs = addressesOf(cfg)
	g.engine.Observe = len(g.sendingIPs) == 0 && !gated(cfg) // a gate is told what refusals mean
	g.out, g.rules = out, rules
	return g, nil
}

func addressesOf(cfg *config.Config) (all []netip.Addr) {
	for _, ip := range cfg.SendingIPs {
		all = append(all, ip.Address)
	}
	return all
}

// outlet makes what a generation's sessions leave through.
func (d *Daemon) outlet(cfg *config.Config, rules *classify.Rules) (*outlet.Outlet, error) {
	routes, err := routesOf(cfg)
	if err != nil {
		return nil, err
	}
	shaping, err := shapingOf(cfg)
	if err != nil {
		return nil, err
	}
	return outlet.New(outlet.Options{
		State:      d.outlets,
		Routes:     routes,
		Dialer:     dial.New(d.dialling(cfg)),
		OwnAddress: d.loops.IsOwnAddress,
		Providers:  cfg.Providers(),
		Resolver:   d.resolver,
		Rules:      rules,
		Handlings:  handlingsOf(cfg),
		Block:      blockOf(cfg),
		Shaping:    shaping,
	})
}

func blockOf(cfg *config.Config) standing.Block {
	return standing.Block{V4: cfg.Rescue.NetblockV4, V6: cfg.Rescue.NetblockV6}
}

// handlingsOf returns what is done about refusals: without a route, and with each.
func handlingsOf(cfg *config.Config) (list []outlet.Handling) {
	for number := range len(cfg.Routes) + 1 {
		list = append(list, cfg.Handling(number))
	}
	return list
}

func rulesOf(c *config.Classification) (*classify.Rules, error) {
	if c.Rules == "" {
		return classify.Builtin()
	}
	text, err := os.ReadFile(c.Rules)
	if err != nil {
		return nil, fmt.Errorf("classification.rules: %w", err)
	}
	return classify.Parse(c.Rules, text)
}

func rescueOf(cfg *config.Config) session.Rescue {
	r := &cfg.Rescue
	out := session.Rescue{Attempts: r.Attempts, Time: r.Time, BodyBytes: int(r.BodyBytes), BodiesBytes: int64(r.BodiesBytes)}
	// Who only observes is to see what would be rescued, too.
	wanted := slices.ContainsFunc(handlingsOf(cfg), func(h outlet.Handling) bool { return h.Rescue != outlet.RescueOff })
	if r.BodyBytes == 0 || !wanted || len(cfg.SendingIPs) == 0 { // in the file 0 means none
		out.BodyBytes = -1
	}
	return out
}

// certificateOf reads the certificate for MSAs once: a later failure to read it would fail sessions.
func certificateOf(t *config.TLS) (func() (*tls.Certificate, error), error) {
	if t.MSACertificate == "" {
		return nil, nil
	}
	pair, err := tls.LoadX509KeyPair(t.MSACertificate, t.MSAKey)
	if err != nil {
		return nil, fmt.Errorf("load the certificate for MSAs: %w", err)
	}
	return func() (*tls.Certificate, error) { return &pair, nil }, nil
}

func (d *Daemon) journalOptions(cfg *config.Config) (journal.Options, error) {
	j := &cfg.Journal
	o := journal.Options{
		SessionLog: j.SessionLog, JSON: j.Records, Addresses: j.Addresses, Gateway: cmp.Or(j.Gateway, cfg.Hostname, "kanmon"), Run: d.started, Files: d.files, Log: d.log,
		Identify: j.Identify,
	}
	if j.HashKeyFile != "" {
		var err error
		if o.HashKey, err = os.ReadFile(j.HashKeyFile); err != nil {
			return o, fmt.Errorf("read the hash key: %w", err)
		}
	}
	return o, nil
}

func timeoutsOf(t *config.Timeouts) (out session.Timeouts) {
	for phase := range event.PhaseCount {
		out[phase] = *t.Of(phase)
	}
	return out
}

func limitsOf(cfg *config.Config) session.Limits {
	l := &cfg.Limits
	out := session.Limits{
		Sessions:          l.Sessions,
		SessionsPerSource: l.SessionsPerSource,
		Recipients:        l.Recipients,
		BadCommands:       l.BadCommands,
		IdleCommands:      l.IdleCommands,
		Transactions:      l.Transactions,
		BodyBytes:         int64(l.BodyBytes),
	}
	if severalTenants(cfg) {
		out.SessionsReserve = l.SessionsReserve
	}
	return out
}

// severalTenants reports whether there is anybody to hold sessions back for.
func severalTenants(cfg *config.Config) bool { return len(cfg.Tenants) > 1 }

// holders tells whose sessions are; nil where there are no tenants that could take them from each other.
func holders(cfg *config.Config, router *route.Router) func(session.Origin) string {
	if !severalTenants(cfg) {
		return nil
	}
	ownerOf := identify(router)
	return func(origin session.Origin) string { return ownerOf(origin, nil).Name() }
}

// Rules returns the firewall rules that a configuration asks for.
func Rules(cfg *config.Config) intercept.Rules {
	in := &cfg.Intercept
	var dedicated []intercept.Dedicated
	for _, t := range cfg.Tenants {
		if t.ListenPort != 0 {
			dedicated = append(dedicated, intercept.Dedicated{Port: uint16(t.ListenPort), Interfaces: t.Interfaces})
		}
	}
	return intercept.Rules{
		Mode:       in.Mode,
		Listen:     in.Listen,
		Dedicated:  dedicated,
		Sources:    in.Sources,
		Interfaces: in.Interfaces,
		Local:      in.Local,
		User:       in.User,
		Mark:       in.Mark,
		RouteMark:  in.TProxyMark,
		RouteTable: in.TProxyTable,
		NoIPv4:     lacks(cfg, netip.Addr.Is4),
		NoIPv6:     lacks(cfg, netip.Addr.Is6),
	}
}

// lacks reports whether there are sending IPs, but none of a family.
func lacks(cfg *config.Config, family func(netip.Addr) bool) bool {
	return len(cfg.SendingIPs) > 0 && !slices.ContainsFunc(cfg.SendingIPs, func(ip config.SendingIP) bool { return family(ip.Address.Unmap()) })
}

// restartNeeded names the keys that differ and cannot change while kanmon runs.
func restartNeeded(was, will *config.Config) error {
	different, err := config.RestartNeeded(was, will)
	errs := []error{err}
	for _, d := range different {
		errs = append(errs, fmt.Errorf("%s changed from %v to %v: %w", d.Key, d.Was, d.Will, ErrRestart))
	}
	return errors.Join(errs...)
}
