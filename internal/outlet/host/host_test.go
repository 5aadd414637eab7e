package host

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

var (
	here   = netip.MustParseAddr("203.0.113.10")
	here6  = netip.MustParseAddr("2001:db8::10")
	absent = netip.MustParseAddr("203.0.113.99")
)

// The state of an address is whether a socket can be bound to it, and why not.
//
// trouble-O01
func TestLook(t *testing.T) {
	for name, c := range map[string]struct {
		commands []string
		address  string
		want     State
	}{
		"of an interface":          {[]string{"address add 203.0.113.10/32 dev lo"}, "203.0.113.10", Here},
		"IPv6":                     {[]string{"address add 2001:db8::10/128 dev lo nodad"}, "2001:db8::10", Here},
		"deprecated":               {[]string{"address add 2001:db8::10/128 dev lo preferred_lft 0 nodad"}, "2001:db8::10", Here},
		"not there":                {nil, "203.0.113.10", Missing},
		"IPv6 not there":           {nil, "2001:db8::10", Missing},
		"by a local route":         {[]string{"route add local 203.0.113.0/24 dev lo"}, "203.0.113.10", Here},
		"loopback":                 {nil, "127.0.0.77", Here},
		"interface down":           {[]string{"link add d0 type veth peer name d1", "link set d0 up", "address add 203.0.113.10/32 dev d0", "link set d0 down"}, "203.0.113.10", LinkDown},
		"of two, one down":         {[]string{"link add d0 type veth peer name d1", "address add 203.0.113.10/32 dev d0", "address add 203.0.113.10/32 dev lo"}, "203.0.113.10", Here},
		"duplicate detection runs": {[]string{"link add v0 type veth peer name v1", "link set v0 up", "address add 2001:db8::10/64 dev v0"}, "2001:db8::10", Tentative},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNetwork(t)
			for _, command := range c.commands {
				n.ip(command)
			}
			a := netip.MustParseAddr(c.address)
			var states map[netip.Addr]State
			var err error
			for end := time.Now().Add(10 * time.Second); (states == nil || states[a] != c.want) && time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
				states, err = n.look([]netip.Addr{a, absent}) // a busy kernel takes its time even with nodad
			}
			if err != nil || states[a] != c.want || len(states) != 2 {
				t.Fatalf("%v (%v), want %v", states, err, c.want)
			}
			var bound net.Listener
			n.in(func() { bound, err = net.Listen("tcp", netip.AddrPortFrom(a, 0).String()) })
			if err == nil {
				_ = bound.Close()
			}
			if can := err == nil; c.want != LinkDown && (can != (c.want == Here) || !can && !errors.Is(err, unix.EADDRNOTAVAIL)) {
				t.Errorf("%v, and bind says %v", c.want, err)
			}
		})
	}
}

// An IPv6 address that another host of the link has is none of this one's: duplicate detection finds out, and says so.
//
// trouble-O01
func TestDuplicateAddressIsTold(t *testing.T) {
	n, neighbour := newNetwork(t), newNetwork(t)
	var pid int
	neighbour.in(func() { pid = unix.Gettid() })
	n.ip("link add v0 type veth peer name v1 netns " + fmt.Sprintf("/proc/%d/task/%d/ns/net", os.Getpid(), pid))
	n.ip("link set v0 up")
	neighbour.ip("link set v1 up")
	neighbour.ip("address add 2001:db8::10/64 dev v1 nodad")
	s := &sightings{news: make(chan struct{}, 1)}
	w := NewWatch(n.kernel(), slog.New(slog.DiscardHandler), s.seen)
	defer w.Close()
	w.Of([]netip.Addr{here6})
	n.ip("address add 2001:db8::10/64 dev v0")
	t.Logf("told after %s", s.until(t, here6, Duplicate))
}

// Where any address can be bound to (ip_nonlocal_bind, as VRRP wants it), one that is not here is not here all the same: the connection would never
// get an answer.
//
// trouble-O01
func TestLookIsNotMisledByNonlocalBind(t *testing.T) {
	n := newNetwork(t)
	n.in(func() {
		for _, version := range []string{"ipv4", "ipv6"} {
			if err := os.WriteFile("/proc/sys/net/"+version+"/ip_nonlocal_bind", []byte("1"), 0); err != nil {
				t.Error(err)
			}
		}
	})
	if states, err := n.look([]netip.Addr{here, here6}); err != nil || states[here] != Missing || states[here6] != Missing {
		t.Errorf("%v (%v), want both missing", states, err)
	}
}

