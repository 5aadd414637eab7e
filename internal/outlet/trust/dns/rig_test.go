package dns

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/test/dnszone"
)

// zone is a DNS with a signed and an unsigned part.
const zone = `
. SIGNED
unsigned.test. UNSIGNED
signed.test. MX 10 mx1.signed.test.
signed.test. MX 20 MX2.Signed.test.
mx1.signed.test. A 192.0.2.1
mx1.signed.test. AAAA 2001:db8::1
_25._tcp.mx1.signed.test. TLSA 3 1 1 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
alias.signed.test. CNAME mx1.signed.test.
out.signed.test. CNAME mx1.unsigned.test.
_mta-sts.signed.test. TXT "v=STSv1; " "id=1;"
null.signed.test. MX 0 .
bogus.signed.test. BOGUS
unsigned.test. MX 10 mx1.unsigned.test.
mx1.unsigned.test. A 192.0.2.2
1.2.0.192.in-addr.arpa. PTR MX1.signed.test.
broken.test. SERVFAIL
refused.test. REFUSED
notimp.test. NOTIMP
dead.test. SILENT
cut.test. CUT
`

const here, near, far = "127.0.0.1:53", "[::1]:53", "192.0.2.53:53"

// A world is servers in memory, a client that asks them, and a time of its own.
type world struct {
	*Client
	t       *testing.T
	servers map[string]*dnszone.Server

	mu   sync.Mutex
	down map[string]bool // refuses connections
	dumb map[string]bool // does not answer
	told []State
}

// inWorld runs a test with the servers of these addresses, which know the zone.
func inWorld(t *testing.T, s Settings, test func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, servers: map[string]*dnszone.Server{}, down: map[string]bool{}, dumb: map[string]bool{}}
		if s.Servers == nil {
			s.Servers = []string{here}
		}
		for _, address := range s.Servers {
			w.servers[address] = dnszone.New(t, zone)
		}
		s.Dial, s.Log = w.dial, slog.New(slog.DiscardHandler)
		s.Tell = func(now State) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.told = append(w.told, now)
		}
		client, err := New(s)
		if err != nil {
			t.Fatal(err)
		}
		w.Client = client
		defer time.Sleep(minute) // servers that are slow end, too
		defer w.Close()
		test(t, w)
	})
}

func (w *world) dial(ctx context.Context, network, address string) (net.Conn, error) {
	w.mu.Lock()
	down, dumb := w.down[address], w.dumb[address]
	w.mu.Unlock()
	switch {
	case down:
		return nil, errors.New("connection refused")
	case dumb:
		near, far := net.Pipe()
		go func() { _, _ = readAll(far) }()
		return near, nil
	}
	return w.servers[address].Dial(ctx, network, address)
}

func readAll(conn net.Conn) (n int, err error) {
	defer conn.Close()
	buf := make([]byte, 4096)
	for err == nil {
		_, err = conn.Read(buf)
	}
	return 0, err
}

// set has a server refuse, say nothing, or answer.
func (w *world) set(what map[string]bool, address string, yes bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	what[address] = yes
}

// states returns what was told since it was called last.
func (w *world) states() (list []State) {
	w.mu.Lock()
	defer w.mu.Unlock()
	list, w.told = w.told, nil
	return list
}

// zone is the server here.
func (w *world) zone() *dnszone.Server { return w.servers[here] }

func (w *world) ask(name string, kind Kind) Answer {
	w.t.Helper()
	return w.Ask(w.t.Context(), name, kind, "tenant")
}

// want asks and compares the outcome.
func (w *world) want(name string, kind Kind, outcome Outcome, secure bool) Answer {
	w.t.Helper()
	a := w.ask(name, kind)
	if a.Outcome != outcome || a.Secure != secure || (a.Err != nil) != (outcome == Failed) {
		w.t.Errorf("%s %s: %s, secure %t, %v; want %s, secure %t", name, kind, a.Outcome, a.Secure, a.Err, outcome, secure)
	}
	return a
}

// says compares an error.
func says(t *testing.T, err error, text string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), text) {
		t.Errorf("error %v, want %q", err, text)
	}
}

const minute = time.Minute
