package follow

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"kanmon/internal/view/history"
)

// A fakeStore keeps lines in memory, as any Store does.
type fakeStore struct {
	history.Store
	mu    sync.Mutex
	lines map[history.Key]int // how often each came
	order []history.Key
	marks map[string]history.Mark
	bad   int
	fails error

	counts []history.Count
}

func newFake() *fakeStore {
	return &fakeStore{lines: map[history.Key]int{}, marks: map[string]history.Mark{}}
}

func (s *fakeStore) Add(_ context.Context, lines []history.Line, source string, read history.Mark) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fails != nil {
		return s.fails
	}
	for _, l := range lines {
		if l.Entry == nil {
			s.bad++
			continue
		}
		key := history.Key{Gateway: l.Entry.Gateway, Run: l.Entry.Run, Line: l.Entry.Line}
		if s.lines[key]++; s.lines[key] == 1 {
			s.order = append(s.order, key)
		}
	}
	if source != "" {
		s.marks[source] = read
	}
	return nil
}

func (s *fakeStore) Mark(_ context.Context, source string) (history.Mark, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.marks[source], s.fails
}

func (s *fakeStore) Status(context.Context) (history.Status, error) {
	return history.Status{Octets: 4096}, nil
}

func (s *fakeStore) Counts(context.Context, history.CountsOf) ([]history.Count, error) {
	return s.counts, nil
}

func (s *fakeStore) Prune(context.Context, time.Time, history.Keep) (history.Pruned, error) {
	return history.Pruned{Detail: 1}, nil
}

func (s *fakeStore) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fails = err
}

// has gives how many lines there are, and how many came more than once.
func (s *fakeStore) has() (lines, again int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range s.lines {
		if n > 1 {
			again++
		}
	}
	return len(s.lines), again
}

// A rig is a folder of records, and who writes and follows them.
type rig struct {
	*testing.T
	path  string
	store *fakeStore
	log   *lockedBuffer
	f     *Follower
	out   *os.File
	line  int
	run   string
	stop  func()
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{T: t, path: filepath.Join(t.TempDir(), "records.jsonl"), store: newFake(), log: new(lockedBuffer), run: "2026-11-30T09:00:00.000Z", stop: func() {}}
	t.Cleanup(func() { r.down() })
	r.reopen()
	return r
}

// up begins to follow.
func (r *rig) up(gateways ...string) {
	r.Helper()
	r.f = New(Options{Path: r.path, Store: r.store, Gateways: gateways, Log: slog.New(slog.NewTextHandler(r.log, nil))})
	r.f.gather, r.f.lookAgain, r.f.firstRetry = time.Millisecond, 20*time.Millisecond, time.Millisecond
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); r.f.Run(ctx) }()
	r.stop = func() { cancel(); <-ended }
}

func (r *rig) down() { r.stop(); r.stop = func() {} }

// reopen opens the path as kanmon does.
func (r *rig) reopen() {
	r.Helper()
	out, err := os.OpenFile(r.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o640)
	if err != nil {
		r.Fatal(err)
	}
	if r.out != nil {
		_ = r.out.Close()
	}
	r.out = out
}

// next is the next line of the run.
func (r *rig) next() string {
	r.line++
	return fmt.Sprintf("{\"type\":\"heartbeat\",\"at\":%q,\"up_ms\":1,\"gateway\":\"gw1\",\"run\":%q,\"line\":%d}\n",
		time.Date(2026, 11, 30, 9, 0, r.line, 0, time.UTC).Format(time.RFC3339), r.run, r.line)
}

func (r *rig) write(n int) {
	r.Helper()
	var all strings.Builder
	for range n {
		all.WriteString(r.next())
	}
	r.raw(all.String())
}

func (r *rig) raw(text string) {
	r.Helper()
	if _, err := r.out.WriteString(text); err != nil {
		r.Fatal(err)
	}
}

func (r *rig) move(to string) {
	r.Helper()
	if err := os.Rename(r.path, r.path+to); err != nil {
		r.Fatal(err)
	}
}

func (r *rig) gzip(name string) {
	r.Helper()
	text, err := os.ReadFile(r.path + name)
	if err != nil {
		r.Fatal(err)
	}
	if err := os.WriteFile(r.path+name+".gz", gzipped(r.T, text), 0o640); err != nil {
		r.Fatal(err)
	}
	if err := os.Remove(r.path + name); err != nil {
		r.Fatal(err)
	}
}

func gzipped(t *testing.T, text []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	_, err := z.Write(text)
	if err := errors.Join(err, z.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// copytruncate is logrotate's.
func (r *rig) copytruncate(to string) {
	r.Helper()
	text, err := os.ReadFile(r.path)
	if err == nil {
		err = os.WriteFile(r.path+to, text, 0o640)
	}
	if err == nil {
		err = os.Truncate(r.path, 0)
	}
	if err != nil {
		r.Fatal(err)
	}
}

// all waits until all lines so far are kept.
func (r *rig) all() {
	r.Helper()
	r.until(func() bool { n, _ := r.store.has(); return n == r.line })
}

// wants waits until all lines so far are kept, in order, each once.
func (r *rig) wants() {
	r.Helper()
	r.all()
	if n, again := r.store.has(); n != r.line || again > 0 {
		r.Fatalf("%d lines are kept, %d of them came again; want all %d once", n, again, r.line)
	}
	for i, key := range r.store.order {
		if key.Line != uint64(i+1) {
			r.Fatalf("line %d is kept as number %d", key.Line, i+1)
		}
	}
}

func (r *rig) until(what func() bool) {
	r.Helper()
	for end := time.Now().Add(20 * time.Second); !what(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			n, again := r.store.has()
			r.Fatalf("it does not come; %d lines of %d are kept, %d came again\n%s", n, r.line, again, r.log)
		}
	}
}

type lockedBuffer struct {
	mu   sync.Mutex
	text []byte
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.text = append(b.text, p...)
	return len(p), nil
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return string(b.text)
}
