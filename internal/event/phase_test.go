package event

import "testing"

// Each phase has a name of its own, and a default that an operator may set.
func TestPhaseTable(t *testing.T) {
	names := map[string]bool{}
	for p := range PhaseCount {
		least, most, why := p.Bounds()
		if d := p.DefaultTimeout(); d < least || d > most || least <= 0 || why == "" {
			t.Errorf("%s: %s by default, %s to %s allowed, %q", p, d, least, most, why)
		}
		if names[p.String()] = true; len(names) != int(p)+1 {
			t.Errorf("%s is the name of two phases", p)
		}
	}
}
