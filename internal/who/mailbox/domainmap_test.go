package mailbox

import (
	"slices"
	"testing"
)

// What is said of a domain comes before what is said of all below another, and of these the nearest first. A pattern is not its own domain.
func TestDomainMap(t *testing.T) {
	m := DomainMap[string]{}
	for _, pattern := range NewDomains([]string{"acme.example", "*.acme.example", "*.News.acme.example", "*.example"}) {
		m.Put(pattern, pattern)
	}
	for domain, want := range map[string][]string{
		"acme.example":        {"acme.example", "*.example"},
		"a.acme.example":      {"*.acme.example", "*.example"},
		"b.news.acme.example": {"*.news.acme.example", "*.acme.example", "*.example"},
		"notacme.example":     {"*.example"},
		"example":             nil,
		"":                    nil,
	} {
		if got := slices.Collect(m.Of(domain)); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", domain, got, want)
		}
	}
	if m.Said("*.acme.example") != "*.acme.example" || m.Said("*.other.example") != "" {
		t.Error("what is said of a pattern is another's")
	}
	if n := testing.AllocsPerRun(100, func() {
		for range m.Of("b.news.acme.example") {
		}
	}); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}
