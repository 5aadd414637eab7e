package history

import (
	"os"
	"strconv"
	"testing"
	"time"

	"kanmon/internal/view/history"
	"kanmon/internal/view/history/days"
)

const daysKept = 14

var began = time.Date(2026, 11, 10, 0, 0, 0, 0, time.UTC)

// number is a number of the environment, which make history-scale sets.
func number(t *testing.T, name string, otherwise int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// sown makes a history of some days.
func sown(t *testing.T, nDays, attempts int) *days.Store {
	t.Helper()
	s, err := days.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	w, begin := newWorld(began), time.Now()
	for d := range nDays {
		one := time.Now()
		err := w.day(began.AddDate(0, 0, daysKept-nDays+d), attempts, 10_000, func(lines []history.Line) error {
			return s.Add(t.Context(), lines, "records", history.Mark{At: began})
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("day %d: %s", d+1, time.Since(one).Round(100*time.Millisecond))
	}
	st, err := s.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	took := time.Since(begin)
	t.Logf("%d attempts in %s, %.0f a second; %.1f GB, %d octets an attempt", st.Attempts, took.Round(time.Second), float64(st.Attempts)/took.Seconds(),
		float64(st.Octets)/1e9, st.Octets/st.Attempts)
	return s
}

// Each question of an operator is answered in 200 ms, of 14 days of a million attempts. In the ordinary tests there are fewer, the bound is for machines that
// have other things to do, and package days looks at how SQLite goes about it.
func TestQuestionsAreAnsweredInTime(t *testing.T) {
	const few = 20_000
	attempts, bound, times := number(t, "KANMON_HISTORY", few), 200*time.Millisecond, 50
	if attempts == few {
		bound, times = 3*time.Second, 10
	}
	answer(t, sown(t, number(t, "KANMON_HISTORY_DAYS", daysKept), attempts), times, bound)
}
