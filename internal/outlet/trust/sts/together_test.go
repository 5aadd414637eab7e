package sts

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"kanmon/internal/smtp/smtptest"
)

// hangs has all hosts of 11.0.0.0/8 hang, and those of 12.0.0.0/8 answer.
func (r *rig) hangs() {
	r.options.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		if strings.HasPrefix(address, "11.") {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		return r.hosts.Dial(ctx, network, address)
	}
}

// answering says which policy a domain has, at a host that answers.
func (r *rig) answering(domain string) {
	r.zone.mu.Lock()
	r.zone.addrs[policyPrefix+domain] = addrs("12.0.0.1")
	r.zone.mu.Unlock()
	r.publish(domain, "1", "enforce", longestAge, "mx1.quiet.test")
}

// A tenant whose fetches all hang asks for a domain, too. Another tenant who asks for it then does not wait for his turn: the mail would pass
// without the policy.
func TestADomainThatWaitsInOnesPartIsFetchedInAnothers(t *testing.T) {
	r := newRig(t)
	r.hangs()
	k := r.open()
	for i := range 100 {
		domain := fmt.Sprintf("d%d.flood.test", i)
		r.record(domain, "1")
		k.Look(domain, "flood")
	}
	smtptest.WaitUntil(t, "the flood is at the hosts", func() bool { return k.Sizes().Fetches == ownFetches })
	r.answering("bank.test")
	_, first := k.Look("bank.test", "flood")
	smtptest.WaitUntil(t, "the domain waits in the flood's part", func() bool {
		k.mu.Lock()
		defer k.mu.Unlock()
		f := k.flights["bank.test"]
		return f != nil && len(k.queue) > 0 && r.zone.questions("bank.test") > 0
	})
	select {
	case <-first:
		t.Fatal("the flood waits for nothing")
	case <-time.After(50 * time.Millisecond): // it is at its hosts for half a minute
	}
	began := time.Now()
	r.wantPolicy(r.look(k, "bank.test", "quiet"), Enforce, "1", "mx1.quiet.test")
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
}

// A busyZone has no place for the questions of one owner.
type busyZone struct {
	*zone
	mu    sync.Mutex
	owner string // whose questions have none
}

func (z *busyZone) has(by string) bool {
	z.mu.Lock()
	defer z.mu.Unlock()
	return by != z.owner
}

func (z *busyZone) Texts(ctx context.Context, name string, by func() string) Texts {
	for !z.has(by()) {
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			return Texts{Err: ErrBusy}
		}
	}
	return z.zone.Texts(ctx, name, by)
}

// The same holds of DNS: where one tenant has no place for a question, another one has.
func TestADomainThatWaitsForDNSInOnesPartIsAskedInAnothers(t *testing.T) {
	r := newRig(t)
	z := &busyZone{zone: r.zone, owner: "flood"}
	r.options.Resolver = z
	k := r.open()
	r.publish("bank.test", "1", "enforce", longestAge, "mx1.quiet.test")
	if _, wait := k.Look("bank.test", "flood"); wait == nil {
		t.Fatal("it is known")
	}
	began := time.Now()
	r.wantPolicy(r.look(k, "bank.test", "quiet"), Enforce, "1", "mx1.quiet.test")
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
}

// That a tenant had no room is no news of the domain for others.
func TestThatOneHadNoRoomSaysNothingToOthers(t *testing.T) {
	r := newRig(t)
	k := r.open()
	r.publish("bank.test", "1", "enforce", longestAge, "mx1.quiet.test")
	k.mu.Lock()
	k.settle(&flight{domain: "bank.test", by: "flood"}, &landing{answered: true, id: "1", until: time.Hour, tried: true, err: ErrBusy}, k.now())
	k.mu.Unlock()
	if f, wait := k.Look("bank.test", "flood"); f.Known || wait != nil {
		t.Errorf("who had no room is looked up for again at once: %+v", f)
	}
	r.wantPolicy(r.look(k, "bank.test", "quiet"), Enforce, "1", "mx1.quiet.test")
}

// Nor is it one that there was no place to ask for the policy host's addresses: it is not a host that fails.
func TestABusyDNSIsNoFailedFetch(t *testing.T) {
	r := newRig(t)
	r.options.Resolver = &busyAddresses{zone: r.zone}
	k := r.open()
	r.record("bank.test", "1")
	if f := r.look(k, "bank.test", "flood"); f.Known {
		t.Errorf("%+v", f)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if e := k.find("bank.test"); e.failed != "" {
		t.Error("the host is left alone, as one that has failed")
	}
}

type busyAddresses struct{ *zone }

func (*busyAddresses) Addresses(context.Context, string, func() string) ([]netip.Addr, error) {
	return nil, fmt.Errorf("ask: %w", ErrBusy)
}

// A policy counts in the part of whoever brought it. Where that has no places left for refreshes, since all of them are at hosts that hang,
// whoever sends mail to the domain has it fetched anew in a part of its own, and the policy does not run out.
func TestAPolicyIsRefreshedInThePartOfWhoUsesIt(t *testing.T) {
	r := newRig(t)
	r.hangs()
	k := r.open()
	r.answering("bank.test")
	r.look(k, "bank.test", "flood")
	good := parsed(t, goodText)
	for i := range 200 {
		domain := fmt.Sprintf("d%d.flood.test", i)
		r.record(domain, "1")
		settled(k, domain, "flood", good)
	}
	k.mu.Lock()
	for domain, e := range k.shelf.all { // all of them are due, and the flood's hang
		if domain != "bank.test" {
			e.refresh = k.now()
		}
	}
	k.mu.Unlock()
	k.tend()
	smtptest.WaitUntil(t, "the flood is at the hosts", func() bool { return k.Sizes().Fetches == ownBehind })
	r.clock.Pass(day)
	k.tend()
	before := r.hosts.Gets("bank.test")
	if k.Look("bank.test", "flood"); k.Sizes().Lookups != ownBehind {
		t.Fatalf("%+v: the flood has more than its places", k.Sizes())
	}
	f, wait := k.Look("bank.test", "quiet")
	if r.wantPolicy(f, Enforce, "1", "mx1.quiet.test"); wait != nil {
		t.Error("mail waits for it")
	}
	smtptest.WaitUntil(t, "it is fetched anew", func() bool { return r.hosts.Gets("bank.test") == before+1 })
}
