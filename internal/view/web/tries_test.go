package web

import (
	"net"
	"net/http"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Who guesses waits longer each time, and nobody else: not others from there, not the same person from where he has been right.
func TestWhoGuessesWaitsAlone(t *testing.T) {
	var tr tries
	at := time.Now()
	if wait := tr.begin("192.0.2.7", "alice", at); wait > 0 {
		t.Fatalf("the first waits for %s", wait)
	}
	tr.right("192.0.2.7", "alice")
	for range freePair {
		if wait := tr.begin("198.51.100.1", "alice", at); wait > 0 {
			t.Fatalf("a first mistake costs %s", wait)
		}
	}
	first := tr.begin("198.51.100.1", "alice", at)
	if wait := tr.begin("198.51.100.1", "alice", at.Add(first)); wait > 0 {
		t.Errorf("behind the wait there is another of %s", wait)
	}
	if second := tr.begin("198.51.100.1", "alice", at.Add(first)); first <= 0 || second <= first || second > longestWait {
		t.Errorf("waits of %s, then %s", first, second)
	}
	if wait := tr.begin("198.51.100.1", "bob", at); wait > 0 {
		t.Errorf("another from there waits for %s", wait)
	}
	for i := range freeName { // from everywhere
		tr.begin(net.IPv4(203, 0, 113, byte(i)).String(), "alice", at)
	}
	if wait := tr.begin("203.0.113.250", "alice", at); wait <= 0 {
		t.Error("a name that is guessed from everywhere is open to the next one")
	}
	if wait := tr.begin("192.0.2.7", "alice", at); wait > 0 {
		t.Errorf("alice herself waits for %s", wait)
	}
	for i := range 3 * freeAddress {
		tr.begin(network("2001:db8::1"), "u"+strconv.Itoa(i), at)
		tr.begin(thisHost, "u"+strconv.Itoa(i), at)
	}
	if wait := tr.begin(network("2001:db8::2"), "v", at); wait <= 0 {
		t.Error("a network of one person guesses names")
	}
	if wait := tr.begin(thisHost, "v", at); wait > 0 {
		t.Errorf("another who comes by ssh waits for %s", wait)
	}
	if wait := tr.begin(network("2001:db8::2"), "v", at.Add(2*time.Hour)); wait > 0 {
		t.Errorf("two hours later it still waits for %s", wait)
	}
}

// Who guesses on this host, by whatever address of it, is slowed down as a user of it; another user of it, who comes by ssh, logs in meanwhile. Where nobody
// can tell who it is, guessing is slow, and nobody is kept out for long.
func TestWhoGuessesOnThisHostKeepsNobodyOut(t *testing.T) {
	var tr tries
	at := time.Now()
	looked := 0
	for i := range 3600 { // an hour
		if tr.begin(ofUser+"1001", "alice", at.Add(time.Duration(i)*time.Second)) == 0 {
			looked++
		}
	}
	if looked > 80 {
		t.Errorf("%d guesses are looked at in an hour", looked)
	}
	end := at.Add(time.Hour)
	if wait := tr.begin(ofUser+"1000", "alice", end); wait > 0 {
		t.Errorf("alice waits for %s", wait)
	}
	looked = 0
	for i := range 3600 {
		if tr.begin(thisHost, "alice", at.Add(time.Duration(i)*time.Second)) == 0 {
			looked++
		}
	}
	if looked > 400 {
		t.Errorf("%d guesses of nobody's are looked at in an hour", looked)
	}
	if wait := tr.begin(thisHost, "alice", end); wait > longestHere {
		t.Errorf("alice waits for %s", wait)
	}
	if wait := tr.begin(ofUser+"1000", "alice", end); wait > 0 {
		t.Errorf("alice, who is known for a user of this host, waits for %s", wait)
	}
}

// The kernel says whose process is at the other end on this host, by whichever of its addresses that comes; who has closed his end is nobody.
func TestUsersOfThisHostAreKnown(t *testing.T) {
	for _, of := range []struct{ at, from string }{{"127.0.0.1:0", "127.0.0.1:0"}, {"127.0.0.1:0", "127.9.8.7:0"}, {"[::1]:0", "[::1]:0"}} {
		places := make(chan string, 1)
		l, err := net.Listen("tcp", of.at)
		if err != nil {
			t.Fatal(err)
		}
		s := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { places <- placeOf(r) })}
		go func() { _ = s.Serve(l) }()
		from, err := net.ResolveTCPAddr("tcp", of.from)
		if err != nil {
			t.Fatal(err)
		}
		c, err := (&net.Dialer{LocalAddr: from}).DialContext(t.Context(), "tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write([]byte("GET / HTTP/1.0\r\n\r\n")); err != nil {
			t.Fatal(err)
		}
		if got, want := <-places, ofUser+strconv.Itoa(os.Getuid()); got != want {
			t.Errorf("from %s: %q, want %q", of.from, got, want)
		}
		own, there := netip.MustParseAddrPort(c.LocalAddr().String()), netip.MustParseAddrPort(c.RemoteAddr().String())
		_ = c.Close()
		if uid, known := userOf(own, there); known {
			t.Errorf("who has gone is user %d", uid)
		}
		_ = s.Close()
	}
}

// Passwords that are tried at once are as many as those that are tried one after the other: each counts before it is looked at.
func TestManyGuessesAtOnceAreAsManyAsOneByOne(t *testing.T) {
	g := newRig(t)
	var looked, waited atomic.Int64
	var all sync.WaitGroup
	for range 3 * freePair {
		b := g.as(Nobody)
		all.Go(func() {
			switch got := b.post("/login", "name", "act", "password", "a wrong one, really"); got.status {
			case http.StatusUnauthorized:
				looked.Add(1)
			case http.StatusTooManyRequests:
				waited.Add(1)
			default:
				t.Errorf("status %d", got.status)
			}
		})
	}
	all.Wait()
	if looked.Load() != freePair || waited.Load() != 2*freePair {
		t.Errorf("%d were looked at and %d had to wait, want %d looked at", looked.Load(), waited.Load(), freePair)
	}
}

// Who is right costs others nothing: not those from the same address, and not the same name.
func TestWhoIsRightIsNoGuess(t *testing.T) {
	var tr tries
	at := time.Now()
	for i := range 3 * freeName {
		if wait := tr.begin("192.0.2.7", "alice", at); wait > 0 {
			t.Fatalf("login %d waits for %s", i, wait)
		}
		tr.right("192.0.2.7", "alice")
	}
	if wait := tr.begin("192.0.2.8", "alice", at); wait > 0 {
		t.Errorf("alice waits for %s elsewhere", wait)
	}
}

// The login itself says how long one waits, and does not look at the password.
func TestTheLoginSaysHowLongOneWaits(t *testing.T) {
	g := newRig(t)
	for range freePair {
		g.server.tries.begin(ofUser+strconv.Itoa(os.Getuid()), "act", g.server.Now())
	}
	got := g.as(Nobody).post("/login", "name", "act", "password", password).want(t, 429, "Too many wrong passwords")
	if got.header.Get("Retry-After") == "" {
		t.Error("it does not say when")
	}
}
