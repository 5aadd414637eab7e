package keep

import (
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"kanmon/internal/store"
)

// A rig is a memory of texts and numbers, owned by who stands before the slash, with a clock of its own.
type rig struct {
	now     time.Time
	options Options[string, int]
}

func newRig(most int) *rig {
	r := &rig{now: time.Now()}
	r.options = Options[string, int]{
		Most: most, Life: time.Hour, Owner: func(k string) string { owner, _, _ := strings.Cut(k, "/"); return owner },
		Encode: func(k string, v int) (string, string) { return k, strconv.Itoa(v) },
		Decode: func(k, v string) (string, int, bool) { n, err := strconv.Atoi(v); return k, n, err == nil },
		Clock:  func() time.Time { return r.now },
	}
	return r
}

func (r *rig) open(t *testing.T) *Memory[string, int] {
	t.Helper()
	m, err := New(r.options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	return m
}

func database(t *testing.T, path string) *store.File {
	t.Helper()
	db, err := store.Open(path, time.Second, store.Schema{Part: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func TestEntriesLiveForALife(t *testing.T) {
	r := newRig(10)
	m := r.open(t)
	m.Put("a/x", 1)
	r.now = r.now.Add(59 * time.Minute)
	if v, put, found := m.Get("a/x"); v != 1 || !found || r.now.Sub(put) != 59*time.Minute {
		t.Errorf("after 59 minutes: %d, put %s, %t", v, put, found)
	}
	m.Put("a/x", 2)
	r.now = r.now.Add(59 * time.Minute)
	if v, _, found := m.Get("a/x"); v != 2 || !found {
		t.Errorf("59 minutes after it was put again: %d, %t", v, found)
	}
	r.now = r.now.Add(time.Minute)
	if v, _, found := m.Get("a/x"); found || m.Len() != 0 {
		t.Errorf("after an hour: %d, %t, %d entries", v, found, m.Len())
	}
	m.Put("a/x", 3)
	if m.Drop("a/x"); m.Len() != 0 {
		t.Error("dropped, and there")
	}
	var none *Memory[string, int]
	none.Put("a/x", 1)
	none.Drop("a/x")
	if _, _, found := none.Get("a/x"); found || none.Close() != nil {
		t.Error("the nil memory has something")
	}
}

// However much one owner puts, the next one finds room, and nobody's entries but the greedy one's are lost.
func TestOneOwnerCannotFillIt(t *testing.T) {
	m := newRig(100).open(t)
	for i := range 10_000 {
		m.Put(fmt.Sprintf("greedy/%d", i), i)
	}
	if n := m.Len(); n != 100 {
		t.Errorf("alone it has %d of 100", n)
	}
	for owner := range 5 {
		for i := range 4 {
			m.Put(fmt.Sprintf("o%d/%d", owner, i), i)
		}
	}
	for i := range 10_000 {
		m.Put(fmt.Sprintf("greedy/again%d", i), i)
	}
	for owner := range 5 {
		for i := range 4 {
			if _, _, found := m.Get(fmt.Sprintf("o%d/%d", owner, i)); !found {
				t.Errorf("entry %d of owner %d is lost", i, owner)
			}
		}
	}
	if _, _, found := m.Get("greedy/again9999"); !found {
		t.Error("the greedy one has lost his last one instead of his first")
	}
	for owner := range 1000 { // more owners than there is room for
		m.Put(fmt.Sprintf("many%d/x", owner), owner)
		if n := m.Len(); n > 100 {
			t.Fatalf("%d entries, want at most 100", n)
		}
	}
}

func TestWhatIsUsedStays(t *testing.T) {
	r := newRig(3)
	r.options.Owner = nil
	m := r.open(t)
	for i, k := range []string{"a", "b", "c"} {
		m.Put(k, i)
	}
	m.Get("a")
	m.Put("d", 3)
	for k, want := range map[string]bool{"a": true, "b": false, "c": true, "d": true} {
		if _, _, found := m.Get(k); found != want {
			t.Errorf("%s: there %t, want %t", k, found, want)
		}
	}
}

// What was put is there after a restart, with its age; what was dropped is not.
func TestSurvivesTheProcess(t *testing.T) {
	r, path := newRig(1000), filepath.Join(t.TempDir(), "state.db")
	table, err := NewTable(database(t, path), "test_words", 1)
	if err != nil {
		t.Fatal(err)
	}
	r.options.Store = table
	first := r.open(t)
	for i := range 700 { // more than one batch
		first.Put(fmt.Sprintf("a/%d", i%350), i)
	}
	first.Drop("a/0")
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	r.now = r.now.Add(40 * time.Minute)
	second := r.open(t)
	if v, _, found := second.Get("a/1"); v != 351 || !found || second.Len() != 349 {
		t.Errorf("after a restart: %d, %t, %d entries", v, found, second.Len())
	}
	if _, _, found := second.Get("a/0"); found {
		t.Error("what was dropped is back")
	}
	r.now = r.now.Add(20 * time.Minute)
	if _, _, found := second.Get("a/1"); found {
		t.Error("a restart has made it younger")
	}
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	third := r.open(t)
	if third.Len() != 0 {
		t.Errorf("%d entries that are too old", third.Len())
	}
	if err := third.Close(); err != nil { // it has their rows deleted
		t.Fatal(err)
	}
	if rows, _, err := table.Load(); len(rows) != 0 || err != nil {
		t.Errorf("%d rows (%v) of entries that are too old", len(rows), err)
	}
}

// Rows of a wrong type, huge ones, and such as no kanmon writes are left out and counted; of a time to come they are of now.
//
// law: B-state
func TestStrangeRows(t *testing.T) {
	r, db := newRig(10), database(t, filepath.Join(t.TempDir(), "state.db"))
	table, err := NewTable(db, "test_words", 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range [][3]any{
		{"a/good", "7", r.now.UnixMilli()},
		{"a/future", "8", r.now.Add(100 * 366 * 24 * time.Hour).UnixMilli()},
		{"a/old", "9", int64(-1 << 62)},
		{"a/no-time", "1", "NaN"},
		{"a/blob", []byte{0, 1, 2}, r.now.UnixMilli()},
		{"a/word", "word", r.now.UnixMilli()},
		{"a/huge", strings.Repeat("9", 100_000), r.now.UnixMilli()},
		{strings.Repeat("a", 100_000), "1", r.now.UnixMilli()},
	} {
		if _, err := db.Exec("INSERT INTO test_words_1 VALUES (?, ?, ?)", row[0], row[1], row[2]); err != nil {
			t.Fatal(err)
		}
	}
	_, ignored, err := table.Load()
	if err != nil || ignored != 4 {
		t.Errorf("%d left out (%v), want 4", ignored, err)
	}
	r.options.Store = table
	m := r.open(t)
	if v, _, _ := m.Get("a/good"); v != 7 || m.Len() != 2 {
		t.Errorf("%d, %d entries", v, m.Len())
	}
	r.now = r.now.Add(time.Hour)
	if _, _, found := m.Get("a/future"); found {
		t.Error("what comes from the future lives for longer than anything else")
	}
}

// deafStore is a disk that is full, until it is not.
type deafStore struct{ full atomic.Bool }

func (*deafStore) Load() ([]Row, int, error) { return nil, 0, nil }
func (s *deafStore) Save([]Row) error {
	if s.full.Load() {
		return errors.New("disk full")
	}
	return nil
}
func (*deafStore) String() string { return "deaf" }

func TestFullDisk(t *testing.T) {
	r, disk := newRig(10), &deafStore{}
	disk.full.Store(true)
	r.options.Store = disk
	m := r.open(t)
	m.Put("a/x", 1)
	if _, err := m.saveAll(); err == nil {
		t.Error("written to a full disk")
	}
	if v, _, found := m.Get("a/x"); v != 1 || !found {
		t.Error("it is forgotten, because the disk is full")
	}
	disk.full.Store(false)
	if n, err := m.saveAll(); n != 1 || err != nil {
		t.Errorf("once there is room: %d written, %v", n, err)
	}
	m.Put("a/x", 1)
	if n, err := m.saveAll(); n != 0 || err != nil {
		t.Errorf("the same one, put again at once: %d written, %v", n, err)
	}
}

func TestTableName(t *testing.T) {
	db := database(t, filepath.Join(t.TempDir(), "state.db"))
	for _, name := range []string{"", "a b", "a;drop", "A"} {
		if _, err := NewTable(db, name, 1); !errors.Is(err, ErrName) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// A table that is not as it was made is a damaged file, which is named.
func TestAnotherTableOfThatName(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	db := database(t, path)
	if _, err := db.Exec("CREATE TABLE test_words_1 (x TEXT)"); err != nil {
		t.Fatal(err)
	}
	table, err := NewTable(db, "test_words", 1)
	if err == nil {
		_, _, err = table.Load()
	}
	if !errors.Is(err, store.ErrDamaged) || !strings.Contains(err.Error(), path+": ") || !strings.Contains(err.Error(), "kanmon restore") {
		t.Errorf("%v", err)
	}
}

func TestGetDoesNotAllocate(t *testing.T) {
	m := newRig(10).open(t)
	m.Put("a/x", 1)
	if n := testing.AllocsPerRun(100, func() { m.Get("a/x"); m.Get("a/y") }); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}
