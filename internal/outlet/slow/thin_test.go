package slow

import (
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"
)

// A stream is mail of one tenant from one IP to one provider, at so many a second.
type stream struct {
	sample
	rate int
}

var aStream = sample{ip: netip.MustParseAddr("203.0.113.10"), provider: google, tenant: "acme"}

// thinned gives how much of each stream is taken in each second.
func thinned(th *thinner, seconds int, from time.Time, streams ...stream) [][]int {
	r := rand.New(rand.NewPCG(1, 2))
	taken := make([][]int, len(streams))
	for second := range seconds {
		now := from.Add(time.Duration(second) * time.Second)
		for i, s := range streams {
			n := 0
			for range s.rate {
				if s.id = r.Uint64(); th.takes(&s.sample, now) {
					n++
				}
			}
			taken[i] = append(taken[i], n)
		}
	}
	return taken
}

// What is plenty is all taken; of more, not much less than that in each second, and never much more.
func TestOfMuchMailEnoughIsTaken(t *testing.T) {
	from := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	for _, rate := range []int{1, plenty, plenty + 1, 100, 1000, 50_000} {
		th := newThinner()
		for second, n := range thinned(th, 30, from, stream{aStream, rate})[0] {
			if least := min(rate, plenty); rate <= plenty && n != least || n < least/8 || n > 8*plenty {
				t.Errorf("of %d in second %d %d are taken", rate, second, n)
			}
		}
		if quiet := thinned(th, 1, from.Add(time.Minute), stream{aStream, 1})[0][0]; quiet != 1 {
			t.Errorf("behind %d a second, a minute later, mail is still passed over", rate)
		}
	}
}

// Whoever sends much, or from elsewhere, or to somebody else, takes nothing from anybody.
func TestWhoSendsMuchHidesNobody(t *testing.T) {
	others := []stream{{aStream, plenty}, {aStream, plenty}, {aStream, plenty}, {aStream, plenty}}
	others[0].tenant = "globex"
	others[1].provider = "outlook"
	others[2].ip = netip.MustParseAddr("203.0.113.11")
	others[3].tenant, others[3].source = "", netip.MustParseAddr("192.0.2.7")
	for range 3 { // two of them may be at one place, by chance: not three times
		missing := 0
		taken := thinned(newThinner(), 10, time.Now(), append([]stream{{aStream, 10_000}}, others...)...)
		for _, of := range taken[1:] {
			for _, n := range of {
				missing += plenty - n
			}
		}
		if missing == 0 {
			return
		}
	}
	t.Error("some of the others' mail is passed over")
}

// A mail that waits is taken, or passed over, as when it ends; and it is counted once.
func TestAWaitIsTakenAsItsMailIs(t *testing.T) {
	th, now, r := newThinner(), time.Now(), rand.New(rand.NewPCG(3, 4))
	s := aStream
	for range 1000 {
		s.id, s.waits = r.Uint64(), false
		th.takes(&s, now)
	}
	for range 1000 {
		s.id, s.waits = r.Uint64(), true
		before := th.places[th.placeOf(&s)%uint64(len(th.places))].Load()
		waits := th.takes(&s, now)
		if th.places[th.placeOf(&s)%uint64(len(th.places))].Load() != before {
			t.Fatal("what waits is counted")
		}
		s.waits = false
		if th.takes(&s, now) != waits {
			t.Fatal("a mail that was taken while it waited is not at its end, or the other way round")
		}
	}
}
