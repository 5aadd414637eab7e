package report

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"kanmon/internal/view/history"
)

// Where days begin between two hours of UTC there are reports as well: each hour is of the day in which it ends, so that days and months neither overlap
// nor leave anything out, and the report says so.
func TestDaysThatBeginBetweenTwoHours(t *testing.T) {
	india := time.FixedZone("IST", 5*3600+1800)
	first := time.Date(2026, 11, 1, 0, 0, 0, 0, india)
	r := newRig(t)
	var lines []history.Line
	for i := range 33 * 24 { // from two days before: in the middle of each hour of UTC
		of := mail("acme", 0, fmt.Sprintf("u%d@x.example", i))
		of.At = first.Truncate(time.Hour).Add(time.Duration(i-48)*time.Hour + 20*time.Minute)
		lines = append(lines, r.Feed.Attempt(of))
	}
	r.add(lines...)
	var sum int64
	for month := range 2 {
		report := r.make(Options{Tenant: "acme", From: first.AddDate(0, month-1, 0), To: first.AddDate(0, month, 0), In: india, Now: first.AddDate(0, 1, 0)})
		if last := report.Days[len(report.Days)-1]; report.Early != 30 || last.Attempts != 24 || month == 1 && (len(report.Days) != 30 || report.Days[0].Date != "2026-11-01") {
			t.Errorf("%d minutes early, on the last of %d days %+v", report.Early, len(report.Days), last)
		}
		for _, d := range report.Days {
			sum += d.Attempts
		}
		for form, text := range formats(t, report) {
			if !strings.Contains(text, "30 minutes sooner") && strings.HasSuffix(form, " en") {
				t.Errorf("as %s it is not said that days begin sooner", form)
			}
		}
	}
	if sum != 48+30*24 {
		t.Errorf("two months have %d attempts, want %d", sum, 48+30*24)
	}
	if _, err := Make(t.Context(), r.Store, Options{Tenant: "acme", From: first.Add(30 * time.Minute), To: first.AddDate(0, 1, 0), In: india}); !errors.Is(err, ErrSpan) {
		t.Errorf("at half past: %v", err)
	}
}
