package main

import (
	"context"
	"fmt"

	"kanmon/internal/config"
)

type checkCommand struct{ configFlag }

// Run prints what is wrong with the configuration, or with this host for it. Warnings alone are no failure.
func (k *checkCommand) Run(c *console) error {
	cfg, err := config.LoadIn(k.Config, config.ServiceDirectories())
	if err != nil {
		return err
	}
	errs, warnings := 0, 0
	for _, f := range config.Check(context.Background(), cfg) {
		fmt.Fprintf(c.stdout, "%s\n\n", f)
		if f.Severity == config.SeverityError {
			errs++
		} else {
			warnings++
		}
	}
	if errs > 0 {
		fmt.Fprintf(c.stdout, "%s, %s\n", count(errs, "error"), count(warnings, "warning"))
		return errShown
	}
	fmt.Fprintf(c.stdout, "%s: good, %s\n", k.Config, count(warnings, "warning"))
	return nil
}
