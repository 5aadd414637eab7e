package netns

import (
	"os"
	"strings"
	"testing"
	"time"

	"kanmon/test/netlab"
)

// The example site of the guide runs as it is: kanmon check has no error, each tenant's mail leaves from the pool that the page names, by
// both families, and a bounce from the high-risk pool.
//
// page: docs/howto/example-site.md
func TestExampleSiteRuns(t *testing.T) {
	site, err := os.ReadFile("../../dist/site.toml")
	must(t, err)
	world, mx := newWorld(t, 3)
	must(t, world.Gateway.IP("address add 203.0.113.12/32 dev out0"))
	kanmon := newKanmon(t, world)
	must(t, kanmon.Write(string(site)))
	kanmon.User = netlab.UnprivilegedUser
	for _, variable := range []string{"STATE_DIRECTORY", "LOGS_DIRECTORY", "RUNTIME_DIRECTORY"} {
		kanmon.Env = append(kanmon.Env, variable+"="+kanmon.Folder())
	}
	rules(t, kanmon, "apply")
	if answer, err := kanmon.Check(); err != nil || !strings.Contains(answer, "no errors") {
		t.Errorf("check: %v: %s", err, answer)
	}
	must(t, kanmon.Start())
	for i, row := range []struct{ sender, ehlo string }{
		{"news@acme.example", "news11.example"},
		{"info@blue.example", "out10.example"},
		{"", "risk12.example"},
	} {
		msa := newMSA(t, world.MSAs[i], "may")
		for _, family := range families {
			if family.v6 && row.ehlo == "risk12.example" {
				continue // that pool has IPv4 alone
			}
			m := note("site-"+family.name, netlab.Domain(1, family.v6))
			_, err := msa.Submit(row.sender, []string{m.to}, m.content)
			must(t, err)
			_, stored := expect(t, msa, mx, m)
			expectReceived(t, stored, "from "+row.ehlo+" ")
		}
	}
	for _, tenant := range []string{"acme", "blue", "clubs"} {
		if answer, err := kanmon.Tenant("show", tenant, "--socket", kanmon.Socket()); err != nil {
			t.Errorf("tenant show %s: %v: %s", tenant, err, answer)
		}
	}
	must(t, kanmon.Stop(20*time.Second))
}
