package slow

import (
	"path/filepath"
	"testing"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/store"
	"kanmon/internal/store/keep"
)

// What is usual is in the file of the standing, and read from there.
func TestWhatIsUsualIsInAFile(t *testing.T) {
	path, now := filepath.Join(t.TempDir(), "standing.db"), time.Now()
	within := func(do func(w *Watch)) {
		t.Helper()
		file, err := store.Open(path, time.Second, store.Schema{Part: "test", Steps: []string{"CREATE TABLE test (x TEXT)"}})
		if err != nil {
			t.Fatal(err)
		}
		table, err := keep.NewTable(file, "learnt_times", 1)
		if err != nil {
			t.Fatal(err)
		}
		w := New(Options{Store: table, Clock: func() time.Time { return now }})
		w.Configure(Settings{})
		do(w)
		if err := w.Close(); err != nil {
			t.Error(err)
		}
		if err := file.Close(); err != nil {
			t.Error(err)
		}
	}
	k := Key{mx.Addr(), google}
	within(func(w *Watch) {
		for range 40 {
			now = now.Add(time.Minute)
			f := aMail()
			f.Session.SendingIP = k.IP
			f.Transaction.Data = event.Reply{Code: 354, Took: 1000}
			var s sample
			if !s.ofMail(f) {
				t.Fatal("no mail")
			}
			w.mu.Lock()
			w.take(&s)
			w.mu.Unlock()
		}
	})
	within(func(w *Watch) {
		w.mu.Lock()
		defer w.mu.Unlock()
		if v, known := w.detector.Look(k.IP.String(), google); !known || !v.History || v.Mails != 40 {
			t.Errorf("known %v: %+v", known, v)
		}
	})
}
