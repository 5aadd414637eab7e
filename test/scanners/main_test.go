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

// world is where all runs. The scanners are on the gateway, and kanmon, where a test wants it, asks them there. The second MSA signs its mail.
var world struct {
	*netlab.Outbound
	lab   *netlab.Lab
	host  *netlab.Host
	image *netlab.Image
}

func runAll(m *testing.M) int {
	lab, err := netlab.New("scanners")
	if err == nil {
		world.lab = lab
		world.Outbound, err = netlab.NewOutbound(lab, netlab.OutboundOptions{Tenants: 2, MXs: 1})
	}
	if err == nil {
		world.host = world.Gateway
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
