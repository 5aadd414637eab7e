// Package host knows what this host has: which of some addresses mail can leave from now. The kernel tells (rtnetlink(7)), and tells
// it to anybody: no privilege is needed but a socket of the family AF_NETLINK.
//
// Normal use:
//
//  1. [Look] at addresses, once.
//  2. [NewWatch] for who must know when that changes; [Watch.Of] says of which addresses, [Watch.Look] that something points to a change;
//     [Watch.Close].
//
// An address counts as here if mail can leave from it: one of an interface that is up, or one that a local route makes this host's
// ("ip route add local 203.0.113.0/24 dev lo"). Carrier is not asked for: what leaves from an address need not leave by its interface.
package host
