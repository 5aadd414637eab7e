package notify

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"kanmon/internal/store"
)

// History, and the page behind it, do not end with the state of what tells people: it is put aside, and begun anew.
func TestADamagedStateIsPutAside(t *testing.T) {
	garbage := bytes.Repeat([]byte("no database\n"), 2000)
	damages := map[string]func(path string) error{
		"emptied": func(path string) error { return os.Truncate(path, 0) },
		"garbage": func(path string) error { return os.WriteFile(path, garbage, 0o600) },
		"a page overwritten": func(path string) error {
			f, err := os.OpenFile(path, os.O_WRONLY, 0)
			if err == nil {
				_, err = f.WriteAt(garbage[:4096], 2*4096)
			}
			return err
		},
		"a table that is not ours": func(path string) error {
			f, err := store.Open(path, time.Second, schema)
			if err != nil {
				return err
			}
			_, err = f.Exec("ALTER TABLE notify_heard RENAME COLUMN line TO other")
			return errors.Join(err, f.Close())
		},
	}
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			inTime(t, func(r *rig) {
				path := filepath.Join(r.folder, FileName)
				for range 2 {
					r.hear(standing("suspended"))
					r.wants(10*time.Second, "ip.suspended")
					r.end()
					if err := damage(path); err != nil {
						t.Fatal(err)
					}
					was, err := os.ReadFile(path)
					if err != nil {
						t.Fatal(err)
					}
					r.begin()
					if is, err := os.ReadFile(path + store.Damaged); err != nil || !bytes.Equal(is, was) {
						t.Errorf("what was put aside is not what was there: %v", err)
					}
				}
				if all, err := filepath.Glob(filepath.Join(r.folder, FileName+".*")); err != nil || len(all) != 1 {
					t.Errorf("%q, %v: want one that was put aside", all, err)
				}
			})
		})
	}
}
