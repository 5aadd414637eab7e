package days

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kanmon/internal/store"
	"kanmon/internal/view/history"
	"kanmon/internal/view/history/historytest"
)

// A test runs itself again as the process that is killed, or has no room.
const childEnv = "KANMON_DAYS_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childEnv); dir != "" {
		if err := child(dir); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

const (
	storyLines = 6000
	source     = "records"
)

// story is lines of three days around midnights, with mail in trouble that comes again.
func story() (lines []history.Line) {
	f := historytest.NewFeed("gw1", historytest.Noon)
	r := rand.New(rand.NewPCG(7, 7))
	for i := range storyLines {
		to := fmt.Sprintf("p%d@x%d.example", r.IntN(400), r.IntN(7))
		m := historytest.Mail{
			At:     historytest.Noon.Add(time.Duration(i) * 36 * time.Second).Add(time.Duration(r.IntN(120)-60) * time.Second),
			Tenant: fmt.Sprintf("t%d", r.IntN(5)), Provider: "google", SendingIP: "203.0.113.11", Sender: "s@t.example", To: []string{to}, Octets: 1000,
		}
		m.Account = "a@" + m.Tenant
		if i%9 == 0 {
			m.MessageID = fmt.Sprint("m", i/90)
		}
		if r.IntN(6) == 0 {
			m.Dot = historytest.Meaning(historytest.Reply(451, "4.3.0 busy, try "+to+" again", time.Second), "system_error", "receiver", "busy")
		}
		lines = append(lines, f.Attempt(m))
	}
	return lines
}

// child adds lines from where it was until it is killed.
func child(dir string) error {
	if os.Getenv(childEnv+"_LOOK") != "" {
		return look(dir)
	}
	s, err := Open(dir)
	if err != nil {
		return err
	}
	if os.Getenv(childEnv+"_FULL") != "" {
		return full(s, dir)
	}
	fmt.Println("open")
	ctx, lines := context.Background(), story()
	for {
		read, err := s.Mark(ctx, source)
		if err != nil {
			return err
		}
		if read.Offset >= int64(len(lines)) {
			return s.Close()
		}
		n := min(int64(1+rand.IntN(400)), int64(len(lines))-read.Offset)
		if err := s.Add(ctx, lines[read.Offset:read.Offset+n], source, history.Mark{File: "f", Offset: read.Offset + n, At: historytest.Noon}); err != nil {
			return err
		}
	}
}

func childOf(t *testing.T, dir string, more ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(append(os.Environ(), childEnv+"="+dir), more...)
	return cmd
}

// However often the process is killed, each line is there once, roll-ups are the sum of the lines, and the main file has what the days have.
func TestKilledAtAnyTimeLosesAndDoublesNothing(t *testing.T) {
	dir := t.TempDir()
	kills := 0
	for {
		cmd := childOf(t, dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		in := bufio.NewReader(out)
		if line, err := in.ReadString('\n'); line != "open\n" {
			t.Fatalf("%q, %v, %v", line, err, cmd.Wait())
		}
		if kills == 25 {
			if err := cmd.Wait(); err != nil {
				t.Fatal(err)
			}
			break
		}
		time.Sleep(time.Duration(rand.IntN(60)) * time.Millisecond) // anywhere in its work
		kills++
		if err := cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
			t.Fatal(err)
		}
		_ = cmd.Wait() // it was killed
	}
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	same(t, s, story())
}

