package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"kanmon/internal/admin"
	"kanmon/internal/who/mailbox"
)

type tenantCommands struct {
	List     tenantListCommand               `cmd:"" help:"List all tenants, and which of them are slowed, stopped, blocked or exempt."`
	Show     senderShowCommand[ofTenant]     `cmd:"" help:"Show all numbers of one tenant: signals and thresholds, limits, replies, changes."`
	Explain  senderExplainCommand[ofTenant]  `cmd:"" help:"Say in sentences how a tenant's mail is treated, why, and what you can do."`
	Kind     senderKindCommand[ofTenant]     `cmd:"" help:"Say that a tenant forwards strangers' mail, or that all its accounts are lists: it changes what is evidence."`
	Limit    senderLimitCommand[ofTenant]    `cmd:"" help:"Override a limit for one tenant, or for each of its accounts."`
	Block    senderBlockCommand[ofTenant]    `cmd:"" help:"Stop ALL mail of a tenant: it is deferred and waits in the tenant's own queue."`
	Unblock  senderUnblockCommand[ofTenant]  `cmd:"" help:"Lift a block or containment and reset the tenant's counts."`
	Exempt   senderExemptCommand[ofTenant]   `cmd:"" help:"Keep evidence from slowing or stopping a tenant and its accounts; limits and blocks stay."`
	Unexempt senderUnexemptCommand[ofTenant] `cmd:"" help:"End an exemption."`
}

type accountCommands struct {
	List     accountListCommand               `cmd:"" help:"List the accounts that are slowed, stopped, blocked or exempt, and why."`
	Show     senderShowCommand[ofAccount]     `cmd:"" help:"Show all numbers of one account: signals and thresholds, limits, replies, changes."`
	Explain  senderExplainCommand[ofAccount]  `cmd:"" help:"Say in sentences how an account's mail is treated, why, and what you can do."`
	Kind     senderKindCommand[ofAccount]     `cmd:"" help:"Say that an account, or with @ all of a domain, is a list or forwards strangers' mail: it changes what is evidence."`
	Limit    senderLimitCommand[ofAccount]    `cmd:"" help:"Override a limit for one account."`
	Block    senderBlockCommand[ofAccount]    `cmd:"" help:"Stop all mail of an account: it is deferred and waits in its tenant's queue."`
	Unblock  senderUnblockCommand[ofAccount]  `cmd:"" help:"Lift a block or containment and reset the account's counts."`
	Exempt   senderExemptCommand[ofAccount]   `cmd:"" help:"Keep evidence from slowing or stopping an account; limits and blocks stay."`
	Unexempt senderUnexemptCommand[ofAccount] `cmd:"" help:"End an exemption."`
}

// ofTenant and ofAccount are whose sending a command is about.
type (
	ofTenant struct {
		Tenant string `arg:"" help:"The tenant, as it is named in the configuration."`
	}
	ofAccount struct {
		Account string `arg:"" help:"The account: an envelope sender address in any spelling, or '<>' for mail without a sender. For kind and block also \"@\" and a domain."`
		Tenant  string `help:"The account's tenant. Required if there are several tenants and the account is not in the list of \"kanmon account list\"." placeholder:"NAME"`
	}
	subject interface{ subject() (admin.Subject, error) }
)

func (o ofTenant) subject() (admin.Subject, error) {
	if o.Tenant == "" {
		return admin.Subject{}, errors.New("no name of a tenant")
	}
	return admin.Subject{Tenant: o.Tenant}, nil
}

func (o ofAccount) subject() (admin.Subject, error) {
	name := mailbox.Named(o.Account)
	switch {
	case name == mailbox.Null && o.Account != "<>":
		return admin.Subject{}, errors.New("no name of an account: '<>' is mail without a sender")
	case name == mailbox.Null:
		name = o.Account
	case name == mailbox.Unreadable && o.Account != mailbox.Unreadable:
		return admin.Subject{}, fmt.Errorf("%q is not the name of an account: want one address, or a login name", o.Account)
	}
	return admin.Subject{Tenant: o.Tenant, Account: name}, nil // what folds into it, the running kanmon knows
}

type tenantListCommand struct{ adminFlag }

// Run lists all tenants.
func (k *tenantListCommand) Run(c *console) error {
	return ask(&k.adminFlag, c.stdout, func(ctx context.Context, a *admin.Client) ([]admin.Sender, error) { return a.Tenants(ctx) }, printTenants)
}

