package config

import (
	"slices"
	"testing"
	"time"
)

// A person counts in days what is kept for weeks.
func TestDurationsMayBeDays(t *testing.T) {
	for text, want := range map[string]time.Duration{"14d": 14 * day, "0d": 0, "36h": 36 * time.Hour, "99999d": 99999 * day} {
		if got, err := parseDuration(text); err != nil || got != want {
			t.Errorf("%s is %v (%v), want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"d", "-1d", "1.5d", "1d12h", "100000d", "14 d", "14D"} {
		if got, err := parseDuration(text); err == nil {
			t.Errorf("%s is %v, want an error", text, got)
		}
	}
}

// An empty table is enough; without it there is nothing.
func TestHistoryIsKeptWhereTheFileHasItsTable(t *testing.T) {
	dirs := Directories{Logs: "/var/log/kanmon"}
	for doc, want := range map[string]History{
		"":            {},
		"[history]\n": {On: true, Records: Names{"/var/log/kanmon/records.jsonl"}},
		"[journal]\nrecords = 'off'\n[history]\n": {On: true},
		"[journal]\nrecords = '-'\n[history]\n":   {On: true},
		"[history]\ndetail = '500d'\n":            {On: true, Records: Names{"/var/log/kanmon/records.jsonl"}, Detail: 500 * day, Trouble: 500 * day, Counts: 500 * day},
		"[history]\nrecords = '/srv/a'\n":         {On: true, Records: Names{"/srv/a"}},
	} {
		cfg, err := parse("kanmon.toml", []byte(doc), dirs)
		if err != nil {
			t.Fatalf("%q: %v", doc, err)
		}
		got := cfg.History
		if got.On != want.On || !slices.Equal(got.Records, want.Records) {
			t.Errorf("%q gives %+v", doc, got)
		}
		if want.Detail != 0 && (got.Detail != want.Detail || got.Trouble != want.Trouble || got.Counts != want.Counts) {
			t.Errorf("%q keeps %v, %v, %v", doc, got.Detail, got.Trouble, got.Counts)
		}
	}
}
