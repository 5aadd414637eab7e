package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"kanmon/internal/admin"
	"kanmon/test/netlab"
)

// What the experiment with the compromised account is made of.
const (
	othersTenants   = 20
	brokenInto      = othersTenants + 1 // the tenant with the compromised account
	honestAccounts  = 5                 // of that tenant
	accountRate     = 0.5               // mails a second of each tenant, and of each honest account
	usualUnknown    = 64                // of so many mails one goes to an unknown recipient
	massUnknown     = 2                 // of five mails of the compromised account
	compromisedName = "bob"
)

// compromisedAddress is the compromised account, as kanmon knows it.
var compromisedAddress = fmt.Sprintf("%s@msa%d.example", compromisedName, brokenInto)

// highRiskIP is the sending IP of the high-risk pool; the other two are shared by all.
var highRiskIP = thirdIP

// compromisedConfig is that of both set-ups: all else is kanmon's default.
func compromisedConfig(folder string, enforce bool) string {
	path, _ := providersFile(folder)
	return fmt.Sprintf("providers_file = %q\n%s%s", path, kanmonConfig, fmt.Sprintf(`
[[sending_ip]]
address = %[1]q
ehlo    = "out12.example"

[pool.default]
ips = [%[2]q, %[3]q]

[pool.doubtful]
ips       = [%[1]q]
high_risk = true

[containment]
enforce = %[4]t

[admin]
socket = %[5]q
`, highRiskIP, netlab.SendingIPv4, netlab.OtherSendingIPv4, enforce, adminSocket(folder))) + tenantTables(brokenInto)
}

func adminSocket(folder string) string { return filepath.Join(folder, "admin.sock") }

func compromisedSetups(r reputation) (all []setup) {
	for _, enforce := range []bool{true, false} {
		s := setup{Name: "contained", Title: "containment", Tenants: brokenInto, Reputation: &r, Contain: enforce}
		if !enforce {
			s.Name, s.Title = "not-contained", "no containment"
		}
		s.Config = func(folder string) string { return compromisedConfig(folder, enforce) }
		all = append(all, s)
	}
	return all
}

// A compromisedRun is what one set-up did with the compromised account, and to all others.
type compromisedRun struct {
	setup
	Mass           audit
	Injection      time.Duration // until its MSA had taken all
	Attack         attack
	Others, Honest experience
	Acts           map[string]int // of kanmon upon the account, by the word in its records
	ActsOnOthers   int
	Done           rescues   // of mail that was refused for its sending IP
	Listings       []listing // of sending IPs, by providers, in their order
	Told           told
	lasted         time.Duration
	clean          []time.Duration // when mails of the other tenants arrived
}

// Told is what kanmon says in the end.
type told struct {
	Standings []admin.Standing // of sending IPs that are not plainly active
	Senders   []admin.Sender   // accounts and tenants that are not normal
	Account   admin.SenderDetail
	Explained string // kanmon account explain
}

// runCompromised runs the set-ups one after the other: the MSA that takes all the mails takes all of the machine.
func runCompromised(ctx context.Context, p plan) (runs []*compromisedRun, err error) {
	for _, s := range compromisedSetups(p.compromised.reputation) {
		run, err := compromisedOnce(ctx, p, s)
		if err != nil {
			return nil, err
		}
		runs = append(runs, run)
	}
	return runs, nil
}

func compromisedOnce(ctx context.Context, p plan, s setup) (_ *compromisedRun, err error) {
	st, err := newSite(s)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, st.lab.Close()) }()
	run := &compromisedRun{setup: s}
	flood := sender{tenant: brokenInto, account: compromisedName, kind: mass, open: st.door(brokenInto)}
	flood.address = recipients(flood.account, func(n int) bool { return n%5 >= massUnknown })
	if run.Injection, err = st.breakIn(ctx, p, flood, p.compromised.mails, p.compromised.submit); err != nil {
		return nil, st.failed(err)
	}
	run.lasted = st.ledger.now()
	found, deferred := st.queued(), st.inQueues("deferred")
	run.Mass = st.ledger.audit(ofKind(mass), found)
	run.Others = st.ledger.experienceOf(normal, found, deferred, p.compromised.breakIn)
	run.Honest = st.ledger.experienceOf(honest, found, deferred, p.compromised.breakIn)
	if err := errors.Join(st.ledger.losses(run.Mass, run.Honest.Mails), st.ledger.faults(run.Others.Mails)); err != nil {
		return nil, st.failed(err)
	}
	if err := run.ask(ctx, st); err != nil {
		return nil, st.failed(err)
	}
	// All of kanmon's records are written when it has ended.
	if err := st.kanmon.Stop(10 * time.Second); err != nil {
		return nil, st.failed(fmt.Errorf("stop kanmon: %w", err))
	}
	if err := run.measure(st.providers, st.kanmon.Records(), st.ledger); err != nil {
		return nil, st.failed(err)
	}
	return run, nil
}

