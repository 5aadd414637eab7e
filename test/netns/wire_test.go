package netns

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"kanmon/internal/event"
	"kanmon/test/netlab"
)

// TestWayOfAConnectionIsOnRecord shows what the kernel tells of connections: a SYN that was lost and sent again, a round trip, and of a
// sending IP that the MX's firewall resets that its dial was refused, beside the one that was let in.
func TestWayOfAConnectionIsOnRecord(t *testing.T) {
	world, _ := newWorldOfTwoMXs(t)
	kanmon := startKanmon(t, world, forwardedRedirect, sendingIPs, otherSendingIPs)
	to := netip.AddrPortFrom(netlab.MXAddr(2, false), 25)
	firewall := func(rule string) {
		t.Helper()
		_, err := world.MXs[1].Run("nft", "add table inet fw; flush table inet fw; add chain inet fw in { type filter hook input priority 0; }; add rule inet fw in tcp dport 25 "+rule)
		must(t, err)
	}
	ended := 0
	session := func() event.Entry {
		t.Helper()
		if line, _ := greeting(t, world.MSAs[0], to); !strings.HasPrefix(line, "220 ") {
			t.Fatalf("the MX answered %q", line)
		}
		ended++
		var ends []event.Entry
		eventually(t, "the session's end on record", func() bool {
			ends = ends[:0]
			for e, err := range event.NewReader(strings.NewReader(kanmon.Records())).All() {
				if err == nil && e.Type == "session" {
					ends = append(ends, *e)
				}
			}
			return len(ends) == ended
		})
		return ends[ended-1]
	}
	told := func(legs []event.EntryLeg) (text string) {
		for _, l := range legs {
			text += fmt.Sprintf("%s %q, %d SYNs, %d resent; ", l.SendingIP, l.Failed, l.SYNs, l.Resent)
			if (l.RTT > 0) != (l.Failed == "") || l.RTT > 1000 {
				t.Errorf("%s %q: round trip %.3f ms", l.SendingIP, l.Failed, l.RTT)
			}
		}
		return text
	}

	firewall("accept")
	first := session()
	ip, other := netlab.SendingIPv4, netlab.OtherSendingIPv4
	if first.SendingIP == other {
		ip, other = other, ip
	}
	if got, want := told(first.Legs), fmt.Sprintf(`%s "", 0 SYNs, 0 resent; `, ip); got != want {
		t.Errorf("undisturbed: %s, want %s", got, want)
	}
	firewall("tcp flags & (syn | ack) == syn limit rate 1/hour burst 1 packets drop")
	if got, want := told(session().Legs), fmt.Sprintf(`%s "", 1 SYNs, 0 resent; `, ip); got != want {
		t.Errorf("with a SYN that was lost: %s, want %s", got, want)
	}
	firewall("ip saddr " + ip.String() + " reject with tcp reset")
	if got, want := told(session().Legs), fmt.Sprintf(`%s "refused", 0 SYNs, 0 resent; %s "", 0 SYNs, 0 resent; `, ip, other); got != want {
		t.Errorf("with one IP that is refused: %s, want %s", got, want)
	}
}
