package slow

import (
	"log/slog"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"kanmon/internal/event"
	"kanmon/internal/event/timing"
	"kanmon/internal/store/keep"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A gateway has sending IPs and sends mail from them, in virtual time.
type gateway struct {
	t       *testing.T
	w       *Watch
	r       *rand.Rand
	ips     []netip.Addr
	tenants int
	session event.ID
	told    []Found
	log     *slog.Logger // nil: the usual one

	end     func()               // of the watch
	trouble func(f *event.Facts) // what happens to a mail on its way; nil: nothing
}

const google = "google"

var mx = netip.MustParseAddrPort("198.51.100.25:25")

func newGateway(t *testing.T, act Act, ips int) *gateway {
	g := &gateway{t: t, r: rand.New(rand.NewPCG(1, 2)), tenants: 6}
	for i := range ips {
		g.ips = append(g.ips, netip.AddrFrom4([4]byte{203, 0, 113, byte(10 + i)}))
	}
	g.begin(act, nil)
	return g
}

// begin has the gateway's times be watched, by what a store has.
func (g *gateway) begin(act Act, store keep.Store) {
	g.w = New(Options{Tell: func(f Found) { g.told = append(g.told, f) }, Store: store, Log: g.log})
	ended := false
	g.end = func() {
		if !ended {
			ended = true
			if err := g.w.Close(); err != nil {
				g.t.Error(err)
			}
		}
	}
	g.t.Cleanup(g.end)
	g.w.Configure(Settings{Act: act})
}

func (g *gateway) around(median, sd float64) event.Micros {
	return event.MicrosOf(time.Duration(median * math.Exp(sd*g.r.NormFloat64()) * float64(time.Second)))
}

// next gives the facts of a mail.
func (g *gateway) next(ip netip.Addr, provider string) *event.Facts {
	g.session++
	ok := func(median float64) event.Reply { return event.Reply{Code: 250, Took: g.around(median, .3)} }
	s := &event.Session{
		Arrival: event.Arrival{ID: g.session, Source: netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(g.r.IntN(g.tenants))}), 4711), Destination: mx},
		Leg:     event.Leg{Number: 1, Mails: 1, SendingIP: ip, Local: netip.AddrPortFrom(ip, 4711), Way: &event.Way{Provider: provider}},
	}
	s.Phases[event.PhaseDial], s.Phases[event.PhaseBanner], s.Phases[event.PhaseEHLO] = g.around(.05, .1), g.around(.1, .3), g.around(.2, .3)
	to := []event.Recipient{{Reply: ok(.15)}}
	return &event.Facts{
		Session: s, Recipients: to,
		Transaction: &event.Transaction{Number: 1, Leg: 1, Mail: ok(.05), Recipients: to, Data: ok(.06), Dot: ok(.5), BodyBytes: int64(20_000 * math.Exp(g.r.NormFloat64()))},
	}
}

// send has a mail leave from any IP, to any of four providers.
func (g *gateway) send() {
	time.Sleep(time.Duration(g.r.ExpFloat64() * 40 * float64(time.Second)))
	g.hear(g.any())
}

// any gives the facts of a mail from any IP to any of the providers.
func (g *gateway) any() *event.Facts {
	return g.next(g.ips[g.r.IntN(len(g.ips))], [...]string{google, "outlook", "docomo", ""}[g.r.IntN(4)])
}

func (g *gateway) sendFrom(ip netip.Addr, provider string) { g.hear(g.next(ip, provider)) }

// hear has something happen to a mail on its way, and tells of it.
func (g *gateway) hear(f *event.Facts) {
	if g.trouble != nil {
		g.trouble(f)
	}
	if f.Transaction != nil {
		f.Spent = spentOn(f)
	}
	g.w.Hear(f)
	time.Sleep(together) // mails are taken together
	synctest.Wait()
}

// spentOn is what a mail has spent without pipelining.
func spentOn(f *event.Facts) *event.Spent {
	t := f.Transaction
	took := t.Mail.Took + t.Recipients[0].Reply.Took + t.Data.Took + t.Dot.Took
	return &event.Spent{event.SpentOnMX: took.Duration(), event.SpentOnBodyMX: t.Window}
}

// sends lets mail flow until something holds, or so much of it has gone.
func (g *gateway) sends(most int, until func() bool) (mails int, held bool) {
	for mails = range most {
		if until() {
			return mails, true
		}
		g.send()
	}
	return most, until()
}

func never() bool { return false }

// restrict has the recipients of an IP at google wait.
func (g *gateway) restrict(ip netip.Addr, by time.Duration) {
	g.trouble = func(f *event.Facts) {
		if f.Session.SendingIP == ip && f.Session.Way.Provider == google {
			f.Transaction.Recipients[0].Reply.Took += event.MicrosOf(by)
		}
	}
}

// steps are what was told of findings.
func (g *gateway) steps() (list []string) {
	for _, f := range g.told {
		step := f.Change.String()
		if f.Acted {
			step = "acted"
		}
		list = append(list, step+" "+f.Did.String())
	}
	return list
}

// of gives what is found of a key.
func (g *gateway) of(k Key) (f Found, found bool) {
	all := g.w.Found()
	i := slices.IndexFunc(all, func(f Found) bool { return f.Key == k })
	if i < 0 {
		return f, false
	}
	return all[i], true
}

func isFound(f Found, found bool) bool { return found && f.Told && f.Scope == timing.ThisIPHere }
