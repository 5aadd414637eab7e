package follow

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/event/journal"
	"kanmon/internal/view/history"
	"kanmon/internal/view/history/days"
)

// keeperChild makes the test binary keep the history of a folder, of the records in the one above; keeperHow says what of its disk.
const (
	keeperChild = "KANMON_FOLLOW_KEEPER_CHILD"
	keeperHow   = "KANMON_FOLLOW_KEEPER_DISK"

	roomy = "some is left to others"
	bare  = "nothing is left to others"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(keeperChild); dir != "" {
		fmt.Fprintln(os.Stderr, runKeeper(dir, os.Getenv(keeperHow)))
		os.Exit(3)
	}
	os.Exit(m.Run())
}

func runKeeper(dir, how string) error {
	s, err := days.Open(dir)
	if err != nil {
		return err
	}
	path := filepath.Join(filepath.Dir(dir), "records.jsonl")
	if how == bare {
		New(Options{Path: path, Store: s}).Run(context.Background())
	}
	const long = 24000 * time.Hour
	(&Keeper{Store: s, Dir: dir, Records: []string{path}, Keep: history.Keep{Detail: long, Trouble: long, Counts: long}}).Run(context.Background())
	return nil
}

// A gateway is a journal that writes records and is rotated, and now and then killed.
type gateway struct {
	*testing.T
	path    string
	journal *journal.Journal
	mails   int
	rotated int
	random  *rand.Rand
}

func (g *gateway) start() {
	g.Helper()
	var err error
	g.journal, err = journal.New(journal.Options{JSON: g.path, Gateway: "gw1", Run: time.Now(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		g.Fatal(err)
	}
}

func (g *gateway) stop() {
	g.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := g.journal.Close(ctx); err != nil {
		g.Fatal(err)
	}
}

// mail tells of some, at two sides of a midnight.
func (g *gateway) mail(n int) {
	midnight := time.Now().UTC().Truncate(24 * time.Hour)
	for range n {
		g.mails++
		r := event.NewRecord()
		r.At = midnight.Add(time.Duration(g.random.IntN(7200)-3600) * time.Second)
		r.Session = event.Session{
			Arrival: event.Arrival{ID: event.ID(g.mails), Start: r.At.Add(-time.Second), Source: netip.MustParseAddrPort("192.168.30.40:57493"), Destination: netip.MustParseAddrPort("192.0.2.25:25")},
			Leg:     event.Leg{SendingIP: netip.MustParseAddr("203.0.113.10")},
		}
		t := &event.Transaction{Number: 1, Sender: r.Add([]byte("a@acme.example")), Outcome: event.OutcomeDelivered}
		t.Recipients = append(t.Recipients, event.Recipient{Address: r.Add(fmt.Appendf(nil, "b%d@example.com", g.random.IntN(300)))})
		if g.random.IntN(10) == 0 {
			t.Outcome = event.OutcomeDeferred
		}
		r.Transaction = t
		g.journal.Record(r)
	}
}

// rotate does what logrotate does, and compresses the file before the last.
func (g *gateway) rotate() {
	g.Helper()
	to := fmt.Sprintf("%s-%d", g.path, g.rotated)
	if err := os.Rename(g.path, to); err != nil {
		g.Fatal(err)
	}
	g.mail(g.random.IntN(20))
	if err := g.journal.Reopen(); err != nil {
		g.Fatal(err)
	}
	if g.rotated++; g.rotated < 2 {
		return
	}
	old := fmt.Sprintf("%s-%d", g.path, g.rotated-2)
	text, err := os.ReadFile(old)
	if err == nil {
		err = os.WriteFile(old+".gz", gzipped(g.T, text), 0o640)
	}
	if err := errors.Join(err, os.Remove(old)); err != nil {
		g.Fatal(err)
	}
}

// die leaves half a line, and begins another run.
func (g *gateway) die() {
	g.Helper()
	g.stop()
	f, err := os.OpenFile(g.path, os.O_APPEND|os.O_WRONLY|os.O_CREATE, 0o640)
	if err == nil {
		_, err = f.WriteString(`{"type":"transaction","at":"2026-`)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		g.Fatal(err)
	}
	g.start()
}

// written are the keys of all transactions in the files.
func (g *gateway) written() map[history.Key]bool {
	g.Helper()
	all := map[history.Key]bool{}
	files, err := filepath.Glob(g.path + "*")
	if err != nil {
		g.Fatal(err)
	}
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			g.Fatal(err)
		}
		var in io.Reader = bufio.NewReader(f)
		if strings.HasSuffix(name, ".gz") {
			if in, err = gzip.NewReader(in); err != nil {
				g.Fatal(err)
			}
		}
		for e, err := range event.NewReader(in).All() {
			if err == nil && e.Type == "transaction" {
				all[history.Key{Gateway: e.Gateway, Run: e.Run, Line: e.Line}] = true
			}
		}
		_ = f.Close()
	}
	return all
}