// breakIn has all senders send until a time, the compromised account so many mails, and waits for what of the innocents' mail is then on its
// way. It returns how long it took until the account's MSA had taken all.
func (s *site) breakIn(ctx context.Context, p plan, flood sender, mails int, until time.Duration) (injection time.Duration, err error) {
	s.ledger.start = time.Now().Add(p.compromised.warmUp)
	var senders sync.WaitGroup
	defer senders.Wait() // also after an error: they use the lab
	for tenant := 1; tenant <= othersTenants; tenant++ {
		from := sender{tenant: tenant, account: "news", kind: normal, open: s.door(tenant)}
		from.address = recipients(fmt.Sprint("t", tenant), usuallyExists(tenant))
		senders.Go(func() { steady(ctx, s.ledger, from, accountRate, -p.compromised.warmUp, until) })
	}
	for n := range honestAccounts {
		from := sender{tenant: brokenInto, account: fmt.Sprint("user", n+1), kind: honest, open: s.door(brokenInto)}
		from.address = recipients(from.account, usuallyExists(n))
		apart := time.Duration(float64(n) / honestAccounts / accountRate * float64(time.Second))
		senders.Go(func() { steady(ctx, s.ledger, from, accountRate, apart-p.compromised.warmUp, until) })
	}
	if err := pauseUntil(ctx, s.ledger, p.compromised.breakIn); err != nil {
		return 0, err
	}
	burst(ctx, s.ledger, flood, mails, massSessions)
	injection = s.ledger.now() - p.compromised.breakIn
	senders.Wait()
	return injection, s.rest(ctx, func(m *mail) bool { return m.kind != mass }, p.compromised.drain)
}

// usuallyExists has one of usualUnknown mails go to nobody, of each sender another one.
func usuallyExists(number int) func(n int) bool {
	return func(n int) bool { return (n+7*number)%usualUnknown != usualUnknown/2 }
}

// ask asks kanmon what it thinks in the end.
func (r *compromisedRun) ask(ctx context.Context, st *site) (err error) {
	client, t := admin.NewClient(adminSocket(st.kanmon.Folder())), &r.Told
	if t.Standings, err = client.Standings(ctx, netip.Addr{}); err != nil {
		return err
	}
	tenants, err := client.Tenants(ctx)
	if err != nil {
		return err
	}
	accounts, err := client.Accounts(ctx, "")
	if err != nil {
		return err
	}
	for _, s := range append(tenants, accounts...) {
		if s.Level != admin.LevelNormal {
			t.Senders = append(t.Senders, s)
		}
	}
	if t.Account, err = client.Sender(ctx, admin.Subject{Tenant: fmt.Sprint("tenant", brokenInto), Account: compromisedAddress}); err != nil {
		return err
	}
	t.Explained, err = st.kanmon.Account("explain", compromisedAddress)
	return err
}

// measure reads what the providers have been asked, and what kanmon has written down.
func (r *compromisedRun) measure(providers []*provider, records string, l *ledger) (err error) {
	for _, p := range providers {
		r.Listings = append(r.Listings, p.listings()...)
	}
	slices.SortFunc(r.Listings, func(a, b listing) int { return cmp.Compare(a.At, b.At) })
	r.Attack.see(providers, l.selected(ofKind(mass)))
	if r.Done, err = readRescues(records); err != nil {
		return err
	}
	d, err := readDecisions(records, l.start)
	if err != nil {
		return err
	}
	r.Acts, r.ActsOnOthers = d.acts, d.others
	r.Attack.mark(d.first)
	r.clean = receipts(l.selected(ofKind(normal)), allMails)
	return nil
}
