package daemon

import (
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

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
