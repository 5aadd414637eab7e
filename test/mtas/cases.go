package main

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"kanmon/test/netlab"
)

// The ways in which an address is dead.
const (
	refuses     = "reject with tcp reset"
	unreachable = "reject with icmpx type host-unreachable"
	silent      = "drop"
	closes      = "accept" // and the dead host's listener closes at once
)

// A kase is a way to lead a program from a dead address to one that works.
type kase struct {
	name    string // of its domains
	title   string // in the table
	dead    string // how the first address is dead; "": both work
	layout  layout
	samples int
}

type layout uint8

const (
	twoMXs       layout = iota // the first MX is dead
	twoAddresses               // one MX with two IPv4 addresses, one of them dead
	twoFamilies                // one MX, its IPv6 address dead
)

var kases = []kase{
	{"refused", "MX1 refuses", refuses, twoMXs, 3},
	{"unreachable", "MX1 unreachable", unreachable, twoMXs, 3},
	{"silent", "MX1 silent", silent, twoMXs, 3},
	{"closes", "MX1 closes before its greeting", closes, twoMXs, 3},
	{"two", "one MX, one of two A refuses", refuses, twoAddresses, 6}, // more: half of them may begin with the other
	{"six", "one MX, AAAA refuses", refuses, twoFamilies, 3},
	{"sixsilent", "one MX, AAAA silent", silent, twoFamilies, 3},
	{"both", "one MX, AAAA and A work", "", twoFamilies, 3},
}

// A target is where one mail goes: a sample of a case, with names and a dead address of its own.
type target struct {
	kase   kase
	sample int
	number int // of all targets, from 0
}

func targets(names []string) []target {
	var all []target
	for _, k := range kases {
		for n := range k.samples {
			all = append(all, target{kase: k, sample: n + 1, number: len(all)})
		}
	}
	var wanted []target
	for _, t := range all {
		for _, name := range names {
			if t.kase.name == name {
				wanted = append(wanted, t)
			}
		}
	}
	return wanted
}

// token names the target, in the domain and in the mail.
func (t target) token() string { return fmt.Sprintf("%s%d", t.kase.name, t.sample) }

func (t target) domain() string { return t.token() + ".example" }

// host is the name of the (first) MX.
func (t target) host() string { return "mail." + t.domain() }

// deadAddr is the dead address. It is one of the first host's, also where the case has none that is dead.
func (t target) deadAddr() netip.Addr {
	if t.kase.layout == twoFamilies {
		return netip.MustParseAddr(fmt.Sprintf("2001:db8:51::%x", 0x1000+t.number))
	}
	return netip.MustParseAddr(fmt.Sprintf("198.51.100.%d", 100+t.number))
}

// fineAddr is the IPv4 address of the MX that works. Each target has its own: some programs send mails to one address in turn.
func (t target) fineAddr() netip.Addr {
	return netip.MustParseAddr(fmt.Sprintf("198.51.100.%d", 160+t.number))
}

// addTo adds the target's records.
func (t target) addTo(zone *netlab.Zone) {
	zone.MX(t.domain(), t.host(), 10)
	first := t.deadAddr()
	if t.kase.dead == "" {
		first = netlab.MXAddr(2, true)
	}
	if t.kase.layout != twoMXs {
		addresses := []netip.Addr{first, t.fineAddr()}
		if t.kase.layout == twoAddresses && t.sample%2 == 0 { // some programs begin with the last of the answer
			slices.Reverse(addresses)
		}
		for _, address := range addresses {
			zone.Address(t.host(), address)
		}
		return
	}
	zone.Address(t.host(), first)
	second := "second." + t.domain()
	zone.MX(t.domain(), second, 20)
	zone.Address(second, t.fineAddr())
}

// firewall is the dead host's: it counts what comes for each target and treats it as the case says.
func firewall(all []target) string {
	var rules strings.Builder
	rules.WriteString("add table inet dead; add chain inet dead in { type filter hook input priority 0; };\n")
	for _, t := range all {
		if t.kase.dead == "" {
			continue
		}
		family := "ip"
		if t.deadAddr().Is6() {
			family = "ip6"
		}
		fmt.Fprintf(&rules, "add counter inet dead %s;\n", t.token())
		fmt.Fprintf(&rules, "add rule inet dead in %s daddr %s tcp dport 25 tcp flags & (syn|ack) == syn counter name %s %s;\n",
			family, t.deadAddr(), t.token(), t.kase.dead)
	}
	return rules.String()
}
