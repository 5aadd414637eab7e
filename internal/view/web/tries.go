package web

import (
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"
)

// tries slows down who guesses passwords, and nobody else: what somebody gets wrong elsewhere, or for another name, keeps no one out. A name
// that is guessed from many places is slow only from places where it has never been right, and not from where a user of this host is: there are few of
// those, and each is slowed down by himself.
type tries struct {
	mu    sync.Mutex
	pairs map[[2]string]*guesses // by address and name
	from  map[string]*guesses    // by address, of this host by user
	names map[string]*guesses    // by name
	known map[[2]string]bool     // where a name has been right
}

// guesses are wrong ones, which are forgotten one a minute.
type guesses struct {
	wrong float64
	last  time.Time
}

// How many wrong ones cost nothing: then each costs twice the time of the one before, up to the longest.
const (
	freePair    = 5
	freeAddress = 20
	freeName    = 50
	longestWait = 2 * time.Minute
	longestHere = 10 * time.Second // where many people are, and nobody can tell who of them it is
	maxTries    = 10_000
	half        = .5 // what may have been forgotten between them
)

func (g *guesses) now(at time.Time) float64 {
	if g == nil {
		return 0
	}
	return max(0, g.wrong-at.Sub(g.last).Minutes())
}

func (g *guesses) wait(free float64, longest time.Duration, at time.Time) time.Duration {
	if g == nil || g.wrong < free-half {
		return 0
	}
	over := min(7, int(g.wrong-free+half))
	return min(longest, time.Second<<over) - at.Sub(g.last)
}

// begin says how long a password from there, as placeOf has it, for that name is not even looked at. 0: it is looked at now, and counts as wrong until it is known
// to be right; else many at once would all be looked at before the first of them counts.
func (t *tries) begin(from, name string, at time.Time) (wait time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.pairs == nil || len(t.pairs) > maxTries || len(t.names) > maxTries || len(t.known) > maxTries {
		t.pairs, t.from, t.names, t.known = map[[2]string]*guesses{}, map[string]*guesses{}, map[string]*guesses{}, map[[2]string]bool{}
	}
	pair := [2]string{from, name}
	if wait = t.wait(pair, at); wait > 0 {
		return wait
	}
	note(t.pairs, pair, at)
	note(t.from, from, at)
	note(t.names, name, at)
	return 0
}

func (t *tries) wait(pair [2]string, at time.Time) (wait time.Duration) {
	from, name := pair[0], pair[1]
	longest := longestWait
	if from == thisHost {
		longest = longestHere
	} else {
		wait = t.from[from].wait(freeAddress, longest, at)
	}
	wait = max(wait, t.pairs[pair].wait(freePair, longest, at))
	if !t.known[pair] && !strings.HasPrefix(from, ofUser) {
		wait = max(wait, t.names[name].wait(freeName, longest, at))
	}
	return max(0, wait)
}

// right takes back what begin has counted.
func (t *tries) right(from, name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	pair := [2]string{from, name}
	delete(t.pairs, pair)
	takeBack(t.from, from)
	takeBack(t.names, name)
	t.known[pair] = true
}

func takeBack[K comparable](in map[K]*guesses, key K) {
	if g := in[key]; g != nil {
		if g.wrong--; g.wrong <= 0 {
			delete(in, key)
		}
	}
}

func note[K comparable](in map[K]*guesses, key K, at time.Time) {
	g := in[key]
	if g == nil {
		g = &guesses{}
		in[key] = g
	}
	g.wrong, g.last = g.now(at)+1, at
}

// network is what one person may have many addresses of.
func network(from string) string {
	addr, err := netip.ParseAddr(from)
	if err != nil || addr.Unmap().Is4() {
		return from
	}
	prefix, err := addr.WithZone("").Prefix(64)
	if err != nil {
		return from
	}
	return prefix.String()
}

func ofThisHost(from string) bool {
	addr, err := netip.ParseAddr(from)
	return from == "" || err == nil && addr.IsLoopback()
}

func seconds(d time.Duration) string { return strconv.Itoa(int(d/time.Second) + 1) }
