package policy

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"kanmon/internal/policy/limit"
)

// Limits of tenants, and of sending IPs at a provider, are told from the part on that is asked for; those of accounts never are.
func TestNearTellsWhatIsNearlyUsedUp(t *testing.T) {
	r := newRig(t, settingsWith(
		rule("hour", limit.PerTenant, 4), rule("day", limit.PerTenant, 100), rule("account", limit.PerAccount, 4), rule("ip", limit.PerIPProvider, 4),
		rule("there", limit.PerTenantProvider, 4),
	), nil)
	v, _ := r.enter("10.0.1.1", mx)
	for range 3 {
		v.send("a@acme.example", []string{"b@example.net"}, nil)
	}
	v.Close()
	near := func(part float64) string {
		var all []string
		for _, u := range r.Near(part) {
			all = append(all, fmt.Sprintf("%s %s %d/%d", u.Rule.Name, u.Subject.Of, u.Used, u.Max))
		}
		slices.Sort(all)
		return strings.Join(all, ", ")
	}
	if got, want := near(0.5), "hour acme 3/4, ip 203.0.113.10 3/4, there acme 3/4"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := near(0.9); got != "" {
		t.Errorf("of 0.9: %q", got)
	}
}
