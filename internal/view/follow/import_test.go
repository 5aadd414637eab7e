package follow

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kanmon/internal/view/history"
)

// importing imports files into a rig's store.
func (r *rig) importing(files ...string) (Progress, error) {
	r.Helper()
	i := &Import{Keep: r.keep, Stdin: strings.NewReader("")}
	defer i.Close()
	if err := i.Open(files); err != nil {
		return Progress{}, err
	}
	return i.Run(context.Background())
}

func (r *rig) keep(ctx context.Context, lines []history.Line) error {
	return r.store.Add(ctx, lines, "", history.Mark{})
}

// Old files come in, however they are compressed, once, also twice, also while somebody follows what they were.
func TestImportKeepsEachLineOnce(t *testing.T) {
	r := newRig(t)
	r.write(3000)
	r.move("-1")
	r.reopen()
	r.write(50)
	r.gzip("-1")
	r.up()
	for range 2 {
		p, err := r.importing(r.path+"-1.gz", r.path)
		if err != nil || p.Records != 3050 || p.Bad != 0 || !p.Whole {
			t.Fatalf("%+v, %v", p, err)
		}
	}
	r.all()
	r.write(5)
	r.all()
}

// What is imported from standard input may be anything that can be unpacked elsewhere.
func TestImportReadsStandardInput(t *testing.T) {
	r := newRig(t)
	text := r.next() + "no record\n" + r.next() + strings.TrimSuffix(r.next(), "}\n")
	i := &Import{Keep: r.keep, Stdin: strings.NewReader(text)}
	if err := i.Open([]string{"-"}); err != nil {
		t.Fatal(err)
	}
	p, err := i.Run(context.Background())
	if n, _ := r.store.has(); err != nil || n != 2 || p.Records != 2 || p.Bad != 2 || p.First == nil {
		t.Errorf("%d lines are kept; %+v, %v", n, p, err)
	}
}

// An import of what cannot be read says what to do, before anything is imported.
func TestImportNamesWhatItCannotRead(t *testing.T) {
	r := newRig(t)
	r.write(3)
	dir := filepath.Dir(r.path)
	for _, of := range []struct{ name, want string }{
		{"none", "no such file"},
		{"a.xz", "xzcat FILE | kanmon history import -"},
		{"b.gz", "b.gz: "},
		{"c.zst", "c.zst: behind octet 0"}, // whose beginning is looked at when it is read
	} {
		name, want := of.name, of.want
		path := filepath.Join(dir, name)
		if name != "none" {
			if err := os.WriteFile(path, []byte("this is not compressed at all"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		_, err := r.importing(r.path, path)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want it to say %q", name, err, want)
		}
		if n, _ := r.store.has(); n != 0 && name != "c.zst" {
			t.Errorf("%s: %d lines were imported", name, n)
		}
	}
	whole := gzipped(t, []byte(strings.Repeat(r.next(), 5000)))
	cut := filepath.Join(dir, "cut.gz")
	if err := os.WriteFile(cut, whole[:len(whole)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := r.importing(cut); err == nil || !strings.Contains(err.Error(), "cut.gz: behind octet") {
		t.Errorf("half a file: %v", err)
	}
}

// An import ends where it is interrupted, or nothing can be kept.
func TestImportEndsWhenItMust(t *testing.T) {
	r := newRig(t)
	r.write(2 * mostLines)
	ctx, cancel := context.WithCancel(context.Background())
	i := &Import{Keep: func(_ context.Context, lines []history.Line) error {
		defer cancel()
		return r.keep(ctx, lines)
	}}
	if err := i.Open([]string{r.path}); err != nil {
		t.Fatal(err)
	}
	defer i.Close()
	if p, err := i.Run(ctx); !errors.Is(err, context.Canceled) || p.Records != mostLines {
		t.Errorf("%+v, %v", p, err)
	}
	r.store.fail(errors.New("no space left on device"))
	if _, err := r.importing(r.path); err == nil || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("%v", err)
	}
}

// While a process keeps history, it keeps what others import, and prunes for them.
func TestAKeeperTakesInWhatOthersImport(t *testing.T) {
	r := newRig(t)
	k := &Keeper{Store: r.store, Dir: t.TempDir(), Gateways: []string{"gw1"}, Log: slog.New(slog.DiscardHandler)}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); k.Run(ctx) }()
	defer func() { cancel(); <-ended }()
	r.write(5000)
	r.raw("no record\n")
	remote := NewRemote(k.Dir)
	r.until(func() bool { _, err := remote.Prune(context.Background()); return err == nil })
	i := &Import{Keep: remote.Keep}
	if err := i.Open([]string{r.path}); err != nil {
		t.Fatal(err)
	}
	defer i.Close()
	p, err := i.Run(context.Background())
	if err != nil || p.Records != 5000 || p.Bad != 1 {
		t.Fatalf("%+v, %v", p, err)
	}
	r.wants()
	if r.store.bad != 1 {
		t.Errorf("%d lines are bad, want 1", r.store.bad)
	}
	r.store.fail(errors.New("no space left on device"))
	if err := remote.Keep(context.Background(), nil); err == nil || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("%v", err)
	}
}

