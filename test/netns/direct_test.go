package netns

import (
	"strings"
	"testing"

	"kanmon/test/netlab"
)

// TestDirect is the baseline: without kanmon the lab itself delivers every message unchanged, over TLS, from the MSA's
// own address and under its own name. What fails here is no fault of kanmon's.
func TestDirect(t *testing.T) {
	world, mx := newWorld(t, 1)
	msa := newMSA(t, world.MSAs[0], "may")
	for _, family := range families {
		t.Run(family.name, func(t *testing.T) {
			for _, m := range awkwardMails(netlab.Domain(1, family.v6)) {
				_, stored := deliver(t, msa, mx, m)
				for _, want := range []string{"from msa1.example ", "[" + ipLiteral(netlab.MSAAddr(1, family.v6)) + "]", "using TLSv1.3"} {
					if !strings.Contains(stored.Received, want) {
						t.Errorf("mail to %s: the MX received it %q, want %q in it", m.to, stored.Received, want)
					}
				}
			}
		})
	}
}
