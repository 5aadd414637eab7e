package standing

import (
	"time"

	"kanmon/internal/event"
)

// Succeeded tells that an MX accepted a message of the tenant, or at least let the session past the phase in which the key
// was refused. A probe that succeeds opens the key a little; a slowed key that succeeds often enough gets more.
// A session that began before the suspension is heard as well while a probe runs: it came from the same IP.
func (b *Book) Succeeded(k Key, tenant string) {
	k = k.normal()
	b.mu.RLock()
	e := b.entry(k)
	if e == nil || e.State == Active {
		if e != nil {
			e.accepted.Add(1)
		}
		b.mu.RUnlock()
		return
	}
	b.mu.RUnlock()
	b.mu.Lock()
	defer b.mu.Unlock()
	if e = b.entry(k); e == nil {
		return
	}
	now := b.clock()
	b.adjust(e, now)
	e.accepted.Add(1)
	p := b.policy(k.Provider)
	switch e.State {
	case Probing:
		b.tried(e, "accepted")
		e.startAfresh()
		e.see(&Evidence{Tenant: event.Printable(tenant, maxName), Class: event.NoRefusal}, now)
		e.Reason, e.By, e.Share = "probe accepted", ByEvidence, p.Restore[0]
		b.set(e, now, Slowed, p.RestoreHold)
	case Slowed:
		e.successes++
		if e.successes >= p.RestoreSuccesses && !now.Before(e.Until) {
			b.rise(e, now)
		}
	}
}

// Abandon tells that a probe's session ended without telling anything: it could not connect, or was refused for a reason
// that is not our IP. The number is that of its [Permit]. After a probe that told, or in whose place there is another, it changes nothing.
func (b *Book) Abandon(k Key, probe uint64) {
	k = k.normal()
	b.mu.Lock()
	defer b.mu.Unlock()
	if e := b.entry(k); e != nil && e.State == Probing && e.probe == probe {
		b.tried(e, "silent")
		b.set(e, b.clock(), Suspended, b.policy(k.Provider).ProbeRetry)
	}
}

// riseQuietly raises the share of a key that nothing was heard of.
func (b *Book) riseQuietly(e *entry, now time.Time) {
	p := b.policy(e.Provider)
	if now.Sub(e.touched) >= p.RestoreQuiet && now.Sub(e.Since) >= p.RestoreQuiet && !now.Before(e.Until) {
		b.rise(e, now)
	}
}

// rise gives the next larger share, and holds it for as long as the one before: what took long to get better is
// trusted slowly.
func (b *Book) rise(e *entry, now time.Time) {
	p := b.policy(e.Provider)
	e.successes = 0
	if e.Share = p.rise(e.Share); e.Share < 1 {
		b.set(e, now, Slowed, max(e.Until.Sub(e.Since), p.RestoreHold))
		return
	}
	b.activate(e, now, "restored")
}

// activate makes a key active. Public lists that still have the IP stay noted: the provider accepts all the same, and is
// not judged by them again.
func (b *Book) activate(e *entry, now time.Time, reason string) {
	e.Reason, e.Rule, e.Sample, e.Lists = reason, "", "", nil
	if at := b.ips[e.IP]; at != nil && at.whole != nil && at.whole != e {
		e.addLists(at.whole.Lists)
	}
	e.startAfresh()
	b.set(e, now, Active, 0)
}
