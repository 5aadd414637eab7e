package days

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"kanmon/internal/store"
	"kanmon/internal/view/history"
)

// What spans days is made of the days: where its file is damaged it is put aside, and made anew.
func TestADamagedMainFileIsMadeAnew(t *testing.T) {
	for name, damage := range map[string]func(path string) error{
		"emptied": func(path string) error { return os.Truncate(path, 0) },
		"garbage": func(path string) error { return os.WriteFile(path, bytes.Repeat([]byte("no database\n"), 2000), 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			dir, now := t.TempDir(), story()[1999].Entry.At
			waiting := func(s *Store) string {
				t.Helper()
				all, err := s.Waiting(t.Context(), history.Filter{}, now.Add(time.Minute))
				if err != nil {
					t.Fatal(err)
				}
				return fmt.Sprint(all)
			}
			s, err := Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Add(t.Context(), story()[:2000], source, history.Mark{File: "f", Offset: 7}); err != nil {
				t.Fatal(err)
			}
			was := waiting(s)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, mainFile)
			if err := damage(path); err != nil {
				t.Fatal(err)
			}
			if s, err = Open(dir); err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if is := waiting(s); is != was || was == "[]" {
				t.Errorf("waits %s, and before %s", is, was)
			}
			if m, err := s.Mark(t.Context(), source); err != nil || m.Offset != 7 {
				t.Errorf("it was read as far as %+v, %v", m, err)
			}
			if s.Damaged() != path+store.Damaged {
				t.Errorf("moved to %q", s.Damaged())
			}
		})
	}
}
