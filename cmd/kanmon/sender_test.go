package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"kanmon/internal/admin"
)

// at is a time of the first of July, as 10:12.
func at(clock string) time.Time {
	t, err := time.Parse(time.DateTime, "2026-07-01 "+clock+":00")
	if err != nil {
		return time.Time{}
	}
	return t
}

// customers are what scripts see: two tenants, the accounts of one in every state that there is.
type customers struct {
	looks    atomic.Int64
	problems []admin.Problem
	senders  []*admin.SenderDetail
	kinds    []*admin.SenderDetail // lists, forwarders and what looks like one; not in the lists
	changes  []admin.Change
}

func newCustomers() *customers {
	unknown := admin.Reading{Signal: "unknown_recipients", Window: "hour", Bad: 37, Cases: 210, Share: 0.176, Low: 0.118, Providers: 3, Level: "slow", Threshold: 0.1}
	refused := admin.Reading{Signal: "content", Window: "hour", Bad: 90, Cases: 200, Share: 0.45, Low: 0.349, Providers: 3, Level: "stop", Threshold: 0.2}
	near := admin.Reading{Signal: "unknown_recipients", Window: "day", Bad: 12, Cases: 80, Share: 0.15, Low: 0.071, Providers: 2, Level: "normal", Threshold: 0.1}
	sender := func(account, level, inForce, would string) *admin.SenderDetail {
		return &admin.SenderDetail{
			Sender: admin.Sender{Subject: admin.Subject{Tenant: "acme", Account: account}, Level: level, InForce: inForce, Would: would}, Known: true,
			Hour: admin.Counts{Mails: 190, Tried: 215, Answered: 210, Unknown: 2, Judged: 180, Delivered: 180}, Day: admin.Counts{Mails: 900},
			Allowance: 2000, AllowanceFrom: "what all may", Distinct: 150, Counting: 150, Octets: 123456, Recipients: 800,
		}
	}
	decided := func(x *admin.SenderDetail, r admin.Reading, to string) *admin.SenderDetail {
		x.Since, x.Signal, x.Strikes, x.DownIn, x.Why = at("10:12"), r.Signal, 1, 108*time.Minute, "37 of 210 recipients unknown"
		sample := admin.Sample{At: at("10:11"), Account: x.Account, Provider: "docomo", Class: "recipient_invalid", Reply: "550 Unknown user"}
		x.Last = &admin.Decision{At: at("10:12"), From: "normal", To: to, Enforced: x.InForce, By: "evidence", Why: x.Why, Reading: r, Samples: []admin.Sample{sample}}
		x.Samples = x.Last.Samples
		return x
	}
	hour := admin.LimitUse{Name: "account-hour", Scope: "account", Measure: "recipients", Amount: 100, Configured: 100, Per: time.Hour, Enforced: true, Used: 9, Max: 10, Free: 330 * time.Second, Room: true}
	full := admin.LimitUse{Name: "tenant-hour", Scope: "tenant", Measure: "messages", Amount: 2000, Configured: 1000, Per: time.Hour, Used: 200, Max: 200, Free: 6 * time.Minute, Wait: 2 * time.Second}

	slowed := decided(sender("slow@acme.example", "slow", "slow", "slow"), unknown, "slow")
	slowed.Readings, slowed.Limits, slowed.Strikes = []admin.Reading{near, {Signal: "volume", Window: "hour", Bad: 150, Cases: 150, Level: "normal", Threshold: 2000}}, []admin.LimitUse{hour, full}, 2
	watched := decided(sender("watched@acme.example", "stop", "normal", "stop"), refused, "stop")
	exempt := decided(sender("exempt@acme.example", "divert", "normal", "divert"), refused, "divert")
	exempt.Exempt = &admin.ByHand{At: at("11:00"), Until: at("23:00"), By: "alice", Why: "wanted newsletter"}
	exempt.Last = &admin.Decision{At: at("11:00"), From: "divert", To: "divert", Enforced: "normal", By: "alice", Why: "exempt: wanted newsletter", Reading: admin.Reading{Signal: "hand"}}
	blocked := sender("<>", "normal", "stop", "stop")
	blocked.Blocked, blocked.Known, blocked.Block = true, false, &admin.ByHand{At: at("09:00"), By: "limit null-day", Why: "the limit was reached"}
	down := decided(sender("down@acme.example", "slow", "slow", "slow"), unknown, "slow")
	down.Last.By, down.Last.From, down.Last.Why = "quiet", "divert", "nothing for 6.0 hours that would slow it"
	list := decided(sender("news-bounces@lists.acme.example", "slow", "slow", "slow"), unknown, "slow")
	list.Last.Looks = admin.KindList
	stranger := sender("x@other.example", "normal", "normal", "normal")
	stranger.Known, stranger.CountsFor = false, "<forwarded>"
	forwarded := sender("<forwarded>", "normal", "normal", "normal")
	forwarded.Mark = &admin.Mark{Kind: admin.KindForwarder, Of: "tenant"}
	alumni := sender("", "normal", "normal", "normal")
	alumni.Tenant, alumni.Mark, alumni.Callouts = "alumni", &admin.Mark{Kind: admin.KindForwarder}, &admin.Callouts{Asked: 260, Dead: 240}
	relay := decided(sender("", "slow", "slow", "slow"), admin.Reading{Signal: "spread_content", Window: "hour", Bad: 60, Cases: 400, Share: 0.15, Low: 0.104, Accounts: 50, Level: "slow", Threshold: 0.05}, "slow")
	relay.Tenant, relay.Last.Looks = "relay", admin.KindForwarder
	for _, x := range []*admin.SenderDetail{stranger, forwarded} {
		x.Tenant = "alumni"
	}
	acme := sender("", "normal", "normal", "normal")
	acme.Accounts, acme.Limits = 5, []admin.LimitUse{{Name: "tenant-sessions", Scope: "tenant", Measure: "sessions", Amount: 20, Configured: 20, Enforced: true, Used: 3, Max: 20, Room: true}, {Name: "tenant-at", Scope: "tenant_provider", Provider: "docomo", Measure: "messages", Amount: 600, Configured: 600, Per: time.Minute, Enforced: true, Used: 12, Max: 60, Free: 2 * time.Second, Room: true}}
	blue := decided(sender("", "slow", "slow", "slow"), admin.Reading{Signal: "many_accounts", Bad: 6, Cases: 30, Accounts: 6, Level: "slow", Threshold: 6}, "slow")
	blue.Tenant = "blue"
	return &customers{
		senders: []*admin.SenderDetail{acme, blue, blocked, down, exempt, slowed, watched},
		kinds:   []*admin.SenderDetail{list, stranger, forwarded, alumni, relay},
		changes: []admin.Change{{At: at("11:00"), By: "alice", Subject: exempt.Subject, Did: "exempt", Before: "divert", After: "divert, exempt by alice", Why: "wanted newsletter"}},
	}
}

