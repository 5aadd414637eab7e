package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"

	"kanmon/internal/admin"
	"kanmon/internal/config"
	"kanmon/internal/event"
	"kanmon/internal/outlet/classify"
	"kanmon/internal/outlet/standing"
	"kanmon/internal/outlet/watch"
	"kanmon/internal/store"
	"kanmon/internal/store/keep"
)

// A lookout is what looks at the sending IPs from outside, and what follows of it.
type lookout struct {
	watch    *watch.Watch
	strong   atomic.Pointer[map[string]standing.List] // lists that suspend, by name; none: none does
	resolver atomic.Pointer[watch.Resolver]           // that lists are asked by which replies name; nil: the system's
}

// LookupNetIP implements [standing.Resolver].
func (l *lookout) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	if r := l.resolver.Load(); r != nil {
		return r.LookupNetIP(ctx, network, host)
	}
	return net.DefaultResolver.LookupNetIP(ctx, network, host)
}

// openLookout makes what looks; it outlives reloads.
func (d *Daemon) openLookout(file *store.File) error {
	options := watch.Options{Tell: d.tellSighting, Looked: d.heedList, Log: d.log}
	if file != nil {
		table, err := keep.NewTable(file, "seen_from_outside", 1)
		if err != nil {
			return fmt.Errorf("standing.file: %w", err)
		}
		options.Store = table
	}
	d.lookout.watch = watch.New(options)
	d.onStop("watch", func(context.Context) error { return d.lookout.watch.Close() })
	return nil
}

// oversee has counted what happens, looked at the sending IPs, and told of TLS, as a configuration says.
func (d *Daemon) oversee(cfg *config.Config, g *generation) {
	d.measure(cfg)
	d.lookOut(cfg, g.rules)
	d.report(cfg, g.trust)
}

// endOverseeing ends the counting, and the telling of TLS.
func (d *Daemon) endOverseeing(context.Context) error {
	d.endMeasuring()
	d.endReporting()
	return nil
}

// lookOut has the sending IPs looked at as a configuration says, from now on.
func (d *Daemon) lookOut(cfg *config.Config, rules *classify.Rules) {
	c := &cfg.Watch
	s := watch.Settings{Names: c.Names, Every: c.Every}
	for i := range cfg.SendingIPs {
		s.IPs = append(s.IPs, watch.Own{IP: cfg.SendingIPs[i].Address.Unmap(), EHLO: cfg.SendingIPs[i].EHLO})
	}
	strong, taken := map[string]standing.List{}, map[string]bool{}
	for _, zone := range c.Lists {
		name, list := listOf(rules, zone)
		if taken[name] {
			name = zone
		}
		taken[name] = true
		s.Lists = append(s.Lists, watch.List{Name: name, Zone: zone})
		if c.Suspend && list.Weight == event.WeightStrong {
			strong[name] = standing.List{Name: name, Weight: list.Weight}
		}
	}
	var resolver *watch.Resolver
	if c.Resolver.IsValid() {
		s.Resolver = c.Resolver.String()
		resolver, _ = watch.NewResolver(s.Resolver) // an address and a port are right
	}
	d.lookout.resolver.Store(resolver)
	d.heedAnew(d.lookout.strong.Swap(&strong), strong)
	d.lookout.watch.Configure(s)
}

// heedAnew has what lists have said already follow a change of which of them suspend.
func (d *Daemon) heedAnew(was *map[string]standing.List, strong map[string]standing.List) {
	if was == nil { // a start: what followed stands in the file
		return
	}
	for _, seen := range d.lookout.watch.Seen() {
		before, did := (*was)[seen.List]
		list, does := strong[seen.List]
		if !seen.IP.IsValid() || did == does {
			continue
		}
		if did {
			d.book.Found(seen.IP, before, false, true)
		} else {
			d.book.Found(seen.IP, list, seen.State == event.SightListed, true)
		}
	}
}

// keyLength is from how many letters and digits on the first part of a zone is taken for a key.
const keyLength = 20

