package netns

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"kanmon/internal/smtp/smtptest"
	"kanmon/test/netlab"
)

// Ways in which the first MX of a domain cannot be reached. Its host sends few ICMPv6 errors in a second: a dial may need its second SYN.
var unreachableMXs = []struct {
	name    string
	rule    string // nftables rule of its host, for port 25
	serve   bool   // it accepts, and closes at once
	want    string // how the MSA's connection ends
	longest time.Duration
}{
	{"refused", "reject with tcp reset", false, "reset", 4 * time.Second},
	{"port unreachable", "reject", false, "reset", 4 * time.Second},
	{"host unreachable", "reject with icmpx type host-unreachable", false, "reset", 4 * time.Second},
	{"prohibited", "reject with icmpx type admin-prohibited", false, "reset", 4 * time.Second},
	{"silent", "drop", false, "closed", 7 * time.Second},
	{"closes before its greeting", "accept", true, "closed", time.Second},
}

// TestNextMX shows that an MSA goes on to the second MX where the first one cannot be reached, in both modes and over both families: a real
// Postfix, and one of the kind that takes a 4xx greeting for the end of its attempt.
//
// law: S0/MX-lost S0/MX-silent S1/MX-lost I13
func TestNextMX(t *testing.T) {
	for name, config := range map[string]string{"redirect": forwardedRedirect, "tproxy": forwardedTProxy} {
		for _, family := range families {
			t.Run(name+" "+family.name, func(t *testing.T) {
				world, mx := newWorldOfTwoMXs(t)
				msa := newMSA(t, world.MSAs[0], "may")
				kanmon := startKanmon(t, world, config, sendingIPs, otherSendingIPs, "[timeouts]\ndial = '6s'\n")
				for i, way := range unreachableMXs {
					closeMX := breakMX(t, world.MXs[0], way.rule, way.serve)
					ended, took := greeting(t, world.MSAs[0], netip.AddrPortFrom(netlab.MXAddr(1, family.v6), 25))
					if ended != way.want || took > way.longest {
						t.Errorf("%s: the MSA's connection was %s after %s, want %s", way.name, ended, took, way.want)
					}
					if n := whereQmailGoes(t, world.MSAs[0], family.v6); n != 2 {
						t.Errorf("%s: an MSA that gives up at a 4xx greeting got to MX %d, want 2", way.name, n)
					}
					if i < 1 || way.want == "closed" && way.serve { // Postfix needs its time: one of each kind
						m := note(fmt.Sprintf("next%d", i), netlab.Domain(2, family.v6))
						attempt, _ := deliver(t, msa, mx, m)
						if !strings.Contains(attempt.Relay, netlab.MXAddr(2, family.v6).String()) {
							t.Errorf("%s: Postfix delivered to %s", way.name, attempt.Relay)
						}
					}
					closeMX()
				}
				eventually(t, "the session log says why", func() bool {
					log := kanmon.SessionLog()
					return strings.Contains(log, "no greeting for the MSA, its connection is reset: ") &&
						strings.Contains(log, "no greeting for the MSA, its connection is closed: ")
				})
			})
		}
	}
}

// TestUnreachableMXIsTold shows the other way, for who wants it.
func TestUnreachableMXIsTold(t *testing.T) {
	world, _ := newWorldOfTwoMXs(t)
	startKanmon(t, world, `on_unreachable = "421"`+"\n", forwardedRedirect, sendingIPs)
	ended, _ := greeting(t, world.MSAs[0], netip.AddrPortFrom(netlab.MXAddr(1, false), 25))
	if !strings.HasPrefix(ended, "421 4.4.1 kanmon: ") {
		t.Errorf("the MSA got %q", ended)
	}
	if n := whereQmailGoes(t, world.MSAs[0], false); n != 0 {
		t.Errorf("an MSA that gives up at a 4xx greeting got to MX %d", n)
	}
}

// TestDroppedSendingIP shows an MX that drops the SYNs of one sending IP: it is reached from the other within the time of a dial, and at
// once in the next session.
//
// law: I12 S0/replay
func TestDroppedSendingIP(t *testing.T) {
	world, _ := newWorldOfTwoMXs(t)
	kanmon := startKanmon(t, world, forwardedRedirect, sendingIPs, otherSendingIPs)
	to := netip.AddrPortFrom(netlab.MXAddr(2, false), 25)
	if ended, _ := greeting(t, world.MSAs[0], to); !strings.HasPrefix(ended, "220 ") {
		t.Fatalf("the MX answered %q", ended)
	}
	dropped := netlab.SendingIPv4
	if strings.Contains(kanmon.SessionLog(), "connected to "+to.String()+" from "+netlab.OtherSendingIPv4.String()) {
		dropped = netlab.OtherSendingIPv4
	}
	_, err := world.MXs[1].Run("nft", "add table inet fw; add chain inet fw in { type filter hook input priority 0; }; add rule inet fw in tcp dport 25 ip saddr "+
		dropped.String()+" drop")
	must(t, err)
	for session, longest := range []time.Duration{20 * time.Second, time.Second, time.Second} {
		if ended, took := greeting(t, world.MSAs[0], to); !strings.HasPrefix(ended, "220 ") || took > longest {
			t.Errorf("session %d: %q after %s", session+1, ended, took)
		}
	}
}

