package route

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"testing"
)

// A gateway that chooses as the daemon does: a first choice before the sender is known, and another connection where that was wrong.
type fourIPs struct {
	router   *Router
	forecast *Forecast // nil: as without one
}

func newFourIPs(t testing.TB, f *Forecast) *fourIPs {
	t.Helper()
	p := weightedPool(1, 1, 1, 1)
	r, err := NewRouter(Config{Pools: []Pool{p}})
	if err != nil {
		t.Fatal(err)
	}
	return &fourIPs{r, f}
}

// session reports whether a session with a mail of the domain is moved.
func (g *fourIPs) session(domain string, mx netip.Addr) bool {
	q := Query{Source: netip.MustParseAddr("10.20.1.5"), Port: 10025, Destination: netip.AddrPortFrom(mx, 25), Suspicion: -1}
	e := Errand{Source: q.Source, Port: q.Port, MX: mx}
	first, _ := g.router.Choose(q)
	begun := first.IP.Address
	if guess, found := g.forecast.SenderDomain(e); found {
		q.Sender, q.SenderKnown = "@"+guess, true
		first, _ = g.router.Choose(q)
		begun = first.IP.Address
	}
	if ip := g.forecast.IP(e); ip.IsValid() {
		begun = ip
	}
	q.Sender, q.SenderKnown = "a@"+domain, true
	right, _ := g.router.Choose(q)
	g.forecast.Note(e, domain, right.IP.Address)
	return right.IP.Address != begun
}

// zipf draws one of n by Zipf's law with the exponent s: the k-th is 1/kˢ as frequent as the first. Each is drawn for a run of mails.
func zipf(n int, s float64, run int) func(*rand.Rand) int {
	sums := make([]float64, n)
	sum := 0.0
	for k := range sums {
		sum += math.Pow(float64(k+1), -s)
		sums[k] = sum
	}
	left, last := 0, 0
	return func(r *rand.Rand) int {
		if left--; left >= 0 {
			return last
		}
		left = run - 1
		x := r.Float64() * sum
		for last = 0; sums[last] < x; last++ {
		}
		return last
	}
}

// One sender domain: nothing is moved after the first session, whichever MX it goes to.
func TestOneSenderDomainIsNeverMoved(t *testing.T) {
	g := newFourIPs(t, NewForecast())
	for i := range 1000 {
		if moved := g.session("acme.example", netip.AddrFrom4([4]byte{192, 0, 2, byte(i % 250)})); moved && i > 0 {
			t.Fatalf("session %d is moved", i)
		}
	}
}

func TestForecastIsBounded(t *testing.T) {
	f := NewForecast()
	for i := range 200_000 {
		mx := netip.AddrFrom4([4]byte{192, byte(i >> 16), byte(i >> 8), byte(i)})
		f.Note(Errand{Source: mx, MX: mx}, fmt.Sprintf("d%d.example", i), mx)
	}
	if n := f.tracks.Len(); n > mostTracks {
		t.Errorf("%d are remembered, want at most %d", n, mostTracks)
	}
}

// A host has as many addresses as its /64, and a tenant as it likes: each has one part.
func TestForecastIsShared(t *testing.T) {
	ip, mx, honest := netip.MustParseAddr("203.0.113.10"), netip.MustParseAddr("192.0.2.25"), netip.MustParseAddr("10.20.1.5")
	for name, flood := range map[string]struct {
		tenant string
		source func(i int) netip.Addr
	}{
		"a /64": {"", func(i int) netip.Addr {
			return netip.AddrFrom16([16]byte{0: 0x20, 1: 1, 12: 1, 13: byte(i >> 16), 14: byte(i >> 8), 15: byte(i)})
		}},
		"a tenant": {"evil", func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 1 + byte(i>>16), byte(i >> 8), byte(i)}) }},
	} {
		f := NewForecast()
		f.Note(Errand{Source: honest, MX: mx}, "acme.example", ip)
		for i := range 2 * mostTracks {
			f.Note(Errand{Tenant: flood.tenant, Source: flood.source(i), MX: mx}, "evil.example", ip)
		}
		if domain, _ := f.SenderDomain(Errand{Source: honest, MX: mx}); domain != "acme.example" {
			t.Errorf("%s: another MSA is forgotten", name)
		}
	}
}

