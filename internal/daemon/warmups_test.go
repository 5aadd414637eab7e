package daemon

import (
	"fmt"
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

func TestAReloadChangesAWarmUpAndTakesItAway(t *testing.T) {
	dir, today := t.TempDir(), time.Now().UTC()
	ours := netip.MustParseAddr("127.0.0.1")
	tables := func(sendingIP string) string {
		return customersIn(filepath.Join(dir, "policy.db")) + "[standing]\nfile = '" + filepath.Join(dir, "standing.db") + "'\n" + sendingIP
	}
	w, c := withSocket(t, tables(sendingTable))
	for _, step := range []struct {
		what, sendingIP, want string
	}{
		{"it is new", warming(dir, today), "step 1 of 30"},
		{"it is not new", sendingTable, "127.0.0.1 has no warm_up in the configuration"},
		{"it is new again, since the same day", warming(dir, today), "step 1 of 30"},
		{"since another day", warming(dir, today.AddDate(0, 0, -3)), "step 4 of 30"},
	} {
		_, table, found := strings.Cut(step.sendingIP, sendingTable)
		if !found {
			t.Fatal(step.sendingIP)
		}
		if err := w.daemon.Reload(t.Context(), w.with(tables(sendingTable+table))); err != nil {
			t.Fatalf("%s: %v", step.what, err)
		}
		got, err := c.WarmUps(t.Context(), ours)
		is := ""
		if err != nil {
			is = err.Error()
		} else if len(got) == 1 {
			is = fmt.Sprintf("step %d of %d", got[0].Step, got[0].Steps)
		}
		if !strings.Contains(is, step.want) {
			t.Errorf("%s: %s, want %s", step.what, is, step.want)
		}
	}
}
