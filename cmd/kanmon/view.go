package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"kanmon/internal/admin/check"
	"kanmon/internal/config"
	"kanmon/internal/daemon"
	"kanmon/internal/view"
	"kanmon/internal/view/history"
)

type viewCommand struct{ configFlag }

// Help says what it is for.
func (*viewCommand) Help() string {
	return `It is what kanmon-view.service runs. It has nothing to do with mail: when it stops, mail does not notice.`
}

// Run serves the page, and keeps the history behind it.
func (k *viewCommand) Run(c *console) error {
	return serveView(c, &k.configFlag, func(ctx context.Context, cfg *config.Config, log *slog.Logger) error {
		if !cfg.History.On {
			log.Warn("the page shows what is now, and nothing of before", "because", view.WantsHistory(cfg))
			return servePage(ctx, cfg, nil, log)
		}
		k, err := view.OpenHistory(cfg, log)
		if err != nil {
			return err
		}
		keeping, stop := context.WithCancel(ctx)
		var kept sync.WaitGroup
		kept.Go(func() { k.Run(keeping) })
		err = servePage(ctx, cfg, k.Store, log)
		stop()
		kept.Wait()
		return errors.Join(err, k.Close())
	})
}

// serveWeb serves the page, of what another process keeps.
func serveWeb(ctx context.Context, cfg *config.Config, log *slog.Logger) error {
	if !cfg.History.On {
		return servePage(ctx, cfg, nil, log)
	}
	s, err := view.ReadHistory(cfg)
	if err != nil {
		return fmt.Errorf("%w (systemctl status kanmon-history)", err)
	}
	return errors.Join(servePage(ctx, cfg, s, log), s.Close())
}

// servePage serves the page until the context ends; past is nil where no history is kept.
func servePage(ctx context.Context, cfg *config.Config, past history.Store, log *slog.Logger) error {
	page, err := view.OpenPage(cfg, past, func() string { return whyEmpty(cfg) }, log)
	if err != nil {
		return err
	}
	log.Info("the page is served", "at", page.Where())
	return errors.Join(page.Serve(ctx), page.Close())
}

// whyEmpty says why no connection has been seen yet, as far as "kanmon check" knows.
func whyEmpty(cfg *config.Config) string {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	for _, f := range check.Run(ctx, daemon.Site(cfg, &check.Host{})) { // the worst first
		if f.Severity >= check.Warning {
			return fmt.Sprintf("“kanmon check” finds: %s: %s. %s", f.Where, f.What, cmp.Or(f.Cure, f.Kind.Cure))
		}
	}
	return "no mail server has sent through kanmon yet: is its network in [intercept] sources, and are the firewall rules in force (kanmon rules status)?"
}
