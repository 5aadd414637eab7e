package scanners

import (
	"fmt"
	"os"
	"testing"

	"kanmon/test/netlab"
)

func TestMain(m *testing.M) {
	code, done := netlab.Isolate()
	if !done {
		code = runAll(m)
	}
	os.Exit(code)
}

// world is the host that all scanners run on.
var world struct {
	lab   *netlab.Lab
	host  *netlab.Host
	image *netlab.Image
}

func runAll(m *testing.M) int {
	lab, err := netlab.New("scanners")
	if err == nil {
		world.lab = lab
		world.host, err = lab.Host("scan1")
	}
	if err == nil {
		world.image, err = world.host.Image("scanners")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := m.Run()
	if err := lab.Close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}
