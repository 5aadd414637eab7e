package daemon

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"testing"

	"kanmon/internal/classify"
	"kanmon/internal/config"
	"kanmon/internal/egress"
	"kanmon/internal/provider"
	"kanmon/internal/standing"
)

// What tests make of a document: the parts of a daemon, without its files, DNS and listeners.

func configOf(t testing.TB, document string) *config.Config {
	t.Helper()
	cfg, err := config.Parse("kanmon.toml", []byte(document))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func routerOf(t testing.TB, cfg *config.Config) *egress.Router {
	t.Helper()
	router, err := Router(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return router
}

func newOutlet(t testing.TB, document string) *outlet {
	t.Helper()
	cfg := configOf(t, document)
	book, err := standing.New(standing.Options{Settings: bookSettings(cfg)})
	if err != nil {
		t.Fatal(err)
	}
	o := outletOn(t, cfg, book, provider.Config{Set: Providers(cfg), Resolver: deadDNS{}, Wait: providerWait})
	t.Cleanup(func() {
		o.providers.Close()
		if err := book.Close(); err != nil {
			t.Error(err)
		}
	})
	return o
}

// outletOn joins what there is. Whoever calls it ends the book and the lookups.
func outletOn(t testing.TB, cfg *config.Config, book *standing.Book, lookups provider.Config) *outlet {
	t.Helper()
	absences := newAbsences(slog.New(slog.DiscardHandler))
	router, err := routerWithout(cfg, absences.missing)
	if err != nil {
		t.Fatal(err)
	}
	rules, err := classify.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	return &outlet{
		router: router, dialer: egress.NewDialer(egress.Config{Router: router}), rules: rules, book: book, handlings: handlingsOf(cfg),
		providers: provider.New(lookups), dials: new(dials), ports: new(portless), absences: absences, rescues: newRescues(slog.New(slog.DiscardHandler)), sites: newSites(),
		block: blockOf(cfg), tenants: len(cfg.Tenants), domains: domainsOf(cfg),
	}
}

// deadDNS knows nothing.
type deadDNS struct{ asked func(name string) }

func (d deadDNS) LookupMX(_ context.Context, name string) ([]*net.MX, error) {
	if d.asked != nil {
		d.asked(name)
	}
	return nil, errors.New("no resolver")
}

func (deadDNS) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return nil, errors.New("no resolver")
}
