package pages

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"kanmon/test/testnames"
)

const scenarios = "../../docs/dev/tls-scenarios.md"

var (
	scenarioRow  = regexp.MustCompile(`(?m)^\| ([SA]\d+) \| .* \| (.*) \|$`)
	scenarioTest = regexp.MustCompile("`([^`]+)`")
)

// scenarioFolders are where the tests of TLS policies are.
var scenarioFolders = []string{
	"internal/outlet/trust", "internal/outlet/trust/dns", "internal/outlet/trust/sts", "internal/outlet/trust/report", "internal/session", "internal/daemon",
	"internal/admin/check", "internal/view/web", "test/netns",
}

// Each case and each attack that TLS policies were built against has tests that there are.
func TestEachTLSScenarioIsShown(t *testing.T) {
	page, err := os.ReadFile(scenarios)
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]bool{}
	for _, folder := range scenarioFolders {
		names, err := testnames.In(filepath.Join("../..", folder))
		if err != nil {
			t.Fatal(err)
		}
		maps.Copy(tests, names)
	}
	dialogues, err := filepath.Glob("../../internal/session/testdata/*/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range dialogues {
		tests[filepath.Base(path)] = true
	}
	seen := map[string]bool{}
	for _, row := range scenarioRow.FindAllStringSubmatch(string(page), -1) {
		named := scenarioTest.FindAllStringSubmatch(row[2], -1)
		if seen[row[1]] || len(named) == 0 {
			t.Errorf("%s stands there twice, or without a test", row[1])
		}
		seen[row[1]] = true
		for _, name := range named {
			if !tests[name[1]] {
				t.Errorf("%s: there is no test %s", row[1], name[1])
			}
		}
	}
	for kind, most := range map[string]int{"S": 62, "A": 26} {
		for n := 1; n <= most; n++ {
			if id := fmt.Sprintf("%s%d", kind, n); !seen[id] {
				t.Errorf("%s is not there", id)
			}
		}
	}
}
