package intercept_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"kanmon/internal/intercept"
)

// A lab is three network namespaces in a row, a tenant's MSA, the gateway that kanmon runs on, and an MX:
//
//	msa 10.77.1.2 ── msa0 10.77.1.1 gateway 10.77.2.1 out0 ── mx 10.77.2.2
//	    fd77:1::2         fd77:1::1         fd77:2::1            fd77:2::2
//
// The gateway also has the sending IPs 10.77.2.10 and fd77:2::10. Nothing outside the namespaces is touched.
type lab struct {
	t            *testing.T
	msa, gw, mx  string            // namespaces
	mxs          *child            // server on port 25 of the MX
	msas         map[string]*child // that send, by namespace
	msaIP, mxIP  map[string]string
	gwIP, sendIP map[string]string
}

var families = []string{"ipv4", "ipv6"}

var (
	labs  atomic.Int32
	swept sync.Once
)

func newLab(t *testing.T) *lab {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("this test needs root: it makes network namespaces")
	}
	swept.Do(func() { sweep(t) })
	prefix := fmt.Sprintf("kmtest-%d-%d-", os.Getpid(), labs.Add(1))
	l := &lab{
		t: t, msa: prefix + "msa", gw: prefix + "gw", mx: prefix + "mx",
		msas:   map[string]*child{},
		msaIP:  map[string]string{"ipv4": "10.77.1.2", "ipv6": "fd77:1::2"},
		gwIP:   map[string]string{"ipv4": "10.77.1.1", "ipv6": "fd77:1::1"},
		mxIP:   map[string]string{"ipv4": "10.77.2.2", "ipv6": "fd77:2::2"},
		sendIP: map[string]string{"ipv4": "10.77.2.10", "ipv6": "fd77:2::10"},
	}
	l.add(l.msa, l.gw, l.mx)
	l.link("msa0", l.msa, "10.77.1", "fd77:1:")
	l.link("out0", l.mx, "10.77.2", "fd77:2:")
	l.ip(l.gw, "address add 10.77.2.10/24 dev out0", "address add fd77:2::10/64 dev out0 nodad preferred_lft 0")
	command(t, "", "ip", "netns", "exec", l.gw, "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
	l.mxs = l.start(l.mx, options{Role: "mx"})
	l.mxs.expect("ready")
	return l
}

// namespace makes one more.
func (l *lab) namespace(name string) (ns string) {
	l.t.Helper()
	ns = strings.TrimSuffix(l.msa, "msa") + name
	l.add(ns)
	return ns
}

func (l *lab) add(namespaces ...string) {
	l.t.Helper()
	each := func(verb string) (lines []string) {
		for _, ns := range namespaces {
			lines = append(lines, "netns "+verb+" "+ns)
		}
		return lines
	}
	l.t.Cleanup(func() { l.ip("", each("delete")...) })
	l.ip("", each("add")...)
	for _, ns := range namespaces {
		// Without duplicate address detection, which takes its seconds. All sysctls here are the namespace's own.
		command(l.t, "", "ip", "netns", "exec", ns, "sysctl", "-qw", "net.ipv6.conf.all.accept_dad=0", "net.ipv6.conf.default.accept_dad=0",
			"net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.default.rp_filter=0")
		l.ip(ns, "link set lo up")
	}
}

// ip has ip do some things in a namespace, all in one process.
func (l *lab) ip(ns string, lines ...string) {
	l.t.Helper()
	args := []string{"-batch", "-"}
	if ns != "" {
		args = append([]string{"-n", ns}, args...)
	}
	command(l.t, strings.Join(lines, "\n")+"\n", "ip", args...)
}

// link joins the gateway's interface to the eth0 of a neighbour, which gets its default routes over it.
func (l *lab) link(name, neighbour, net4, net6 string) {
	l.t.Helper()
	l.ip(l.gw, "link add "+name+" type veth peer name eth0 netns "+neighbour, "address add "+net4+".1/24 dev "+name, "address add "+net6+":1/64 dev "+name+" nodad", "link set "+name+" up")
	l.ip(neighbour, "address add "+net4+".2/24 dev eth0", "address add "+net6+":2/64 dev eth0 nodad", "link set eth0 up",
		"route add 0.0.0.0/0 via "+net4+".1", "route add ::/0 via "+net6+":1")
}

// tell tells the MSA of a namespace, which it starts if need be, what to send.
func (l *lab) tell(ns string, s sending) *child {
	l.t.Helper()
	if l.msas[ns] == nil {
		l.msas[ns] = l.start(ns, options{Role: "msa"})
	}
	text, err := json.Marshal(s)
	if err == nil {
		_, err = l.msas[ns].stdin.Write(append(text, '\n'))
	}
	if err != nil {
		l.t.Fatal(err)
	}
	return l.msas[ns]
}

