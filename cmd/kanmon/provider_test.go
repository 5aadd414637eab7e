package main

import (
	"bytes"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kanmon/internal/admin"
)

// What becomes of a provider's limits where it is slow to answer stands below them, as far as anything follows from that.
func TestProviderSaysWhatTimeTightens(t *testing.T) {
	const half, none = "timing: a sending IP that the provider is slow to answer has half of what is kept to", "timing: nothing is tightened where the provider is slow to answer a sending IP: nobody knows"
	for name, test := range map[string]struct{ doc, provider, want, not string }{
		"told only":            {"", "orange", "2 connections at once", "timing:"},
		"slow":                 {"[timing]\nact = 'slow'\n[shaping]\nmode = 'on'\n", "orange", half, "a quarter"},
		"move":                 {"[timing]\nact = 'move'\n[shaping]\nmode = 'on'\n", "orange", "; a quarter while mail waits there for more than 30 s (kanmon ip shaping)", "observed"},
		"observed":             {"[timing]\nact = 'slow'\n", "orange", "; observed, and not enforced", none},
		"all":                  {"[timing]\nact = 'slow'\n", "", half, none},
		"shaping is off":       {"[timing]\nact = 'slow'\n[shaping]\nmode = 'off'\n", "orange", "2 connections at once", "timing:"},
		"only shown":           {"[timing]\nact = 'slow'\n", "google", none, half},
		"of one connection":    {"[timing]\nact = 'slow'\n", "yahoo", none, half},
		"an operator's figure": {"[timing]\nact = 'slow'\n[[shaping_limit]]\nprovider = 'google'\ncount = 'messages'\nlimit = 60\nevery = '1m'\n", "google", half, none},
	} {
		path := filepath.Join(t.TempDir(), "kanmon.toml")
		if err := os.WriteFile(path, []byte(test.doc), 0o600); err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		k := providerTakesCommand{configFlag: configFlag{Config: path}, Name: test.provider}
		if err := k.Run(&console{stdout: &out}); err != nil || !strings.Contains(out.String(), test.want) || strings.Contains(out.String(), test.not) {
			t.Errorf("%s: %v, want %q, and not %q\n%s", name, err, test.want, test.not, out.String())
		}
	}
}

// What has tightened an amount stands beside since when.
func TestWhatTimeHasTightenedIsMarked(t *testing.T) {
	since := time.Date(2026, 7, 1, 10, 12, 0, 0, time.UTC)
	one := admin.Takes{IP: netip.MustParseAddr("203.0.113.10"), Provider: "orange", Count: "connections", Amount: 2, Kept: true, Now: 1, Since: since}
	for byTime, want := range map[bool]string{false: when(since) + "  -", true: when(since) + ", by timing  -"} {
		one.ByTime = byTime
		var out bytes.Buffer
		if err := printShaping(&out, admin.Shaping{Mode: "on", Takes: []admin.Takes{one}}); err != nil || !strings.Contains(out.String(), want) {
			t.Errorf("%v, by time %v:\n%s", err, byTime, out.String())
		}
	}
}