func (c *customers) list(fits func(admin.Subject) bool) (all []admin.Sender) {
	for _, x := range c.senders {
		if fits(x.Subject) {
			all = append(all, x.Sender)
		}
	}
	return all
}

func (c *customers) Tenants() ([]admin.Sender, error) {
	return c.list(func(s admin.Subject) bool { return s.Account == "" }), nil
}

func (c *customers) Accounts(tenant string) ([]admin.Sender, error) {
	return c.list(func(s admin.Subject) bool { return s.Account != "" && s.Tenant == cmp.Or(tenant, s.Tenant) }), nil
}

func (c *customers) find(of admin.Subject) (*admin.SenderDetail, error) {
	senders := slices.Concat(c.senders, c.kinds)
	i := slices.IndexFunc(senders, func(x *admin.SenderDetail) bool {
		return x.Account == of.Account && x.Tenant == cmp.Or(of.Tenant, x.Tenant)
	})
	if i < 0 {
		return nil, &admin.Error{Status: http.StatusNotFound, Err: fmt.Errorf("nobody is %q of %q", of.Account, of.Tenant)}
	}
	return senders[i], nil
}

func (c *customers) Sender(of admin.Subject) (admin.SenderDetail, error) {
	x, err := c.find(of)
	if err != nil {
		return admin.SenderDetail{}, err
	}
	shown := *x
	shown.Changes, err = c.Changes(x.Subject, netip.Addr{}, 10)
	return shown, err
}

// Carry keeps the order as a change, so that scripts see what arrived.
func (c *customers) Carry(of admin.Subject, o admin.Order, _ string) (admin.Subject, error) {
	x, err := c.find(of)
	if err != nil {
		return of, err
	}
	after := strings.TrimSpace(fmt.Sprintf("%s %d", o.Limit, o.Amount))
	if o.Do == "kind" {
		after, x.Mark = o.Kind, &admin.Mark{Kind: o.Kind, Hand: &admin.ByHand{At: at("12:00"), By: "bob", Why: o.Reason}}
	}
	if !o.Until.IsZero() {
		after += " until " + o.Until.UTC().Format(time.DateTime)
	}
	c.changes = append(c.changes, admin.Change{At: at("12:00"), By: "bob", Subject: x.Subject, Did: o.Do, Before: "-", After: after, Why: o.Reason})
	switch o.Do {
	case "allow":
		x.Allow = &admin.ByHand{At: at("12:00"), Until: at("15:00"), By: "bob", Why: o.Reason}
	case "withdraw":
		x.Allow = nil
	}
	if o.Do == "block" {
		x.Blocked, x.InForce, x.Would = true, "stop", "stop"
		x.Block = &admin.ByHand{At: at("12:00"), Until: o.Until, By: "bob", Why: o.Reason}
	}
	return x.Subject, nil
}