// whereQmailGoes is an MSA of the kind that goes to the next MX where a connection ends without a greeting, and gives up where the greeting
// is a refusal. It gives the number of the MX that takes it, 0 if it has given up.
func whereQmailGoes(t *testing.T, msa *netlab.Host, v6 bool) int {
	t.Helper()
	for n := 1; n <= 2; n++ {
		switch line, _ := greeting(t, msa, netip.AddrPortFrom(netlab.MXAddr(n, v6), 25)); line[:1] {
		case "2":
			return n
		case "4", "5":
			return 0
		}
	}
	return 0
}

// newWorldOfTwoMXs has two MXs for the domains of the second one; the first has no mail server.
func newWorldOfTwoMXs(t *testing.T) (*netlab.Outbound, *netlab.Postfix) {
	t.Helper()
	t.Parallel()
	options := netlab.OutboundOptions{Tenants: 1, MXs: 2}
	options.Zone.MX(netlab.Domain(2, false), "a.mx1.example", 5)
	options.Zone.MX(netlab.Domain(2, true), "aaaa.mx1.example", 5)
	world := newOutbound(t, options)
	mx, err := netlab.NewPostfix(world.MXs[1], netlab.PostfixOptions{Role: netlab.MX, Hostname: netlab.MXName(2), TLS: "may"})
	must(t, err)
	return world, mx
}

// breakMX makes an MX unreachable, until the function that it gives is called.
func breakMX(t *testing.T, host *netlab.Host, rule string, serve bool) (mend func()) {
	t.Helper()
	_, err := host.Run("nft", "add table inet fw; flush table inet fw; add chain inet fw in { type filter hook input priority 0; }; add rule inet fw in tcp dport 25 "+rule)
	must(t, err)
	if !serve {
		return func() {}
	}
	l, err := host.Listen("[::]:25")
	must(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_ = conn.Close()
		}
	}()
	return func() { _ = l.Close(); <-done }
}

// greeting connects from the MSA's host and gives the first line that comes, or how the connection ended without one, and after how
// long. This is all that an MSA knows when it decides whether to go on to the next MX.
func greeting(t *testing.T, msa *netlab.Host, to netip.AddrPort) (line string, took time.Duration) {
	t.Helper()
	begun := time.Now()
	conn, err := msa.Dial(to.String(), 5*time.Second)
	if errors.Is(err, syscall.ECONNRESET) { // kanmon was faster than connect(2)
		return "reset", time.Since(begun)
	}
	must(t, err)
	defer conn.Close()
	_ = conn.SetDeadline(begun.Add(time.Minute))
	buf := make([]byte, 512)
	n, err := conn.Read(buf)
	took = time.Since(begun)
	switch {
	case n > 0:
		_, _ = conn.Write([]byte("QUIT\r\n"))
		return string(buf[:n]), took
	case errors.Is(err, io.EOF):
		return "closed", took
	case errors.Is(err, syscall.ECONNRESET):
		return "reset", took
	default:
		return err.Error(), took
	}
}

// TestADeadPathIsPassedOver shows a tunnel that is down: of the packets of one sending IP nothing gets out. Once three networks have answered the other one alone, no
// session waits for it any more, wherever it goes; kanmon says so, and holds it against no IP.
//
// law: I12 S0/replay
func TestADeadPathIsPassedOver(t *testing.T) {
	t.Parallel()
	world := newOutbound(t, netlab.OutboundOptions{Tenants: 1, MXs: 1})
	l, err := world.MXs[0].Listen("0.0.0.0:25")
	must(t, err)
	t.Cleanup(func() { _ = l.Close() })
	go new(smtptest.MX).Serve(l)
	must(t, world.MXs[0].IP("address add 100.64.0.0/10 dev lo"))
	must(t, world.Internet.IP("route add 100.64.0.0/10 via "+netlab.MXAddr(1, false).String()))
	kanmon := newKanmon(t, world)
	must(t, kanmon.Configure(forwardedRedirect+sendingIPs+otherSendingIPs+"[timeouts]\ndial = '10s'\n[admin]\nsocket = '"+kanmon.Socket()+"'\n"))
	rules(t, kanmon, "apply")
	must(t, kanmon.Start())
	cut := netlab.OtherSendingIPv4
	_, err = world.Gateway.Run("nft", "add table inet tunnel; add chain inet tunnel out { type filter hook postrouting priority 0; }; add rule inet tunnel out tcp dport 25 ip saddr "+
		cut.String()+" drop")
	must(t, err)
	network := 0
	next := func() time.Duration {
		network++
		ended, took := greeting(t, world.MSAs[0], netip.AddrPortFrom(netip.AddrFrom4([4]byte{100, 64, byte(network), 25}), 25))
		if !strings.HasPrefix(ended, "220 ") || took > 10*time.Second {
			t.Fatalf("network %d: %q after %s", network, ended, took)
		}
		return took
	}
	for waited := 0; waited < 3; {
		if network == 40 {
			t.Fatalf("of 40 networks %d waited for the sending IP that is cut off:\n%s", waited, kanmon.SessionLog())
		}
		if next() > 3*time.Second {
			waited++
		}
	}
	for range 20 {
		if took := next(); took > time.Second {
			t.Errorf("network %d: the MSA waited for %s", network, took)
		}
	}
	status, err := kanmon.Ask("status")
	if err == nil || !strings.Contains(status, "its path "+cut.String()+" is dead: 100.64.") {
		t.Errorf("status: %v\n%s", err, status)
	}
	list, err := kanmon.IP("list")
	if err != nil || !strings.Contains(list, "cut-off") || strings.Contains(list, "suspended") {
		t.Errorf("ip list: %v\n%s", err, list)
	}
}
