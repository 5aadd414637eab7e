package days

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"kanmon/internal/view/history"
)

// look is what the process of another user does: it says how much it finds.
func look(dir string) error {
	s, err := Read(dir)
	if err != nil {
		return err
	}
	all, err := s.Counts(context.Background(), history.CountsOf{})
	if err != nil {
		return err
	}
	some, _, err := s.Mails(context.Background(), history.Filter{Recipient: "@x1.example"}, history.Page{})
	if err != nil {
		return err
	}
	if _, err := s.Waiting(context.Background(), history.Filter{}, some[0].Last); err != nil {
		return err
	}
	fmt.Println(len(all), all[0].Attempts, len(some) > 0)
	return s.Close()
}

// Somebody who may read, and not write, sees what is there: while it is written to, behind its end, and behind its end by a kill.
func TestOthersReadWithoutARightToWrite(t *testing.T) {
	top := t.TempDir()
	if err := os.Chmod(filepath.Dir(top), 0o755); err != nil { //nolint:gosec // others are to come in
		t.Fatal(err)
	}
	program := copied(t, os.Args[0], filepath.Join(top, "days.test"))
	dir := filepath.Join(top, "history")
	lines := story()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	add := func(from, to int) {
		t.Helper()
		if err := s.Add(t.Context(), lines[from:to], source, history.Mark{Offset: int64(to)}); err != nil {
			t.Fatal(err)
		}
	}
	sees := func(when string, want int) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), program)
		cmd.Env = append(os.Environ(), childEnv+"="+dir, childEnv+"_LOOK=1")
		if os.Getuid() == 0 { // who may do anything: another user of the group
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: uint32(os.Getgid())}} //nolint:gosec // a group
		}
		out, err := cmd.CombinedOutput()
		if got, want := string(out), fmt.Sprintln(1, want, true); got != want || err != nil {
			t.Errorf("%s: %s%v, want %s", when, got, err, want)
		}
	}
	locked := func(mode os.FileMode) {
		t.Helper()
		if os.Getuid() != 0 {
			if err := os.Chmod(dir, mode); err != nil {
				t.Fatal(err)
			}
		}
	}
	add(0, 1000)
	locked(0o550)
	sees("while it is open", 1000)
	locked(0o750)
	add(1000, 4000)
	killed := filepath.Join(top, "killed") // as the files are when the process is killed: nobody has them open
	if err := os.CopyFS(killed, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	locked(0o550)
	sees("behind its end", 4000)
	locked(0o750)
	entries, err := os.ReadDir(killed)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if err := os.Chmod(filepath.Join(killed, e.Name()), 0o640); err != nil { //nolint:gosec // as they are made
			t.Fatal(err)
		}
	}
	dir = killed
	locked(0o550)
	sees("behind a kill", 4000)
	locked(0o750)
}

func copied(t *testing.T, from, to string) string {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o755) //nolint:gosec // a program
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(out, in); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	return to
}

// Many read while one writes and prunes: each sees whole days.
func TestManyReadWhileOneWrites(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	reader, err := Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	lines := story()
	ctx, done := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for i := range 6 {
		of := []*Store{s, reader}[i%2]
		all.Go(func() {
			for ctx.Err() == nil {
				if _, _, err := of.Mails(t.Context(), history.Filter{Recipient: fmt.Sprintf("@x%d.example", i)}, history.Page{Limit: 20}); err != nil {
					t.Error(err)
					return
				}
				sums, err := of.Counts(t.Context(), history.CountsOf{By: []string{history.ByTenant}})
				if err != nil {
					t.Error(err)
					return
				}
				if len(sums) > 5 {
					t.Error(sums)
				}
			}
		})
	}
	for at := 0; at < 3000; at += 300 {
		if err := s.Add(t.Context(), lines[at:at+300], source, history.Mark{Offset: int64(at + 300)}); err != nil {
			t.Error(err)
		}
		if _, err := s.Prune(t.Context(), lines[at].Entry.At, history.Keep{Detail: 1}); err != nil {
			t.Error(err)
		}
	}
	done()
	all.Wait()
}
