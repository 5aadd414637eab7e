package standing

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	file "kanmon/internal/store"
)

// childEnv makes this binary a process that is there to be killed.
const childEnv = "STANDING_TEST_CHILD"

func TestMain(m *testing.M) {
	if path := os.Getenv(childEnv); path != "" {
		if err := child(path); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

func child(path string) error {
	store, err := OpenSQLite(path)
	if err != nil {
		return err
	}
	b, err := New(Options{Store: store})
	if err != nil {
		return err
	}
	b.Observe(listing("google"))
	if err := b.Stop(key(Every), "being killed", "test"); err != nil {
		return err
	}
	time.Sleep(SaveEvery + 500*time.Millisecond)
	fmt.Println("written")
	_, err = os.Stdin.Read(make([]byte, 1)) // until killed, or until the test is gone
	return err
}

func TestKilledProcessLosesNoSuspension(t *testing.T) {
	path := filepath.Join(t.TempDir(), "standing.db")
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), childEnv+"="+path)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err := errors.Join(err, cmd.Process.Kill()); err != nil || line != "written\n" {
		t.Errorf("child: %q, %v", line, err)
	}
	if err := cmd.Wait(); err == nil {
		t.Error("the child was not killed")
	}

	r := newRig(t, Options{Store: open(t, path), Clock: time.Now})
	if p := r.wantMay(key("yahoo"), No); p.State != Stopped || p.Why != "being killed" {
		t.Errorf("permit: %+v", p)
	}
	if err := r.Resume(key(Every), ""); err != nil {
		t.Fatal(err)
	}
	if p := r.wantMay(key("google"), No); p.State != Suspended {
		t.Errorf("permit: %+v", p)
	}
	r.wantMay(key("yahoo"), Yes)
}

// law: I21
//
// Who is told that it is done can pull the plug: what a person ordered is in the file when the call returns, whatever the order was.
func TestOrderIsKeptBeforeItIsSaid(t *testing.T) {
	path := filepath.Join(t.TempDir(), "standing.db")
	r := newRig(t, Options{Store: open(t, path), Clock: time.Now})
	file := open(t, path)
	states := func() string {
		all, err := file.Load()
		if err != nil {
			t.Fatal(err)
		}
		var list []string
		for _, s := range all {
			list = append(list, s.Provider+" "+s.State.String())
		}
		slices.Sort(list)
		return strings.Join(list, ", ")
	}
	for _, order := range []struct {
		do   func() error
		want string
	}{
		{func() error { return r.Suspend(key("google"), time.Now().Add(time.Hour), "looks odd", "eve") }, "google suspended"},
		{func() error { return r.Stop(key("google"), "sure now", "eve") }, "google stopped"},
		{func() error { return r.Stop(key(Every), "all of it", "eve") }, "* stopped, google stopped"},
		{func() error { return r.Resume(key("google"), "eve") }, "* stopped"},
		{func() error { return r.Resume(key(Every), "eve") }, ""},
	} {
		if err := order.do(); err != nil {
			t.Fatal(err)
		}
		if got := states(); got != order.want {
			t.Errorf("the file has %q, want %q", got, order.want)
		}
	}
}

// law: I21
//
// A disk that takes nothing: the order holds in this process, and its giver hears that it is not kept. It is written when that can be.
func TestOrderThatIsNotKeptIsSaidSo(t *testing.T) {
	store := open(t, filepath.Join(t.TempDir(), "standing.db"))
	if _, err := store.db.Exec("PRAGMA max_page_count = 1"); err != nil { // as many as it has
		t.Fatal(err)
	}
	r := newRig(t, Options{Store: store, Clock: time.Now})
	var err error
	for i := range 100 { // the first ones may find room in pages that are there
		if err = r.Stop(key(fmt.Sprint("mx:", i)), strings.Repeat("x", maxName), "eve"); err != nil {
			r.wantMay(key(fmt.Sprint("mx:", i)), No)
			break
		}
	}
	if !errors.Is(err, ErrNotKept) {
		t.Fatalf("error: %v, want %v", err, ErrNotKept)
	}
	if _, err := store.db.Exec("PRAGMA max_page_count = 100000"); err != nil {
		t.Fatal(err)
	}
	if err := r.Stop(key("later"), "there is room", "eve"); err != nil {
		t.Error(err)
	}
}

