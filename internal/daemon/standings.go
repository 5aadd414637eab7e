package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"kanmon/internal/admin"
	"kanmon/internal/config"
	"kanmon/internal/event"
	"kanmon/internal/outlet"
	"kanmon/internal/outlet/provider"
	"kanmon/internal/outlet/standing"
	"kanmon/internal/policy"
	"kanmon/internal/who/witness"
)

// openBook opens what kanmon thinks of its sending IPs; it outlives reloads.
func (d *Daemon) openBook() error {
	options := standing.Options{
		Settings: bookSettings(d.cfg), Check: standing.DNSBL{Resolver: &d.lookout}, Log: d.log,
		Changed: d.tellStanding,
	}
	var store *standing.SQLite
	if path := d.cfg.Standing.File; path != "" {
		if err := d.lockState(path); err != nil {
			return fmt.Errorf("standing.file %s: %w", path, err)
		}
		var err error
		if store, err = standing.OpenSQLite(path); err != nil {
			return fmt.Errorf("standing.file: %w", err)
		}
		options.Store = store
		d.kept = append(d.kept, store.File())
	}
	book, err := standing.New(options)
	if err != nil {
		if store != nil {
			err = errors.Join(err, store.Close())
		}
		return err
	}
	d.book = book
	d.onStop("standing", func(context.Context) error {
		err := book.Close()
		if store != nil {
			err = errors.Join(err, store.Close())
		}
		return err
	})
	return d.openOutlets(store)
}

// openOutlets opens what outlets have learnt; it outlives reloads, too.
func (d *Daemon) openOutlets(book *standing.SQLite) (err error) {
	options := outlet.StateOptions{Book: d.book, Log: d.log, Warmed: d.tellWarm, Tightened: d.tellTightened}
	if book != nil {
		options.File = book.File()
	}
	if err := d.openTimes(options.File); err != nil {
		return err
	}
	if err := d.openLookout(options.File); err != nil {
		return err
	}
	options.Times = d.times
	if d.outlets, err = outlet.OpenState(options); err != nil {
		return fmt.Errorf("standing.file: %w", err)
	}
	d.hearing.Store(d.outlets)
	d.onStop("what was learnt", func(context.Context) error { return d.outlets.Close() })
	return nil
}

func bookSettings(cfg *config.Config) standing.Settings {
	c, p := &cfg.Standing, standing.DefaultNumbers()
	p.Listed = standing.Trigger{Replies: c.ListedReplies, Tenants: 1, Destinations: c.ListedDestinations, Within: c.Within}
	p.Refused = standing.Trigger{Replies: 1, Tenants: c.RefusedTenants, Destinations: c.RefusedDestinations, Within: c.Within}
	p.ListedFirst, p.RefusedFirst, p.Longest = c.ListedFor, c.RefusedFor, c.Longest
	s := standing.Settings{Numbers: p, Block: blockOf(cfg)}
	for _, ip := range cfg.SendingIPs {
		s.Neighbours = append(s.Neighbours, ip.Address)
	}
	return s
}

// openAdmin opens the socket of the operator's commands, if there is to be one.
func (d *Daemon) openAdmin() error {
	path := d.cfg.Admin.Socket
	if path == "" {
		return nil
	}
	l, err := d.listenAdmin(path)
	if err != nil {
		return err
	}
	d.openTrying()
	customers := &senders{d}
	server := admin.NewServer(&operator{d}, customers, customers, &operator{d}, &operator{d}, d.log)
	d.operators = server
	d.boundView(d.cfg)
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	d.onStop("admin socket", func(context.Context) error {
		if d.handedOn() {
			return nil // it is what another kanmon is told on: see endHanding
		}
		return errors.Join(server.Close(), <-done)
	})
	return nil
}

// listenAdmin opens the socket, beside its place where the kanmon before listens there.
func (d *Daemon) listenAdmin(path string) (net.Listener, error) {
	if d.taking == nil {
		return admin.Listen(path)
	}
	var err error
	d.aside, err = admin.ListenAside(path)
	return d.aside, err
}

// operator is what the admin API works on.
type operator struct{ d *Daemon }

// Standings implements [admin.SendingIPs].
func (o *operator) Standings(ip netip.Addr) ([]admin.Standing, error) {
	if ip.IsValid() && !o.configured(ip) {
		return nil, unknownIP(ip)
	}
	o.d.mu.Lock()
	current, kept := o.d.current, o.d.cfg.Standing.File != ""
	o.d.mu.Unlock()
	all := slices.Concat(o.absent(ip), o.cutOff(ip), o.misseen(ip), o.warming(ip))
	met := sync.OnceValue(func() map[string]bool { return current.out.Providers().Met() })
	for _, s := range o.d.book.List() {
		if ip.IsValid() && s.IP != ip {
			continue
		}
		shown := shownStanding(&s)
		if current != nil {
			shown.Note = noteOn(shown.Provider, current.out.Providers(), met)
		}
		if !kept && strings.HasPrefix(s.By, standing.ByOperator) {
			shown.Note = strings.TrimPrefix(shown.Note+"; "+notKept("standing"), "; ")
		}
		if ip.IsValid() {
			_, seen := o.d.book.Show(s.Key)
			for _, e := range seen {
				shown.Evidence = append(shown.Evidence, admin.Evidence{
					At: e.At, Tenant: e.Tenant, Destination: e.Destination, Class: classSeen(e.Class), Rule: e.Rule, Sample: e.Sample,
				})
			}
		}
		all = append(all, shown)
	}
	return o.withTimes(all, ip), nil
}

// classSeen names the class of a piece of evidence; what was no refusal is a probe that was let in.
func classSeen(c event.Class) string {
	if c == event.NoRefusal {
		return "accepted"
	}
	return c.String()
}

