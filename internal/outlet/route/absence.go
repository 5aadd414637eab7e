package route

import (
	"net/netip"
	"sync/atomic"
)

// An Absence knows which sending IPs this host does not have at the moment: removed, moved to another gateway, behind
// an interface that is down. To a [Router] they are not there: what they would take goes to the next of their pool, and
// comes back with them. All routers of a process share one. It is safe for concurrent use; the zero value, and a nil
// one, lack none.
type Absence struct {
	missing atomic.Pointer[map[netip.Addr]struct{}]
	changes atomic.Uint64
}

// Changes returns a number that is another one whenever other IPs may be missing than before.
func (a *Absence) Changes() uint64 {
	if a == nil {
		return 0
	}
	return a.changes.Load()
}

// Set says which are missing now.
func (a *Absence) Set(ips []netip.Addr) {
	defer a.changes.Add(1)
	if len(ips) == 0 {
		a.missing.Store(nil)
		return
	}
	missing := make(map[netip.Addr]struct{}, len(ips))
	for _, ip := range ips {
		missing[ip.Unmap()] = struct{}{}
	}
	a.missing.Store(&missing)
}

// now returns the missing ones; nil in nearly all cases. Nobody may change what it gives.
func (a *Absence) now() map[netip.Addr]struct{} {
	if a == nil {
		return nil
	}
	if missing := a.missing.Load(); missing != nil {
		return *missing
	}
	return nil
}
