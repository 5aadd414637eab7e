package standing

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/event"
)

// Whoever owns many MXs can have each of them refuse: the log gets 20 lines of a tenant's, then one in five seconds, with how many were left
// out. Another tenant's, what is about a provider with a name, and what a person has ordered are told all the same.
func TestChangesAtStrangersAreToldInBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer // read only when the book waits
		r := newRig(t, Options{Clock: time.Now, Log: slog.New(slog.NewTextHandler(&out, nil))})
		told := func(s string) (n int) {
			for line := range strings.Lines(out.String()) {
				if strings.Contains(line, "standing changed") && strings.Contains(line, s) {
					n++
				}
			}
			return n
		}
		suspend := func(tenant, provider string) {
			r.Observe(Evidence{
				IP: ours, Provider: provider, Tenant: tenant, Destination: provider, Class: event.IPBlocklisted, Scope: event.ScopeIP, Suspend: event.SuspendYes, Rule: "test", Final: true,
			})
			synctest.Wait()
		}
		for i := range 250 {
			suspend("evil", fmt.Sprintf("mx:198.51.100.%d", i))
		}
		if n := told("mx:198.51.100."); n != 20 {
			t.Errorf("%d lines of 250 MXs", n)
		}
		suspend("acme", "mx:192.0.2.1")
		suspend("evil", "google")
		if err := r.Suspend(Key{ours, "mx:192.0.2.9"}, time.Now().Add(time.Hour), "by hand", "root"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		for _, p := range []string{"mx:192.0.2.1", "google", "mx:192.0.2.9"} {
			if told("provider="+p+" ") != 1 {
				t.Errorf("%s is not told of:\n%s", p, out.String())
			}
		}
		time.Sleep(5 * time.Second)
		suspend("evil", "mx:192.0.2.2")
		if told("provider=mx:192.0.2.2 ") != 1 || told("left_out=230") != 1 {
			t.Errorf("five seconds later, %d lines say how many were left out", told("left_out"))
		}
	})
}
