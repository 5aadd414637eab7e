package mailbox

import (
	"iter"
	"strings"
)

// A DomainMap is what is said of domains, by patterns as in [Domains].
type DomainMap[V any] map[string]V

// Put says something of a pattern.
func (m DomainMap[V]) Put(pattern string, v V) { m[strings.TrimPrefix(pattern, "*")] = v }

// Said gives what is said of the very pattern.
func (m DomainMap[V]) Said(pattern string) V { return m[strings.TrimPrefix(pattern, "*")] }

// Of gives what is said of a domain in normal form, the most specific first: of itself, then of all below what it is below.
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
