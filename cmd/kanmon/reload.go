package main

import (
	"context"
	"fmt"
	"io"

	"kanmon/internal/admin"
)

type reloadCommand struct{ adminFlag }

// Run has a running kanmon reload, and fails where that did: what is printed is why.
func (k *reloadCommand) Run(c *console) error {
	return ask(&k.adminFlag, c.stdout, func(ctx context.Context, a *admin.Client) (admin.Reloaded, error) { return a.Reload(ctx) }, printReloaded)
}

func printReloaded(w io.Writer, r admin.Reloaded) error {
	fmt.Fprintln(w, "reloaded")
	for _, todo := range r.ToDo {
		fmt.Fprintf(w, "still to do: %s\n", todo)
	}
	return nil
}