// same compares what a store has with the lines that it was given.
func same(t *testing.T, s *Store, lines []history.Line) {
	t.Helper()
	want, got := map[history.Key]bool{}, map[history.Key]int{}
	byHour, hours := map[time.Time]int64{}, map[time.Time]int64{}
	for _, l := range lines {
		want[history.Key{Gateway: l.Entry.Gateway, Run: l.Entry.Run, Line: l.Entry.Line}] = true
		byHour[l.Entry.At.Truncate(time.Hour)]++
	}
	page := history.Page{}
	for {
		some, next, err := s.Attempts(t.Context(), history.Filter{}, page)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range some {
			got[a.Key]++
		}
		if page.After = next; next == "" {
			break
		}
	}
	for key, n := range got {
		if n != 1 || !want[key] {
			t.Errorf("%+v is there %d times", key, n)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d lines, want %d", len(got), len(want))
	}
	all, err := s.Counts(t.Context(), history.CountsOf{Step: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range all {
		hours[c.Begin] += c.Attempts
	}
	if !reflect.DeepEqual(hours, byHour) {
		t.Errorf("hours: %v, want %v", hours, byHour)
	}
	asKept := mainOf(t, s)
	if anew := mainOf(t, withoutMain(t, s)); !reflect.DeepEqual(anew, asKept) {
		t.Errorf("the main file is not what the days say:\n%v\nanew\n%v", differ(asKept, anew), differ(anew, asKept))
	}
}

// withoutMain has the main file made anew of what the days have, as a person does who has lost it.
func withoutMain(t *testing.T, s *Store) *Store {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := discard(filepath.Join(s.dir, mainFile)); err != nil {
		t.Fatal(err)
	}
	anew, err := Open(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = anew.Close() })
	return anew
}

// mainOf gives all rows of the main file but marks.
func mainOf(t *testing.T, s *Store) (rows []string) {
	t.Helper()
	err := s.reading.mainly(func(f *store.File) error {
		for _, query := range [...]string{
			"SELECT 'day ' || day || ' ' || generation FROM main_day ORDER BY 1",
			"SELECT 'waits ' || mail || ' ' || tenant || ' ' || first || ' ' || last || ' ' || size || ' ' || deferred FROM main_waits ORDER BY 1",
			"SELECT 'for ' || key || ' ' || mail FROM main_for ORDER BY 1",
			"SELECT 'shape ' || hash || ' ' || class || ' ' || shape || ' ' || first || ' ' || line || ' ' || last FROM main_shape ORDER BY 1",
		} {
			err := each(t.Context(), f, query, func(scan func(...any) error) error {
				var row string
				err := scan(&row)
				rows = append(rows, row)
				return err
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil || len(rows) < 10 {
		t.Fatal(len(rows), err)
	}
	return rows
}

func differ(a, than []string) string {
	has := map[string]bool{}
	for _, row := range than {
		has[row] = true
	}
	var more []string
	for _, row := range a {
		if !has[row] && len(more) < 5 {
			more = append(more, row)
		}
	}
	return strings.Join(more, "\n")
}

// What a day owes to the main file when the process ends between the two is paid by the next.
func TestTheMainFileGetsWhatItIsOwed(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	lines := story()
	add := func(from, to int) {
		t.Helper()
		if err := s.Add(t.Context(), lines[from:to], source, history.Mark{Offset: int64(to)}); err != nil {
			t.Fatal(err)
		}
	}
	add(0, 1000)
	if _, err := s.main.f.Exec("CREATE TEMP TRIGGER no BEFORE INSERT ON main_day BEGIN SELECT raise(ABORT, 'no'); END"); err != nil {
		t.Fatal(err)
	}
	add(1000, 1100) // all in one day
	if !s.stale {
		t.Fatal("the main file has taken it")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = Open(dir); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	add(1100, len(lines))
	same(t, s, lines)
}

// A disk without room takes all of an Add or nothing, and the next goes on.
func TestFullDiskTakesAllOrNothing(t *testing.T) {
	dir := t.TempDir()
	out, err := childOf(t, dir, childEnv+"_FULL=1").CombinedOutput()
	if err != nil {
		t.Fatalf("%s%v", out, err)
	}
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	same(t, s, story())
}

// full adds lines with room for files of less and less than they need, and then with room.
func full(s *Store, dir string) error {
	signal.Ignore(syscall.SIGXFSZ)
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	lines, failed := story(), 0
	for at := 0; at < len(lines); at += 500 {
		part := lines[at:min(at+500, len(lines))]
		mark := history.Mark{File: "f", Offset: int64(at + len(part))}
		for _, room := range [...]uint64{8 << 10, 100 << 10, 300 << 10} {
			size, err := largest(dir)
			if err != nil {
				return err
			}
			if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: size/2 + room, Max: limit.Max}); err != nil {
				return err
			}
			err = s.Add(context.Background(), part, source, mark)
			if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &limit); err != nil {
				return err
			}
			if err != nil {
				failed++
			}
		}
		if err := s.Add(context.Background(), part, source, mark); err != nil {
			return fmt.Errorf("with room: %w", err)
		}
	}
	if failed < 10 {
		return fmt.Errorf("only %d failed", failed)
	}
	return s.Close()
}

func largest(dir string) (size uint64, err error) {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			size = max(size, uint64(info.Size())) //nolint:gosec // a size
		}
	}
	return size, err
}