// How far history is behind is the time between the newest line that is written and the newest that is kept.
func TestLagIsFromTheNewestWrittenToTheNewestKept(t *testing.T) {
	r := newRig(t)
	if l := LagOf(r.path, history.Mark{}); l.Behind != 0 || l.Err != nil || !l.Written.IsZero() {
		t.Errorf("of nothing: %+v", l)
	}
	r.write(10)
	kept := time.Date(2026, 11, 30, 9, 0, 4, 0, time.UTC)
	r.raw(`{"type":"heart`)
	if l := LagOf(r.path, history.Mark{At: kept}); l.Behind != 6*time.Second {
		t.Errorf("behind %v, want 6 s", l.Behind)
	}
	if l := LagOf(r.path, history.Mark{}); l.Behind != 9*time.Second {
		t.Errorf("where nothing is kept: behind %v, want 9 s", l.Behind)
	}
	if l := LagOf(r.path, history.Mark{At: kept.Add(time.Hour)}); l.Behind != 0 {
		t.Errorf("behind %v, where more is kept than is written", l.Behind)
	}
	if l := LagOf(r.path+"-none", history.Mark{At: kept}); l.Err == nil {
		t.Error("of a file that is not there")
	}
}

// A file that is gone is what a rotation leaves, until the next record comes a minute later; behind that something is wrong.
func TestAFileThatIsGoneIsNotNormalForLong(t *testing.T) {
	r := newRig(t)
	path := r.path + "-gone"
	for age, normal := range map[time.Duration]bool{time.Minute: true, Late + time.Minute: false} {
		r.store.marks = map[string]history.Mark{path: {At: time.Now().Add(-age)}}
		l, err := Lags(t.Context(), r.store, []string{path})
		if err != nil {
			t.Fatal(err)
		}
		if (l[0].Err == nil) != normal {
			t.Errorf("behind %s: %v", age, l[0].Err)
		}
	}
}

// What Prometheus is told is true: how far it is, what was lost, what came of first attempts.
func TestMetricsTellHowHistoryGoes(t *testing.T) {
	r := newRig(t)
	r.write(10)
	r.raw(`{"type":"dropped","at":"2026-11-30T09:00:11Z","time":"2026-11-30T09:00:11Z","records":7,"gateway":"gw1","run":"x","line":1}` + "\nno record\n")
	r.store.counts = []history.Count{
		{Provider: "google", Outcome: "delivered", Attempts: 9, First: 5},
		{Provider: "", Outcome: "deferred", Attempts: 3, First: 2},
	}
	r.up()
	r.until(func() bool { return r.f.counts.bad.Load() == 1 })
	r.down()
	r.raw(r.next())
	k := &Keeper{Store: r.store, Dir: filepath.Dir(r.path), Records: []string{r.path}, followers: []*Follower{r.f}}
	w := httptest.NewRecorder()
	k.Handler(time.Now()).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	for _, want := range []string{
		"kanmon_history_rows_total 11", "kanmon_history_gap_records_total 7", "kanmon_history_bad_lines_total 1", "kanmon_history_bytes 4096", "kanmon_history_shortened 0",
		`kanmon_first_attempts_total{outcome="delivered",provider="google"} 5`, `kanmon_first_attempts_total{outcome="deferred",provider="unknown"} 2`,
		"kanmon_history_lag_seconds 0",
	} {
		if !strings.Contains(w.Body.String(), "\n"+want+"\n") {
			t.Errorf("no %s in\n%s", want, w.Body)
		}
	}
}

// More providers than have a name are one, and who has one keeps it.
func TestNamesInMetricsAreBounded(t *testing.T) {
	m := &meter{names: map[string]bool{}}
	for i := range 100 {
		m.named(strings.Repeat("x", i+1))
	}
	if m.named("x") != "x" || m.named("new") != "other" || len(m.names) != mostProviders {
		t.Errorf("%d names, x is %q, new is %q", len(m.names), m.named("x"), m.named("new"))
	}
}
