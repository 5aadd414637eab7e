package main

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"

	"kanmon/internal/admin"
)

// What an operator must know of a standing is told below the table.
func TestNoteOfAStandingIsPrinted(t *testing.T) {
	var out bytes.Buffer
	err := printStandings(&out, []admin.Standing{
		{IP: netip.MustParseAddr("203.0.113.10"), Provider: "gogle", State: "stopped", Note: "there is no provider of this name"},
		{IP: netip.MustParseAddr("203.0.113.11"), Provider: "google", State: "stopped"},
	})
	if err != nil || !strings.HasSuffix(out.String(), "\n\n203.0.113.10 at gogle: there is no provider of this name\n") {
		t.Errorf("%v:\n%s", err, out.String())
	}
}