// notKept is told of an order that the next start knows nothing of.
func notKept(section string) string {
	return fmt.Sprintf("a restart forgets this order: there is no file in [%s]", section)
}

// absent returns the sending IPs that this host does not have, or whether one is among them.
func (o *operator) absent(ip netip.Addr) (all []admin.Standing) {
	for _, missing := range o.d.outlets.Absent() {
		if ip.IsValid() && missing.Address != ip {
			continue
		}
		state, reason := admin.Absent, missing.State.String()
		if missing.Floating {
			state, reason = admin.Standby, reason+" (floating)"
		}
		all = append(all, admin.Standing{IP: missing.Address, State: state, Since: missing.Since, Reason: reason})
	}
	return all
}

// cutOff returns the sending IPs whose path is dead, or whether one is among them.
func (o *operator) cutOff(ip netip.Addr) (all []admin.Standing) {
	for _, dead := range o.d.outlets.DeadPaths() {
		for _, its := range dead.IPs {
			if !ip.IsValid() || its == ip {
				all = append(all, admin.Standing{IP: its, State: admin.CutOff, Since: dead.Since, Reason: noWayOut(dead)})
			}
		}
	}
	return all
}

func noWayOut(dead outlet.DeadPath) string {
	return fmt.Sprintf("its path %s is dead: %s answer other sending IPs, and not this one", dead.Name, strings.Join(dead.MXs, ", "))
}

// noteOn tells what an operator would else find out by the mail: that nothing is known yet to be the provider's, or never will be. Met are
// the providers of which an MX is known.
func noteOn(of string, providers *provider.Lookup, met func() map[string]bool) string {
	name, place := standing.Split(of)
	switch {
	case place != "":
		return "only for mail to that recipient domain, or MX; it ends by itself"
	case name == "" || strings.HasPrefix(name, witness.Strange) || met()[name]:
		return ""
	case !providers.Named(name):
		return "there is no provider of this name: no mail is known to be for it"
	}
	return "no MX of this provider is known yet: until one is, this holds for mail to recipient domains that are known to be its own, from RCPT on"
}

// Suspend implements [admin.SendingIPs].
func (o *operator) Suspend(ip netip.Addr, provider string, until time.Time, reason, who string) error {
	if !o.configured(ip) {
		return unknownIP(ip)
	}
	key := standing.Key{IP: ip, Provider: cmp.Or(provider, standing.Every)}
	return o.ordered(key, policy.Change{Did: "suspend", By: who, Why: reason}, func() error {
		if until.IsZero() {
			return o.d.book.Stop(key, reason, who)
		}
		return o.d.book.Suspend(key, until, reason, who)
	})
}

// ordered carries out an order about a standing and puts it into the audit, if it has changed anything.
func (o *operator) ordered(key standing.Key, c policy.Change, do func() error) error {
	before := o.stands(key)
	err := do()
	if err != nil && !errors.Is(err, standing.ErrNotKept) {
		return err
	}
	c.IP, c.Provider, c.Before, c.After = key.IP, strings.TrimPrefix(key.Provider, standing.Every), before, o.stands(key)
	if c.Before != c.After {
		if unkept := o.d.policy.AuditOrder(c); unkept != nil {
			err = errors.Join(err, &admin.Error{Status: http.StatusInternalServerError, Err: unkept})
		}
	}
	return asOrder(err)
}

// stands says in words how an IP stands at a provider.
func (o *operator) stands(key standing.Key) string {
	s, _ := o.d.book.Show(key)
	text := s.State.String()
	if !s.Until.IsZero() {
		text += " until " + s.Until.UTC().Format(time.RFC3339)
	}
	if s.State == standing.Slowed {
		text += fmt.Sprintf(", %.0f %% of its usual traffic", 100*s.Share)
	}
	if s.Provider == standing.Every && key.Provider != standing.Every {
		text += ", everywhere"
	}
	return text
}

// asOrder marks the error of an order that is carried out, and not kept, as none of the operator's doing.
func asOrder(err error) error {
	if errors.Is(err, standing.ErrNotKept) {
		return &admin.Error{Status: http.StatusInternalServerError, Err: err}
	}
	return err
}

// Resume implements [admin.SendingIPs]. Without a provider it lifts all that stands for the IP.
func (o *operator) Resume(ip netip.Addr, provider, reason, who string) error {
	resume := func(key standing.Key) error {
		return o.ordered(key, policy.Change{Did: "resume", By: who, Why: reason}, func() error { return o.d.book.Resume(key, who) })
	}
	if provider != "" {
		return resume(standing.Key{IP: ip, Provider: provider})
	}
	errs := []error{resume(standing.Key{IP: ip, Provider: standing.Every})}
	for _, s := range o.d.book.List() {
		if s.IP == ip && s.Provider != standing.Every {
			errs = append(errs, resume(s.Key))
		}
	}
	return errors.Join(errs...)
}

func (o *operator) configured(ip netip.Addr) bool {
	o.d.mu.Lock()
	defer o.d.mu.Unlock()
	return o.d.current != nil && slices.Contains(o.d.current.sendingIPs, ip)
}

func unknownIP(ip netip.Addr) error { return fmt.Errorf("%s is no sending IP of this kanmon", ip) }

func shownStanding(s *standing.Standing) admin.Standing {
	out := admin.Standing{
		IP: s.IP, Provider: strings.TrimPrefix(s.Provider, standing.Every), State: s.State.String(), Since: s.Since, Until: s.Until,
		Reason: s.Reason, Rule: s.Rule, Sample: s.Sample, Share: s.Share, By: s.By,
	}
	for _, l := range s.Lists {
		out.Lists = append(out.Lists, l.String())
	}
	return out
}
