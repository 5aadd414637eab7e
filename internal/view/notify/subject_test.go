package notify

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"kanmon/internal/event"
)

var ip10 = netip.MustParseAddr("203.0.113.10")

func standing(state string) event.Entry {
	e := event.Entry{Type: "changed", SendingIP: ip10, Provider: "docomo", State: state, By: "evidence", Cause: "refused by 2 tenants"}
	if state == "suspended" {
		e.Until = time.Now().Add(30 * time.Minute)
	}
	return e
}

func contained(state, account string) event.Entry {
	return event.Entry{Type: "changed", Tenant: "acme", Account: account, State: state, Cause: "18 % unknown of 210, at least 12 %"}
}

func TestAConditionIsToldWithItsEnd(t *testing.T) {
	inTime(t, func(r *rig) {
		r.hear(standing("suspended"))
		r.wants(10*time.Second, "ip.suspended")
		r.hear(standing("suspended"))
		r.wants(10 * time.Second)
		r.hear(standing("probing"), standing("slowed"))
		r.wants(10*time.Second, "ip.recovered")
		r.hear(standing("active"))
		r.wants(2 * time.Hour)
	})
}

// The end of what holds is told, however long it has held.
func TestWhatHoldsIsNotForgotten(t *testing.T) {
	inTime(t, func(r *rig) {
		r.hear(standing("suspended"))
		r.wants(10*time.Second, "ip.suspended")
		if err := r.n.within(r.t.Context(), func(b *batch) error { b.now = b.now.Add(longest + time.Hour); return b.forget() }); err != nil {
			t.Fatal(err)
		}
		r.hear(standing("active"))
		r.wants(10*time.Second, "ip.recovered")
	})
}

// A tenant's accounts press out neither sending IPs nor other tenants.
func TestForgottenAreThoseOfWhoHasMost(t *testing.T) {
	inTime(t, func(r *rig) {
		other := contained("stop", "bob@blue.example")
		other.Tenant = "blue"
		r.hear(standing("suspended"), other)
		err := r.n.within(r.t.Context(), func(b *batch) error {
			for i := range mostSubjects {
				e := contained("stop", fmt.Sprintf("u%d@acme.example", i))
				s := &subject{state: "stop", at: b.now.Add(time.Minute), last: newEvent("account.contained", b.now, ofEntry(&e))}
				if err := b.keep(key("contained", "", "acme", e.Account), s); err != nil {
					return err
				}
			}
			return b.forget()
		})
		if err != nil {
			t.Fatal(err)
		}
		var left int
		row := r.n.file.QueryRowContext(r.t.Context(), "SELECT count(*) FROM notify_subjects WHERE key NOT LIKE ?", key("contained", "", "acme")+"%")
		if err := row.Scan(&left); err != nil || left != 2 {
			t.Errorf("%d others left, %v", left, err)
		}
	})
}

// A subject that comes and goes is told of once in an hour, and its end; what came between is counted in the next.
func TestOnceASubjectAndHour(t *testing.T) {
	inTime(t, func(r *rig) {
		for range 5 {
			r.hear(standing("suspended"))
			r.pass(time.Minute)
			r.hear(standing("slowed"))
			r.pass(time.Minute)
		}
		r.wants(10*time.Second, "ip.suspended", "ip.recovered")
		r.wants(time.Hour)
		r.hear(standing("suspended"))
		r.wants(10*time.Second, "ip.suspended +4")
	})
}

// What begins again within the hour, and stays, is told when the hour is over: nobody has to wait for the next line about it.
func TestWhatWasHeldBackIsTold(t *testing.T) {
	inTime(t, func(r *rig) {
		r.hear(standing("suspended"))
		r.pass(5 * time.Minute)
		r.hear(standing("slowed"))
		r.pass(5 * time.Minute)
		r.hear(standing("suspended"))
		r.wants(10*time.Second, "ip.suspended", "ip.recovered")
		r.wants(49 * time.Minute)
		r.wants(time.Minute, "ip.suspended")
		r.hear(standing("slowed"))
		r.wants(10*time.Second, "ip.recovered")
	})
}

func TestWorseIsToldAtOnce(t *testing.T) {
	inTime(t, func(r *rig) {
		r.hear(contained("slow", "bob@acme.example"))
		r.pass(time.Minute)
		r.hear(contained("stop", "bob@acme.example"))
		r.pass(time.Minute)
		r.hear(contained("slow", "bob@acme.example"))
		r.wants(10*time.Second, "account.contained", "account.contained")
		r.hear(contained("normal", "bob@acme.example"))
		r.wants(10*time.Second, "account.released")
	})
}

func TestMomentsAreCounted(t *testing.T) {
	inTime(t, func(r *rig) {
		for range 7 {
			r.hear(event.Entry{Type: "transaction", Outcome: "ambiguous", Provider: "docomo", Source: "10.20.1.10:4711"})
			r.pass(time.Minute)
		}
		r.wants(10*time.Second, "mail.ambiguous")
		r.wants(54*time.Minute, "mail.ambiguous +5")
		r.wants(2 * time.Hour)
	})
}

// An attack has thousands of subjects: people are told of thirty in an hour, and how many more there are.
func TestThousandsOfSubjects(t *testing.T) {
	inTime(t, func(r *rig) {
		for i := range 1000 {
			r.hear(contained("stop", fmt.Sprintf("a%d@acme.example", i)))
		}
		r.hear(standing("suspended"))
		got := r.told(10 * time.Second)
		if len(got) != mostOfAKind+1 || got[mostOfAKind-1] != "account.contained" || got[mostOfAKind] != "ip.suspended" {
			t.Errorf("%d told: %v", len(got), got)
		}
		r.wants(59 * time.Minute)
		r.again()
		r.wants(2*time.Minute, "account.contained +969")
		r.hear(contained("stop", "late@acme.example"))
		r.wants(10*time.Second, "account.contained")
	})
}

// Whoever imports old records tells nobody, and what was told before ends all the same.
func TestOldLinesTellNobody(t *testing.T) {
	inTime(t, func(r *rig) {
		old := standing("suspended")
		old.At = time.Now().Add(-61 * time.Minute)
		r.hear(old, event.Entry{Type: "transaction", Outcome: "ambiguous", At: old.At})
		r.wants(2 * time.Hour)
		r.hear(standing("slowed")) // nobody knew of its beginning
		r.wants(time.Minute)
		r.hear(standing("suspended"))
		r.wants(time.Minute, "ip.suspended")
		time.Sleep(3 * time.Hour)
		ended := standing("active")
		ended.At = time.Now().Add(-2 * time.Hour)
		r.hear(ended)
		r.wants(10*time.Second, "gateway.silent", "ip.recovered")
	})
}

// A kill between an event and its telling: whoever comes next hears the same lines again, tells what was not told, and nothing twice.
func TestNothingIsToldTwiceOrForgotten(t *testing.T) {
	inTime(t, func(r *rig) {
		lines := []event.Entry{standing("suspended"), contained("stop", "bob@acme.example"), contained("stop", "eve@acme.example")}
		r.hear(lines...)
		r.again() // before anything was sent
		r.hear(lines...)
		r.wants(10*time.Second, "ip.suspended", "account.contained", "account.contained")
		r.again()
		r.hear(lines...)
		r.wants(2 * time.Hour)
		r.hear(standing("slowed"))
		r.again()
		r.wants(10*time.Second, "ip.recovered")
	})
}
