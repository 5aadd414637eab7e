package main

import (
	"bytes"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"kanmon/internal/admin"
	"kanmon/internal/config"
)

// What is said of one sending IP says nothing of the others.
//
// firstday-21
func TestOneSendingIPIsNotAll(t *testing.T) {
	var all, one bytes.Buffer
	if err := errors.Join(printStandings(&all, nil), printOne(netip.MustParseAddr("203.0.113.10"))(&one, nil)); err != nil {
		t.Fatal(err)
	}
	if all.String() != "every sending IP is active everywhere\n" || one.String() != "203.0.113.10 is active everywhere\n" {
		t.Errorf("of all %q, of one %q", all.String(), one.String())
	}
}

// A time says in which zone it is, and can be given back as it was printed.
//
// firstday-24
func TestTimesSayTheirZone(t *testing.T) {
	at := time.Date(2026, 7, 1, 9, 0, 0, 0, time.UTC)
	printed := when(at)
	if want := at.Local().Format("-07:00"); !strings.HasSuffix(printed, " "+want) {
		t.Errorf("%q has no %s", printed, want)
	}
	var read localTime
	if err := read.UnmarshalText([]byte(printed)); err != nil || !read.Equal(at) {
		t.Errorf("%q is read as %v, %v", printed, read, err)
	}
	var out bytes.Buffer
	log, end := newLogger(&out, config.FormatJSON, slog.LevelInfo)
	log.Info("x", "until", at.In(time.FixedZone("JST", 9*3600)))
	end()
	if line := out.String(); !strings.Contains(line, `"until":"2026-07-01T09:00:00Z"`) || strings.Count(line, `Z"`) != 2 {
		t.Errorf("kanmon's own log in JSON: %s", line)
	}
}

// What this host lacks stands in both lists that an operator looks at.
//
// firstday-7
func TestAbsentIPIsPrinted(t *testing.T) {
	ip := netip.MustParseAddr("203.0.113.10")
	var list, status bytes.Buffer
	err := printStandings(&list, []admin.Standing{{IP: ip, State: admin.Absent, Reason: "its interface is down"}})
	fields := strings.Fields(strings.Split(list.String(), "\n")[1])
	if err != nil || strings.Join(fields, " ") != "203.0.113.10 all absent 0 % - - - its interface is down" {
		t.Errorf("%v:\n%s", err, list.String())
	}
	if err := printStatus(&status, admin.Status{Absent: []netip.Addr{ip}}); err != nil ||
		!strings.Contains(status.String(), "203.0.113.10: no mail leaves from it, see \"kanmon ip show 203.0.113.10\"") {
		t.Errorf("%v:\n%s", err, status.String())
	}
	status.Reset()
	if err := printStatus(&status, admin.Status{Standby: []netip.Addr{ip}}); err != nil || !strings.Contains(status.String(), "standing by      203.0.113.10: it floats") {
		t.Errorf("%v:\n%s", err, status.String())
	}
}

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