// send connects from a namespace and gives the answer.
func (l *lab) send(ns string, s sending) event {
	l.t.Helper()
	return l.tell(ns, s).expect("answer")
}

// mustPass sends mail and wants it to arrive through the gateway.
func (l *lab) mustPass(gw *child, ns, family, source string, s sending) {
	l.t.Helper()
	s.Target = port25(l.mxIP[family])
	if a := l.send(ns, s); a.Line != "220 mx\r\n" {
		l.t.Fatalf("%s: the MSA got %q, error %q, after %v", family, a.Line, a.Error, a.Took)
	}
	h := gw.expect("handled")
	if h.Destination != s.Target {
		l.t.Errorf("%s: original destination %s, want %s", family, h.Destination, s.Target)
	}
	if source != "" && h.Source.Addr().String() != source {
		l.t.Errorf("%s: source %s, want %s", family, h.Source, source)
	}
	l.mustArriveFrom(l.sendIP[family])
}

// mustArriveFrom wants the next connection at the MX to come from the address.
func (l *lab) mustArriveFrom(source string) {
	l.t.Helper()
	if e := l.mxs.expect("mail"); e.Source.Addr().Unmap().String() != source {
		l.t.Errorf("the MX was called by %s, want %s", e.Source, source)
	}
}

// mustNotArrive wants no connection at the MX but those expected so far.
func (l *lab) mustNotArrive() {
	l.t.Helper()
	l.mxs.tell("report")
	if n := l.mxs.unexpected("mail"); n != 0 {
		l.t.Errorf("%d connections came to the MX: %+v", n, l.mxs.seen)
	}
}

// mustBeRefused sends mail and wants the connection refused by the kernel, at once.
func (l *lab) mustBeRefused(ns string, target netip.AddrPort) {
	l.t.Helper()
	a := l.send(ns, sending{Target: target})
	if !strings.HasSuffix(a.Error, "connect: connection refused") || a.Took > time.Second {
		l.t.Errorf("%s: the MSA got %q, error %q, after %v; want connection refused at once", target, a.Line, a.Error, a.Took)
	}
}

// sweep deletes what test processes that were killed have left.
func sweep(t *testing.T) {
	t.Helper()
	for line := range strings.Lines(command(t, "", "ip", "netns", "list")) {
		name, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		rest, ours := strings.CutPrefix(name, "kmtest-")
		number, _, _ := strings.Cut(rest, "-")
		pid, err := strconv.Atoi(number)
		if ours && err == nil && errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			_ = exec.Command("ip", "netns", "delete", name).Run() // another test process may sweep too
		}
	}
}

// command runs a command with the input, and gives its output.
func command(t *testing.T, input, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Stdin = strings.NewReader(input)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// options tell a child what to be. They reach it as JSON, in the environment.
type options struct {
	Role string // "gateway", "mx", "msa", "rules", "guard"

	// Privileges: those of root; or CAP_NET_ADMIN alone; or none but CAP_NET_RAW, if NetRaw is set.
	NetAdmin, Unprivileged, NetRaw bool

	// Gateway and rules.
	Mode       string
	Listen     []netip.AddrPort
	Dedicated  []intercept.Dedicated
	SendingIPs []netip.Addr
	OwnMark    uint32
	Adopt      bool   // open the sockets as systemd does, drop all privileges, and adopt them
	Hold       bool   // do not dial: hold what is accepted
	Files      uint64 // limit of descriptors; 0: as it is
	Remove     bool
	Sources    []netip.Prefix
	Interfaces []string
	Local      bool
	User       string
	Mark       uint32
	NoIPv4     bool
	NoIPv6     bool
	RouteMark  uint32
	RouteTable uint32
	Kept       string // folder of the keeper
}

// A sending is what an MSA is told to do, as JSON on its standard input.
type sending struct {
	Target  netip.AddrPort
	Hold    int // connections to open, and to hold until the next sending; 0: one, to close when answered
	MPTCP   bool
	Timeout time.Duration // 0: 5 s
	Port    int           // to connect from; 0: any
	Stray   bool          // send a segment from far outside of the connection's window, then a command
	Say     string        // a command behind the greeting, whose answer is the one that counts
	Held    bool          // say it on the connection that is held
}

// An event is what a child says on a line of its standard output.
type event struct {
	Msg         string
	Error       string
	Line        string // first line the MSA got
	Source      netip.AddrPort
	Destination netip.AddrPort
	Port        uint16 // of the listener that took it
	Why         int
	CPU         time.Duration
	Took        time.Duration

	Lost, By string // of the guard's
}
