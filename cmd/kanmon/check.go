package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"kanmon/internal/admin/check"
	"kanmon/internal/config"
	"kanmon/internal/daemon"
	"kanmon/internal/outlet/watch"
	"kanmon/internal/view"
)

type checkCommand struct {
	socketFlag
	JSON      bool     `help:"Print the findings as JSON."`
	Strict    bool     `help:"Exit with 1 for warnings, and for what could not be checked, too."`
	User      string   `help:"See files as this user does; default: the user of kanmon.service. Only root can." placeholder:"NAME"`
	DNS       bool     `name:"dns" help:"Ask the DNS as well: PTR and EHLO names of the sending IPs, blocklists, SPF of the tenants' sender_domains."`
	Resolver  string   `help:"With --dns: the resolver to ask, in place of the system's." placeholder:"ADDR"`
	TLS       bool     `name:"tls" help:"Ask the running kanmon as well with which MXs it has no TLS, and why."`
	Blocklist []string `help:"With --dns: a blocklist to ask; can be given several times. Default: ${default}." default:"${blocklists}" placeholder:"ZONE"`
}

// Help implements kong.HelpProvider.
func (*checkCommand) Help() string {
	return "It compares the configuration with this host, the firewall and kanmon.service. It changes nothing, and sends nothing but DNS queries with --dns. With --tls it lists the MXs that kanmon sends mail to in plain text although they offer TLS, and says what to do; kanmon remembers them from its start on. Run it as root: what it cannot see otherwise, it reports as not checked. docs/ref/check.md lists all findings.\n\n" +
		"The exit code is 0 if there is no error, 1 if there is one, and 2 if nothing could be checked: the file cannot be read, or the command line is wrong."
}

// Run prints what would hurt: in the configuration, on this host, with --dns at receivers, and with --tls in the memory of the running kanmon.
func (k *checkCommand) Run(c *console) error {
	findings, err := k.findings()
	var wrong config.Errors
	switch {
	case errors.As(err, &wrong) && k.JSON:
		findings = check.Wrong(wrong)
	case errors.As(err, &wrong):
		return err // shown as a compiler does
	case err != nil:
		fmt.Fprintln(c.stderr, "kanmon:", err)
		return exitStatus(exitCannot)
	}
	if k.JSON {
		err = k.printJSON(c, findings)
	} else {
		k.print(c, findings)
	}
	switch {
	case err != nil:
		return err
	case check.Count(findings, check.Error) > 0, k.Strict && check.Count(findings, check.Warning)+check.Unchecked(findings) > 0:
		return errShown
	}
	return nil
}

func (k *checkCommand) findings() ([]check.Finding, error) {
	cfg, err := k.load()
	if err != nil {
		return nil, err
	}
	host := &check.Host{Service: check.Systemd, Built: builtAt(buildInfo())}
	if k.User != "" {
		if host.As, err = host.FindUser(k.User); err != nil {
			return nil, err
		}
	}
	ctx := context.Background()
	findings := check.Run(ctx, daemon.Site(cfg, host))
	findings = append(findings, (&check.Scanners{Config: cfg, Probe: func(ctx context.Context) (all []check.Proof, err error) {
		proofs, err := probeScanners(ctx, cfg)
		for _, p := range proofs {
			all = append(all, check.Proof(p))
		}
		return all, err
	}}).Run(ctx)...)
	findings = append(findings, (&check.Database{Config: cfg, Look: func(ctx context.Context) (all []check.Flaw, err error) {
		faults, err := view.DatabaseFaults(ctx, cfg)
		for _, f := range faults {
			all = append(all, check.Flaw(f))
		}
		return all, err
	}}).Run(ctx)...)
	if k.TLS {
		findings = append(findings, (&check.TLS{Config: cfg, Ask: k.remembered}).Run(ctx)...)
	}
	if k.DNS {
		resolver, err := watch.NewResolver(k.Resolver)
		if err != nil {
			return nil, err
		}
		findings = append(findings, (&check.DNS{Config: cfg, Resolver: resolver, Blocklists: k.Blocklist}).Run(ctx)...)
	}
	check.Sort(findings)
	return findings, nil
}

// remembered asks the running kanmon what it knows of the TLS of MXs.
func (k *checkCommand) remembered(ctx context.Context) (known check.Remembered, err error) {
	client, unread, err := k.client()
	if err != nil {
		return known, err
	}
	all, err := client.PlainMXs(ctx)
	if err != nil {
		return known, unheard(err, unread)
	}
	known.Since, known.MXs = all.Since, all.Remembered
	for i := range all.MXs {
		mx := &all.MXs[i]
		if n := len(mx.Failures); n > 0 {
			last := mx.Failures[n-1]
			known.Failed = append(known.Failed, check.FailedTLS{MX: mx.MX, At: last.At, Why: last.Why, Said: last.Cause, Lack: last.Lack})
		}
	}
	return known, nil
}

func (k *checkCommand) print(c *console, findings []check.Finding) {
	for _, f := range findings {
		fmt.Fprintf(c.stdout, "%s\n\n", f)
	}
	warnings, unchecked := check.Count(findings, check.Warning), check.Unchecked(findings)
	rest := count(warnings, "warning")
	if unchecked > 0 {
		rest += fmt.Sprintf(", %d not checked", unchecked)
	}
	if errs := check.Count(findings, check.Error); errs > 0 {
		fmt.Fprintf(c.stdout, "%s: %s, %s\n", k.Config, count(errs, "error"), rest)
	} else {
		fmt.Fprintf(c.stdout, "%s: no errors, %s\n", k.Config, rest)
	}
}

func (k *checkCommand) printJSON(c *console, findings []check.Finding) error {
	if findings == nil {
		findings = []check.Finding{}
	}
	out := json.NewEncoder(c.stdout)
	out.SetEscapeHTML(false)
	out.SetIndent("", "  ")
	return out.Encode(struct {
		Config     string          `json:"config"`
		Errors     int             `json:"errors"`
		Warnings   int             `json:"warnings"`
		NotChecked int             `json:"not_checked"`
		Findings   []check.Finding `json:"findings"`
	}{k.Config, check.Count(findings, check.Error), check.Count(findings, check.Warning), check.Unchecked(findings), findings})
}
