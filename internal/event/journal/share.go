package journal

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"kanmon/internal/event"
)

// An owner is whose a record is: a tenant's; where that is not known, a source's. The zero owner is all of whom nothing is told.
type owner struct {
	tenant string
	source netip.Addr // without a tenant; of IPv6 the /64
}

func ownerOf(r *event.Record) owner {
	if r.Tenant != "" {
		return owner{tenant: r.Tenant}
	}
	source := r.Session.Source.Addr().Unmap()
	if source.Is6() {
		network, _ := source.Prefix(64) // it has so many bits
		source = network.Addr()
	}
	return owner{source: source}
}

// String returns the owner as it is told to the operator.
func (o owner) String() string {
	switch {
	case o.tenant != "":
		return o.tenant
	case o.source.IsValid():
		return o.source.String()
	default:
		return "others"
	}
}

// shareOfFree is how many times what is left an owner may have of what all share. One alone gets eight ninths; and however many
// there are who write too much, somebody who comes later finds room.
const shareOfFree = 8

// fits reports whether somebody who has so much may have n more where so much is free.
func fits(has, n, free int) bool { return n <= free && has+n <= shareOfFree*free }

// losses are records that are missing, by whose they were.
type losses map[owner]uint64

// maxOwners bounds how many are told apart; further ones are others.
const maxOwners = 64

func (l *losses) add(o owner, n uint64) {
	if n == 0 {
		return
	}
	if *l == nil {
		*l = make(losses)
	}
	if _, known := (*l)[o]; !known && len(*l) >= maxOwners {
		o = owner{}
	}
	(*l)[o] += n
}

// owners returns them in the order in which they are told: who has lost most first.
func (l losses) owners() []owner {
	list := make([]owner, 0, len(l))
	for o := range l {
		list = append(list, o)
	}
	slices.SortFunc(list, func(a, b owner) int { return cmp.Or(cmp.Compare(l[b], l[a]), strings.Compare(a.String(), b.String())) })
	return list
}

func (l losses) sum() (n uint64) {
	for _, of := range l {
		n += of
	}
	return n
}

// maxTold bounds how many are named in a line of kanmon's own log.
const maxTold = 8

// String names those who have lost most, with how much.
func (l losses) String() string {
	var b strings.Builder
	for i, o := range l.owners() {
		if i == maxTold {
			fmt.Fprintf(&b, ", and %d more", len(l)-i)
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%s: %d", o, l[o])
	}
	return b.String()
}
