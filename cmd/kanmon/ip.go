package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"text/tabwriter"
	"time"

	"kanmon/internal/admin"
	"kanmon/internal/admin/explain"
	"kanmon/internal/config"
)

type ipCommands struct {
	List    ipListCommand    `cmd:"" help:"List the sending IPs that are not active (slowed, suspended, probing, stopped, warming, absent, standby, cut-off), or that others see as they should not (listed, misnamed), and why."`
	Show    ipShowCommand    `cmd:"" help:"Show one sending IP, with the replies behind its standing, and how others see it."`
	Suspend ipSuspendCommand `cmd:"" help:"Take a sending IP out of use, at one provider or everywhere."`
	Resume  ipResumeCommand  `cmd:"" help:"Take a sending IP back into use, at one provider or everywhere."`
	Shaping ipShapingCommand `cmd:"" help:"Show what providers take from each sending IP, how much of it is used, and what their replies, or timing, have taken from it."`
	Try     ipTryCommand     `cmd:"" help:"Ask one MX from each sending IP, side by side, how it answers: as far as RCPT, and never with a message."`
	Warm    ipWarmCommand    `cmd:"" help:"Show how far new sending IPs have warmed up, or have one go on at another step, or end."`
}

// A socketFlag finds the running kanmon.
type socketFlag struct {
	configFlag
	Socket string `help:"Admin socket of the running kanmon; default: admin.socket of the configuration, else ${socket}." placeholder:"PATH"`
}

// An adminFlag is that of a command that can print what it is answered in two ways.
type adminFlag struct {
	socketFlag
	JSON bool `name:"json" help:"Print JSON."`
}

// client gives the way to the running kanmon. The error says why the configuration did not tell where it is, which is only to be told where
// it is not at its usual place.
func (a *socketFlag) client() (client *admin.Client, unread error, err error) {
	if a.Socket != "" {
		return admin.NewClient(a.Socket), nil, nil
	}
	socket, unread := config.AdminSocket(a.Config)
	if socket == config.Off {
		return nil, nil, fmt.Errorf(`%s has socket = "off" in [admin]: take it out and restart kanmon, or name a socket with --socket`, a.Config)
	}
	return admin.NewClient(socket), unread, nil
}

func ask[T any](a *adminFlag, w io.Writer, call func(context.Context, *admin.Client) (T, error), shown func(io.Writer, T) error) error {
	client, unread, err := a.client()
	if err != nil {
		return err
	}
	answer, err := call(context.Background(), client)
	if err != nil {
		return unheard(err, unread)
	}
	if a.JSON {
		out := json.NewEncoder(w)
		out.SetIndent("", "  ")
		return out.Encode(answer)
	}
	return shown(w, answer)
}

// unheard adds to why nobody has answered why that socket was asked.
func unheard(err, unread error) error {
	if nobody := (admin.NoAnswer{}); unread != nil && errors.As(err, &nobody) {
		err = fmt.Errorf("%w\nThe socket is that of the service, because the configuration could not be read; --socket names another: %w", err, unread)
	}
	return err
}

type ipListCommand struct{ adminFlag }

// Run lists what is not plainly active.
func (k *ipListCommand) Run(c *console) error {
	return askAll(&k.adminFlag, c.stdout, netip.Addr{}, nil, printStandings)
}

// An ipArgument is the sending IP that a command is about, and where.
type ipArgument struct {
	IP       netip.Addr `arg:"" help:"The sending IP."`
	Provider string     `help:"Only at this provider; default: at all of them." placeholder:"NAME"`
}

type ipShowCommand struct {
	adminFlag
	IP netip.Addr `arg:"" help:"The sending IP."`
}