// listOf gives what a list is called where people see it, and what is known of it. Some have a key in their zone, which is the operator's secret.
func listOf(rules *classify.Rules, zone string) (name string, known classify.List) {
	if list, is := rules.ListOf(zone); is {
		return list.Name, list
	}
	key, rest, _ := strings.Cut(zone, ".")
	if list, is := rules.ListOf(rest); is {
		return list.Name, list
	}
	if len(key) >= keyLength && strings.Trim(key, "abcdefghijklmnopqrstuvwxyz0123456789") == "" && strings.Contains(rest, ".") {
		return rest, classify.List{}
	}
	return zone, classify.List{}
}

// heedList has what a list says of a sending IP follow, where the configuration wants that.
func (d *Daemon) heedList(s watch.Seen) {
	strong := d.lookout.strong.Load()
	if strong == nil {
		return
	}
	if list, is := (*strong)[s.List]; is && s.State != event.SightUnknown {
		d.book.Found(s.IP, list, s.State == event.SightListed, s.News)
	}
}

// tellSighting tells how others see a sending IP from now on.
func (d *Daemon) tellSighting(n event.Sighting) {
	d.stream.Tell(n)
	level := slog.LevelInfo
	if n.State.Bad() {
		level = slog.LevelWarn
	}
	var args []any
	for _, arg := range []struct {
		key  string
		of   any
		told bool
	}{
		{"sending_ip", n.IP, n.IP.IsValid()},
		{"list", n.List, n.List != ""},
		{"state", n.State.String(), true},
		{"was", n.Was.String(), true},
		{"names", strings.Join(n.Names, " "), len(n.Names) > 0},
		{"names_before", strings.Join(n.Before, " "), len(n.Before) > 0},
		{"answers", strings.Join(n.Codes, " "), len(n.Codes) > 0},
		{"cause", n.Why, n.Why != ""},
	} {
		if arg.told {
			args = append(args, arg.key, arg.of)
		}
	}
	d.log.Log(context.Background(), level, "seen from outside", args...)
}

// seenFrom says what is known of how others see the sending IPs; with an address one of them.
func (o *operator) seenFrom(ip netip.Addr) (all []admin.Sighting) {
	for _, s := range o.d.lookout.watch.Seen() {
		if ip.IsValid() && s.IP != ip {
			continue
		}
		all = append(all, admin.Sighting{
			IP: s.IP, List: s.List, State: s.State.String(), Bad: s.State.Bad(), Since: s.Since, Asked: s.Asked, Names: s.Names, Answers: s.Codes, Why: s.Why, Fails: s.Fails,
		})
	}
	return all
}

// Sightings implements [admin.SendingIPs].
func (o *operator) Sightings(ip netip.Addr) ([]admin.Sighting, error) {
	if ip.IsValid() && !o.configured(ip) {
		return nil, unknownIP(ip)
	}
	return o.seenFrom(ip), nil
}

// misseen gives, as standings, how others see sending IPs as they should not.
func (o *operator) misseen(ip netip.Addr) (all []admin.Standing) {
	for _, s := range o.seenFrom(ip) {
		if !s.Bad || !s.IP.IsValid() {
			continue
		}
		shown := admin.Standing{IP: s.IP, State: admin.Misnamed, Since: s.Since, Share: 1, By: byWatch, Reason: s.Why}
		if s.List != "" {
			shown.State, shown.Lists, shown.Reason = admin.Listed, []string{s.List}, strings.Join(s.Answers, " ")
		}
		all = append(all, shown)
	}
	return all
}

// unseemly is what is not normal of how others see the sending IPs.
func (o *operator) unseemly() (all []admin.Problem) {
	for _, s := range o.seenFrom(netip.Addr{}) {
		if !s.Bad {
			continue
		}
		p := admin.Problem{ID: "names", Do: "kanmon ip show " + s.IP.String(), What: s.Why, IP: s.IP, Of: s.List}
		switch {
		case !s.IP.IsValid():
			p.ID, p.Do = "list", "see watch.resolver and watch.lists"
			p.What = fmt.Sprintf("the answers of the public list %s are not believed: %s", s.List, s.Why)
		case s.List != "":
			p.ID, p.What = "listed", fmt.Sprintf("the public list %s has sending IP %s (%s)", s.List, s.IP, strings.Join(s.Answers, " "))
		}
		all = append(all, p)
	}
	return all
}

// byWatch says of a standing that nobody's reply has led to it.
const byWatch = "watch"
