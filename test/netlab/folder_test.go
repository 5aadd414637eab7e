package netlab

import (
	"os"
	"testing"
)

// TestSweep shows that the folder of a run that was killed goes, and that of one that is alive stays.
func TestSweep(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	live, err := newFolder()
	if err != nil {
		t.Fatal(err)
	}
	defer live.remove()
	killed, err := newFolder()
	if err != nil {
		t.Fatal(err)
	}
	if err := killed.lock.Close(); err != nil { // as the kernel does
		t.Fatal(err)
	}
	sweep()
	if _, err := os.Stat(live.path); err != nil {
		t.Errorf("the folder of a live run is gone: %v", err)
	}
	if _, err := os.Stat(killed.path); err == nil {
		t.Error("the folder of a killed run is still there")
	}
}

// TestSweptFolderIsNoDifference shows that a run which clears away after one that was killed is not blamed for it, and
// that one which leaves its own behind is.
func TestSweptFolderIsNoDifference(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	clean := Snapshot{}
	clean.addLeftovers()
	killed, err := newFolder()
	if err != nil {
		t.Fatal(err)
	}
	if err := killed.lock.Close(); err != nil { // as the kernel does
		t.Fatal(err)
	}
	littered := Snapshot{}
	littered.addLeftovers()
	if diff := clean.Diff(littered); len(diff) != 1 {
		t.Errorf("a folder left behind: difference %q, want it alone", diff)
	}
	if diff := littered.Diff(clean); len(diff) != 0 {
		t.Errorf("a folder swept: difference %q, want none", diff)
	}
}

// TestDiff shows that a snapshot's headings count in both directions.
func TestDiff(t *testing.T) {
	before := Snapshot{"interfaces": {"lo", "eth0"}, "firewall": {"table"}}
	after := Snapshot{"interfaces": {"lo", "veth0"}, leftovers: {"process 1"}}
	want := []string{
		"firewall: gone: table", "interfaces: gone: eth0", "interfaces: new: veth0", leftovers + ": new: process 1",
	}
	got := before.Diff(after)
	if len(got) != len(want) {
		t.Fatalf("got %q, want %q", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("got %q, want %q", got[i], want[i])
		}
	}
}
