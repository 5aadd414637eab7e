package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"kanmon/internal/admin/check"
	"kanmon/internal/config"
	"kanmon/internal/daemon"
	"kanmon/internal/view"
)

type viewCommand struct{ configFlag }

// Help says what it is for.
func (*viewCommand) Help() string {
	return `It is what kanmon-view.service runs. It has nothing to do with mail: when it stops, mail does not notice.`
}

// Run serves the page, and keeps the history behind it.
func (k *viewCommand) Run(c *console) error {
	return serveView(c, &k.configFlag, servePage)
}

// servePage serves the page until the context ends.
func servePage(ctx context.Context, cfg *config.Config, log *slog.Logger) error {
	page, err := view.OpenPage(cfg, nil, func() string { return whyEmpty(cfg) }, log)
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