type accountListCommand struct {
	adminFlag
	Tenant string `help:"Only accounts of this tenant." placeholder:"NAME"`
}

// Run lists the accounts that are not plainly sending.
func (k *accountListCommand) Run(c *console) error {
	return ask(&k.adminFlag, c.stdout, func(ctx context.Context, a *admin.Client) ([]admin.Sender, error) { return a.Accounts(ctx, k.Tenant) }, printAccounts)
}

type senderShowCommand[S subject] struct {
	adminFlag
	Of S `embed:""`
}

// Run shows all numbers.
func (k *senderShowCommand[S]) Run(c *console) error {
	return askSender(&k.adminFlag, c, k.Of, printDetail)
}

type senderExplainCommand[S subject] struct {
	adminFlag
	Of S `embed:""`
}

// Run says it in sentences.
func (k *senderExplainCommand[S]) Run(c *console) error {
	return askSender(&k.adminFlag, c, k.Of, printReasons)
}

type senderLimitCommand[S subject] struct {
	adminFlag
	Of     S      `embed:""`
	Name   string `arg:"" help:"The limit, as it is named in the configuration; \"contained\" is what a slowed sender may send in an hour."`
	Amount string `arg:"" help:"How much: a number of what the limit counts, or \"default\" for that of the configuration."`
	Reason string `help:"The reason, for whoever reads it later." placeholder:"TEXT"`
}

// Run sets a limit's amount.
func (k *senderLimitCommand[S]) Run(c *console) error {
	o := admin.Order{Do: "limit", Limit: k.Name, Reason: k.Reason}
	if k.Amount != "default" {
		n, err := strconv.ParseInt(k.Amount, 10, 64)
		if err != nil || n < 1 {
			return fmt.Errorf("%q is no amount: want a number from 1, or \"default\"", k.Amount)
		}
		o.Amount = n
	}
	return order(&k.adminFlag, c, k.Of, o, printLimited)
}

type senderKindCommand[S subject] struct {
	adminFlag
	Of     S      `embed:""`
	Kind   string `arg:"" enum:"list,forwarder,none,default" help:"\"list\", \"forwarder\", \"none\" of them whatever the configuration says, or \"default\": as the configuration says."`
	Reason string `help:"The reason, for whoever reads it later." placeholder:"TEXT" required:""`
}

// Run marks a sender.
func (k *senderKindCommand[S]) Run(c *console) error {
	return order(&k.adminFlag, c, k.Of, admin.Order{Do: "kind", Kind: k.Kind, Reason: k.Reason}, printChanged)
}

// printLimited shows the limits, and the change: a tenant's may be of a limit that counts its accounts.
func printLimited(w io.Writer, x admin.SenderDetail) error {
	if err := printLimits(w, x.Limits); err != nil || len(x.Changes) == 0 {
		return err
	}
	fmt.Fprintln(w)
	return printChanges(w, x.Changes[len(x.Changes)-1:])
}

// An ending says until when something is.
type ending struct {
	For   *time.Duration `help:"For how long, as 90m or 48h; default: until it is ended by hand." placeholder:"DURATION" xor:"end"`
	Until *localTime     `help:"Until when, as 2026-07-01T18:00 or \"2026-07-01 18:00:00\", of this host's time zone." placeholder:"TIME" xor:"end"`
}

// time is the zero one where no end is said. An end that is said and is none must not be taken for that.
func (e *ending) time(now time.Time) (time.Time, error) {
	switch {
	case e.For != nil && *e.For <= 0:
		return time.Time{}, fmt.Errorf("for %s: want a duration such as 90m or 48h", *e.For)
	case e.For != nil:
		return now.Add(*e.For), nil
	case e.Until == nil:
		return time.Time{}, nil
	case !e.Until.After(now):
		return time.Time{}, fmt.Errorf("until %s: that has passed", when(e.Until.Time))
	}
	return e.Until.Time, nil
}

// A localTime is a time as an operator writes it.
type localTime struct{ time.Time }

// UnmarshalText reads RFC 3339, what is left of it without seconds, zone and T, and what is printed.
func (t *localTime) UnmarshalText(text []byte) (err error) {
	written := strings.Replace(string(text), " ", "T", 1)
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05 Z07:00", "2006-01-02T15:04:05", "2006-01-02T15:04"} {
		if t.Time, err = time.ParseInLocation(layout, written, time.Local); err == nil {
			return nil
		}
	}
	return fmt.Errorf("%q is no time: want one such as 2026-07-01T18:00", text)
}

