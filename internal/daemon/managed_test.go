package daemon

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kanmon/internal/admin/check"
	"kanmon/internal/intercept"
)

// What an operator is told of the firewall rules is what their guard says, and what a person has decided.
// trouble-O03
func TestStatusTellsOfTheRules(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("KANMON_RULES_STATE", dir)
	put := func(name string, what any) {
		t.Helper()
		data, err := json.Marshal(what)
		path := filepath.Join(dir, name)
		if err == nil {
			err = os.MkdirAll(filepath.Dir(path), 0o755)
		}
		if err == nil {
			err = os.WriteFile(path, data, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	must := func(want string) {
		t.Helper()
		if got := rulesState(); got != want && (want == "" || !strings.Contains(got, want)) {
			t.Errorf("status says %q, want %q", got, want)
		}
	}
	must("")
	kept := intercept.Kept{Rules: intercept.Rules{
		Listen: []netip.AddrPort{netip.MustParseAddrPort("[::]:10025")}, Sources: []netip.Prefix{netip.MustParsePrefix("10.20.0.0/16")},
	}}
	put("rules.json", kept)
	must("no guard runs")
	put("run/guard.json", intercept.Guarding{Told: time.Now()})
	must("in force")
	put("run/guard.json", intercept.Guarding{Told: time.Now(), Lost: []string{"table inet kanmon is gone"}})
	must("NOT in force: table inet kanmon is gone")
	put("run/guard.json", intercept.Guarding{Told: time.Now().Add(-time.Hour)})
	must("no guard runs")
	kept.Removed = &intercept.Removal{At: time.Now()}
	put("rules.json", kept)
	must("removed by a person")
	if err := os.WriteFile(filepath.Join(dir, "rules.json"), []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	must("rules.json")
}

// Whatever of the firewall rules is left to an operator, each reload says it again, until it is done.
func TestEachReloadTellsOfTheRulesThatAreNotInForce(t *testing.T) {
	removed := intercept.Kept{Removed: &intercept.Removal{At: time.Now()}}
	other := intercept.Kept{Rules: intercept.Rules{Listen: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:1")}}}
	for _, manage := range []string{"", "local = true\nuser = '1234'\nmanage_rules = true\n"} {
		w := newWorld(t, "[intercept]\nlisten = ['127.0.0.1:PORT']\n"+manage)
		w.daemon.host.Own = func() check.User { return check.User{ID: 1234} }
		w.daemon.host.LookPath = func(string) (string, error) { return "nft", nil }
		w.start()
		must := func(kept intercept.Kept, want string) {
			t.Helper()
			for range 2 {
				w.note(func() { w.kept = kept })
				same := *w.daemon.cfg
				if err := w.daemon.Reload(t.Context(), &same); err != nil {
					t.Fatal(err)
				}
				todo := w.daemon.toDo()
				if len(todo) > 1 || !strings.Contains(strings.Join(todo, ""), want) || want == "" && len(todo) > 0 {
					t.Errorf("%q: the operator is told %q, want %q", manage, todo, want)
				}
			}
		}
		must(removed, "a person has removed the firewall rules")
		if manage == "" {
			must(other, "systemctl reload kanmon-rules")
		} else {
			before := len(w.applied)
			must(other, "") // it applies them again
			if n := len(w.applied) - before; n != 2 {
				t.Errorf("rules that were not kept are applied %d times, want 2", n)
			}
			w.daemon.applyRules = func(context.Context, intercept.Rules) error { return nil } // on a full disk
			must(intercept.Kept{}, "not kept")
		}
		must(intercept.Kept{Rules: Rules(w.daemon.cfg)}, "")
		w.stop()
	}
}

// The policy routes of a listener that a reload adds are watched, too.
func TestRoutesOfALaterListenerAreWatched(t *testing.T) {
	port := freePort(t)
	tables := func(more string) string {
		return fmt.Sprintf("[intercept]\nmode = 'tproxy'\nlisten = ['127.0.0.1:%d'%s]\n", port, more)
	}
	w := newWorld(t, listenTable)
	w.daemon = w.newDaemon(w.parse(tables("")))
	w.start()
	if err := w.daemon.Reload(t.Context(), w.parse(tables(fmt.Sprintf(", '[::1]:%d'", port)))); err != nil {
		t.Fatal(err)
	}
	if listen := w.daemon.rulesNow().Listen; len(listen) != 2 {
		t.Errorf("the rules that are watched have the listeners %v, want both", listen)
	}
	w.stop()
}
