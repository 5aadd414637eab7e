package outlet

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/outlet/route"
	"kanmon/internal/outlet/standing"
	"kanmon/internal/smtp/smtptest"
)

// A memoryWorld is told the same as another one, and may forget each answer.
type memoryWorld struct {
	*rig
	forgets bool
	dns     *smtptest.DNS
	end     func() []error
}

// answered is when DNS has answered all that was asked behind a decision. No answer comes between one world's decision and the other's.
const answered = 2 * time.Millisecond

func answers() {
	time.Sleep(answered)
	synctest.Wait()
}

var memoryHosts = map[string]string{
	"gmail.com.": "gmail-smtp-in.l.google.com.", "hosted.example.": "aspmx.l.google.com.", "docomo.ne.jp.": "mfsmax.docomo.ne.jp.", "own.example.": "mx.own.example.",
}

func newMemoryWorld(t *testing.T, g gateway, forgets bool) *memoryWorld {
	w := &memoryWorld{forgets: forgets, dns: &smtptest.DNS{MXs: map[string]string{}, Addrs: []netip.Addr{netip.MustParseAddr("192.0.2.99")}}}
	for name, host := range memoryHosts {
		w.dns.MXs[name] = host
	}
	w.dns.Delay.Store(int64(answered / 2))
	w.rig, _, w.end = g.begin(t, part{dns: w.dns, wait: 50 * time.Millisecond})
	w.dialer = instantDialer{}
	return w
}

// asks is MayStay. It reports whether the answer is remembered from then on.
func (w *memoryWorld) asks(req request, ip netip.Addr) (stays, remembered bool) {
	way := w.wayOf(req)
	if w.forgets {
		way.mails, way.usual = 0, nil
	}
	stays = !way.MayStay(req.DialRequest, ip).Moves
	return stays, stays && way.usual != nil && way.usual.changes == w.changes()
}

// The worlds' common history: what each of them is told next.
func (w *memoryWorld) happens(n int, random *rand.Rand) {
	ip := netip.AddrFrom4([4]byte{203, 0, 113, byte(10 + random.IntN(3))})
	key := standing.Key{IP: ip, Provider: oneOf(random, []string{"google", "docomo", "mx:192.0.2.25", "mx:192.0.2.26", standing.Every, "google/hosted.example"})}
	now := time.Now()
	switch random.IntN(13) {
	case 0:
		_ = w.book.Suspend(key, now.Add(time.Hour), "asked", "me")
	case 1:
		_ = w.book.Stop(key, "asked", "me")
	case 2, 3, 4:
		for _, k := range []standing.Key{key, {IP: ip, Provider: standing.Every}} {
			_ = w.book.Resume(k, "me")
		}
	case 5:
		throttle(w.rig, key)
	case 6, 7:
		text := oneOf(random, []string{greylisted, listing, "550 5.7.1 poor reputation", "550 5.1.1 no such user"})
		r := refusedTo("10.20.1.5", ip, memoryMX(random), "a@"+oneOf(random, senderDomains), "x@"+oneOf(random, memoryDomains), text)
		r.Session = event.ID(1000 + n)
		if text == greylisted {
			r.Code = 450
		}
		w.Judge(r)
	case 8:
		w.absences.missing.Set(slices.Repeat([]netip.Addr{ip}, random.IntN(2)))
	case 9:
		w.dns.Addrs = []netip.Addr{oneAddr(random, "192.0.2.25", "192.0.2.26", "192.0.2.99")}
	case 10:
		w.sites.oneDestination(key.Provider, 0)
	case 11:
		w.rescues.remember("", key)
	default:
		w.Accepted(memoryMX(random), ip)
	}
}

var memoryDomains = []string{"gmail.com", "hosted.example", "docomo.ne.jp", "own.example", "Own.example", "[192.0.2.25]"}

func memoryMX(random *rand.Rand) netip.AddrPort {
	return netip.AddrPortFrom(oneAddr(random, "192.0.2.25", "192.0.2.25", "192.0.2.26"), 25)
}

func oneAddr(random *rand.Rand, list ...string) netip.Addr {
	return netip.MustParseAddr(oneOf(random, list))
}

