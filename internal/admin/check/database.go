package check

import (
	"context"

	"kanmon/internal/config"
)

// Database asks the database of history whether history can be kept in it.
type Database struct {
	Config *config.Config
	Look   func(context.Context) ([]Flaw, error)
}

// A Flaw is what is wrong with something that is not of this host, and what would be right.
type Flaw struct{ What, Cure string }

var historyDatabase = declare(Kind{
	ID: "history-database", Severity: Warning,
	Meaning: "the database of [history] does not answer, is too old, may only be read, is not this user's, is of a later kanmon, or has another time",
	Why:     "nothing is kept, and the page and kanmon mail show nothing; the records wait in their files until logrotate removes them",
	Cure:    "docs/howto/history.md#several-gateways-in-one-history",
})

// Run gives a finding for each flaw. Where history is kept in files there is none.
func (d *Database) Run(ctx context.Context) []Finding {
	h := &d.Config.History
	if !h.On || h.Database == "" {
		return nil
	}
	c := &checker{Site: Site{Config: d.Config, Host: &Host{}}, ctx: ctx}
	all, err := d.Look(ctx)
	if err != nil {
		c.unchecked("the database of [history]", err.Error())
	}
	for _, f := range all {
		c.find(historyDatabase, "history.database", f.What, f.Cure)
	}
	return c.findings
}
