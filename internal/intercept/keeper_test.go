package intercept

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"os/exec"
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

// What a person has put in force stays in force, however much of it could be written down: no guard puts former rules back.
func TestGuardLeavesRulesThatAreNotKept(t *testing.T) {
	for _, written := range []int{0, 1} {
		ownNamespace(t)
		k := &Keeper{Dir: t.TempDir()}
		if err := k.Apply(t.Context(), intercepting("10.20.0.0/16"), false); err != nil {
			t.Fatal(err)
		}
		k.writeFile = writes(written)
		if err := k.Apply(t.Context(), intercepting("10.30.0.0/16"), false); !errors.Is(err, ErrNotKept) {
			t.Errorf("Apply = %v, want ErrNotKept", err)
		}
		mustIntercept(t, "10.30.0.0/16")
		g := &Guard{Keeper: k, Log: slog.New(slog.DiscardHandler)}
		g.useKernel()
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
