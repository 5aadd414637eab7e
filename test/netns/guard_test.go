package netns

import (
	"bufio"
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"kanmon/test/netlab"
)

// TestDown shows that mail waits in the MSA while kanmon is down, in both modes, flows once it is up, and that
// removing the rules opens the direct way.
func TestDown(t *testing.T) {
	for name, config := range map[string]string{"redirect": forwardedRedirect, "tproxy": forwardedTProxy} {
		t.Run(name, func(t *testing.T) {
			world, mx := newWorld(t, 1)
			msa := newMSA(t, world.MSAs[0], "may")
			kanmon := newKanmon(t, world, config, sendingIPs)
			rules(t, kanmon, "apply")

			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			var waiting []mail
			for _, family := range families {
				m := note("waiting", netlab.Domain(1, family.v6))
				waiting = append(waiting, m)
				_, err := msa.Submit("sender@msa1.example", []string{m.to}, m.content)
				must(t, err)
				attempt, err := msa.WaitStatus(ctx, m.to, "deferred")
				must(t, err)
				if !strings.Contains(attempt.Reply, "Connection refused") {
					t.Errorf("with kanmon down the MSA was told %q, want the connection refused", attempt.Reply)
				}
			}
			queue, err := msa.Queue()
			must(t, err)
			if n := strings.Count(queue, "waiting@"); n != len(waiting) {
				t.Errorf("%d of %d messages wait in the MSA's queue:\n%s", n, len(waiting), queue)
			}
			if n := mx.Count(); n != 0 {
				t.Fatalf("with kanmon down %d messages reached the MX", n)
			}

			must(t, kanmon.Start())
			for _, m := range waiting {
				flush(t, msa, m)
				_, stored := expect(t, msa, mx, m)
				expectReceived(t, stored, "from "+netlab.SendingName+" ")
			}

			if err := kanmon.Stop(10 * time.Second); err != nil {
				t.Errorf("kanmon ended with %v", err)
			}
			rules(t, kanmon, "remove")
			for _, family := range families {
				_, stored := deliver(t, msa, mx, note("direct", netlab.Domain(1, family.v6)))
				expectReceived(t, stored, "from msa1.example ", "["+ipLiteral(netlab.MSAAddr(1, family.v6))+"]")
			}
		})
	}
}

// flush makes the MSA try until the mail is sent: a try is skipped while the end of an earlier one is being written down.
func flush(t *testing.T, msa *netlab.Postfix, m mail) {
	t.Helper()
	for range 20 {
		must(t, msa.Flush())
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		_, err := msa.WaitStatus(ctx, m.to, "sent")
		cancel()
		if err == nil {
			return
		}
	}
	t.Fatalf("mail to %s is not sent after 20 tries", m.to)
}

// TestNotIntercepted shows that who connects to the listener itself gets 421: it is no open relay to anywhere.
func TestNotIntercepted(t *testing.T) {
	world, _ := newWorld(t, 1)
	kanmon := newKanmon(t, world, forwardedRedirect, sendingIPs)
	must(t, kanmon.Start())
	// Without a NAT rule in the kernel a connection has no original destination; with one it has its own.
	for _, step := range []string{"no rules", "rules of others"} {
		if step == "rules of others" {
			_, err := world.Gateway.Run("nft", "add table inet other; add chain inet other pre { type nat hook prerouting priority dstnat; }")
			must(t, err)
		}
		for _, address := range []string{"10.20.1.1:10025", "[fd20:0:1::1]:10025"} {
			conn, err := world.MSAs[0].Dial(address, 5*time.Second)
			must(t, err)
			_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
			answer, err := io.ReadAll(conn)
			must(t, err)
			must(t, conn.Close())
			if !strings.HasPrefix(string(answer), "421 4.") {
				t.Errorf("%s, %s: answered %q, want 421", step, address, answer)
			}
		}
	}
	// kanmon's own rules keep such connections away from it.
	rules(t, kanmon, "apply")
	conn, err := world.MSAs[0].Dial("10.20.1.1:10025", 5*time.Second)
	if err == nil {
		_ = conn.Close()
		t.Error("the rules let a connection to the listener itself pass")
	}
}

// TestLoop shows that kanmon sees its own connections come back when the rules do not exclude them: after one hop.
func TestLoop(t *testing.T) {
	world, _ := newWorld(t, 0)
	// The rules leave another user's traffic alone, not kanmon's.
	kanmon := newKanmon(t, world, strings.Replace(localByUser, `"kanmon"`, `"nobody"`, 1), sendingIPs)
	rules(t, kanmon, "apply")
	kanmon.User = netlab.UnprivilegedUser
	must(t, kanmon.Configure(localByUser+sendingIPs))
	must(t, kanmon.Start())
	for _, family := range families {
		address := netlab.MXAddr(1, family.v6)
		literal := address.String()
		if family.v6 {
			literal = "[" + literal + "]"
		}
		conn, err := world.Gateway.Dial(literal+":25", 5*time.Second)
		must(t, err)
		_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
		answer, err := bufio.NewReader(conn).ReadString('\n')
		must(t, err)
		must(t, conn.Close())
		if !strings.HasPrefix(answer, "421 ") {
			t.Errorf("%s: a loop was answered %q, want 421", family.name, answer)
		}
	}
	// For each family one session that dialled, one connection that came back and was refused, and nothing more.
	eventually(t, "four connections in the session log", func() bool {
		return strings.Count(kanmon.SessionLog(), "connections closed") >= 4
	})
	for _, line := range []string{"-- connected from ", " refused: loop"} {
		if n := strings.Count(kanmon.SessionLog(), line); n != 2 {
			t.Errorf("the session log has %d lines with %q, want 2:\n%s", n, line, kanmon.SessionLog())
		}
	}
}
