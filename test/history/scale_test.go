package history

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
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

// sown makes a history of some days. In a folder that is kept, days that are in it already are not made again.
func sown(t *testing.T, nDays, attempts int) *days.Store {
	t.Helper()
	folder := os.Getenv("KANMON_HISTORY_KEEP")
	keeps := folder != ""
	if !keeps {
		folder = t.TempDir()
	}
	before := 0
	if keeps {
		before = daysIn(t, folder, nDays, attempts)
	}
	s, err := days.Open(filepath.Join(folder, "history"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	w, added, took := newWorld(began), 0, time.Duration(0)
	for d := range nDays {
		if before == nDays {
			break
		}
		one := time.Now()
		err := w.day(began.AddDate(0, 0, daysKept-nDays+d), attempts, 10_000, func(lines []history.Line) error {
			if d < before { // what comes behind it needs the world as it is then
				return nil
			}
			return s.Add(t.Context(), lines, "records", history.Mark{At: began})
		})
		if err != nil {
			t.Fatal(err)
		}
		if d < before {
			continue
		}
		if keeps {
			sow(t, folder, d+1, nDays, attempts)
		}
		added, took = added+attempts, took+time.Since(one)
		t.Logf("day %d: %s", d+1, time.Since(one).Round(100*time.Millisecond))
	}
	st, err := s.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d attempts; %.1f GB, %d octets an attempt", st.Attempts, float64(st.Octets)/1e9, st.Octets/max(st.Attempts, 1))
	if added > 0 {
		t.Logf("%d of them were added in %s, %.0f a second", added, took.Round(time.Second), float64(added)/took.Seconds())
	}
	return s
}

// daysIn says how many days of such a history are in a folder. Days of another one are not built upon.
func daysIn(t *testing.T, folder string, of, attempts int) int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(folder, "sown"))
	if errors.Is(err, fs.ErrNotExist) {
		return 0
	}
	var n, wereOf, had int
	if err == nil {
		_, err = fmt.Sscanf(string(text), sownText, &n, &wereOf, &had)
	}
	if err != nil {
		t.Fatal(err)
	}
	if wereOf != of || had != attempts {
		t.Fatalf("%s has a history of %d days with %d attempts each, not of %d with %d: name another folder, or remove it", folder, wereOf, had, of, attempts)
	}
	return n
}

// sownText is what a folder says of itself.
const sownText = "%d of %d days, %d attempts each\n"

func sow(t *testing.T, folder string, n, of, attempts int) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(folder, "sown"), fmt.Appendf(nil, sownText, n, of, attempts), 0o600); err != nil {
		t.Fatal(err)
	}
}

// What is kept is made once, and gone on with where it ended.
func TestAKeptHistoryIsMadeOnce(t *testing.T) {
	folder := t.TempDir()
	t.Setenv("KANMON_HISTORY_KEEP", folder)
	has := func(s *days.Store) uint64 {
		st, err := s.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return uint64(st.Attempts)
	}
	t.Run("made", func(t *testing.T) {
		if n := has(sown(t, 2, 500)); n != 1000 {
			t.Errorf("%d attempts, want 1000", n)
		}
	})
	sow(t, folder, 1, 2, 500) // it ended in the middle of the second day
	t.Run("gone on with", func(t *testing.T) {
		if n := has(sown(t, 2, 500)); n != 1000 || daysIn(t, folder, 2, 500) != 2 {
			t.Errorf("%d attempts, want 1000", n)
		}
	})
	t.Run("there", func(t *testing.T) {
		if n := has(sown(t, 2, 500)); n != 1000 {
			t.Errorf("%d attempts, want 1000", n)
		}
	})
}

// Each question of an operator is answered in 200 ms, of 14 days of a million attempts. In the ordinary tests there are fewer, the bound is for machines that
// have other things to do, and package days looks at how SQLite goes about it.
func TestQuestionsAreAnsweredInTime(t *testing.T) {
	const few = 5_000
	attempts, bound, times := number(t, "KANMON_HISTORY", few), 200*time.Millisecond, 50
	if attempts == few {
		bound, times = 3*time.Second, 10
	}
	answer(t, sown(t, number(t, "KANMON_HISTORY_DAYS", daysKept), attempts), times, bound)
}