// A sightings is what a Watch has told.
type sightings struct {
	mu   sync.Mutex
	last map[netip.Addr]State
	news chan struct{}
}

func (s *sightings) seen(states map[netip.Addr]State) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = states
	select {
	case s.news <- struct{}{}:
	default:
	}
}

func (s *sightings) state(a netip.Addr) State {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last[a]
}

// until waits until the Watch has told of a state, and says how long that took.
func (s *sightings) until(t *testing.T, a netip.Addr, want State) time.Duration {
	t.Helper()
	begun, end := time.Now(), time.After(time.Minute)
	for s.state(a) != want {
		select {
		case <-s.news:
		case <-end:
			t.Fatalf("%v is %v after a minute, want %v", a, s.state(a), want)
		}
	}
	return time.Since(begun)
}

// What happens to addresses and to their interfaces is known as soon as the kernel has done it.
//
// trouble-O01
func TestWatch(t *testing.T) {
	n, s := newNetwork(t), &sightings{news: make(chan struct{}, 1)}
	n.ip("link add d0 type veth peer name d1")
	n.ip("link set d0 up")
	n.ip("link set d1 up")
	n.ip("address add 203.0.113.10/32 dev d0")
	n.ip("address add 2001:db8::10/128 dev d0 nodad")
	w := NewWatch(n.kernel(), slog.New(slog.DiscardHandler), s.seen)
	defer w.Close()
	w.Of([]netip.Addr{here, here6})
	if s.state(here) != Here || s.state(here6) != Here {
		t.Fatalf("at first %v", s.last)
	}
	for _, step := range []struct {
		command string
		of      netip.Addr
		want    State
	}{
		{"address del 203.0.113.10/32 dev d0", here, Missing},
		{"address add 203.0.113.10/32 dev lo", here, Here},
		{"address add 203.0.113.10/32 dev d0", here, Here},
		{"address del 203.0.113.10/32 dev lo", here, Here},
		{"link set d0 down", here, LinkDown},
		{"link set d0 up", here, Here},
		{"address del 2001:db8::10/128 dev d0", here6, Missing}, // if the kernel has not done so with the link
		{"address add 2001:db8::10/128 dev d0 nodad", here6, Here},
		{"link del d0", here, Missing},
	} {
		if strings.HasPrefix(step.command, "address del 2001") && s.state(here6) == Missing {
			continue
		}
		n.ip(step.command)
		t.Logf("ip %s: told after %s", step.command, s.until(t, step.of, step.want))
	}
	w.Of(nil)
	if len(s.last) != 0 {
		t.Errorf("nothing is watched, and %v is told", s.last)
	}
}

// A kernel that tells nothing is asked now and then, one whose messages end is asked for them again, and one that does not answer changes nothing of what is known.
func TestWatchWithoutMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		state, failure, listens := Here, error(nil), 0
		kernel := Kernel{
			Look: func([]netip.Addr) (map[netip.Addr]State, error) {
				mu.Lock()
				defer mu.Unlock()
				return map[netip.Addr]State{here: state}, failure
			},
			Listen: func() (Changes, error) {
				mu.Lock()
				defer mu.Unlock()
				if listens++; listens%2 == 0 {
					return nil, errors.New("not today")
				}
				return noChanges{}, nil
			},
		}
		set := func(to State, err error) {
			mu.Lock()
			defer mu.Unlock()
			state, failure = to, err
		}
		var log strings.Builder
		s := &sightings{news: make(chan struct{}, 1)}
		w := NewWatch(kernel, slog.New(slog.NewTextHandler(&log, nil)), s.seen)
		w.Of([]netip.Addr{here})
		set(Missing, nil)
		if took := s.until(t, here, Missing); took > lookEvery {
			t.Errorf("noticed after %s", took)
		}
		set(Here, errors.New("no answer"))
		time.Sleep(time.Minute)
		if s.state(here) != Missing {
			t.Error("without an answer something else is known")
		}
		set(Here, nil)
		s.until(t, here, Here)
		w.Close()
		if listens < 10 || strings.Count(log.String(), "the kernel does not tell") != 1 || strings.Count(log.String(), "is not known") != 1 {
			t.Errorf("asked for messages %d times, and logged:\n%s", listens, &log)
		}
	})
}

// noChanges have ended already.
type noChanges struct{}

func (noChanges) Wait() error { return errors.New("closed") }
func (noChanges) Close()      {}
