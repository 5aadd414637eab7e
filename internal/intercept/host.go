package intercept

import (
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// hostAddressesAge is how long an address that was added to or removed from the host may go unnoticed.
const hostAddressesAge = 10 * time.Second

// hostAddresses knows the addresses of this host. The zero value is ready to use. Reading them from the kernel costs more than
// the rest of accepting a connection, and a file descriptor, which may just have run out: so they are kept.
type hostAddresses struct {
	list func() ([]net.Addr, error) // nil: net.InterfaceAddrs

	reading sync.Mutex
	seen    atomic.Pointer[addressesSeen]
}

type addressesSeen struct {
	at  time.Time
	set map[netip.Addr]struct{}
}

// has reports whether a connection to the address would end at this host.
func (h *hostAddresses) has(a netip.Addr) bool {
	if a.IsLoopback() || a.IsUnspecified() { // a connection to 0.0.0.0 or :: goes to the loopback address
		return true
	}
	seen := h.seen.Load()
	if seen == nil || time.Since(seen.at) > hostAddressesAge {
		seen = h.read(time.Now().Add(-hostAddressesAge))
	}
	_, ok := seen.set[a.WithZone("")]
	return ok
}

// hasNow is has without a memory.
func (h *hostAddresses) hasNow(a netip.Addr) bool {
	h.read(time.Now())
	return h.has(a)
}

// read gives the addresses as of a time not before the given one. If the kernel does not tell, it gives what was last seen.
func (h *hostAddresses) read(notBefore time.Time) *addressesSeen {
	h.reading.Lock()
	defer h.reading.Unlock()
	seen := h.seen.Load()
	if seen != nil && seen.at.After(notBefore) {
		return seen // somebody else read them meanwhile
	}
	list := h.list
	if list == nil {
		list = net.InterfaceAddrs
	}
	now := time.Now()
	addrs, err := list()
	if err != nil {
		if seen == nil {
			return &addressesSeen{}
		}
		return seen
	}
	fresh := &addressesSeen{at: now, set: make(map[netip.Addr]struct{}, len(addrs))}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok {
			if addr, ok := netip.AddrFromSlice(n.IP); ok {
				fresh.set[addr.Unmap()] = struct{}{}
			}
		}
	}
	h.seen.Store(fresh)
	return fresh
}
