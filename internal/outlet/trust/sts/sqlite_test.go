package sts

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/smtp/smtptest"
	"kanmon/internal/store"
)

const childEnv = "STS_TEST_CHILD_FILE"

func TestMain(m *testing.M) {
	if path := os.Getenv(childEnv); path != "" {
		if err := child(path); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// child is a process that keeps policies until it is killed. It says when the first one is on the disk.
func child(path string) error {
	s, err := OpenSQLite(path)
	if err != nil {
		return err
	}
	k, err := New(Options{Store: s, Resolver: &zone{}})
	if err != nil {
		return err
	}
	for i := 0; ; i++ {
		p, err := parsePolicy([]byte(goodText))
		if err != nil {
			return err
		}
		k.mu.Lock()
		k.settle(&flight{domain: fmt.Sprintf("d%d.test", i), by: "a"}, &landing{id: fmt.Sprint(i), answered: true, until: time.Hour, tried: true, policy: p}, k.now())
		k.mu.Unlock()
		for i == 0 && k.Sizes().Unsaved > 0 {
			time.Sleep(time.Millisecond)
		}
		if i == 0 {
			fmt.Println("kept")
		}
	}
}

func opened(t *testing.T, path string) *SQLite {
	t.Helper()
	s, err := OpenSQLite(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// TestS15 restarts and kills: a policy that was kept is enforced until its end, with its record gone and its host dead.
func TestS15APolicySurvivesKill9(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tls.db")
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), childEnv+"="+path)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || line != "kept\n" {
		t.Fatalf("the child says %q, %v", line, err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()

	r := newRig(t)
	r.clock.Pass(time.Until(r.clock.Now()) * -1)
	r.options.Store = opened(t, path)
	k := r.open()
	r.zone.fail("d0.test")
	f, wait := k.Look("d0.test", "a")
	if r.wantPolicy(f, Enforce, "0", "mx1.example.test", "*.example.net"); wait != nil {
		t.Error("there is something to wait for")
	}
	if got := strings.Join(f.Policy.Lines, "\r\n") + "\r\n"; got != goodText {
		t.Errorf("served %q", got)
	}
	if n := len(k.List()); n == 0 || k.Sizes().Remembered != 0 {
		t.Errorf("%d policies, %+v", n, k.Sizes())
	}
}

func TestS15APolicySurvivesARestart(t *testing.T) {
	r := newRig(t)
	path := filepath.Join(t.TempDir(), "tls.db")
	begin := func() (*Keeper, *SQLite) {
		s := opened(t, path)
		r.options.Store = s
		return r.open(), s
	}
	end := func(k *Keeper, s *SQLite) {
		t.Helper()
		if err := errors.Join(k.Close(), s.Close()); err != nil {
			t.Fatal(err)
		}
	}
	k, s := begin()
	r.publish("example.test", "1", "enforce", month, "mx1.example.test", "*.example.test")
	r.publish("tested.test", "T", "testing", month, "mx1.tested.test")
	r.publish("none.test", "N", "none", month)
	for _, domain := range []string{"example.test", "tested.test", "none.test", "plain.test"} {
		r.look(k, domain, "acme")
	}
	end(k, s)
	r.clock.Pass(20 * day)
	k, s = begin()
	for _, domain := range []string{"example.test", "tested.test", "none.test"} {
		r.zone.fail(domain)
	}
	for domain, mode := range map[string]Mode{"example.test": Enforce, "tested.test": Testing, "none.test": None} {
		f, _ := k.Look(domain, "b")
		if f.Policy == nil || f.Policy.Mode != mode || f.Policy.MaxAge != month || f.Policy.Until.Sub(r.clock.Now()).Round(time.Second) != 10*day {
			t.Errorf("%s: %+v", domain, f.Policy)
		}
	}
	if list := k.List(); len(list) != 3 || list[0].Owner != "acme" {
		t.Errorf("%+v", list)
	}
	r.quiet(k)
	end(k, s)
	r.clock.Pass(10*day + time.Second)
	k, s = begin()
	if f := r.look(k, "example.test", "a"); f.Policy != nil || f.Why != event.DNSFailed {
		t.Errorf("behind its end: %+v", f)
	}
	end(k, s)
	_, s = begin()
	if rows, seen, err := s.Load(); len(rows) != 0 || err != nil || seen.Before(r.clock.Now().Add(-time.Second)) {
		t.Errorf("%d rows, %s, %v", len(rows), seen, err)
	}
}

// A kill costs no policy that is new, and at most an hour of the clock.
func TestANewPolicyIsWrittenAtOnce(t *testing.T) {
	r := newRig(t)
	disk := &diskOfTest{}
	r.options.Store = disk
	k := r.open()
	r.publish("example.test", "1", "enforce", month, "mx1.example.test")
	r.look(k, "example.test", "a")
	smtptest.WaitUntil(t, "it is on the disk", func() bool { return disk.has("example.test") })
	left := disk.killed()
	r.options.Store = left
	r.zone.fail("example.test")
	r.wantPolicy(r.look(r.open(), "example.test", "a"), Enforce, "1", "mx1.example.test")
	r.clock.Pass(seenEvery)
	if _, err := k.saveAll(); err != nil || !disk.killed().seen.Equal(r.clock.Now()) {
		t.Errorf("%v, the disk has seen %s, want %s", err, disk.killed().seen, r.clock.Now())
	}
}

// What the disk did not take is written when it does.
func TestAFullDisk(t *testing.T) {
	r := newRig(t)
	disk := &diskOfTest{full: true}
	r.options.Store = disk
	k := r.open()
	r.publish("example.test", "1", "enforce", month, "mx1.example.test")
	r.wantPolicy(r.look(k, "example.test", "a"), Enforce, "1", "mx1.example.test")
	if _, err := k.saveAll(); err == nil {
		t.Error("written to a full disk")
	}
	disk.mu.Lock()
	disk.full = false
	disk.mu.Unlock()
	if err := k.Close(); err != nil || !disk.has("example.test") {
		t.Errorf("%v, %v", err, disk.rows)
	}
}

// Rows that make no sense are no half of a memory: the file is said to be damaged, with what people can do.
func TestStrangeRows(t *testing.T) {
	for what, change := range map[string]string{
		"a mode":         "UPDATE sts_policy SET mode = 'strict'",
		"a pattern":      "UPDATE sts_policy SET mx = 'mx1.example.test' || char(10) || '*'",
		"no pattern":     "UPDATE sts_policy SET mx = ''",
		"an age":         "UPDATE sts_policy SET max_age_s = -1",
		"no number":      "UPDATE sts_policy SET fetched_ms = 'NaN'",
		"a literal":      "UPDATE sts_policy SET domain = '[192.0.2.1]'",
		"something vast": "UPDATE sts_policy SET lines = hex(zeroblob(100000))",
		"the clock":      "UPDATE sts_clock SET seen_ms = 'x'",
		"no table":       "DROP TABLE sts_policy",
	} {
		path := filepath.Join(t.TempDir(), "tls.db")
		s := opened(t, path)
		r := newRig(t)
		r.options.Store = s
		k := r.open()
		r.publish("example.test", "1", "enforce", month, "mx1.example.test")
		r.look(k, "example.test", "a")
		if err := k.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := s.db.Exec(change); err != nil {
			t.Fatal(err)
		}
		if _, err := New(r.options); !errors.Is(err, store.ErrDamaged) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "kanmon restore") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// Numbers that a file may have do not prolong a policy.
func TestRowsOfTheFuture(t *testing.T) {
	r := newRig(t)
	s := opened(t, filepath.Join(t.TempDir(), "tls.db"))
	p := &Policy{ID: "1", Mode: Enforce, MX: []string{"mx1.example.test"}, MaxAge: month}
	if err := s.Save([]Row{{Domain: "example.test", Policy: p, Fetched: r.clock.Now().Add(1000 * month), Used: 1 << 40}}, r.clock.Now()); err != nil {
		t.Fatal(err)
	}
	r.options.Store = s
	k := r.open()
	r.zone.fail("example.test")
	f, _ := k.Look("example.test", "a")
	r.wantPolicy(f, Enforce, "1", "mx1.example.test")
	r.quiet(k)
	r.clock.Pass(month)
	if f, _ := k.Look("example.test", "a"); f.Policy != nil {
		t.Error("it lives longer than a policy may")
	}
}
