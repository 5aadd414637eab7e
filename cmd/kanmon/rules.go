package main

import (
	"context"
	"fmt"
	"time"

	"kanmon/internal/daemon"
	"kanmon/internal/intercept"
)

// rulesTimeout bounds what the firewall may take. Loading a set of ten thousand networks takes a second.
const rulesTimeout = time.Minute

type rulesCommands struct {
	Print  printRules  `cmd:"" help:"Print the rules as text for nft, and change nothing."`
	Apply  applyRules  `cmd:"" help:"Put the rules in force, in place of earlier ones of kanmon."`
	Remove removeRules `cmd:"" help:"Take the rules away: mail leaves directly."`
}

type (
	printRules  struct{ configFlag }
	applyRules  struct{ configFlag }
	removeRules struct{ configFlag }
)

// Run prints the rules.
func (p *printRules) Run(c *console) error {
	rules, err := p.rules()
	if err == nil {
		_, err = fmt.Fprint(c.stdout, rules.Text())
	}
	return err
}

// Run applies the rules.
func (a *applyRules) Run(*console) error {
	rules, err := a.rules()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), rulesTimeout)
	defer cancel()
	return rules.Apply(ctx)
}

// Run removes the rules.
func (r *removeRules) Run(*console) error {
	rules, err := r.rules()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), rulesTimeout)
	defer cancel()
	return rules.Remove(ctx)
}

// rules gives the rules of the configuration.
func (f *configFlag) rules() (intercept.Rules, error) {
	cfg, err := f.load()
	if err != nil {
		return intercept.Rules{}, err
	}
	rules := daemon.Rules(cfg)
	if err := rules.Validate(); err != nil {
		return intercept.Rules{}, fmt.Errorf("%s: [intercept]: %w", f.Config, err)
	}
	return rules, nil
}
