package daemon

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"kanmon/internal/config"
	"kanmon/internal/outlet/route"
	"kanmon/internal/policy"
	"kanmon/internal/policy/contain"
	"kanmon/internal/policy/limit"
	"kanmon/internal/session"
	"kanmon/internal/who/mailbox"
	"kanmon/internal/who/whose"
)

// policySettings makes what decides who may send, and how much.
func policySettings(cfg *config.Config, g *generation) (policy.Settings, error) {
	out := g.out
	accounts, err := accountsOf(cfg)
	if err != nil {
		return policy.Settings{}, err
	}
	s := policy.Settings{
		Accounts: accounts,
		Active:   gated(cfg), Identify: identify(out.Router()), Behind: behind(out.Router()), Provider: out.Provider, ProviderOf: out.ProviderOf, Witness: out.Witness, Internal: cfg.Senders.Internal,
		Suspicion:      suspects(cfg),
		RefuseSpoofing: cfg.Senders.Spoofing == config.SpoofingRefuse, Containment: containmentOf(&cfg.Containment),
		Content: g.judgeOf(),
	}
	for _, t := range cfg.Tenants {
		s.Tenants = append(s.Tenants, t.Name)
	}
	for i := range cfg.SenderLimits {
		l, err := senderLimitOf(&cfg.SenderLimits[i], &policy.Accounts{Fold: accounts("").Fold})
		if err != nil {
			return s, err
		}
		s.Limits = append(s.Limits, l)
	}
	return s, nil
}

// identify tells the gate whose a mail is.
func identify(router *route.Router) func(session.Origin, *string) *whose.Owner {
	return func(origin session.Origin, sender *string) *whose.Owner {
		q := route.Query{Source: origin.Source.Addr(), Port: origin.Port}
		if sender != nil {
			q.Sender, q.SenderKnown = *sender, true
		}
		return router.Owner(q)
	}
}

// behind tells the gate which tenants share an MSA.
func behind(router *route.Router) func(session.Origin) []string {
	return func(origin session.Origin) []string {
		return router.Behind(route.Query{Source: origin.Source.Addr(), Port: origin.Port})
	}
}

// OnUnreachable returns what an MSA gets whose MX cannot be reached: as its tenant wants it, as far as that is known without a sender.
func OnUnreachable(cfg *config.Config, router *route.Router) func(session.Origin) session.Unreachable {
	ownerOf, tenants := identify(router), map[string]session.Unreachable{}
	for _, t := range cfg.Tenants {
		tenants[t.Name] = t.OnUnreachable
	}
	return func(origin session.Origin) session.Unreachable {
		if how, known := tenants[ownerOf(origin, nil).Name()]; known {
			return how
		}
		return cfg.OnUnreachable
	}
}

// accountsOf says how each tenant's accounts are told; "" is what holds for all of which nothing is said.
func accountsOf(cfg *config.Config) (func(tenant string) *policy.Accounts, error) {
	all := map[string]*policy.Accounts{}
	for _, t := range append([]config.Tenant{{}}, cfg.Tenants...) {
		fold, err := mailbox.NewFold(cfg.Senders.FoldSubaddress, t.AccountPatterns...)
		if err != nil {
			return nil, err
		}
		all[t.Name] = &policy.Accounts{
			Fold: fold, Header: t.AccountHeader, Strip: t.StripAccountHeader, Required: t.AccountHeaderRequired,
			Domains: mailbox.NewDomains(t.AccountDomains), Senders: mailbox.NewDomains(t.SenderDomains),
			Kinds:    kindsOf(&t, &policy.Accounts{Fold: fold}),
			Conflict: t.AccountHeaderConflict,
		}
	}
	return func(tenant string) *policy.Accounts {
		if of := all[tenant]; of != nil {
			return of
		}
		return all[""]
	}, nil
}

// kindsOf says which accounts of a tenant are lists and forwarders.
func kindsOf(t *config.Tenant, accounts *policy.Accounts) map[string]contain.Kind {
	kinds := map[string]contain.Kind{}
	if t.Kind != contain.Plain {
		kinds[""] = t.Kind
	}
	for _, one := range t.Lists {
		kinds[accounts.Named(one)] = contain.List
	}
	for _, one := range t.Forwarders {
		kinds[accounts.Named(one)] = contain.Forwarder
	}
	return kinds
}

func senderLimitOf(c *config.SenderLimit, accounts *policy.Accounts) (*policy.Limit, error) {
	compiled, err := limit.Compile(limit.Rule{
		Name: c.Name, Scope: c.Per, Measure: c.Count, Amount: int64(c.Limit), Per: c.Every, Burst: int64(c.Burst), Fair: c.Fair,
	})
	if err != nil {
		return nil, err
	}
	l := &policy.Limit{
		Limit: compiled, Tenants: c.Tenants, Providers: c.Providers, Action: c.Action, Pool: c.Pool, Enforce: c.Enforce,
		ExemptNull: slices.Contains(c.Exempt, config.ExemptNullSender), ExemptInternal: slices.Contains(c.Exempt, config.ExemptInternal),
	}
	for _, account := range c.Accounts {
		l.Accounts = append(l.Accounts, accounts.Named(account))
	}
	return l, nil
}

func containmentOf(c *config.Containment) policy.Containment {
	p := contain.DefaultNumbers()
	p.Enforce = contain.Enforce{
		On: c.Enforce, Slow: true, Divert: c.Most >= contain.Divert, Stop: c.Most >= contain.Stop,
	}
	p.AccountVolume, p.TenantVolume = float64(c.AccountVolume), float64(c.TenantVolume)
	return policy.Containment{Policy: p, SlowRate: int64(c.SlowRate), Pool: c.Pool}
}

// openPolicy makes what decides about senders, for the first generation and all that follow.
func (d *Daemon) openPolicy(first *generation) error {
	settings, err := policySettings(d.cfg, first)
	if err != nil {
		return err
	}
	options := policy.Options{Settings: settings, Log: d.log, Changed: d.tellLevel, Ordered: d.tellOrder, Inherits: d.taking != nil}
	if path := d.cfg.Senders.File; path != "" {
		if err := d.lockState(path); err != nil {
			return fmt.Errorf("senders.file %s: %w", path, err)
		}
		file, err := policy.OpenStore(path)
		if err != nil {
			return fmt.Errorf("senders.file: %w", err)
		}
		options.Store = file
		d.kept = append(d.kept, file.File())
	}
	if d.policy, err = policy.New(options); err != nil {
		if options.Store != nil {
			err = errors.Join(err, options.Store.Close())
		}
		return err
	}
	d.onStop("limits and containment", func(context.Context) error { return d.policy.Close() })
	if gated(d.cfg) {
		first.engine.Gate = d.policy.Gate()
	}
	return nil
}

// gated reports whether a configuration has anybody to decide about.
func gated(cfg *config.Config) bool {
	return len(cfg.Tenants) > 0 || len(cfg.SenderLimits) > 0 || cfg.Containment.Enforce || suspects(cfg)
}

// suspects reports whether a configuration wants to know what speaks against each mail.
func suspects(cfg *config.Config) bool {
	return cfg.Suspicion.Record || cfg.Scans() || slices.ContainsFunc(cfg.Routes, func(r config.Route) bool { return r.SuspicionMin > 0 })
}
