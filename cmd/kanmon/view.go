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
	"kanmon/internal/view/web"
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
		var kept sync.WaitGroup
		kept.Go(func() { k.Run(ctx) })
		insistPage(ctx, cfg, k.Store, log)
		kept.Wait()
		return k.Close()
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

// How soon a page that is not served is tried again.
const (
	firstPageRetry = time.Second
	lastPageRetry  = time.Minute
)

// insistPage serves the page until the context ends. History does not depend on it: what keeps the page from being served is told, and tried again.
func insistPage(ctx context.Context, cfg *config.Config, past history.Store, log *slog.Logger) {
	for wait := firstPageRetry; ctx.Err() == nil; wait = min(2*wait, lastPageRetry) {
		err := servePage(ctx, cfg, past, log)
		if ctx.Err() != nil {
			if err != nil {
				log.Error("the page did not end well", "error", err)
			}
			return
		}
		log.Error("the page is not served; history is kept, and it is tried again", "error", err, "again_in", wait)
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}

// servePage serves the page until the context ends; past is nil where no history is kept.
func servePage(ctx context.Context, cfg *config.Config, past history.Store, log *slog.Logger) error {
	page, err := view.OpenPage(cfg, past, pageChecks, log)
	if err != nil {
		return err
	}
	log.Info("the page is served", "at", page.Where())
	return errors.Join(page.Serve(ctx), page.Close())
}

// pageChecks are what "kanmon check" finds, but what it could not see.
func pageChecks(ctx context.Context, cfg *config.Config) (all []web.Finding) {
	for _, f := range check.Run(ctx, daemon.Site(cfg, &check.Host{})) { // the worst first
		if f.Severity >= check.Warning {
			all = append(all, web.Finding{Severity: f.Severity.String(), What: f.Where + ": " + f.What, Do: cmp.Or(f.Cure, f.Kind.Cure)})
		}
	}
	return all
}
