package daemon

import (
	"bufio"
	"errors"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A keeper is systemd's file descriptor store.
type keeper struct {
	t     *testing.T
	holds map[string]*os.File
	deaf  bool // it hears nothing any more: whoever speaks has been killed
}

func newKeeper(t *testing.T) *keeper {
	k := &keeper{t: t, holds: map[string]*os.File{}}
	t.Cleanup(func() {
		for _, f := range k.holds {
			_ = f.Close()
		}
	})
	return k
}

func (k *keeper) say(state string, files ...int) bool {
	if k.deaf {
		return true
	}
	word, name, _ := strings.Cut(state, "\nFDNAME=")
	switch word {
	case "FDSTORE=1":
		fd, err := unix.FcntlInt(uintptr(files[0]), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			k.t.Error(err)
		}
		k.holds[name] = os.NewFile(uintptr(fd), name)
	case "FDSTOREREMOVE=1":
		if k.holds[name] == nil {
			k.t.Errorf("there is no %s", name)
		}
		_ = k.holds[name].Close()
		delete(k.holds, name)
	case "BARRIER=1":
	default:
		k.t.Errorf("told %q", state)
	}
	return true
}

// starts has a daemon find what the keeper has.
func (k *keeper) starts(d *Daemon) {
	k.deaf = false
	d.shelf.say = k.say
	for name, f := range k.holds {
		l, err := net.FileListener(f)
		if err != nil {
			k.t.Fatal(err)
		}
		d.shelf.found[name], d.shelf.lies[name] = l, true
	}
}

// kills ends a daemon as if it were killed: it has cleared nothing.
func (k *keeper) kills(w *world) {
	k.deaf = true
	w.stop()
}

func (k *keeper) names() []string { return slices.Sorted(maps.Keys(k.holds)) }

// answered reports whether kanmon has taken a connection: one that no rule has led there gets a refusal.
func answered(conn net.Conn) bool {
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	line, err := bufio.NewReader(conn).ReadString('\n')
	return err == nil && strings.HasPrefix(line, "4")
}

// Where kanmon has been killed, MSAs that connect meanwhile wait, and the next one serves them. An end in order refuses them.
func TestListenersOutliveADeath(t *testing.T) {
	w, k := newWorld(t, listenTable), newKeeper(t)
	cfg := w.daemon.cfg
	address := cfg.Intercept.Listen[0].String()
	k.starts(w.daemon)
	w.start()
	name := shelfName(cfg.Intercept.Mode, netip.MustParseAddrPort(address))
	if got := k.names(); !slices.Equal(got, []string{name}) {
		t.Fatalf("kept are %q, want %q", got, name)
	}
	for range 3 {
		k.kills(w)
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatalf("an MSA is refused while kanmon is dead: %v", err)
		}
		w.daemon = w.newDaemon(cfg)
		k.starts(w.daemon)
		w.start()
		if !answered(conn) {
			t.Error("whoever has waited is not served")
		}
		_ = conn.Close()
		if w.daemon.host.SocketsGiven {
			t.Error("it takes its own listeners for a socket unit's")
		}
	}
	w.stop()
	if got := k.names(); len(got) != 0 {
		t.Errorf("behind an end in order %q are kept", got)
	}
	if conn, err := net.Dial("tcp", address); err == nil {
		_ = conn.Close()
		t.Error("behind an end in order an MSA waits")
	}
}

// What lies there and is not wanted as it is makes way: another port, another mode, a wildcard that has become two.
func TestListenersThatAreNotWantedMakeWay(t *testing.T) {
	w, k := newWorld(t, "[intercept]\nlisten = ['[::]:PORT']\n"), newKeeper(t)
	k.starts(w.daemon)
	w.start()
	before := k.names()
	k.kills(w)
	port := w.daemon.cfg.Intercept.Listen[0].Port()
	cfg := *w.daemon.cfg
	cfg.Intercept.Listen = []netip.AddrPort{netip.AddrPortFrom(netip.IPv4Unspecified(), port), netip.AddrPortFrom(netip.IPv6Unspecified(), port)}
	w.daemon = w.newDaemon(&cfg)
	k.starts(w.daemon)
	w.start()
	if got := k.names(); len(got) != 2 || slices.Equal(got, before) {
		t.Errorf("kept are %q, before %q", got, before)
	}
	if got := len(w.daemon.Addrs()); got != 2 {
		t.Errorf("it listens on %v", w.daemon.Addrs())
	}
	reduced := cfg
	reduced.Intercept.Listen = []netip.AddrPort{netip.MustParseAddrPort("127.0.0.2:0")}
	if err := w.daemon.Reload(t.Context(), &reduced); err != nil {
		t.Fatal(err)
	}
	if got := k.names(); len(got) != 1 || !strings.Contains(got[0], "127.0.0.2") {
		t.Errorf("behind a reload kept are %q", got)
	}
	w.stop()
	if got := k.names(); len(got) != 0 {
		t.Errorf("behind an end in order %q are kept", got)
	}
}

// systemd gets the descriptors with the words, and hears when all copies of a barrier are closed.
func TestDescriptorsComeWithTheirWords(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	systemd, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer systemd.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	s, l := newShelf(), newListener(t)
	defer l.Close()
	raw, err := l.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	_ = raw.Control(func(fd uintptr) {
		if !s.say("FDSTORE=1\nFDNAME=x", int(fd)) {
			t.Error("it is not said")
		}
	})
	heard := func() (string, *os.File) {
		text, rights := make([]byte, 100), make([]byte, unix.CmsgSpace(4))
		n, more, _, _, err := systemd.ReadMsgUnix(text, rights)
		if err != nil {
			t.Fatal(err)
		}
		messages, err := unix.ParseSocketControlMessage(rights[:more])
		if err != nil || len(messages) != 1 {
			t.Fatalf("%q comes with %d messages, %v", text[:n], len(messages), err)
		}
		files, err := unix.ParseUnixRights(&messages[0])
		if err != nil || len(files) != 1 {
			t.Fatalf("%q comes with %d files, %v", text[:n], len(files), err)
		}
		return string(text[:n]), os.NewFile(uintptr(files[0]), "given")
	}
	text, file := heard()
	same, err := net.FileListener(file)
	if err != nil || text != "FDSTORE=1\nFDNAME=x" || same.Addr().String() != l.Addr().String() {
		t.Errorf("heard %q, %v, %v", text, same, err)
	}
	_ = errors.Join(file.Close(), same.Close())
	settled := make(chan time.Duration)
	go func() {
		begun := time.Now()
		s.settle()
		settled <- time.Since(begun)
	}()
	text, file = heard()
	time.Sleep(50 * time.Millisecond)
	_ = file.Close()
	if took := <-settled; text != "BARRIER=1" || took < 40*time.Millisecond || took >= shelfPatience {
		t.Errorf("heard %q, settled after %s", text, took)
	}
}

func newListener(t *testing.T) *net.TCPListener {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l.(*net.TCPListener)
}