type senderBlockCommand[S subject] struct {
	adminFlag
	Of S `embed:""`
	ending
	Reason string `help:"The reason, for whoever reads it later." placeholder:"TEXT" required:""`
}

// Run stops a sender.
func (k *senderBlockCommand[S]) Run(c *console) error {
	return orderUntil(&k.adminFlag, c, k.Of, &k.ending, admin.Order{Do: "block", Reason: k.Reason})
}

type senderUnblockCommand[S subject] struct {
	adminFlag
	Of     S      `embed:""`
	Reason string `help:"The reason, for whoever reads it later." placeholder:"TEXT"`
}

// Run lets a sender begin anew.
func (k *senderUnblockCommand[S]) Run(c *console) error {
	return order(&k.adminFlag, c, k.Of, admin.Order{Do: "unblock", Reason: k.Reason}, printChanged)
}

type senderExemptCommand[S subject] struct {
	adminFlag
	Of S `embed:""`
	ending
	Reason string `help:"The reason, for whoever reads it later." placeholder:"TEXT"`
}

// Run keeps evidence from containing a sender.
func (k *senderExemptCommand[S]) Run(c *console) error {
	return orderUntil(&k.adminFlag, c, k.Of, &k.ending, admin.Order{Do: "exempt", Reason: k.Reason})
}

type senderUnexemptCommand[S subject] struct {
	adminFlag
	Of     S      `embed:""`
	Reason string `help:"The reason, for whoever reads it later." placeholder:"TEXT"`
}

// Run ends an exemption.
func (k *senderUnexemptCommand[S]) Run(c *console) error {
	return order(&k.adminFlag, c, k.Of, admin.Order{Do: "unexempt", Reason: k.Reason}, printChanged)
}

type auditCommand struct {
	adminFlag
	Tenant  string `help:"Only changes of this tenant and its accounts." placeholder:"NAME"`
	Account string `help:"Only changes of this account." placeholder:"ADDRESS"`
	IP      string `name:"ip" help:"Only changes of this sending IP." placeholder:"ADDRESS"`
	Number  int    `help:"How many changes at most, the newest; default: ${default}." short:"n" default:"20" placeholder:"N"`
}

// Run prints who has changed what.
func (k *auditCommand) Run(c *console) error {
	of := admin.Subject{Tenant: k.Tenant}
	if k.Account != "" {
		var err error
		if of, err = (ofAccount{Account: k.Account, Tenant: k.Tenant}).subject(); err != nil {
			return err
		}
	}
	var ip netip.Addr
	if k.IP != "" {
		var err error
		if ip, err = netip.ParseAddr(k.IP); err != nil || of != (admin.Subject{}) {
			return fmt.Errorf("--ip %s: want an IP address, and neither --tenant nor --account with it", k.IP)
		}
	}
	return ask(&k.adminFlag, c.stdout, func(ctx context.Context, a *admin.Client) ([]admin.Change, error) {
		return a.Changes(ctx, of, ip, k.Number)
	}, printChanges)
}

func askSender(flag *adminFlag, c *console, s subject, shown func(io.Writer, admin.SenderDetail) error) error {
	of, err := s.subject()
	if err != nil {
		return err
	}
	return ask(flag, c.stdout, func(ctx context.Context, a *admin.Client) (admin.SenderDetail, error) { return a.Sender(ctx, of) }, shown)
}

func orderUntil(flag *adminFlag, c *console, s subject, e *ending, o admin.Order) (err error) {
	if o.Until, err = e.time(time.Now()); err != nil {
		return err
	}
	return order(flag, c, s, o, printChanged)
}

func order(flag *adminFlag, c *console, s subject, o admin.Order, shown func(io.Writer, admin.SenderDetail) error) error {
	of, err := s.subject()
	if err != nil {
		return err
	}
	return ask(flag, c.stdout, func(ctx context.Context, a *admin.Client) (admin.SenderDetail, error) { return a.Carry(ctx, of, o) }, shown)
}

// printChanged shows what came of an order.
func printChanged(w io.Writer, x admin.SenderDetail) error {
	if x.Account == "" {
		return printTenants(w, []admin.Sender{x.Sender})
	}
	return printAccounts(w, []admin.Sender{x.Sender})
}