// keptIn are the keys of all attempts of a history, which has each once. While it is written there are moments in which it cannot be read.
func keptIn(t *testing.T, dir string) map[history.Key]bool {
	t.Helper()
	s, err := days.Read(dir)
	if err != nil {
		return nil
	}
	defer func() { _ = s.Close() }()
	all := map[history.Key]bool{}
	page := history.Page{Limit: history.MaxPage}
	for {
		list, next, err := s.Attempts(context.Background(), history.Filter{}, page)
		if err != nil {
			return nil
		}
		for i := range list {
			if all[list[i].Key] {
				t.Fatalf("%v is there twice", list[i].Key)
			}
			all[list[i].Key] = true
		}
		if page.After = next; next == "" {
			return all
		}
	}
}

// A process that keeps history is killed at any moment, again and again, while the records that it follows are written and rotated, and their
// writer is killed, too: at the end each record is there once, and counted once.
func TestKilledAtAnyMomentEachRecordIsKeptOnce(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	const lasts, atMost = 6 * time.Second, 3 * time.Minute // the latter where the machine has much else to do
	dir := t.TempDir()
	kept := filepath.Join(dir, "history")
	g := &gateway{T: t, path: filepath.Join(dir, "records.jsonl"), random: rand.New(rand.NewPCG(seed, 0))}
	g.start()

	random := rand.New(rand.NewPCG(seed, 1))
	var kills atomic.Int64
	over := make(chan struct{})
	killed := make(chan struct{})
	go func() {
		defer close(killed)
		for {
			p := startKeeper(t, kept, roomy)
			select {
			case <-over:
				p.kill()
				return
			case <-time.After(time.Duration(random.IntN(700)) * time.Millisecond):
			}
			p.kill()
			kills.Add(1)
		}
	}()
	enough := func() bool { return kills.Load() >= 5 && g.rotated >= 5 }
	for begin := time.Now(); time.Since(begin) < lasts || !enough() && time.Since(begin) < atMost; time.Sleep(5 * time.Millisecond) {
		g.mail(g.random.IntN(4))
		switch g.random.IntN(60) {
		case 0:
			g.rotate()
		case 1:
			g.die()
		}
	}
	g.stop()
	close(over)
	<-killed
	want := g.written()
	if len(want) != g.mails {
		t.Fatalf("%d mails are on record, of %d", len(want), g.mails)
	}
	last := startKeeper(t, kept, roomy)
	defer last.kill()
	var got map[history.Key]bool
	for end := time.Now().Add(2 * time.Minute); len(got) != len(want); time.Sleep(50 * time.Millisecond) {
		got = keptIn(t, kept)
		if time.Now().After(end) {
			break
		}
	}
	if !maps.Equal(got, want) {
		for key := range want {
			if !got[key] {
				t.Logf("not kept: %v", key)
			}
		}
		t.Fatalf("%d attempts are kept, of %d; %s", len(got), len(want), last.said())
	}
	s, err := days.Read(kept)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	if n := counted(t, s); n != int64(len(want)) {
		t.Errorf("%d attempts are counted, of %d", n, len(want))
	}
	t.Logf("%d attempts in %d files, %d kills", len(want), g.rotated+1, kills.Load())
	if !enough() {
		t.Errorf("%d kills and %d rotations show nothing", kills.Load(), g.rotated)
	}
}

func counted(t *testing.T, s history.Store) (n int64) {
	t.Helper()
	counts, err := s.Counts(context.Background(), history.CountsOf{Filter: history.Filter{From: time.Now().Add(-96 * time.Hour), To: time.Now().Add(96 * time.Hour)}})
	if err != nil {
		t.Fatal(err)
	}
	for i := range counts {
		n += counts[i].Attempts
	}
	return n
}

// A keeperProcess keeps history until it is killed.
type keeperProcess struct {
	*testing.T
	cmd *exec.Cmd
	out lockedBuffer
}

func startKeeper(t *testing.T, dir, how string) *keeperProcess {
	t.Helper()
	p := &keeperProcess{T: t, cmd: exec.Command(os.Args[0])}
	p.cmd.Env = append(os.Environ(), keeperChild+"="+dir, keeperHow+"="+how)
	p.cmd.Stderr = &p.out
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		t.Error(err)
	}
	return p
}

func (p *keeperProcess) said() string { return p.out.String() }

func (p *keeperProcess) kill() {
	if p.cmd.Process == nil {
		return // told
	}
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
	if p.cmd.ProcessState.ExitCode() > 0 {
		p.Errorf("it has ended with %v\n%s", p.cmd.ProcessState, p.said())
	}
}
