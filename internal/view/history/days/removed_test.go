package days

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kanmon/internal/view/history"
)

// Who reads sees what is there, also where history was put back, or made anew, by another process meanwhile.
func TestWhoReadsSeesWhatIsThereNow(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "history")
	lines := story()
	keep := func(n int) {
		t.Helper()
		s, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Add(t.Context(), lines[:n], source, history.Mark{Offset: int64(n)}); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	keep(100)
	reader, err := Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	attempts := func() (n int64) {
		t.Helper()
		counts, err := reader.Counts(t.Context(), history.CountsOf{})
		if err != nil {
			t.Fatal(err)
		}
		for i := range counts {
			n += counts[i].Attempts
		}
		st, err := reader.Status(t.Context())
		if err != nil || st.Attempts != n {
			t.Errorf("it says that there are %d attempts, and counts %d: %v", st.Attempts, n, err)
		}
		return n
	}
	before := attempts()
	all, err := filepath.Glob(filepath.Join(dir, "*"))
	for _, path := range all {
		err = os.Remove(path)
	}
	if err != nil {
		t.Fatal(err)
	}
	keep(300)
	if now := attempts(); now <= before {
		t.Errorf("of %d attempts %d are seen", now, before)
	}
}

// Somebody removes history while it is kept: nothing is written to what is gone, nor a half made beside it, and who keeps it next begins anew, with all.
func TestNothingIsKeptInAFolderThatWasRemoved(t *testing.T) {
	for name, remove := range map[string]func(dir string) error{
		"the folder": func(dir string) error {
			if err := os.RemoveAll(dir); err != nil {
				return err
			}
			return os.Mkdir(dir, 0o750)
		},
		"what is in it": func(dir string) error {
			all, err := filepath.Glob(filepath.Join(dir, "*"))
			for _, path := range all {
				if err := os.Remove(path); err != nil {
					return err
				}
			}
			return err
		},
		"the main file": func(dir string) error { return os.Remove(filepath.Join(dir, mainFile)) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "history")
			lines := story()
			half := len(lines) / 2
			s, err := Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Add(t.Context(), lines[:half], source, history.Mark{Offset: int64(half)}); err != nil {
				t.Fatal(err)
			}
			if err := remove(dir); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				if err := s.Add(t.Context(), lines[half:], source, history.Mark{Offset: int64(len(lines))}); err == nil || !strings.Contains(err.Error(), "restart") {
					t.Errorf("what is removed takes lines: %v", err)
				}
			}
			_ = s.Close() // what it closes is gone
			if s, err = Open(dir); err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			mark, err := s.Mark(t.Context(), source)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Add(t.Context(), lines[mark.Offset:], source, history.Mark{Offset: int64(len(lines))}); err != nil {
				t.Fatal(err)
			}
			got, want := int64(0), int64(0)
			counts, err := s.Counts(t.Context(), history.CountsOf{})
			if err != nil {
				t.Fatal(err)
			}
			for i := range counts {
				got += counts[i].Attempts
			}
			for _, l := range lines {
				if l.Entry != nil && l.Entry.Type == "transaction" {
					want++
				}
			}
			if got != want {
				t.Errorf("%d attempts are kept behind it, want %d", got, want)
			}
		})
	}
}
