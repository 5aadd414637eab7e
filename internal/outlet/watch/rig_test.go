package watch

import (
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/store/keep"
	"kanmon/test/dnszone"
)

var (
	out10 = Own{netip.MustParseAddr("203.0.113.10"), "out10.example.jp"}
	out11 = Own{netip.MustParseAddr("203.0.113.11"), "out11.example.jp"}
	six   = Own{netip.MustParseAddr("2001:db8::10"), "out10.example.jp"}
)

// world is a DNS in which all is well.
const world = `
10.113.0.203.in-addr.arpa. PTR out10.example.jp.
11.113.0.203.in-addr.arpa. PTR out11.example.jp.
0.1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa. PTR out10.example.jp.
out10.example.jp. A 203.0.113.10
out10.example.jp. AAAA 2001:db8::10
out11.example.jp. A 203.0.113.11
2.0.0.127.bl.example. A 127.0.0.2
2.0.0.0.0.0.f.7.f.f.f.f.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.bl.example. A 127.0.0.2
2.0.0.127.other.example. A 127.0.0.2
`

const (
	listed10 = "10.113.0.203.bl.example. "
	always4  = "2.0.0.127.bl.example. "
	never4   = "1.0.0.127.bl.example. "
	every    = time.Hour
)

// A rig watches a DNS that the test writes, in virtual time.
type rig struct {
	*Watch
	t     *testing.T
	dns   *dnszone.Server
	store *rows

	patience time.Duration // with the server, in true time

	mu     sync.Mutex
	told   []event.Sighting
	looked []Seen
}

// inBubble runs a test with a Watch that knows nothing yet, and asks nobody before the test configures it.
func inBubble(t *testing.T, test func(t *testing.T, r *rig)) {
	t.Helper()
	dns := dnszone.Serve(t, world) // outside: its goroutines live as long as the test
	synctest.Test(t, func(t *testing.T) {
		r := &rig{t: t, dns: dns, store: &rows{}, patience: 5 * time.Second}
		r.begin()
		t.Cleanup(func() { _ = r.Close() })
		test(t, r)
	})
}

// begin makes the Watch anew, as a restart does.
func (r *rig) begin() {
	r.Watch = New(Options{
		Resolve: func(string) (Answerer, error) {
			return &Resolver{Servers: []string{r.dns.Addr}, Timeout: r.patience}, nil
		},
		Store: r.store, Log: slog.New(slog.DiscardHandler),
		Tell: func(s event.Sighting) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.told = append(r.told, s)
		},
		Looked: func(s Seen) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.looked = append(r.looked, s)
		},
	})
}

func (r *rig) watch(ips ...Own) {
	r.Configure(Settings{IPs: ips, Lists: []List{{"bl", "bl.example"}}, Names: true, Every: every})
}

// wait lets time go by, and what is due be done.
func (r *rig) wait(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// round lets an interval go by, with what it may take longer.
func (r *rig) round() { r.wait(every + every/10) }

// want compares what was told since it was asked last.
func (r *rig) want(lines ...string) {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	var got []string
	for _, s := range r.told {
		of := s.List
		if s.IP.IsValid() {
			of = strings.TrimSuffix(s.IP.String()+" at "+s.List, " at ")
		}
		line := fmt.Sprintf("%s: %s, was %s", of, s.State, s.Was)
		for _, more := range [...]string{strings.Join(s.Codes, " "), strings.Join(s.Before, " "), s.Why} {
			if more != "" {
				line += "; " + more
			}
		}
		got = append(got, line)
	}
	r.told = nil
	if strings.Join(got, "\n") != strings.Join(lines, "\n") {
		r.t.Fatalf("told:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(lines, "\n"))
	}
}

func (r *rig) state(ip netip.Addr, list string) Seen {
	r.t.Helper()
	for _, s := range r.Seen() {
		if s.IP == ip && s.List == list {
			return s
		}
	}
	return Seen{}
}

// rows are a store.
type rows struct {
	mu  sync.Mutex
	all map[string]keep.Row
	err error
}

func (s *rows) Load() (all []keep.Row, ignored int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.all {
		all = append(all, r)
	}
	return all, 0, nil
}

func (s *rows) Save(changed []keep.Row) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all == nil {
		s.all = map[string]keep.Row{}
	}
	for _, r := range changed {
		if s.all[r.Key] = r; r.Gone {
			delete(s.all, r.Key)
		}
	}
	return s.err
}

func (s *rows) String() string { return "rows" }
