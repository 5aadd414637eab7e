package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"

	"kanmon/internal/admin"
)

type tlsCommands struct {
	Show    tlsShowCommand    `cmd:"" default:"withargs" help:"Say what a recipient's domain asks of the TLS with its MXs, by DANE and by MTA-STS, and what follows: exit code 1 if mail to it would be refused."`
	List    tlsListCommand    `cmd:"" help:"List the MTA-STS policies that are kept, or what would have been refused."`
	Refresh tlsRefreshCommand `cmd:"" help:"Have the MTA-STS policy of a domain fetched now."`
	Forget  tlsForgetCommand  `cmd:"" help:"Forget the MTA-STS policy of a domain: the next mail to it looks it up."`
}

type tlsShowCommand struct {
	adminFlag
	Domain      string     `arg:"" help:"The recipient's domain."`
	Destination netip.Addr `help:"Address of the MX that mail to it goes to; default: all MXs of the domain." placeholder:"IP"`
}

// Run shows each step.
func (k *tlsShowCommand) Run(c *console) error {
	return askDomain(&k.adminFlag, c, func(ctx context.Context, a *admin.Client) (admin.TLSDomain, error) {
		return a.DomainTLS(ctx, k.Domain, k.Destination)
	})
}

// askDomain shows a domain; mail that would be refused is exit code 1.
func askDomain(a *adminFlag, c *console, call func(context.Context, *admin.Client) (admin.TLSDomain, error)) error {
	refused := false
	err := ask(a, c.stdout, func(ctx context.Context, client *admin.Client) (admin.TLSDomain, error) {
		d, err := call(ctx, client)
		refused = d.Refused
		return d, err
	}, func(w io.Writer, d admin.TLSDomain) error { return printDomain(w, &d, time.Now()) })
	if err == nil && refused {
		return errShown
	}
	return err
}

type tlsListCommand struct {
	adminFlag
	Refused bool `help:"What mode \"observe\" has let pass in the last seven days, and mode \"enforce\" would have refused."`
}

// Run lists policies, or what would have been refused.
func (k *tlsListCommand) Run(c *console) error {
	if k.Refused {
		return ask(&k.adminFlag, c.stdout, func(ctx context.Context, a *admin.Client) ([]admin.TLSRefusal, error) { return a.TLSRefusals(ctx) }, printTLSRefusals)
	}
	return ask(&k.adminFlag, c.stdout, func(ctx context.Context, a *admin.Client) ([]admin.TLSPolicy, error) { return a.TLSPolicies(ctx) },
		func(w io.Writer, all []admin.TLSPolicy) error { return printTLSPolicies(w, all, time.Now()) })
}

type tlsRefreshCommand struct {
	adminFlag
	Domain string `arg:"" help:"The recipient's domain."`
}

// Run has the policy fetched, and shows what the domain asks then.
func (k *tlsRefreshCommand) Run(c *console) error {
	return askDomain(&k.adminFlag, c, func(ctx context.Context, a *admin.Client) (admin.TLSDomain, error) {
		return a.RefreshTLS(ctx, k.Domain)
	})
}

type tlsForgetCommand struct {
	adminFlag
	Domain string `arg:"" help:"The recipient's domain."`
	Reason string `help:"The reason, for whoever reads it later." placeholder:"TEXT" required:""`
}

// Run forgets the policy.
func (k *tlsForgetCommand) Run(c *console) error {
	if strings.TrimSpace(k.Reason) == "" {
		return errors.New("--reason is empty: mail may go where it would have been refused, and somebody will ask why")
	}
	return ask(&k.adminFlag, c.stdout, func(ctx context.Context, a *admin.Client) (struct{}, error) {
		return struct{}{}, a.ForgetTLS(ctx, k.Domain, k.Reason)
	}, func(w io.Writer, _ struct{}) error {
		_, err := fmt.Fprintf(w, "the MTA-STS policy of %s is forgotten: the next mail to it looks it up\n", k.Domain)
		return err
	})
}
