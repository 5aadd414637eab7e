package intercept

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// ownNamespace gives a test a firewall of its own, which ends with the test's thread.
func ownNamespace(t *testing.T) {
	t.Helper()
	runtime.LockOSThread() // and never unlock
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatalf("unshare: %v (this test needs root)", err)
	}
}

// intercepting gives rules for what one network sends.
func intercepting(network string) Rules {
	return Rules{Listen: []netip.AddrPort{netip.MustParseAddrPort("0.0.0.0:10025")}, Sources: []netip.Prefix{netip.MustParsePrefix(network)}}
}

func mustIntercept(t *testing.T, network string) {
	t.Helper()
	listed, err := exec.CommandContext(t.Context(), "nft", "list", "ruleset").CombinedOutput()
	if err != nil || !strings.Contains(string(listed), network) {
		t.Errorf("what %s sends is not intercepted: %v\n%s", network, err, listed)
	}
}

// writes fails each write behind the first ones that are allowed.
func writes(allowed int) func(string, []byte) error {
	return func(path string, data []byte) error {
		if allowed--; allowed < 0 {
			return errors.New("no space left on device")
		}
		return replaceFile(path, data)
	}
}

// ownDisk gives a test a folder on a disk of its own, which ends with the test's thread.
func ownDisk(t *testing.T) string {
	t.Helper()
	ownNamespace(t)
	dir := t.TempDir()
	must(t, unix.Unshare(unix.CLONE_NEWNS))
	must(t, unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	must(t, unix.Mount("tmpfs", dir, "tmpfs", 0, "size=32k,mode=755"))
	t.Cleanup(func() { must(t, unix.Unmount(dir, unix.MNT_DETACH)) })
	return dir
}

// disks say how a disk cannot be written to, and how it can again.
var disks = map[string]struct {
	fail, mend func(t *testing.T, dir string)
}{
	"read-only": {
		func(t *testing.T, dir string) { must(t, unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, "")) },
		func(t *testing.T, dir string) { must(t, unix.Mount("", dir, "", unix.MS_REMOUNT, "")) },
	},
	"full": {
		func(t *testing.T, dir string) {
			f, err := os.Create(filepath.Join(dir, "much"))
			must(t, err)
			for err == nil {
				_, err = f.Write(make([]byte, 4096))
			}
			must(t, f.Close())
		},
		func(t *testing.T, dir string) { must(t, os.Remove(filepath.Join(dir, "much"))) },
	},
}

// What a person has put in force is what a guard guards, also where the disk cannot be written to; and the disk has it when it can.
func TestRulesOnADiskThatCannotBeWrittenToAreGuarded(t *testing.T) {
	for name, disk := range disks {
		t.Run(name, func(t *testing.T) {
			k := &Keeper{Dir: ownDisk(t), Aside: t.TempDir()}
			must(t, k.Apply(t.Context(), intercepting("10.20.0.0/16"), false))
			g, log := newGuard(k)
			g.look(t.Context())
			disk.fail(t, k.Dir)
			if err := k.Apply(t.Context(), intercepting("10.30.0.0/16"), false); !errors.Is(err, ErrKeptAside) || !errors.Is(err, ErrNotKept) {
				t.Errorf("Apply = %v, want ErrKeptAside", err)
			}
			mustIntercept(t, "10.30.0.0/16")
			g.look(t.Context())
			mustIntercept(t, "10.30.0.0/16")
			command(t, "nft", "flush", "ruleset")
			g.look(t.Context())
			mustIntercept(t, "10.30.0.0/16")
			if problems := k.Problems(t.Context(), nil, g.Report); len(problems) == 0 || !strings.Contains(problems[0].What, "not kept on the disk") {
				t.Errorf("problems: %v", problems)
			}
			disk.mend(t, k.Dir)
			g.look(t.Context())
			if kept, err := readKept(k.file()); err != nil || !kept.Are(intercepting("10.30.0.0/16")) || k.isAside() {
				t.Errorf("the disk has %+v, %v; aside: %t\n%s", kept, err, k.isAside(), log)
			}
		})
	}
}

// A removal holds against the guard also where the disk cannot be written to, and it is said for how long.
func TestRemovalOnADiskThatCannotBeWrittenToHolds(t *testing.T) {
	for name, disk := range disks {
		t.Run(name, func(t *testing.T) {
			k := &Keeper{Dir: ownDisk(t), Aside: t.TempDir()}
			must(t, k.Apply(t.Context(), intercepting("10.20.0.0/16"), false))
			disk.fail(t, k.Dir)
			if err := k.Remove(t.Context(), false); !errors.Is(err, ErrKeptAside) || !strings.Contains(err.Error(), "until the next boot") {
				t.Errorf("Remove = %v, want ErrKeptAside", err)
			}
			g, _ := newGuard(k)
			g.look(t.Context())
			if listed := ruleset(t); listed != "" {
				t.Errorf("put back what a person has removed:\n%s", listed)
			}
			if removed, err := k.Opened(); removed == nil || err != nil {
				t.Errorf("opened %v, %v", removed, err)
			}
		})
	}
}

