package netns

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
)

// kanmon check says nothing against a site that runs, and names what another program has done to it: rules flushed, a masquerade in front
// of the sending IPs, a sending IP taken away.
//
// firstday-1, trouble-O03, trouble-O10
func TestCheckSeesWhatWasDoneToASite(t *testing.T) {
	world, _ := newWorld(t, 1)
	kanmon := newKanmon(t, world)
	must(t, kanmon.Configure(forwardedRedirect+sendingIPs+fmt.Sprintf("[standing]\nfile = %q\n[admin]\nsocket = %q\n", kanmon.Folder()+"/standing.db", kanmon.Socket())))
	want := func(step string, ids ...string) {
		t.Helper()
		found := map[string]bool{}
		text, err := kanmon.Check("--json")
		var report struct {
			Errors   int
			Findings []struct{ ID, Severity, Cure string }
		}
		if bad := json.Unmarshal([]byte(text), &report); bad != nil {
			t.Fatalf("%s: %v: %s", step, bad, text)
		}
		errors := 0
		for _, f := range report.Findings {
			found[f.ID] = true
			if f.Severity == "error" {
				errors++
				if !slices.Contains(ids, f.ID) {
					t.Errorf("%s: check finds %s", step, f.ID)
				}
			}
		}
		for _, id := range ids {
			if !found[id] {
				t.Errorf("%s: check does not find %s: %s", step, id, text)
			}
		}
		if errors != report.Errors || (err != nil) != (errors > 0) {
			t.Errorf("%s: %d errors, %d said, exit %v", step, errors, report.Errors, err)
		}
	}
	run := func(command ...string) {
		t.Helper()
		_, err := world.Gateway.Run(command...)
		must(t, err)
	}
	want("before the rules", "rules-not-applied")
	rules(t, kanmon, "apply")
	must(t, kanmon.Start())
	want("running")
	run("nft", "flush", "ruleset")
	want("flushed", "rules-gone")
	rules(t, kanmon, "apply")
	run("nft", "add table ip nat; add chain ip nat post { type nat hook postrouting priority srcnat; }; add rule ip nat post ip saddr 203.0.113.0/24 snat to 203.0.113.99")
	want("rewritten", "source-rewritten")
	run("nft", "insert rule ip nat post ip saddr 203.0.113.10 tcp dport 25 accept") // the cure
	want("mended")
	must(t, world.Gateway.IP("address del 203.0.113.10/32 dev out0"))
	want("address gone", "sending-ip-absent") // a warning: the others go on
}
