package find

import (
	"strings"
	"testing"
	"time"
)

// A time is read in each form that people write, and what is none says what would be.
func TestTimesAreReadAsPeopleWriteThem(t *testing.T) {
	tokyo := time.FixedZone("JST", 9*3600)
	now := time.Date(2026, 7, 1, 10, 30, 0, 0, tokyo)
	for written, want := range map[string]string{
		"now": "2026-07-01T10:30:00+09:00", "30m": "2026-07-01T10:00:00+09:00", "24h": "2026-06-30T10:30:00+09:00", "7d": "2026-06-24T10:30:00+09:00", "1d12h": "2026-06-29T22:30:00+09:00",
		"09:00": "2026-07-01T09:00:00+09:00", "22:15": "2026-06-30T22:15:00+09:00", "2026-06-01": "2026-06-01T00:00:00+09:00", "2026-06-01 14:30": "2026-06-01T14:30:00+09:00",
		"2026-06-01T14:30:05Z": "2026-06-01T23:30:05+09:00", "2026-06": "2026-06-01T00:00:00+09:00", " 2w ": "2026-06-17T10:30:00+09:00",
	} {
		got, err := Time(written, now, tokyo)
		if err != nil || got.In(tokyo).Format(time.RFC3339) != want {
			t.Errorf("%q is read as %s (%v), want %s", written, got.In(tokyo).Format(time.RFC3339), err, want)
		}
	}
	for _, written := range []string{"", "yesterday", "5", "-5m", "5 m", "9999999w", "2026-13-01", "25:00", "1h30"} {
		if got, err := Time(written, now, tokyo); err == nil || !strings.Contains(err.Error(), "want a date such as") {
			t.Errorf("%q is read as %s (%v)", written, got, err)
		}
	}
}

// What is asked about is a time that ends behind its beginning, and is said in one way.
func TestATimeSpanIsSaidInOneWay(t *testing.T) {
	now := time.Date(2026, 7, 1, 10, 30, 0, 0, time.UTC)
	begin, end, err := Between("", "09:00", "", time.Hour, now, time.UTC)
	if err != nil || !begin.Equal(now.Add(-90*time.Minute)) || !end.Equal(now) {
		t.Errorf("from 09:00: %s to %s, %v", begin, end, err)
	}
	if begin, end, err = Between("", "", "2d", 24*time.Hour, now, time.UTC); err != nil || end.Sub(begin) != 24*time.Hour || now.Sub(end) != 48*time.Hour {
		t.Errorf("to 2d: %s to %s, %v", begin, end, err)
	}
	for _, c := range [][3]string{{"24h", "09:00", ""}, {"", "09:00", "08:00"}, {"soon", "", ""}, {"", "", "soon"}} {
		if _, _, err := Between(c[0], c[1], c[2], time.Hour, now, time.UTC); err == nil {
			t.Errorf("since %q, from %q, to %q is taken", c[0], c[1], c[2])
		}
	}
}
