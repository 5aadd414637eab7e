package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"kanmon/internal/event"
	"kanmon/internal/who/witness"
	"kanmon/test/netlab"
	"kanmon/test/usual"
)

// What the experiment with the restricted sending IP is made of. The provider that restricts it has the domains that are the tarpits' in Fig. 4.
const (
	restrictedTenants = 6
	restrictedRate    = 4 // mails a second of each tenant, half of them to the provider
	otherProviders    = 3
	restrictedPace    = time.Second // an octet, as OpenBSD's spamd answers whom it has listed
	restrictedBefore  = 10 * time.Second
	restrictedDrain   = 5 * time.Second
)

// poolIPs are those that kanmon sends from.
var poolIPs = []netip.Addr{netlab.SendingIPv4, netlab.OtherSendingIPv4, thirdIP}

func restrictedSetups() (all []setup) {
	for _, act := range []string{"tell", "move"} {
		all = append(all, setup{
			Name: "restricted-" + act, Title: fmt.Sprintf("act = %q", act), Tenants: restrictedTenants, Restrict: true,
			Config: func(folder string) string { return restrictedConfig(folder, act) },
		})
	}
	return all
}

func restrictedConfig(folder, act string) string {
	return kanmonConfig + fmt.Sprintf(`
[[sending_ip]]
address = %[1]q
ehlo    = "out12.example"

[pool.default]
ips = [%[2]q, %[3]q, %[1]q]

[standing]
file = %[4]q

[timing]
act = %[5]q
`, thirdIP, netlab.SendingIPv4, netlab.OtherSendingIPv4, standingFile(folder), act) + tenantTables(restrictedTenants)
}

func standingFile(folder string) string { return filepath.Join(folder, "standing.db") }

// writeUsual lets kanmon know how long mail usually takes: that is learnt in days.
func writeUsual(folder string) error {
	site := usual.Site{IPs: poolIPs, Reply: farMX}
	for n := range 1 + otherProviders {
		site.MXs = append(site.MXs, netlab.MXAddr(tarpitMX+n, false))
	}
	for n := 1; n <= restrictedTenants; n++ {
		site.Tenants = append(site.Tenants, fmt.Sprint("tenant", n))
	}
	return usual.Write(standingFile(folder), site)
}

// pace is how long the provider lets a client wait after each octet.
func (s *site) pace(client net.Addr) time.Duration {
	if ip := s.restricted.Load(); ip != nil && addressOf(client) == *ip {
		return restrictedPace
	}
	return 0
}

// A restrictedRun is what one set-up did when a provider restricted the sending IP of a tenant, the culprit, that others share.
type restrictedRun struct {
	setup
	IP         netip.Addr // restricted
	Neighbours group      // tenants whose mail to the provider leaves from it, but for the culprit
	Others     group      // whose mail does not
	Culprit    group
	Normal     audit
	Mass       audit
	Since      audit // of the neighbours' mails to the provider that were due since something was done about it, or since the restriction
	Finding    *event.Entry
	Told       time.Duration // since the restriction
	Of         int           // mails of the IP to the provider until then
	Acts       []act
	Untrue     []string // findings of anything else
	normal     []mail
	lasted     time.Duration
}

// A group is tenants, and what became of their mail.
type group struct {
	Tenants       []int
	Before, After float64 // mails a second, of each: before the restriction, and when no process would be free that it can hold
	Delays        delays  // of mails that were due since the restriction
}

// Change is that of the rate, in per cent.
func (g *group) Change() float64 { return 100 * (g.After/g.Before - 1) }

func (g *group) has(m mail) bool { return slices.Contains(g.Tenants, m.tenant) }

// An act is what kanmon did about the finding, since the restriction.
type act struct {
	At   time.Duration
	What string
}

// runRestricted runs both set-ups at the same time, each in a world of its own.
func runRestricted(ctx context.Context, p plan) ([]*restrictedRun, error) {
	setups := restrictedSetups()
	runs := make([]*restrictedRun, len(setups))
	all, ctx := errgroup.WithContext(ctx)
	for i, s := range setups {
		all.Go(func() (err error) {
			runs[i], err = restrictedOnce(ctx, p, s)
			return err
		})
	}
	if err := all.Wait(); err != nil {
		return nil, err
	}
	return runs, nil
}

func restrictedOnce(ctx context.Context, p plan, s setup) (_ *restrictedRun, err error) {
	st, err := newSite(s)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, st.lab.Close()) }()
	st.ledger.start = time.Now().Add(p.restricted.warmUp)
	run := &restrictedRun{setup: s}
	if err := run.submit(ctx, p, st); err != nil {
		return nil, st.failed(err)
	}
	run.lasted = st.ledger.now()
	found := st.queued()
	run.Normal, run.Mass = st.ledger.audit(ofKind(normal), found), st.ledger.audit(ofKind(mass), found)
	if err := st.ledger.losses(run.Normal, run.Mass); err != nil {
		return nil, st.failed(err)
	}
	if err := run.read(st.kanmon.Records(), st.ledger.start.Add(p.restricted.at)); err != nil {
		return nil, st.failed(err)
	}
	run.measure(p, st.ledger, found)
	return run, nil
}

