package days

import (
	"testing"
	"time"

	"kanmon/internal/view/history"
	"kanmon/internal/view/history/historytest"
)

// Who writes does not wait while a day is made anew, and what is written to that day meanwhile is in it.
func TestADayIsMadeAnewBesideThoseWhoWrite(t *testing.T) {
	s, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	lines := story()
	const half = 500
	if err := s.Add(t.Context(), lines[:half], source, history.Mark{Offset: half}); err != nil {
		t.Fatal(err)
	}
	l := listed{dayOf(historytest.Noon), detail}
	s.mu.Lock() // as who writes has it
	made, err := s.lessened(t.Context(), l, trouble, false)
	s.mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Add(t.Context(), lines[half:2*half], source, history.Mark{Offset: 2 * half}); err != nil {
		t.Fatal(err)
	}
	if done, err := s.replace(t.Context(), l, trouble, made); done || err != nil {
		t.Errorf("what was written meanwhile is lost: %v, %v", done, err)
	}
	if _, err := s.Prune(t.Context(), historytest.Noon.Add(3*aDay), history.Keep{Detail: time.Hour}); err != nil {
		t.Fatal(err)
	}
	if has, _ := s.reading.has(l.day); has != trouble {
		t.Errorf("the day has %s still", levels[has])
	}
	counted := int64(0)
	all, err := s.Counts(t.Context(), history.CountsOf{})
	for i := range all {
		counted += all[i].Attempts
	}
	if err != nil || counted != 2*half {
		t.Errorf("%d attempts are counted, want %d; %v", counted, 2*half, err)
	}
}
