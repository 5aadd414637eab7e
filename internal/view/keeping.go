package view

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"kanmon/internal/admin"
	"kanmon/internal/config"
	"kanmon/internal/store"
	"kanmon/internal/view/follow"
	"kanmon/internal/view/history"
	"kanmon/internal/view/history/days"
	"kanmon/internal/view/notify"
)

// A Keeping keeps history, and tells people of what happens if there is anybody to be told.
type Keeping struct {
	Store history.Store

	keeper   follow.Keeper
	notifier *notify.Notifier // nil: nobody is told
}

// KeepFor says what is to be kept, for how long.
func KeepFor(h *config.History) history.Keep {
	return history.Keep{Detail: h.Detail, Trouble: h.Trouble, Counts: h.Counts, Octets: int64(h.Size)}
}

// ErrNoHistory is what a configuration gives that has no history kept.
var ErrNoHistory = errors.New("no history is kept")

// WantsHistory says why a configuration has no history kept; nil: it has.
func WantsHistory(cfg *config.Config) error {
	if !cfg.History.On {
		return fmt.Errorf("%w: there is no [history] in %s; add a line \"[history]\", and it is kept from then on", ErrNoHistory, cfg.File())
	}
	return nil
}

// OpenHistory opens the history of a configuration, to be kept. One process may. Root becomes the owner of its directory.
func OpenHistory(cfg *config.Config, log *slog.Logger) (*Keeping, error) {
	if err := WantsHistory(cfg); err != nil {
		return nil, err
	}
	h := &cfg.History
	if len(h.Records) == 0 {
		return nil, fmt.Errorf("%s: kanmon writes no records to a file, so there is no history to be kept: add records = \"/var/log/kanmon/records.jsonl\" to [journal], then: systemctl reload kanmon", cfg.Where("journal.records"))
	}
	if err := follow.ActAsOwner(h.Directory); err != nil {
		return nil, err
	}
	s, err := KeptHistory(cfg)
	if errors.Is(err, store.ErrInUse) {
		return nil, fmt.Errorf("%w: one process keeps history, \"kanmon history run\" or \"kanmon view\" (systemctl status kanmon-history kanmon-view)", err)
	}
	if err != nil {
		return nil, err
	}
	if files, are := s.(*days.Store); are {
		for _, where := range files.SetAside() {
			log.Error("a file of history is damaged, and was set aside; what spans days is made anew of the days, a day of its records: kanmon history import", "moved_to", where)
		}
	}
	k := &Keeping{Store: s, keeper: follow.Keeper{Store: s, Dir: h.Directory, Remote: h.Database != "", Records: h.Records, Gateways: h.Gateways, Keep: KeepFor(h), Metrics: h.Metrics, Log: log}}
	if cfg.Notifies() {
		o := Tells(cfg, s)
		o.Log, o.Held, o.Host = log, k.keeper.Held, hostOf(cfg)
		k.notifier, err = notify.Open(cfg, o)
		if err != nil {
			return nil, errors.Join(err, s.Close())
		}
		k.keeper.Hear, k.keeper.Collectors = k.notifier.Hear, []prometheus.Collector{k.notifier.Collector()}
	}
	return k, nil
}

// hostOf is what people are told of beside what the records say.
func hostOf(cfg *config.Config) notify.Host {
	h := notify.Host{Disks: []string{cfg.History.Directory}}
	for _, path := range cfg.History.Records {
		h.Disks = append(h.Disks, filepath.Dir(path))
	}
	for _, file := range []string{cfg.TLS.MSACertificate, cfg.Web.Certificate} {
		if file != "" {
			h.Certificates = append(h.Certificates, file)
		}
	}
	if cfg.Admin.Socket != "" && len(cfg.Tenants) > 0 {
		h.Limits = func(ctx context.Context) ([]notify.LimitReading, error) {
			return limitsOf(ctx, admin.NewClient(cfg.Admin.Socket), cfg.Tenants)
		}
	}
	if cfg.Admin.Socket != "" && cfg.TLSPolicy.On {
		waits := cfg.TLSPolicy.Mode == config.TLSEnforce
		h.Resolver = func(ctx context.Context) (notify.ResolverReading, error) {
			return resolverOf(ctx, admin.NewClient(cfg.Admin.Socket), notify.ResolverReading{Gateway: cfg.Hostname, Waits: waits})
		}
	}
	return h
}

// resolverOf asks kanmon how the resolver is that policies need.
func resolverOf(ctx context.Context, of *admin.Client, r notify.ResolverReading) (notify.ResolverReading, error) {
	ctx, end := context.WithTimeout(ctx, patience)
	defer end()
	status, err := of.Status(ctx)
	for i := range status.Problems {
		if p := &status.Problems[i]; p.ID == "resolver" {
			r.Failing = p.What
		}
	}
	return r, err
}

// mostAsked is how many tenants kanmon is asked about in one look.
const mostAsked = 200

// patience is how long one look may take.
const patience = 10 * time.Second

// limitsOf asks kanmon how far tenants have used their limits.
func limitsOf(ctx context.Context, of *admin.Client, tenants []config.Tenant) (all []notify.LimitReading, err error) {
	ctx, end := context.WithTimeout(ctx, patience)
	defer end()
	for i := range tenants[:min(len(tenants), mostAsked)] {
		x, err := of.Sender(ctx, admin.Subject{Tenant: tenants[i].Name})
		if err != nil {
			return all, err
		}
		for _, l := range x.Limits {
			if l.Enforced && l.Scope != "account" {
				all = append(all, notify.LimitReading{Tenant: x.Tenant, Name: l.Name, Provider: l.Provider, Used: l.Used, Max: l.Max})
			}
		}
	}
	return all, nil
}

// Tells gives what whoever tells people of a history needs: its state lies beside the history, and the page's notes are read.
func Tells(cfg *config.Config, past history.Store) notify.Options {
	return notify.Options{Folder: cfg.History.Directory, History: past, Notes: filepath.Join(cfg.Web.Directory, notesFile)}
}

// Run keeps history until ctx ends.
func (k *Keeping) Run(ctx context.Context) {
	var all sync.WaitGroup
	all.Go(func() { k.keeper.Run(ctx) })
	if k.notifier != nil {
		all.Go(func() { k.notifier.Run(ctx) })
	}
	all.Wait()
}

// Close is called behind Run, or in place of it.
func (k *Keeping) Close() (err error) {
	if k.notifier != nil {
		err = k.notifier.Close()
	}
	return errors.Join(err, k.Store.Close())
}

// ReadHistory opens the history of a configuration for reading. Root becomes the owner of its directory.
func ReadHistory(cfg *config.Config) (history.Store, error) {
	if err := WantsHistory(cfg); err != nil {
		return nil, err
	}
	if err := follow.ActAsOwner(cfg.History.Directory); err != nil {
		return nil, err
	}
	if cfg.History.Database != "" {
		return database(cfg)
	}
	s, err := days.Read(cfg.History.Directory)
	if err != nil {
		return nil, err
	}
	return s, nil
}
