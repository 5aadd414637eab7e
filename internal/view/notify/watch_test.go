package notify

import (
	"testing"
	"time"

	"kanmon/internal/view/history"
)

// A provider that defers much more than a week ago is told of, also that it is most of the mail, and that it is over. What kanmon defers itself, nobody else does.
func TestProviderDeferring(t *testing.T) {
	inTime(t, func(r *rig) {
		now := map[string]int64{}
		weekAgo := time.Now().AddDate(0, 0, -3)
		r.past.mu.Lock()
		r.past.counts = func(of history.CountsOf) []history.Count {
			deferred := map[string]int64{"usual": 30}
			if of.From.After(weekAgo) {
				deferred = map[string]int64{"usual": 30, "docomo": now["docomo"], "few": 40}
			}
			var list []history.Count
			for provider, n := range deferred {
				all := int64(100)
				if provider == "few" {
					all = 45
				}
				list = append(list, history.Count{Provider: provider, Outcome: "deferred", Class: "throttled", Attempts: n}, history.Count{Provider: provider, Outcome: "delivered", Attempts: all - n})
			}
			if of.From.After(weekAgo) {
				list = append(list, history.Count{Provider: "limited", Outcome: "deferred", Attempts: 90}, history.Count{Provider: "limited", Outcome: "delivered", Attempts: 60})
			}
			return list
		}
		r.past.mu.Unlock()
		set := func(deferred int64) {
			r.n.past.(*past).mu.Lock()
			defer r.n.past.(*past).mu.Unlock()
			now["docomo"] = deferred
		}
		r.wants(20 * time.Minute)
		set(25)
		r.wants(7*time.Minute, "provider.deferring")
		if r.last.Data.Numbers[0] != (Number{"deferred_ratio", .25, deferMuch}) || r.last.Data.Severity != Warning {
			t.Errorf("%+v", r.last)
		}
		set(60)
		r.wants(7*time.Minute, "provider.deferring")
		if r.last.Data.Severity != Critical {
			t.Errorf("%+v", r.last)
		}
		set(15)
		r.wants(9 * time.Hour) // longer than what nobody sends to is waited for
		r.again()
		set(5)
		r.wants(7*time.Minute, "provider.normal")
	})
}

// A kind of refusal that three tenants get, and nobody has seen for a month, is told once; not where history has only begun.
func TestNewKindOfRefusal(t *testing.T) {
	inTime(t, func(r *rig) {
		began := time.Now()
		r.past.mu.Lock()
		r.past.status.Detail[0] = began.Add(-48 * time.Hour)
		r.past.shapes = func(of history.Filter) []history.Shape {
			if of.Shape == "new" || of.Shape == "two" {
				return nil
			}
			if of.Shape != "" {
				return []history.Shape{{Shape: of.Shape}}
			}
			return []history.Shape{
				{Shape: "known", Tenants: 9}, {Shape: "two", Tenants: 2}, {Shape: "new", Class: "policy_unspecified", Text: "550 new rules", Tenants: 3, Count: 12, Providers: []string{"docomo"}},
			}
		}
		r.past.mu.Unlock()
		r.wants(23 * time.Hour)
		r.wants(2*time.Hour, "refusal.new_kind")
		if d := &r.last.Data; d.Provider != "docomo" || d.Replies[0] != "550 new rules" || d.Numbers[0].Value != 3 {
			t.Errorf("%+v", d)
		}
		r.wants(2 * time.Hour)
	})
}
