package metrics

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// names are the values of a label, by number: so many and no more. The last of the fixed ones stands for all that have no place. Whoever
// counts reads them without a lock.
type names[K comparable] struct {
	fixed, most int

	mu  sync.Mutex // held by whoever adds
	now atomic.Pointer[known[K]]
}

// known are names as they are at one moment; it does not change.
type known[K comparable] struct {
	of   map[K]int
	list []string
}

// newNames makes names of which the fixed ones are there, and as many more as there may be.
func newNames[K comparable](more int, fixed ...string) *names[K] {
	n := &names[K]{fixed: len(fixed), most: len(fixed) + more}
	n.now.Store(&known[K]{of: map[K]int{}, list: fixed})
	return n
}

// at returns the number of a name.
func (n *names[K]) at(key K) int {
	if i, found := n.now.Load().of[key]; found {
		return i
	}
	return n.fixed - 1
}

// text returns the name of a number.
func (n *names[K]) text(i int) string { return n.now.Load().list[i] }

// of returns the name that something is counted under.
func (n *names[K]) of(key K) string { return n.text(n.at(key)) }

// add gives names a place, as long as there is one, and says how many have got none.
func (n *names[K]) add(keys []K, text func(K) string) (left int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	was := n.now.Load()
	next := &known[K]{of: maps.Clone(was.of), list: slices.Clone(was.list)}
	for _, key := range keys {
		switch _, found := next.of[key]; {
		case found:
		case len(next.list) >= n.most:
			left++
		default:
			next.of[key] = len(next.list)
			next.list = append(next.list, strings.ToValidUTF8(text(key), "?"))
		}
	}
	n.now.Store(next)
	return left
}

// learn is at for a name that gets a place when it first counts.
func (n *names[K]) learn(key K, text string) int {
	if i, found := n.now.Load().of[key]; found {
		return i
	}
	if len(n.now.Load().list) < n.most {
		n.add([]K{key}, func(K) string { return text })
	}
	return n.at(key)
}

// count is how many names there are.
func (n *names[K]) count() int { return len(n.now.Load().list) }
