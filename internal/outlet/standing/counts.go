package standing

import (
	"maps"
	"net/netip"
	"strings"

	"kanmon/internal/who/witness"
)

// Counts are what has happened to a Book since it was made. They only rise.
type Counts struct {
	Probes  map[Outcome]uint64
	Asked   map[Answered]uint64
	Unsaved uint64 // times that the store could not take something
}

// An Outcome is what came of probes at a provider.
type Outcome struct {
	Provider string // "": one that has no name
	Result   string // "accepted", "refused", "silent"
}

// Answered is what lists have said.
type Answered struct {
	List   string
	Result string // "yes", "no", "error"
}

// A Listing is what a list has said of an IP, as long as that is not out of date.
type Listing struct {
	IP     netip.Addr
	List   string
	Listed bool
}

// mostCounted bounds the names that are counted apart: those beyond it have none.
const mostCounted = 256

// tried counts a probe that has ended.
func (b *Book) tried(e *entry, result string) {
	provider, _ := Split(e.Provider)
	if strings.HasPrefix(provider, witness.Strange) {
		provider = ""
	}
	if b.counts.Probes == nil {
		b.counts.Probes = map[Outcome]uint64{}
	}
	if at := (Outcome{provider, result}); len(b.counts.Probes) < mostCounted || b.counts.Probes[at] > 0 {
		b.counts.Probes[at]++
	} else {
		b.counts.Probes[Outcome{"", result}]++
	}
}

// heard counts what a list has said. Only those of the table are asked.
func (b *Book) heard(l List, listed bool, err error) {
	result := "no"
	switch {
	case err != nil:
		result = "error"
	case listed:
		result = "yes"
	}
	if b.counts.Asked == nil {
		b.counts.Asked = map[Answered]uint64{}
	}
	b.counts.Asked[Answered{l.Name, result}]++
}

// Counts returns them at this moment.
func (b *Book) Counts() Counts {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return Counts{Probes: maps.Clone(b.counts.Probes), Asked: maps.Clone(b.counts.Asked), Unsaved: b.unsaved.Load()}
}

// Listings returns what lists have said of the IPs, as far as it holds.
func (b *Book) Listings() (all []Listing) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	now := b.clock()
	for q, a := range b.checks.known {
		if !a.waiting && a.holds(now) {
			all = append(all, Listing{q.ip, a.list.Name, a.listed})
		}
	}
	return all
}
