package view

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"slices"
	"sync"
	"time"

	"kanmon/internal/config"
	"kanmon/internal/event/journal"
	"kanmon/internal/outlet/classify"
	"kanmon/internal/view/web"
)

// A configured is a configuration as its file has it now: kanmon is reloaded, and what is shown follows without a restart.
type configured struct {
	log    *slog.Logger
	checks Checks

	mu  sync.Mutex
	cfg *config.Config
	at  time.Time // that the file had been changed
}

// now gives the configuration. While somebody has a wrong one in the file, it is the one before.
func (c *configured) now() *config.Config {
	c.mu.Lock()
	defer c.mu.Unlock()
	info, err := os.Stat(c.cfg.File())
	if err != nil || info.ModTime().Equal(c.at) {
		return c.cfg
	}
	first := c.at.IsZero()
	c.at = info.ModTime()
	if first {
		return c.cfg
	}
	next, err := config.LoadIn(c.cfg.File(), config.ViewDirectories())
	if err != nil {
		c.log.Warn("the configuration has changed and cannot be read: what was before is shown", "error", err)
		return c.cfg
	}
	c.cfg = next
	return next
}

// ways are whence mail may leave.
func (c *configured) ways() (w web.Ways) {
	cfg := c.now()
	s := &cfg.Standing
	w.Thresholds = web.Thresholds{
		ListedReplies: s.ListedReplies, ListedDestinations: s.ListedDestinations, RefusedTenants: s.RefusedTenants, RefusedDestinations: s.RefusedDestinations,
	}
	for _, ip := range cfg.SendingIPs {
		one := web.SendingIP{Address: ip.Address, EHLO: ip.EHLO}
		for name, pool := range cfg.Pools {
			if slices.Contains(pool.IPs, ip.Address) {
				one.Pools = append(one.Pools, name)
			}
		}
		slices.Sort(one.Pools)
		w.IPs = append(w.IPs, one)
	}
	return w
}

// checkPatience is for all checks together.
const checkPatience = 10 * time.Second

// site is the configuration as it stands in its file, without what is secret, and what checks find in it.
func (c *configured) site(ctx context.Context) (*web.Site, error) {
	cfg := c.now()
	text, err := os.ReadFile(cfg.File())
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, checkPatience)
	defer cancel()
	return &web.Site{File: cfg.File(), Configuration: secretless(string(text)), Findings: c.checks(ctx, cfg)}, nil
}

// secret is a value that lets whoever has it do something. Paths of files with such values are none.
var secret = regexp.MustCompile(`(?i)\b(url|[\w-]*(?:secret|password|token)|[\w-]*(?:secret|password|token)s)\s*=\s*("""(?s:.*?)"""|\'\'\'(?s:.*?)\'\'\'|"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\')`)

func secretless(text string) string { return secret.ReplaceAllString(text, `$1 = "…"`) }

// whyEmpty says why no connection has been seen yet, as far as checks know.
func (c *configured) whyEmpty() string {
	ctx, cancel := context.WithTimeout(context.Background(), checkPatience)
	defer cancel()
	if found := c.checks(ctx, c.now()); len(found) > 0 {
		return "“kanmon check” finds: " + found[0].What + ". " + found[0].Do
	}
	return "no mail server has sent through kanmon yet: is its network in [intercept] sources, and are the firewall rules in force (kanmon rules status)?"
}

// rulesOf are the rules by which replies are understood.
func rulesOf(cfg *config.Config) (*classify.Rules, error) {
	path := cfg.Classification.Rules
	if path == "" {
		return classify.Builtin()
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("classification.rules: %w", err)
	}
	return classify.Parse(path, text)
}

// maskOf is how the records show addresses, so that one can be looked for.
func maskOf(cfg *config.Config) (m journal.Mask, err error) {
	m.Mode = cfg.Journal.Addresses
	if m.Mode == journal.AddressesHashed {
		if m.Key, err = os.ReadFile(cfg.Journal.HashKeyFile); err != nil {
			return m, fmt.Errorf("journal.hash_key_file, without which no address can be looked for: %w", err)
		}
	}
	return m, nil
}

func nameOf(cfg *config.Config) string { return cmp.Or(cfg.Journal.Gateway, cfg.Hostname) }
