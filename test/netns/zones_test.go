package netns

import (
	"net/netip"
	"net/textproto"
	"strings"
	"testing"
	"time"

	"kanmon/test/netlab"
)

// A mail that is in its body when rules with conntrack zones come, in place of those of a version without, arrives whole, and its MSA is told.
func TestRulesWithZonesComeUnderAMailInItsBody(t *testing.T) {
	world, _ := newWorld(t, 1)
	kanmon := startKanmon(t, world, dedicatedRedirect, acmeByWire, sendingIPs)
	for _, family := range families {
		_, err := world.Gateway.Run("nft", "delete", "chain", "inet", "kanmon", "wires")
		must(t, err)
		conn, err := world.MSAs[0].Dial(netip.AddrPortFrom(netlab.MXAddr(1, family.v6), 25).String(), 5*time.Second)
		must(t, err)
		must(t, conn.SetDeadline(time.Now().Add(30*time.Second)))
		msa := textproto.NewConn(conn)
		_, _, err = msa.ReadResponse(220)
		must(t, err)
		for _, step := range []struct {
			command string
			want    int
		}{
			{"EHLO msa1.example", 250},
			{"MAIL FROM:<sender@msa1.example>", 250},
			{"RCPT TO:<body@" + netlab.Domain(1, family.v6) + ">", 250},
			{"DATA", 354},
		} {
			must(t, msa.PrintfLine("%s", step.command))
			_, _, err := msa.ReadResponse(step.want)
			must(t, err)
		}
		line := strings.Repeat("x", 70)
		for i := range 2000 {
			if i == 1000 {
				rules(t, kanmon, "apply")
			}
			must(t, msa.PrintfLine("%s", line))
		}
		must(t, msa.PrintfLine("."))
		if _, text, err := msa.ReadResponse(250); err != nil {
			t.Errorf("%s: the mail ends with %v %q, want 250", family.name, err, text)
		}
		must(t, msa.Close())
	}
}
