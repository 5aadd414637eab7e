package intercept_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
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

var labs atomic.Int32

func newLab(t *testing.T) *lab {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("this test needs root: it makes network namespaces")
	}
	sweep(t)
	prefix := fmt.Sprintf("kmtest-%d-%d-", os.Getpid(), labs.Add(1))
	l := &lab{
		t: t, msa: prefix + "msa", gw: prefix + "gw", mx: prefix + "mx",
		msas:   map[string]*child{},
		msaIP:  map[string]string{"ipv4": "10.77.1.2", "ipv6": "fd77:1::2"},
		gwIP:   map[string]string{"ipv4": "10.77.1.1", "ipv6": "fd77:1::1"},
		mxIP:   map[string]string{"ipv4": "10.77.2.2", "ipv6": "fd77:2::2"},
		sendIP: map[string]string{"ipv4": "10.77.2.10", "ipv6": "fd77:2::10"},
	}
	for _, ns := range []string{l.msa, l.gw, l.mx} {
		l.add(ns)
	}
	l.link("msa0", l.msa, "10.77.1", "fd77:1:")
	l.link("out0", l.mx, "10.77.2", "fd77:2:")
	command(t, "", "ip", "-n", l.gw, "address", "add", "10.77.2.10/24", "dev", "out0")
	command(t, "", "ip", "-n", l.gw, "address", "add", "fd77:2::10/64", "dev", "out0", "nodad", "preferred_lft", "0")
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

func (l *lab) add(ns string) {
	l.t.Helper()
	command(l.t, "", "ip", "netns", "add", ns)
	l.t.Cleanup(func() { command(l.t, "", "ip", "netns", "delete", ns) })
	// Without duplicate address detection, which takes its seconds. All sysctls here are the namespace's own.
	command(l.t, "", "ip", "netns", "exec", ns, "sysctl", "-qw", "net.ipv6.conf.all.accept_dad=0", "net.ipv6.conf.default.accept_dad=0",
		"net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.default.rp_filter=0")
	command(l.t, "", "ip", "-n", ns, "link", "set", "lo", "up")
}

// link joins the gateway's interface to the eth0 of a neighbour, which gets its default routes over it.
func (l *lab) link(name, neighbour, net4, net6 string) {
	l.t.Helper()
	for _, c := range [][]string{
		{"-n", l.gw, "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", neighbour},
		{"-n", l.gw, "address", "add", net4 + ".1/24", "dev", name},
		{"-n", l.gw, "address", "add", net6 + ":1/64", "dev", name, "nodad"},
		{"-n", neighbour, "address", "add", net4 + ".2/24", "dev", "eth0"},
		{"-n", neighbour, "address", "add", net6 + ":2/64", "dev", "eth0", "nodad"},
		{"-n", l.gw, "link", "set", name, "up"},
		{"-n", neighbour, "link", "set", "eth0", "up"},
		{"-n", neighbour, "-4", "route", "add", "default", "via", net4 + ".1"},
		{"-n", neighbour, "-6", "route", "add", "default", "via", net6 + ":1"},
	} {
		command(l.t, "", "ip", c...)
	}
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

// A child is a process of this test binary in a namespace. It ends when its standard input does.
type child struct {
	t      *testing.T
	name   string
	stdin  io.WriteCloser
	events chan event
	seen   []event
}

const optionsVariable = "KANMON_TEST_OPTIONS"

// executable is a copy of the test binary that a user without privileges can execute too.
var executable string

func TestMain(m *testing.M) {
	if o := os.Getenv(optionsVariable); o != "" {
		runChild(o)
		return
	}
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	dir, err := os.MkdirTemp("", "kmtest-")
	if err == nil {
		defer os.RemoveAll(dir)
		executable = filepath.Join(dir, "child")
		err = errors.Join(os.Chmod(dir, 0o755), copyFile(executable, "/proc/self/exe"))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "copy the test binary:", err)
		return 1
	}
	return m.Run()
}

func copyFile(to, from string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o755)
}

func (l *lab) start(ns string, o options) *child {
	l.t.Helper()
	args := []string{"netns", "exec", ns}
	if o.NetAdmin {
		args = append(args, "setpriv", "--bounding-set", "-all,+net_admin")
	}
	if o.Unprivileged {
		args = append(args, "setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups")
		if o.NetRaw {
			args = append(args, "--inh-caps", "+net_raw", "--ambient-caps", "+net_raw")
		}
	}
	text, err := json.Marshal(o)
	if err != nil {
		l.t.Fatal(err)
	}
	cmd := exec.Command("ip", append(args, executable)...)
	cmd.Env = append(os.Environ(), optionsVariable+"="+string(text))
	cmd.Stderr = os.Stderr
	stdin, err1 := cmd.StdinPipe()
	stdout, err2 := cmd.StdoutPipe()
	if err := errors.Join(err1, err2, cmd.Start()); err != nil {
		l.t.Fatal(err)
	}
	c := &child{t: l.t, name: o.Role, stdin: stdin, events: make(chan event, 1000)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer close(c.events)
		for in := bufio.NewScanner(stdout); in.Scan(); {
			var e event
			if err := json.Unmarshal(in.Bytes(), &e); err != nil {
				e = event{Msg: in.Text(), Error: err.Error()}
			}
			c.events <- e
		}
	}()
	l.t.Cleanup(func() {
		stdin.Close()
		select {
		case <-done:
		case <-time.After(5 * time.Second):
			l.t.Errorf("%s does not end", o.Role)
			_ = cmd.Process.Kill()
		}
		_ = cmd.Wait()
	})
	return c
}

// expect waits for an event that has not been expected before.
func (c *child) expect(msg string) event {
	c.t.Helper()
	timeout := time.After(10 * time.Second)
	for {
		if i := slices.IndexFunc(c.seen, func(e event) bool { return e.Msg == msg }); i >= 0 {
			e := c.seen[i]
			c.seen[i].Msg = "expected " + msg
			return e
		}
		select {
		case e, ok := <-c.events:
			if !ok {
				c.t.Fatalf("%s ended before %q; it said %+v", c.name, msg, c.seen)
			}
			c.seen = append(c.seen, e)
		case <-timeout:
			c.t.Fatalf("%s does not say %q; it said %+v", c.name, msg, c.seen)
		}
	}
}

// collect takes what the child has said so far.
func (c *child) collect() {
	for {
		select {
		case e, ok := <-c.events:
			if !ok {
				return
			}
			c.seen = append(c.seen, e)
		default:
			return
		}
	}
}

// drop takes what the child has said so far as expected.
func (c *child) drop(msg string) {
	c.tell("report")
	for c.unexpected(msg) > 0 {
		c.expect(msg)
	}
}

// unexpected gives how often the child has said something that was not expected.
func (c *child) unexpected(msg string) int {
	c.collect()
	n := 0
	for _, e := range c.seen {
		if e.Msg == msg {
			n++
		}
	}
	return n
}

// count gives how often the child has said something, expected or not.
func (c *child) count(msg string) int { return c.unexpected(msg) + c.unexpected("expected "+msg) }

// tell gives the child a command and waits until it is done.
func (c *child) tell(what string) event {
	c.t.Helper()
	if _, err := io.WriteString(c.stdin, what+"\n"); err != nil {
		c.t.Fatal(err)
	}
	return c.expect("done " + what)
}
