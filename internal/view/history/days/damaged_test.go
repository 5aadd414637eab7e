package days

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
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
			if where := s.SetAside(); !slices.Equal(where, []string{path + store.Damaged}) {
				t.Errorf("moved to %q", where)
			}
		})
	}
}

// What a disk does to the file of a day.
var damages = map[string]func(path string) error{
	"emptied": func(path string) error { return os.Truncate(path, 0) },
	"garbage": func(path string) error { return os.WriteFile(path, bytes.Repeat([]byte("no database\n"), 2000), 0o600) },
	"cut": func(path string) error {
		is, err := os.Stat(path)
		if err != nil {
			return err
		}
		return os.Truncate(path, is.Size()/2)
	},
	"its first page gone": func(path string) error { return overwrite(path, 0, 1) },
	"its pages mixed up":  func(path string) error { return overwrite(path, 4096, 3) },
}

// overwrite writes noise over each so many pages of a file, from an offset on.
func overwrite(path string, from int64, each int64) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	is, err := f.Stat()
	if err != nil {
		return err
	}
	noise := bytes.Repeat([]byte{0xa5, 0x5a, 7}, 1365)
	for at := from; at < is.Size(); at += each * 4096 {
		if _, err := f.WriteAt(noise, at); err != nil {
			return err
		}
		if from == 0 {
			break
		}
	}
	return f.Close()
}

// threeDays is a history of three days, the lines of each, and its files.
func threeDays(t *testing.T) (dir string, lines []history.Line, files []string) {
	t.Helper()
	dir = t.TempDir()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	for i, l := range story() {
		if i%8 == 0 {
			lines = append(lines, l)
		}
	}
	if err := errors.Join(s.Add(t.Context(), lines, source, history.Mark{File: "f", Offset: 7}), s.Close()); err != nil {
		t.Fatal(err)
	}
	files, err = filepath.Glob(filepath.Join(dir, "*.detail.db"))
	if err != nil || len(files) < 3 {
		t.Fatal(files, err)
	}
	return dir, lines, files
}

// kept is what all questions are answered with: how many attempts are counted, found and refused.
func kept(t *testing.T, s *Store) (counted, found, refused int64) {
	t.Helper()
	sums, err := s.Counts(t.Context(), history.CountsOf{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range sums {
		counted += c.Attempts
	}
	shapes, _, err := s.Shapes(t.Context(), history.Filter{}, history.Page{})
	if err != nil {
		t.Fatal(err)
	}
	for _, is := range shapes {
		refused += is.Count
	}
	var page history.Page
	for {
		some, next, err := s.Attempts(t.Context(), history.Filter{}, page)
		if err != nil {
			t.Fatal(err)
		}
		if found += int64(len(some)); next == "" {
			break
		}
		page.After = next
	}
	mails, _, err := s.Mails(t.Context(), history.Filter{Recipient: "@x1.example"}, history.Page{})
	if err != nil || len(mails) == 0 {
		t.Fatalf("%d mails, %v", len(mails), err)
	}
	_, _, err = s.Events(t.Context(), history.EventsOf{}, history.Page{})
	_, err2 := s.Times(t.Context(), history.TimesOf{Phase: "dot"})
	_, err3 := s.Session(t.Context(), mails[0].Attempts[0].Session)
	if err := errors.Join(err, err2, err3); err != nil {
		t.Fatal(err)
	}
	return counted, found, refused
}

// Where the file of a day is damaged the others are asked, and it is said which one is left out. Who writes sets it aside and goes on, and what is imported
// makes the day anew.
func TestADamagedDayIsLeftOutAndMadeAnew(t *testing.T) {
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			dir, lines, files := threeDays(t)
			of, bad := dayOf(lines[0].Entry.At)+1, int64(0)
			for _, l := range lines {
				if dayOf(l.Entry.At) == of {
					bad++
				}
			}
			if err := damage(files[1]); err != nil {
				t.Fatal(err)
			}
			reads, err := Read(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer reads.Close()
			if counted, found, _ := kept(t, reads); counted != int64(len(lines))-bad || found != counted {
				t.Errorf("who reads counts %d and finds %d of %d, %d of which are damaged", counted, found, len(lines), bad)
			}
			if st, err := reads.Status(t.Context()); err != nil || !slices.Equal(st.Damaged, []string{filepath.Base(files[1])}) {
				t.Errorf("%q is said to be damaged, %v", st.Damaged, err)
			}
			s, err := Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			madeAnew(t, s, lines, files[1])
		})
	}
}

// madeAnew has a history take in all lines again, one call of which may find that the day is damaged.
func madeAnew(t *testing.T, s *Store, lines []history.Line, path string) {
	t.Helper()
	errs := 0
	for range 2 {
		if err := s.Add(t.Context(), lines, source, history.Mark{File: "f", Offset: 8}); err != nil {
			errs++
			if !errors.Is(err, store.ErrDamaged) || !strings.Contains(err.Error(), path+store.Damaged) {
				t.Errorf("it does not say what to do: %v", err)
			}
		}
	}
	if errs > 1 {
		t.Errorf("%d errors", errs)
	}
	if counted, found, refused := kept(t, s); counted != int64(len(lines)) || found != counted || refused == 0 {
		t.Errorf("made anew: %d counted, %d found, %d refused of %d", counted, found, refused, len(lines))
	}
	if st, err := s.Status(t.Context()); err != nil || !slices.Equal(st.Damaged, []string{filepath.Base(path) + store.Damaged}) {
		t.Errorf("%q is said to be damaged, %v", st.Damaged, err)
	}
	if _, err := s.Prune(t.Context(), lines[len(lines)-1].Entry.At.AddDate(0, 0, 20), history.Keep{Detail: 14 * aDay}); err != nil {
		t.Fatal(err)
	}
	if st, err := s.Status(t.Context()); err != nil || len(st.Damaged) > 0 {
		t.Errorf("%q is kept longer than the day would be, %v", st.Damaged, err)
	}
}

// Of a day with a block of lines that cannot be unpacked the other lines are found, and go on into the file with less.
func TestABlockThatIsDamagedCostsItsOwnLinesAlone(t *testing.T) {
	dir, lines, files := threeDays(t)
	db, err := sql.Open("sqlite", files[1])
	if err != nil {
		t.Fatal(err)
	}
	_, err = db.ExecContext(t.Context(), "UPDATE day_block SET data = x'00ff' WHERE id = (SELECT max(id) FROM day_block)")
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	counted, found, _ := kept(t, s)
	if counted != int64(len(lines)) || found == counted || found == 0 {
		t.Errorf("%d counted, %d found of %d", counted, found, len(lines))
	}
	if st, err := s.Status(t.Context()); err != nil || !slices.Equal(st.Damaged, []string{filepath.Base(files[1])}) {
		t.Errorf("%q is said to be damaged, %v", st.Damaged, err)
	}
	if _, err := s.Prune(t.Context(), lines[len(lines)-1].Entry.At.AddDate(0, 0, 20), history.Keep{Detail: 14 * aDay}); err != nil {
		t.Fatal(err)
	}
	if counted, less, _ := kept(t, s); counted != int64(len(lines)) || less == 0 || less >= found {
		t.Errorf("with less: %d counted, %d found", counted, less)
	}
}
