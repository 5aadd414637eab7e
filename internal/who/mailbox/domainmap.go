package mailbox

import (
	"iter"
	"slices"
	"strings"
)

// A DomainMap is what is said of domains, by patterns as in [Domains].
type DomainMap[V any] map[string]V

// Put says something of a pattern.
func (m DomainMap[V]) Put(pattern string, v V) { m[strings.TrimPrefix(pattern, "*")] = v }

// Said returns what is said of the very pattern.
func (m DomainMap[V]) Said(pattern string) V { return m[strings.TrimPrefix(pattern, "*")] }

// Above returns what is said of all below what a pattern is below, the most specific first.
func (m DomainMap[V]) Above(pattern string) (all []V) {
	name := strings.TrimPrefix(pattern, "*")
	if at := strings.IndexByte(name[min(1, len(name)):], '.'); at >= 0 {
		all = slices.Collect(m.Of(name[at+1:]))
	}
	return all
}

// Of returns what is said of a domain in normal form, the most specific first: of itself, then of all below what it is below.
func (m DomainMap[V]) Of(domain string) iter.Seq[V] {
	return func(yield func(V) bool) {
		if len(m) == 0 || domain == "" {
			return
		}
		for at := 0; ; {
			if v, found := m[domain[at:]]; found && !yield(v) {
				return
			}
			next := strings.IndexByte(domain[at+1:], '.')
			if next < 0 {
				return
			}
			at += 1 + next
		}
	}
}