func TestForecastDoesNotAllocate(t *testing.T) {
	f, e := NewForecast(), Errand{Source: netip.MustParseAddr("10.20.1.5"), MX: netip.MustParseAddr("192.0.2.25"), Provider: "google"}
	f.Note(e, "acme.example", e.MX)
	if n := testing.AllocsPerRun(100, func() { f.Note(e, "acme.example", e.MX); f.IP(e); f.SenderDomain(e) }); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
	var none *Forecast
	none.Note(e, "acme.example", e.MX)
	if ip := none.IP(e); ip.IsValid() {
		t.Error("the nil Forecast guesses")
	}
}

// A Zipf mix of 500 sender domains through one MSA and a pool of four, to one MX and to many: how many sessions leave the IP that they
// began at. An MSA's queue sends in runs: a mailing, a mailbox that is synchronised, a queue that is flushed. Mail in no order at all cannot
// be foretold better than by the most frequent sending IP, which the last column says, and what is foretold must come near to it.
func TestFewerSessionsAreMoved(t *testing.T) {
	const sessions, domains, many = 10_000, 500, 200
	t.Logf("%d sessions a line, %d sender domains, one MSA, four sending IPs", sessions, domains)
	t.Log("exponent  run  MXs  moved before  moved now  least without order")
	for _, s := range []float64{1, 1.5} {
		least := map[int]float64{1: leastMoved(t, domains, 1, s), many: leastMoved(t, domains, many, s)}
		for _, run := range []int{1, 2, 4, 10} {
			for _, mxs := range []int{1, many} {
				before := moved(t, nil, sessions, zipf(domains, s, run), zipf(mxs, 1, 1))
				now := moved(t, NewForecast(), sessions, zipf(domains, s, run), zipf(mxs, 1, 1))
				t.Logf("%8.1f %4d %4d %11.1f %% %8.1f %% %8.1f %%", s, run, mxs, 100*before, 100*now, 100*least[mxs])
				if run >= 2 && now > before/2 {
					t.Errorf("exponent %.1f, runs of %d, %d MXs: %.3f are moved, more than half of %.3f", s, run, mxs, now, before)
				}
				if now > before {
					t.Errorf("exponent %.1f, runs of %d, %d MXs: %.3f are moved, more than without a forecast: %.3f", s, run, mxs, now, before)
				}
				if now > 1.1*least[mxs]+0.01 {
					t.Errorf("exponent %.1f, runs of %d, %d MXs: %.3f are moved, and no order at all needs %.3f", s, run, mxs, now, least[mxs])
				}
			}
		}
	}
}

// moved gives the part of sessions that are.
func moved(t *testing.T, f *Forecast, sessions int, who, where func(*rand.Rand) int) float64 {
	t.Helper()
	g, r, n := newFourIPs(t, f), rand.New(rand.NewPCG(1, 2)), 0
	for range sessions {
		if g.session(domainNamed(who(r)), mxNumbered(where(r))) {
			n++
		}
	}
	return float64(n) / float64(sessions)
}

func domainNamed(i int) string { return fmt.Sprintf("d%d.example", i) }

func mxNumbered(i int) netip.Addr { return netip.AddrFrom4([4]byte{198, 51, byte(i >> 8), byte(i)}) }

// leastMoved is what is moved of mail in no order if each MX's most frequent IP is guessed.
func leastMoved(t *testing.T, domains, mxs int, s float64) float64 {
	t.Helper()
	g := newFourIPs(t, nil)
	kept, all := 0.0, 0.0
	for m := range mxs {
		shares, sum := map[netip.Addr]float64{}, 0.0
		for d := range domains {
			choice, err := g.router.Choose(Query{
				Source: netip.MustParseAddr("10.20.1.5"), Destination: netip.AddrPortFrom(mxNumbered(m), 25), Sender: "a@" + domainNamed(d),
				SenderKnown: true, Suspicion: -1,
			})
			if err != nil {
				t.Fatal(err)
			}
			p := math.Pow(float64(d+1), -s)
			shares[choice.IP.Address] += p
			sum += p
		}
		best := 0.0
		for _, p := range shares {
			best = max(best, p/sum)
		}
		weight := 1 / float64(m+1)
		kept, all = kept+weight*best, all+weight
	}
	return 1 - kept/all
}