func open(t *testing.T, path string) *SQLite {
	t.Helper()
	store, err := OpenSQLite(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return store
}

func TestStoreGivesBackWhatItWasGiven(t *testing.T) {
	path := filepath.Join(t.TempDir(), "odd name?#%20.db")
	store := open(t, path)
	want := []Standing{
		{
			Key: key("google"), State: Suspended, Since: start, Until: start.Add(2 * time.Hour), Reason: "why", Rule: "rule", Sample: "550 'x\"; é",
			Lists: []List{sbl, {Name: "theirs", Confirmed: true}}, Strikes: 3, Length: 2 * time.Hour, By: ByEvidence,
		},
		{Key: Key{elsewhere, Every}, State: Stopped, Since: start.Add(time.Second), By: "operator alice"},
		{Key: key("yahoo"), State: Slowed, Since: start.Add(2 * time.Second), Until: start.Add(time.Hour), Share: 0.3, By: ByNetblock},
		{Key: key("orange"), State: Active, Since: start.Add(3 * time.Second), Share: 1, Strikes: 1, Length: time.Hour},
	}
	for range 2 { // replaced, not added
		if err := store.Save(append(want, Standing{Key: key("blank")})); err != nil {
			t.Fatal(err)
		}
	}
	got, err := store.Load()
	if err != nil {
		t.Fatal(err)
	}
	opt := cmp.Options{
		cmp.Comparer(func(a, b time.Time) bool { return a.Equal(b) }), cmp.Comparer(func(a, b Key) bool { return a == b }),
	}
	if diff := cmp.Diff(want, got, opt); diff != "" {
		t.Error(diff)
	}
	if err := store.Save([]Standing{{Key: key("google"), State: Active}, {Key: key("yahoo")}}); err != nil {
		t.Fatal(err)
	}
	if got, err = store.Load(); err != nil || len(got) != 2 {
		t.Errorf("%v, %v", got, err)
	}
	if fi, err := os.Stat(path); err != nil || fi.Mode().Perm()&0o007 != 0 {
		t.Errorf("mode %v, %v", fi.Mode(), err)
	}
}

func TestRestartKeepsWhatWas(t *testing.T) {
	path := filepath.Join(t.TempDir(), "standing.db")
	store := open(t, path)
	r := suspended(t, Options{Store: store})
	r.Observe(tooFast("yahoo"))
	r.Observe(tooFast("yahoo"))
	r.Pass(2 * time.Hour)
	r.wantMay(key("google"), Probe)
	r.Observe(listing("google"))
	if err := r.Suspend(key(Every), r.Now().Add(time.Minute), "", "alice"); err != nil {
		t.Fatal(err)
	}
	want := r.List()
	if err := errors.Join(r.Close(), store.Close()); err != nil {
		t.Fatal(err)
	}
	again := newRigAt(t, Options{Store: open(t, path)}, r.Now())
	opt := cmp.Options{
		cmp.Comparer(func(a, b time.Time) bool { return a.Equal(b) }), cmp.Comparer(func(a, b Key) bool { return a == b }),
		cmp.Transformer("list", func(l []List) int { return len(l) }),
	}
	if diff := cmp.Diff(want, again.List(), opt); diff != "" || len(want) != 3 {
		t.Error(diff, want)
	}
	again.Pass(4 * time.Hour)
	again.wantMay(key("google"), Probe)
	again.Observe(listing("google"))
	again.want(key("google"), Suspended, 0, 8*time.Hour) // strikes are kept, too
}

// A row that cannot be read is said at once, with its file and what people can do: what it says would else be forgotten.
func TestUnreadableRowsAreSaidAtOnce(t *testing.T) {
	dir := t.TempDir()
	edit := func(name, statement string) string {
		path := filepath.Join(dir, name)
		store := open(t, path)
		if err := store.Save([]Standing{{Key: key("google"), State: Stopped}}); err != nil {
			t.Fatal(err)
		}
		if _, err := store.db.Exec(statement); err != nil {
			t.Fatal(err)
		}
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for i, s := range []string{"ip = 'x'", "state = 'asleep'", "lists = '{'", "since_ms = 'soon'"} {
		path := edit(fmt.Sprintf("row%d.db", i), "UPDATE standing_key SET "+s)
		_, err := New(Options{Store: open(t, path)})
		if !errors.Is(err, file.ErrDamaged) || !strings.Contains(err.Error(), path+": ") || !strings.Contains(err.Error(), "kanmon restore") {
			t.Errorf("%s: %v", s, err)
		}
	}
	path := edit("table.db", "DROP TABLE standing_key")
	if _, err := New(Options{Store: open(t, path)}); !errors.Is(err, file.ErrDamaged) || !strings.Contains(err.Error(), path+": ") {
		t.Errorf("no table: %v", err)
	}
}

// syncBuffer is a log that two goroutines may use.
type syncBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func (b *syncBuffer) text() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.String()
}

// law: I14
//
// The disk is full: logged, and written when there is room again.
func TestFullDisk(t *testing.T) {
	store := open(t, filepath.Join(t.TempDir(), "standing.db"))
	if _, err := store.db.Exec("PRAGMA max_page_count = 1"); err != nil { // as many as it has
		t.Fatal(err)
	}
	var log syncBuffer
	r := newRig(t, Options{Store: store, Clock: time.Now, Log: slog.New(slog.NewTextHandler(&log, nil))})
	for i := range 300 { // more than a batch
		ev := listing(fmt.Sprint("mx:", i))
		ev.Sample = strings.Repeat("x", maxSample)
		r.Observe(ev)
	}
	for range 200 { // 10 s at most
		if strings.Contains(log.text(), "standings not written") {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	if text := log.text(); !strings.Contains(text, "standings not written") || !strings.Contains(text, "full") {
		t.Fatalf("log: %s", text)
	}
	r.wantMay(key("mx:0"), No)
	if _, err := store.db.Exec("PRAGMA max_page_count = 100000"); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if all, err := store.Load(); err != nil || len(all) != 300 {
		t.Errorf("%d stored, %v", len(all), err)
	}
}

// law: I14
//
// Another process holds the file's lock: nothing running is affected, and it is written when the lock is gone.
func TestLockedFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "standing.db")
	store := open(t, path)
	var log syncBuffer
	r := newRig(t, Options{Store: store, Clock: time.Now, Log: slog.New(slog.NewTextHandler(&log, nil))})
	other, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	conn, err := other.Conn(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.ExecContext(t.Context(), "BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	r.Observe(listing("google"))
	for i := range 400 { // 20 s at most
		begin := time.Now()
		r.wantMay(key("google"), No)
		r.Observe(listing(fmt.Sprint("mx:", i)))
		if took := time.Since(begin); took > time.Second {
			t.Fatalf("calls waited %v for the disk", took)
		}
		if strings.Contains(log.text(), "standings not written") {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	if !strings.Contains(log.text(), "standings not written") {
		t.Fatalf("log: %s", log.text())
	}
	if _, err := conn.ExecContext(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if all, err := store.Load(); err != nil || len(all) != len(r.List()) {
		t.Errorf("%d stored, %d known, %v", len(all), len(r.List()), err)
	}
}