// Whatever happens between mails, and however long that takes, an answer that is remembered is the one that would be found anew, and what other
// decisions rely on has been told of the mail: which MSAs and recipients there are, and where an MSA's mail leaves from.
//
// law: I11
func TestWhatIsRememberedIsWhatWouldBeFound(t *testing.T) {
	pools := []gateway{
		sending("203.0.113.10"), sending("203.0.113.10").pool("default", "203.0.113.10"), bySender,
		sending("203.0.113.10", "203.0.113.11", "203.0.113.12").tenant("acme", "10.20.1.0/24"),
		bySender.pool("other", "203.0.113.12").route(route.Route{Providers: []string{"google"}, Pool: "other"}, nil).
			route(route.Route{RecipientDomains: []string{"own.example"}, SenderDomains: []string{"a.example"}, Pool: "other"}, rescueOff),
		sending("203.0.113.10", "203.0.113.11").handling(noSuspending), sending(),
	}
	asked, remembered := 0, 0
	for seed := range 140 {
		synctest.Test(t, func(t *testing.T) {
			g := pools[seed%len(pools)]
			worlds := [2]*memoryWorld{newMemoryWorld(t, g, false), newMemoryWorld(t, g, true)}
			random := rand.New(rand.NewPCG(uint64(seed), 5))
			sessions := make([]request, 4)
			at := make([]netip.Addr, len(sessions))
			for i := range sessions {
				sessions[i] = request{Session: event.ID(1 + i), Source: netip.AddrFrom4([4]byte{10, 20, 1, byte(5 + i%2)}), Destination: memoryMX(random)}
				at[i] = worlds[0].now(t, sessions[i])
				worlds[1].now(t, sessions[i])
			}
			for n := range 120 {
				switch random.IntN(10) {
				case 0:
					time.Sleep([]time.Duration{time.Second, 40 * time.Second, 20 * time.Minute, 5 * time.Hour, 26 * time.Hour, 15 * 24 * time.Hour}[random.IntN(6)])
				case 1:
					history := random.Uint64()
					for _, w := range worlds {
						w.happens(n, rand.New(rand.NewPCG(history, 6)))
					}
					answers()
				}
				i := random.IntN(len(sessions))
				req := sessions[i]
				req.Sender, req.SenderKnown = "a@"+senderDomains[random.IntN(2)*random.IntN(2)], true
				if random.IntN(12) == 0 {
					req.Avoid = []netip.Addr{at[i]}
				}
				for _, recipient := range []string{"", "x@" + memoryDomains[random.IntN(2)*random.IntN(len(memoryDomains))]} {
					req.Recipient = recipient
					stays, remembers := worlds[0].asks(req, at[i])
					fresh, _ := worlds[1].asks(req, at[i])
					if stays != fresh {
						t.Fatalf("seed %d, mail %d, %+v from %s: may stay %t, found anew %t", seed, n, req, at[i], stays, fresh)
					}
					answers()
					if asked++; remembers {
						remembered++
					}
					if !stays {
						at[i] = worlds[0].now(t, req)
						worlds[1].now(t, req)
						answers()
					}
				}
			}
			if a, b := worlds[0].known(), worlds[1].known(); a != b {
				t.Errorf("seed %d: known of others:\n%s\nfound anew:\n%s", seed, a, b)
			}
			for _, w := range worlds {
				for _, way := range w.ways {
					way.Close()
				}
				for _, err := range w.end() {
					if err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	t.Logf("%d answers, %d of them remembered: wrong 0", asked, remembered)
	if remembered < asked/6 {
		t.Errorf("%d of %d answers are remembered: the test shows nothing", remembered, asked)
	}
}

// now gives the sending IP that a session dials from; the zero Addr: none.
func (w *memoryWorld) now(t *testing.T, req request) netip.Addr {
	out, err := w.Dial(context.Background(), req)
	if err != nil {
		return netip.Addr{}
	}
	if out.Closed != nil {
		out.Closed()
	}
	return out.SendingIP
}

// known is what other decisions go by.
func (w *memoryWorld) known() (text string) {
	for _, provider := range []string{"google", "docomo", "mx:192.0.2.25", "mx:192.0.2.26"} {
		text += fmt.Sprintf("%s has one domain %t; ", provider, w.sites.oneDestination(provider, 0))
	}
	for _, source := range []string{"10.20.1.5", "10.20.1.6"} {
		for _, mx := range []string{"192.0.2.25", "192.0.2.26"} {
			e := route.Errand{Source: netip.MustParseAddr(source), MX: netip.MustParseAddr(mx), Provider: w.providers.At(netip.MustParseAddr(mx))}
			domain, _ := w.forecast.SenderDomain(e)
			text += fmt.Sprintf("%s to %s (%s) from %s of %s; ", source, mx, e.Provider, w.forecast.IP(e), domain)
		}
	}
	return text
}
