package follow

import (
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The disk of history fills up while records are written: history stops and says so, nothing else does, and it goes on when there is room. So
// it is where history leaves room to others, and where it could not.
func TestAFullDiskStopsHistoryAlone(t *testing.T) {
	if !hasOwnMounts(t) {
		return
	}
	for _, kind := range []string{roomy, bare} {
		t.Run(kind, func(t *testing.T) {
			dir := t.TempDir()
			kept := filepath.Join(dir, "history")
			if err := os.Mkdir(kept, 0o750); err != nil {
				t.Fatal(err)
			}
			if err := unix.Mount("tmpfs", kept, "tmpfs", 0, "size=8m,mode=750"); err != nil {
				t.Fatal(err)
			}
			defer func() { _ = unix.Unmount(kept, unix.MNT_DETACH) }()
			g := &gateway{T: t, path: filepath.Join(dir, "records.jsonl"), random: rand.New(rand.NewPCG(1, 2))}
			g.start()
			child := startKeeper(t, kept, kind)
			defer child.kill()
			keeps := func() int { return len(keptIn(t, kept)) }
			g.mail(100)
			eventually(t, child, "the first mails are kept", func() bool { return keeps() == 100 })

			much := filepath.Join(kept, "much")
			fill(t, much)
			for range 8 {
				g.mail(200)
				time.Sleep(10 * time.Millisecond)
			}
			eventually(t, child, "it is told", func() bool { return strings.Contains(child.said(), "history is held up") })
			g.rotate()
			g.mail(50)
			g.stop()
			if n := len(g.written()); n != g.mails {
				t.Errorf("%d mails are on record, of %d", n, g.mails)
			}
			if n := keeps(); n >= g.mails {
				t.Errorf("%d mails are kept on a full disk", n)
			}
			if err := os.Remove(much); err != nil {
				t.Fatal(err)
			}
			eventually(t, child, "all mails are kept", func() bool { return keeps() == g.mails })
			eventually(t, child, "that is told", func() bool { return strings.Contains(child.said(), "history goes on") })
		})
	}
}

// fill takes all that is free of a disk.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	for piece := make([]byte, 4096); err == nil; {
		_, err = f.Write(piece)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func eventually(t *testing.T, child *keeperProcess, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(60 * time.Second); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not: %s\n%s", what, child.said())
		}
	}
}

const ownMounts = "KANMON_FOLLOW_OWN_MOUNTS"

// hasOwnMounts is true in a process whose mounts end with it, in which the test goes on: the test that has been started has that process run, and
// is told what came of it.
func hasOwnMounts(t *testing.T) bool {
	t.Helper()
	if os.Getenv(ownMounts) != "" {
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			t.Fatal(err)
		}
		return true
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), ownMounts+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGTERM}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	return false
}
