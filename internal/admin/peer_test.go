package admin

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"
)

// The audit names who has done something. A user namespace of kanmon's own hides that: everybody is the user that the kernel shows in place
// of those it does not have. So the unit that is shipped has none, and where somebody has set one up nobody else is blamed.
//
// firstday-8
func TestWhoAsksIsNotHidden(t *testing.T) {
	unit, err := os.ReadFile("../../dist/systemd/kanmon.service")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(unit)) {
		if key, value, set := strings.Cut(strings.TrimSpace(line), "="); set && (key == "PrivateUsers" || key == "DynamicUser") && value != "no" {
			t.Errorf("the unit has %s", line)
		}
	}
	const nobody = 65534
	for users, want := range map[string]bool{
		"         0          0 4294967295\n":                                   true,  // a host
		"         0          0          1\n       991        991          1\n": false, // PrivateUsers=yes
		"         0     100000      65536\n":                                   true,  // a container
		"         0     100000       1000\n":                                   false,
		"":                                                                     false,
	} {
		if got := maps(users, nobody); got != want {
			t.Errorf("%q has nobody: %t, want %t", users, got, want)
		}
	}
}

// JSON names one zone for all times, wherever the host is and however deep they lie.
//
// firstday-24
func TestAnswersAreInUTC(t *testing.T) {
	at := time.Date(2026, 7, 1, 18, 0, 0, 0, time.FixedZone("JST", 9*3600))
	answer := []SenderDetail{{Sender: Sender{Since: at, Block: &ByHand{At: at, Until: at}}, Last: &Decision{At: at}, Samples: []Sample{{At: at}}, Changes: []Change{{At: at}}}}
	text, err := json.Marshal(inUTC(answer))
	if err != nil || strings.Contains(string(text), "+09:00") || strings.Count(string(text), `"2026-07-01T09:00:00Z"`) != 6 {
		t.Errorf("%v: %s", err, text)
	}
}
