// Package netns shows real mail passing: real Postfix on both sides, the kernel's redirect between them, kanmon in the
// middle, all in network namespaces of the test's own. It needs root and the tools that test/setup/install.sh unpacks;
// `make test` sees to both.
package netns

import (
	"fmt"
	"os"
	"testing"
	"time"

	"kanmon/test/netlab"
)

func TestMain(m *testing.M) {
	before := netlab.TakeSnapshot()
	code, done := netlab.Isolate()
	if !done {
		os.Exit(m.Run())
	}
	if diff := settle(before); len(diff) > 0 {
		fmt.Println("FAIL: the host is not as it was before the test:")
		for _, line := range diff {
			fmt.Println("  ", line)
		}
		code = 1
	}
	os.Exit(code)
}

// settle compares the host with what it was, and gives what other programs on it do for a moment the time to pass.
func settle(before netlab.Snapshot) (diff []string) {
	for range 20 {
		if diff = before.Diff(netlab.TakeSnapshot()); len(diff) == 0 {
			return nil
		}
		time.Sleep(500 * time.Millisecond)
	}
	return diff
}
