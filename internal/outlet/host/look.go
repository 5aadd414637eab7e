package host

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// A State says whether mail can leave from an address.
type State uint8

// The states.
const (
	Missing   State = iota // this host does not have it
	Here                   // mail can
	Tentative              // IPv6: whether another host of the link has it is not known yet (RFC 4862 §5.4)
	Duplicate              // IPv6: another one has it
	LinkDown               // its interface has been taken down
)

// String tells an operator what is the matter.
func (s State) String() string {
	switch s {
	case Here:
		return "here"
	case Tentative:
		return "its IPv6 duplicate detection has not ended"
	case Duplicate:
		return "another host on the link has it, says IPv6 duplicate detection"
	case LinkDown:
		return "its interface is down"
	default:
		return "it is not an address of this host"
	}
}

// Look gives the state of each of the addresses.
func Look(addresses []netip.Addr) (map[netip.Addr]State, error) {
	states := make(map[netip.Addr]State, len(addresses))
	for _, a := range addresses {
		states[a] = Missing
		if a.IsLoopback() {
			states[a] = Here // all of 127.0.0.0/8 is, and none of it ever leaves
		}
	}
	have, err := netlink.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) { // what changed meanwhile will be told
		return nil, fmt.Errorf("addresses of this host: %w", err)
	}
	up := map[int]bool{}
	for i := range have {
		a, ok := netip.AddrFromSlice(have[i].IP)
		if state, asked := states[a.Unmap()]; ok && asked && state != Here { // an address may be on two interfaces
			states[a.Unmap()] = stateOf(&have[i], up)
		}
	}
	for a, state := range states {
		if state == Missing && isLocal(a) {
			states[a] = Here
		}
	}
	return states, nil
}

// stateOf gives the state of an address of an interface.
func stateOf(a *netlink.Addr, up map[int]bool) State {
	isUp, known := up[a.LinkIndex]
	if !known {
		link, err := netlink.LinkByIndex(a.LinkIndex)
		isUp = err == nil && link.Attrs().Flags&net.FlagUp != 0
		up[a.LinkIndex] = isUp
	}
	switch {
	case a.Flags&unix.IFA_F_DADFAILED != 0:
		return Duplicate
	case !isUp:
		return LinkDown
	case a.Flags&unix.IFA_F_TENTATIVE != 0 && a.Flags&unix.IFA_F_OPTIMISTIC == 0:
		return Tentative
	default:
		return Here
	}
}

// isLocal reports whether a route says that an address is this host's own.
func isLocal(a netip.Addr) bool {
	routes, err := netlink.RouteGet(a.AsSlice())
	return err == nil && len(routes) > 0 && routes[0].Type == unix.RTN_LOCAL
}
