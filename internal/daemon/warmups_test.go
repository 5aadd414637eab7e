package daemon

import (
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kanmon/internal/admin"
)

// warming has a sending IP that is new.
func warming(dir string, start time.Time) string {
	return "[standing]\nfile = '" + filepath.Join(dir, "standing.db") + "'\n" + sendingTable + "warm_up = { start = " + start.Format(time.DateOnly) + " }\n"
}

func TestAnOperatorSeesAndOrdersAWarmUpAndTheNextKanmonGoesOnThere(t *testing.T) {
	dir, today := t.TempDir(), time.Now().UTC()
	ours := netip.MustParseAddr("127.0.0.1")
	w, c := withSocket(t, customersIn(filepath.Join(dir, "policy.db"))+warming(dir, today))
	one := func(got []admin.WarmUp, err error) admin.WarmUp {
		t.Helper()
		if err != nil || len(got) != 1 {
			t.Fatalf("%+v, %v", got, err)
		}
		return got[0]
	}
	if u := one(c.WarmUps(t.Context(), ours)); u.State != admin.Warming || u.Step != 1 || u.Steps != 30 || u.Plan != "standard" || u.Share != 0.01 || u.Ends == "" {
		t.Errorf("at first %+v", u)
	}
	list, err := c.Standings(t.Context(), netip.Addr{})
	if err != nil || len(list) != 1 || list[0].State != admin.Warming || list[0].Reason != "step 1 of 30, 0 of 100 mails today" || list[0].Until.IsZero() {
		t.Errorf("listed as %+v, %v", list, err)
	}
	if _, err := c.OrderWarmUp(t.Context(), ours, admin.WarmUpOrder{Step: 31, Reason: "x"}); err == nil || !strings.Contains(err.Error(), "has 30 steps") {
		t.Errorf("a step that there is not: %v", err)
	}
	if u := one(c.OrderWarmUp(t.Context(), ours, admin.WarmUpOrder{Step: 7, Reason: "it was warm elsewhere"})); u.Step != 7 || u.Why != "it was warm elsewhere" {
		t.Errorf("ordered to step 7: %+v", u)
	}
	audit, err := c.Changes(t.Context(), admin.Subject{}, ours, 10)
	if err != nil || len(audit) != 1 || audit[0].Did != "warm_up" || audit[0].Before != "step 1 of 30, 0 of 100 mails today" || !strings.HasPrefix(audit[0].After, "step 7 of 30") || audit[0].By != peerName() {
		t.Errorf("the audit has %+v, %v", audit, err)
	}
	w.stop()
	_, c = withSocket(t, customersIn(filepath.Join(dir, "policy.db"))+warming(dir, today))
	if u := one(c.WarmUps(t.Context(), ours)); u.Step != 7 {
		t.Errorf("after a restart %+v", u)
	}
	if u := one(c.OrderWarmUp(t.Context(), ours, admin.WarmUpOrder{Finish: true, Reason: "enough"})); u.State != "warm" {
		t.Errorf("finished: %+v", u)
	}
	if list, err := c.Standings(t.Context(), netip.Addr{}); err != nil || len(list) != 0 {
		t.Errorf("a warm IP is listed as %+v, %v", list, err)
	}
}
