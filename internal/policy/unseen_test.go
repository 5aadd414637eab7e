package policy

import (
	"net/netip"
	"testing"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/policy/contain"
	"kanmon/internal/policy/limit"
	"kanmon/internal/session"
)

// unseen begins a session that is passed through.
func (r *rig) unseen(source string) (*visit, session.Decision) {
	v := &visit{Pass: r.Gate().Enter(session.Origin{Source: netip.AddrPortFrom(netip.MustParseAddr(source), 40000), Destination: mx}), r: r}
	return v, v.ask(session.Question{Step: event.StepConnect, Unseen: true})
}

// A session whose mail will not be seen is let in for a tenant, and not for one that a person has blocked: nor where it may be one of
// several, as long as one of them is blocked.
//
// audit-F6
func TestSessionsThatAreNotSeen(t *testing.T) {
	r := newRig(t, settingsWith(), nil)
	letIn := func(when string, want map[string]bool) {
		t.Helper()
		for source, in := range want {
			v, d := r.unseen(source)
			if (d.Refuse == session.RefuseNot) != in {
				t.Errorf("%s: %s is told %+v", when, source, d)
			}
			v.Close()
		}
	}
	letIn("at first", map[string]bool{"10.0.1.1": true, "10.0.2.1": true, "10.0.3.1": true, "10.0.9.1": false})
	if err := r.Block(contain.Subject{Tenant: "blue"}, time.Time{}, "alice", "stolen"); err != nil {
		t.Fatal(err)
	}
	letIn("blue blocked", map[string]bool{"10.0.1.1": true, "10.0.2.1": false, "10.0.3.1": false, "10.0.9.1": false})
	if err := r.Unblock(contain.Subject{Tenant: "blue"}, "alice", "mended"); err != nil {
		t.Fatal(err)
	}
	letIn("unblocked", map[string]bool{"10.0.1.1": true, "10.0.2.1": true, "10.0.3.1": true})
}

// Limits of sessions count them like all others: they need no look into the mail.
func TestSessionsThatAreNotSeenAreCounted(t *testing.T) {
	sessions := rule("sessions", limit.PerTenant, 1, func(r *limit.Rule) { r.Measure, r.Per, r.Burst = limit.Sessions, 0, 0 })
	r := newRig(t, settingsWith(sessions), nil)
	first, d := r.unseen("10.0.1.1")
	if d.Refuse != session.RefuseNot {
		t.Fatalf("the first: %+v", d)
	}
	second, d := r.unseen("10.0.1.1")
	if d.Refuse != session.RefuseNow {
		t.Errorf("the second: %+v", d)
	}
	second.Close()
	first.Close()
	third, d := r.unseen("10.0.1.1")
	if d.Refuse != session.RefuseNot {
		t.Errorf("behind the first: %+v", d)
	}
	third.Close()
}