func (c *customers) Changes(of admin.Subject, ip netip.Addr, most int) (all []admin.Change, err error) {
	for _, one := range c.changes {
		if one.Tenant == cmp.Or(of.Tenant, one.Tenant) && one.Account == cmp.Or(of.Account, one.Account) {
			all = append(all, one)
		}
	}
	return all[max(0, len(all)-most):], nil
}

// Status is the same at any time.
func (c *customers) Status() admin.Status {
	return admin.Status{
		Problems: c.problems, SessionsMost: 10000, Held: admin.HeldCounts{All: 5, Minute: 1}, IPs: admin.IPCounts{Configured: 12, Slowed: 1, Warming: 1},
		Senders: admin.SenderCounts{Slowed: 2, Blocked: 1},
		Started: at("08:00"), Sessions: 42, Holders: []admin.Holder{{Tenant: "acme", Sessions: 40, Refused: 3}, {Source: "10.20.9.1", Sessions: 2}},
		RecordsDropped: 7, RecordsDroppedOf: map[string]uint64{"acme": 5, "10.20.1.10": 2}, Goroutines: 99,
		HeapLive: 21 << 20, HeapFreed: 3 << 19, Stacks: 2 << 20, Mapped: 40 << 20,
	}
}

// Unready says why where something is not normal.
func (c *customers) Unready() string {
	if len(c.problems) > 0 {
		return "no sending IP can be used: 12 not on this host"
	}
	return ""
}

// MX knows one that has been given up, one that is about to be tested, and one that is as it should be but for its age.
func (c *customers) MX(addr netip.Addr) admin.MX {
	later := time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC)
	alert := admin.MXFailure{At: at("10:12"), Phase: "handshake", Why: "nothing_in_common", Lack: true, Cause: "remote error: tls: handshake failure"}
	switch addr.String() {
	case "192.0.2.25":
		return admin.MX{
			MX: addr, Known: true, PlainUntil: later, ClassicalUntil: later, ClassicalCause: admin.ClassicalFailed, NoTicketsUntil: later, Hung: at("09:00"),
			Strikes: 3, Failures: []admin.MXFailure{alert, {At: at("10:14"), Phase: "ehlo_tls", Why: "lost", Cause: "EOF"}}, Tester: "64d9a07b2e1c8f35", TestEnds: later,
		}
	case "192.0.2.26":
		return admin.MX{MX: addr, Known: true, TLSWorked: at("08:00"), PlainUntil: at("11:00"), Strikes: 3, Failures: []admin.MXFailure{alert}}
	case "2001:db8::25":
		return admin.MX{MX: addr, Known: true, TLSWorked: at("08:00"), ClassicalUntil: later, ClassicalCause: admin.ClassicalNoOther, Strikes: 1}
	}
	return admin.MX{MX: addr}
}

// PlainMXs has the first two of them, and others near and far.
func (c *customers) PlainMXs() admin.PlainMXs {
	all := admin.PlainMXs{Remembered: 312, Since: at("07:00")}
	for _, addr := range []string{"192.0.2.25", "192.0.2.26", "192.0.2.27", "2001:db8::26"} {
		mx := c.MX(netip.MustParseAddr(addr))
		if !mx.Known {
			mx = admin.MX{MX: mx.MX, Known: true, Strikes: 1, Failures: []admin.MXFailure{{
				At: at("11:00"), Phase: "handshake", Why: "certificate", Lack: true, Cause: "tls: failed to parse certificate from server: x509: invalid RDNSequence",
			}}}
		}
		all.MXs = append(all.MXs, mx)
	}
	return all
}

// Reload takes the configuration, and leaves something to do.
func (*customers) Reload(context.Context) (admin.Reloaded, error) {
	return admin.Reloaded{ToDo: []string{"the firewall rules are those of the configuration before"}}, nil
}

// HandOver begins.
func (*customers) HandOver(string) (admin.HandedOver, error) {
	return admin.HandedOver{Sessions: 12, Notice: 3, Soft: 330, Sockets: true}, nil
}

// TakeOver refuses.
func (*customers) TakeOver(context.Context, string) (admin.Takeover, error) {
	return nil, errors.New("its listeners are its own")
}

// ConfirmTakeover refuses.
func (*customers) ConfirmTakeover(string) (admin.HandedOver, error) {
	return admin.HandedOver{}, errors.New("there is no such takeover")
}

// serveSenders is a command of the scripts: a kanmon in which something has happened.
func serveSenders(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: serve-senders SOCKET")
	}
	end, err := serveCustomers(ts.MkAbs(args[0]), newCustomers())
	ts.Check(err)
	ts.Defer(func() { ts.Check(end()) })
}

// serveCustomers serves the admin socket of a kanmon that has nothing else, but for its customers and two sending IPs. The function ends it.
func serveCustomers(socket string, all *customers) (end func() error, err error) {
	l, err := admin.Listen(socket)
	if err != nil {
		return nil, err
	}
	server := admin.NewServer(listedIPs{}, all, all, all, all, slog.New(slog.DiscardHandler))
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	return func() error { return errors.Join(server.Close(), <-done) }, nil
}
