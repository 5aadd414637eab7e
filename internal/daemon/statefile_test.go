package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/store"
)

// law: I21
//
// Two processes on one file of state would each keep what the other does not obey. The second one does not start, whatever name it
// knows the file by, and says who has it; when the first has been killed it does.
func TestStateFileBelongsToOneProcess(t *testing.T) {
	for _, key := range []string{"standing", "senders"} {
		t.Run(key, func(t *testing.T) {
			dir := t.TempDir()
			file, alias := filepath.Join(dir, "state.db"), filepath.Join(dir, "alias.db")
			first := holdInAnotherProcess(t, file)
			if err := os.Link(file, alias); err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{file, alias} {
				w := newWorld(t, listenTable+fmt.Sprintf("[%s]\nfile = '%s'\n", key, name))
				err := w.daemon.Start(t.Context())
				if !errors.Is(err, store.ErrInUse) || !strings.Contains(err.Error(), key+".file "+name) || !strings.Contains(err.Error(), fmt.Sprint("process ", first.Process.Pid)) {
					t.Errorf("Start = %v, want process %d named", err, first.Process.Pid)
				}
			}
			_ = first.Process.Kill()
			_ = first.Wait()
			w := newWorld(t, listenTable+fmt.Sprintf("[%s]\nfile = '%s'\n", key, file))
			w.start()
			w.stop()
		})
	}
}

// One file can serve both parts of a process, and is free again behind a stop.
func TestStateFileOfBothParts(t *testing.T) {
	tables := listenTable + "[standing]\nfile = 'DIR/state.db'\n[senders]\nfile = 'DIR/state.db'\n"
	w := newWorld(t, tables)
	w.start()
	second := w.newDaemon(w.parse(tables))
	if err := second.Start(t.Context()); !errors.Is(err, store.ErrInUse) {
		t.Errorf("a second daemon: Start = %v", err)
	}
	w.stop()
	w.daemon = second
	w.start()
	w.stop()
}

// law: I21
//
// SQLite's locks on the databases are what keeps an outside reader from taking their WAL away. They hold from the start on, also where two parts
// share a file, and through a reload.
func TestDatabasesStayLocked(t *testing.T) {
	for name, files := range map[string][2]string{"two files": {"standing.db", "senders.db"}, "one file": {"state.db", "state.db"}} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			tables := fmt.Sprintf("[standing]\nfile = '%s'\n[senders]\nfile = '%s'\n", filepath.Join(dir, files[0]), filepath.Join(dir, files[1]))
			w := newWorld(t, listenTable+tables)
			w.start()
			locked := func(when string) {
				t.Helper()
				for _, file := range files {
					if n := recordLocks(t, filepath.Join(dir, file)); n == 0 {
						t.Errorf("%s: no lock of this process on %s", when, file)
					}
				}
			}
			locked("behind the start")
			if err := w.daemon.Reload(t.Context(), w.with(tables+sending("new"))); err != nil {
				t.Fatal(err)
			}
			locked("behind a reload")
			if err := w.daemon.Reload(t.Context(), w.with(tables+sending("new")+"[classification]\nrules = '"+filepath.Join(dir, files[1])+"'\n")); err == nil {
				t.Error("a database is taken for a text")
			}
			locked("behind a reload that names a database as a text")
		})
	}
}

// The configuration may name a link to a database that is on another disk.
func TestStateFileBehindALink(t *testing.T) {
	dir := t.TempDir()
	file, link := filepath.Join(dir, "state.db"), filepath.Join(dir, "link.db")
	for _, name := range []string{file, link} {
		w := newWorld(t, listenTable+fmt.Sprintf("[senders]\nfile = '%s'\n", name))
		w.start()
		w.stop()
		if name == file {
			if err := os.Symlink(file, link); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// recordLocks counts this process's fcntl(2) locks of a file.
func recordLocks(t *testing.T, path string) (n int) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	locks, err := os.ReadFile("/proc/locks")
	if err != nil {
		t.Fatal(err)
	}
	inode := fmt.Sprint(info.Sys().(*syscall.Stat_t).Ino)
	for line := range strings.Lines(string(locks)) {
		// 1: POSIX  ADVISORY  READ 4711 fe:01:131084 1073741826 1073742335
		f := strings.Fields(line)
		if len(f) > 5 && f[1] == "POSIX" && f[4] == fmt.Sprint(os.Getpid()) && strings.HasSuffix(f[5], ":"+inode) {
			n++
		}
	}
	return n
}

// law: I21
//
// Whatever has been given up at a stop may write to its file still: the file stays this process's own, and none of its locks goes.
func TestStateFileOfWhatIsGivenUpStaysLocked(t *testing.T) {
	for _, hangs := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			path, ends := filepath.Join(t.TempDir(), "state.db"), make(chan struct{})
			d := New(nil, nil)
			if err := d.lockState(path); err != nil {
				t.Fatal(err)
			}
			d.onStop("senders", func(context.Context) error {
				if hangs {
					<-ends
				}
				return nil
			})
			if err := d.undo(t.Context()); errors.Is(err, errGivenUp) != hangs {
				t.Errorf("hangs %t: %v", hangs, err)
			}
			next := New(nil, nil)
			if err := next.lockState(path); errors.Is(err, store.ErrInUse) != hangs {
				t.Errorf("hangs %t: the next one: %v", hangs, err)
			}
			close(ends)
			for _, one := range slices.Concat(d.stateFiles, next.stateFiles) {
				_ = one.lock.Close()
			}
		})
	}
}

// holdInAnotherProcess lets a process have the lock of a file until it is killed.
func holdInAnotherProcess(t *testing.T, path string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), holdEnv+"="+path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatalf("the holder of the lock: %v", err)
	}
	return cmd
}

// holdEnv makes this binary a process that holds a lock until it is killed.
const holdEnv = "DAEMON_TEST_HOLD"

func holdLock(path string) {
	if err := (&Daemon{}).lockState(path); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	fmt.Println("held")
	time.Sleep(time.Minute) // it is killed before that, or the test is gone
}