// submit has all tenants send, the culprit its mass, and the provider restrict the IP that this comes from.
func (r *restrictedRun) submit(ctx context.Context, p plan, st *site) error {
	var senders sync.WaitGroup
	defer senders.Wait() // also after an error: they use the lab
	for tenant := 1; tenant <= restrictedTenants; tenant++ {
		news := st.news(tenant)
		news.address = halfToProvider
		senders.Go(func() { steady(ctx, st.ledger, news, restrictedRate, -p.restricted.warmUp, p.restricted.submit) })
	}
	if err := pauseUntil(ctx, st.ledger, p.restricted.at); err != nil {
		return err
	}
	if err := r.restrict(st); err != nil {
		return err
	}
	bad := sender{tenant: culprit, account: "news", kind: mass, open: st.door(culprit)}
	bad.address = func(n int) string { return tarpitAddress(n, tarpitMails) }
	burst(ctx, st.ledger, bad, tarpitMails, 4)
	senders.Wait()
	return pauseUntil(ctx, st.ledger, p.restricted.submit+restrictedDrain)
}

func halfToProvider(n int) string {
	if n%2 == 0 {
		return normalAddress(n / 2)
	}
	return tarpitAddress(n/2, tarpitMails)
}

func toProvider(m *mail) bool { return strings.HasSuffix(m.to, ".tarpit.example") }

// restrict finds which sending IP each tenant's mail to the provider leaves from, and has the provider restrict the culprit's.
func (r *restrictedRun) restrict(st *site) error {
	from := map[int]netip.Addr{}
	for _, m := range st.ledger.selected(toProvider) {
		if len(m.arrivals) > 0 {
			from[m.tenant] = m.client
		}
	}
	r.IP = from[culprit]
	r.Culprit.Tenants = []int{culprit}
	for tenant := 1; tenant <= restrictedTenants; tenant++ {
		switch {
		case tenant == culprit:
		case from[tenant] == r.IP:
			r.Neighbours.Tenants = append(r.Neighbours.Tenants, tenant)
		default:
			r.Others.Tenants = append(r.Others.Tenants, tenant)
		}
	}
	if !r.IP.IsValid() || len(from) < restrictedTenants || len(r.Neighbours.Tenants) == 0 || len(r.Others.Tenants) == 0 {
		return fmt.Errorf("sending IPs by tenant are %v: the culprit's must be shared, by some", from)
	}
	st.restricted.Store(&r.IP)
	return nil
}

// read reads what kanmon has found, and done. It runs on, with sessions that the provider holds: the last line may not be whole.
func (r *restrictedRun) read(records string, restricted time.Time) error {
	records = records[:strings.LastIndexByte(records, '\n')+1]
	provider := witness.Stranger(netlab.MXAddr(tarpitMX, false))
	for e, err := range event.NewReader(strings.NewReader(records)).All() {
		switch {
		case err != nil:
			return fmt.Errorf("kanmon's records: %w", err)
		case e.Type == "dropped":
			return fmt.Errorf("kanmon's records are not complete: %d are missing", e.Records)
		case e.Type != "finding" || e.Action == "cleared":
			continue
		case e.SendingIP != r.IP || e.Provider != provider || e.Scope != "this IP here":
			r.Untrue = append(r.Untrue, fmt.Sprintf("%v at %s: %s", e.SendingIP, e.Provider, e.Scope))
			continue
		}
		since := e.At.Sub(restricted)
		if r.Finding == nil {
			r.Finding, r.Told = e, since
		}
		if len(r.Acts) == 0 || r.Acts[len(r.Acts)-1].What != e.Acted {
			r.Acts = append(r.Acts, act{since, e.Acted})
		}
	}
	if r.Finding == nil {
		return fmt.Errorf("it is not told that %v is restricted", r.IP)
	}
	return nil
}

// acted is when anything was done but to tell it; else when it was restricted.
func (r *restrictedRun) acted() time.Duration {
	for _, a := range r.Acts {
		if a.What != "told" {
			return a.At
		}
	}
	return 0
}

func (r *restrictedRun) measure(p plan, l *ledger, found queued) {
	at := p.restricted.at
	r.normal = l.selected(ofKind(normal))
	for _, g := range []*group{&r.Neighbours, &r.Others, &r.Culprit} {
		each := float64(len(g.Tenants))
		g.Before = rate(r.normal, g.has, at-restrictedBefore, at) / each
		g.After = rate(r.normal, g.has, at+p.restricted.stuck, p.restricted.submit) / each
		g.Delays = delaysOf(slices.DeleteFunc(slices.Clone(r.normal), func(m mail) bool { return !g.has(m) || m.due < at }), r.lasted)
	}
	r.Since = l.audit(func(m *mail) bool { return toProvider(m) && r.Neighbours.has(*m) && m.due >= at+r.acted() }, found)
	r.Of = l.audit(func(m *mail) bool {
		return toProvider(m) && !r.Others.has(*m) && m.due >= at && m.due < at+r.Told
	}, found).Accepted
}
