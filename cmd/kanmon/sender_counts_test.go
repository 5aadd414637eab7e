package main

import (
	"strings"
	"testing"
	"time"

	"kanmon/internal/admin"
)

// The counts of an hour and a day begin where the level was last set, and say so.
//
// audit-D6
func TestCountsSaySinceWhen(t *testing.T) {
	for _, tc := range []struct {
		name string
		last *admin.Decision
		want bool
	}{
		{"never set", nil, false},
		{"by evidence", &admin.Decision{At: time.Now().Add(-time.Hour), Reading: admin.Reading{Signal: "content"}}, true},
		{"by volume, which counts on", &admin.Decision{At: time.Now().Add(-time.Hour), Reading: admin.Reading{Signal: "volume"}}, false},
		{"by hand", &admin.Decision{At: time.Now().Add(-time.Hour)}, false},
		{"before all that is counted", &admin.Decision{At: time.Now().Add(-25 * time.Hour), Reading: admin.Reading{Signal: "content"}}, false},
	} {
		var out strings.Builder
		if countedSince(&out, tc.last); strings.HasPrefix(out.String(), "counted since ") != tc.want {
			t.Errorf("%s: %q", tc.name, out.String())
		}
	}
}