// Run shows one sending IP.
func (k *ipShowCommand) Run(c *console) error {
	var shaping admin.Shaping
	var seen []admin.Sighting
	return askAll(&k.adminFlag, c.stdout, k.IP, func(ctx context.Context, a *admin.Client) (err error) {
		if seen, err = a.Sightings(ctx, k.IP); err == nil {
			shaping, err = a.Shaping(ctx, k.IP)
		}
		return err
	}, func(w io.Writer, all []admin.Standing) error {
		if err := errors.Join(printOne(k.IP)(w, all), printSeen(w, seen)); err != nil || len(shaping.Takes) == 0 {
			return err
		}
		if _, err := fmt.Fprint(w, "\nWhat providers take from it, "); err != nil {
			return err
		}
		return printShaping(w, shaping)
	})
}

type ipSuspendCommand struct {
	adminFlag
	ipArgument
	For    time.Duration `help:"For how long, as 90m or 48h; default: until it is resumed." placeholder:"DURATION"`
	Reason string        `required:"" help:"The reason, for whoever reads it later." placeholder:"TEXT"`
}

// Run takes a sending IP out of use.
func (k *ipSuspendCommand) Run(c *console) error {
	return ask(&k.adminFlag, c.stdout, func(ctx context.Context, a *admin.Client) ([]admin.Standing, error) {
		return a.Suspend(ctx, k.IP, k.Provider, k.For, k.Reason)
	}, printOne(k.IP))
}

type ipResumeCommand struct {
	adminFlag
	ipArgument
	Reason string `help:"The reason, for whoever reads it later." placeholder:"TEXT"`
}

// Run takes a sending IP back into use.
func (k *ipResumeCommand) Run(c *console) error {
	return ask(&k.adminFlag, c.stdout, func(ctx context.Context, a *admin.Client) ([]admin.Standing, error) {
		return a.Resume(ctx, k.IP, k.Provider, k.Reason)
	}, printOne(k.IP))
}

func printStandings(w io.Writer, all []admin.Standing) error {
	if len(all) == 0 {
		_, err := fmt.Fprintln(w, "every sending IP is active everywhere")
		return err
	}
	return printTable(w, all)
}

// printOne is printStandings of one sending IP: what it says of none says nothing of the others.
func printOne(ip netip.Addr) func(io.Writer, []admin.Standing) error {
	return func(w io.Writer, all []admin.Standing) error {
		if len(all) == 0 {
			_, err := fmt.Fprintf(w, "%s is active everywhere\n", ip)
			return err
		}
		return printTable(w, all)
	}
}

func printTable(w io.Writer, all []admin.Standing) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "SENDING IP\tPROVIDER\tSTATE\tSHARE\tSINCE\tUNTIL\tBY\tREASON")
	for _, s := range all {
		fmt.Fprintf(table, "%s\t%s\t%s\t%.0f %%\t%s\t%s\t%s\t%s\n", ipOf(&s), orDash(s.Provider, "all"), standsAs(&s), 100*s.Share, when(s.Since), when(s.Until),
			orDash(s.By, "-"), reasonOf(&s))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	printTimings(w, all)
	for _, s := range all {
		if s.Note != "" {
			fmt.Fprintf(w, "\n%s at %s: %s\n", s.IP, orDash(s.Provider, "all"), s.Note)
		}
	}
	for _, s := range all {
		for _, e := range s.Evidence {
			fmt.Fprintf(w, "\n%s  %s: %s, tenant %s, rule %q\n    %s\n", when(e.At), orDash(e.Destination, "-"), e.Class, orDash(e.Tenant, "-"), e.Rule, e.Sample)
		}
	}
	return nil
}

func reasonOf(s *admin.Standing) string {
	reason := s.Reason
	if t := s.Timing; t != nil && reason == "" {
		reason = inShort(t)
	}
	if len(s.Lists) > 0 {
		reason += " (" + strings.Join(s.Lists, ", ") + ")"
	}
	return orDash(reason, "-")
}

func orDash(text, instead string) string {
	if text == "" {
		return instead
	}
	return text
}

func when(t time.Time) string { return explain.When(t) }