// What can be written down nowhere is not put in force where other rules are kept: a guard would undo it. Where none are, it is.
func TestRulesThatCanBeWrittenDownNowhereAreNoSecondTruth(t *testing.T) {
	ownNamespace(t)
	k := &Keeper{Dir: t.TempDir(), writeFile: writes(0)}
	if err := k.Apply(t.Context(), intercepting("10.20.0.0/16"), false); !errors.Is(err, ErrNotKept) {
		t.Errorf("with nothing kept, Apply = %v, want ErrNotKept", err)
	}
	mustIntercept(t, "10.20.0.0/16")
	k.writeFile = nil
	must(t, k.Apply(t.Context(), intercepting("10.20.0.0/16"), false))
	for _, kept := range []string{"rules", "a removal"} {
		k.writeFile = writes(0)
		if err := k.Apply(t.Context(), intercepting("10.30.0.0/16"), false); err == nil || errors.Is(err, ErrNotKept) || !strings.Contains(err.Error(), "as before") {
			t.Errorf("with %s kept, Apply = %v", kept, err)
		}
		if listed := ruleset(t); strings.Contains(listed, "10.30.0.0/16") {
			t.Errorf("with %s kept, others are in force:\n%s", kept, listed)
		}
		k.writeFile = nil
		must(t, k.Remove(t.Context(), false))
	}
}

// What a person has put in force stays in force, also if how the kernel has it could not be written down.
func TestGuardLeavesRulesWithoutAnImprint(t *testing.T) {
	ownNamespace(t)
	k := &Keeper{Dir: t.TempDir()}
	must(t, k.Apply(t.Context(), intercepting("10.20.0.0/16"), false))
	k.writeFile = writes(1)
	if err := k.Apply(t.Context(), intercepting("10.30.0.0/16"), false); !errors.Is(err, ErrNotKept) {
		t.Errorf("Apply = %v, want ErrNotKept", err)
	}
	g, _ := newGuard(k)
	for range 2 {
		g.look(t.Context())
		mustIntercept(t, "10.30.0.0/16")
	}
}

// A process that dies between the kernel and the file has left the rules that were wanted.
func TestRulesAreWrittenDownBeforeTheyAreLoaded(t *testing.T) {
	ownNamespace(t)
	k := &Keeper{Dir: t.TempDir()}
	if err := k.Apply(t.Context(), intercepting("10.20.0.0/16"), false); err != nil {
		t.Fatal(err)
	}
	k.writeFile = func(path string, data []byte) error {
		mustIntercept(t, "10.20.0.0/16")
		k.writeFile = nil
		return replaceFile(path, data)
	}
	if err := k.Apply(t.Context(), intercepting("10.30.0.0/16"), false); err != nil {
		t.Fatal(err)
	}
	mustIntercept(t, "10.30.0.0/16")
	if kept, err := k.Last(); err != nil || kept.Imprint == "" || !same(kept.Rules, intercepting("10.30.0.0/16")) {
		t.Errorf("kept: %+v, %v", kept, err)
	}
}

// Rules that cannot be loaded change nothing, not even what is kept, where something was, and where nothing was.
func TestRulesThatCannotBeLoadedAreNotKept(t *testing.T) {
	ownNamespace(t)
	k := &Keeper{Dir: t.TempDir()}
	cannot, cancel := context.WithCancel(t.Context())
	k.writeFile = func(path string, data []byte) error {
		cancel() // nft is not run any more
		return replaceFile(path, data)
	}
	if err := k.Apply(cannot, intercepting("10.30.0.0/16"), false); err == nil {
		t.Error("rules were loaded without nft")
	}
	if _, err := k.Last(); !errors.Is(err, ErrNothingKept) {
		t.Errorf("what could not be loaded is kept: %v", err)
	}
	k.writeFile = nil
	if err := k.Apply(t.Context(), intercepting("10.20.0.0/16"), false); err != nil {
		t.Fatal(err)
	}
	before, _ := k.Last()
	if err := k.Apply(cannot, intercepting("10.30.0.0/16"), false); err == nil {
		t.Error("rules were loaded without nft")
	}
	if now, err := k.Last(); err != nil || now.Imprint != before.Imprint || !same(now.Rules, before.Rules) {
		t.Errorf("kept: %+v, %v; before %+v", now, err, before)
	}
}

// A full disk does not undo the guard's memory of rules that it puts back.
func TestRulesPutBackOnAFullDiskAreKept(t *testing.T) {
	ownNamespace(t)
	k := &Keeper{Dir: t.TempDir()}
	if err := k.Apply(t.Context(), intercepting("10.20.0.0/16"), false); err != nil {
		t.Fatal(err)
	}
	k.writeFile = writes(0)
	if _, err := k.ApplyLast(t.Context()); err != nil {
		t.Errorf("ApplyLast = %v: what is kept is in force", err)
	}
	if kept, err := k.Last(); err != nil || time.Since(kept.Applied) > time.Hour {
		t.Errorf("kept: %+v, %v", kept, err)
	}
}
