package route

import (
	"net/netip"
	"strings"
	"sync"

	"kanmon/internal/who/share"
	"kanmon/internal/who/witness"
)

// A Forecast guesses which sending IP an MSA's next mail will leave from, before its sender is known: by what that MSA has sent before,
// to this destination and at all. A wrong guess costs a second connection, nothing else. It is bounded, and safe for concurrent use;
// the nil Forecast guesses nothing.
type Forecast struct {
	mu     sync.Mutex
	tracks *share.Map[uint64, *track]
}

// mostTracks are some 10 MB. A tenant has its part, and an MSA that is of none.
const mostTracks = 32_768

// A track is what was seen of an MSA, toward one destination or at all.
type track struct {
	ips     [4]tally[netip.Addr] // of one destination
	domains [4]tally[string]     // of senders, at all
	last    int                  // index of the last one
	// How often each of two guesses would have been right lately: the last one again, or the most frequent one. MSAs send in runs, or in
	// any order.
	lastHits, mostHits float32
	// And of an MSA at all: what went to the destination, or what came from the MSA.
	wayHits, domainHits float32
}

type tally[T comparable] struct {
	what   T
	weight float32
}

// fading is what the past counts after one more mail: some hundred mails are remembered.
const fading = 0.99

// NewForecast makes a Forecast that has seen nothing.
func NewForecast() *Forecast { return &Forecast{tracks: share.NewMap[uint64, *track](mostTracks)} }

// An Errand is who sends where.
type Errand struct {
	Tenant   string     // "": not known, or not asked for: only Note needs it
	Source   netip.Addr // the MSA
	Port     uint16     // of the listener that took it
	MX       netip.Addr
	Provider string // "": not known
}

// keys returns those of the MSA and of its way to the destination: what the choice goes by, too, is the provider where it is known.
func (e *Errand) keys() (msa, way uint64) {
	msa = mix(hashAddr(e.Source), uint64(e.Port)+pairSalt)
	to := hashAddr(e.MX.Unmap())
	if e.Provider != "" {
		to = hashText(e.Provider)
	}
	return msa, pairKey(msa, to)
}

// Note tells which sending IP was right for a mail, and the domain of its sender. Where it has seen both before it does not allocate.
func (f *Forecast) Note(e Errand, senderDomain string, ip netip.Addr) {
	if f == nil {
		return
	}
	msa, way := e.keys()
	f.mu.Lock()
	defer f.mu.Unlock()
	to, from := f.track(way, &e), f.track(msa, &e)
	from.wayHits, from.domainHits = from.wayHits*fading, from.domainHits*fading
	if guess(to, &to.ips) == ip {
		from.wayHits++
	}
	if guess(from, &from.domains) == senderDomain {
		from.domainHits++
	} else {
		from.domainHits += sameByChance
	}
	seen(to, &to.ips, ip)
	if seen(from, &from.domains, senderDomain) {
		from.domains[from.last].what = strings.Clone(senderDomain)
	}
}

// sameByChance is how often another domain has the same sending IP: in pools of usual sizes.
const sameByChance = 0.2

// IP guesses the sending IP by what went to this destination; the zero Addr where nothing did, or where SenderDomain guesses better.
func (f *Forecast) IP(e Errand) netip.Addr {
	if f == nil {
		return netip.Addr{}
	}
	msa, way := e.keys()
	f.mu.Lock()
	defer f.mu.Unlock()
	to, _ := f.tracks.Get(way)
	from, _ := f.tracks.Get(msa)
	if to == nil || from != nil && from.domainHits > from.wayHits {
		return netip.Addr{}
	}
	return guess(to, &to.ips)
}

// SenderDomain guesses the sender's domain by what the MSA has sent at all.
func (f *Forecast) SenderDomain(e Errand) (domain string, found bool) {
	if f == nil {
		return "", false
	}
	msa, _ := e.keys()
	f.mu.Lock()
	defer f.mu.Unlock()
	t, found := f.tracks.Get(msa)
	if !found {
		return "", false
	}
	return guess(t, &t.domains), true
}

// track returns that of the key, and begins one of the MSA's.
func (f *Forecast) track(key uint64, of *Errand) *track {
	t, found := f.tracks.Get(key)
	if !found {
		t = &track{}
		f.tracks.Put(key, t, witness.Tenant(of.Tenant, of.Source))
	}
	return t
}

// seen counts one more, and what each guess would have been worth. It reports whether it was not among those counted: then it takes the
// place of the one that counts least, with that one's count, so that what is frequent gets in (space saving, Metwally et al., 2005).
func seen[T comparable](t *track, tallies *[4]tally[T], what T) (isNew bool) {
	most, least, at := 0, 0, -1
	for i := range tallies {
		switch c := &tallies[i]; {
		case c.weight > tallies[most].weight:
			most = i
		case c.weight < tallies[least].weight:
			least = i
		}
		if tallies[i].weight > 0 && tallies[i].what == what {
			at = i
		}
	}
	t.lastHits, t.mostHits = t.lastHits*fading, t.mostHits*fading
	if at >= 0 && at == t.last {
		t.lastHits++
	}
	if at >= 0 && at == most {
		t.mostHits++
	}
	for i := range tallies {
		tallies[i].weight *= fading
	}
	if at < 0 {
		at, isNew = least, true
		tallies[at].what = what
	}
	tallies[at].weight++
	t.last = at
	return isNew
}

// guess returns the better of both guesses.
func guess[T comparable](t *track, tallies *[4]tally[T]) T {
	if t.lastHits > t.mostHits {
		return tallies[t.last].what
	}
	most := 0
	for i := range tallies {
		if tallies[i].weight > tallies[most].weight {
			most = i
		}
	}
	return tallies[most].what
}
