package standing

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/event"
)

// tarpit answers for real zones at once, and for all others never. It notes which were asked.
type tarpit struct {
	mu    sync.Mutex
	asked map[string]int
	most  int // under way
	now   int
}

func (d *tarpit) Listed(ctx context.Context, _ netip.Addr, zone string) (bool, error) {
	d.mu.Lock()
	d.asked[zone]++
	d.now++
	d.most = max(d.most, d.now)
	d.mu.Unlock()
	defer func() {
		d.mu.Lock()
		d.now--
		d.mu.Unlock()
	}()
	if zone == sbl.Zone {
		return true, nil
	}
	<-ctx.Done()
	return false, ctx.Err()
}

// told gives which zones were asked, how often, and how many questions are and were under way at once.
func (d *tarpit) told() (asked map[string]int, now, most int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return maps.Clone(d.asked), d.now, d.most
}

// Refusals that name zones which nobody answers for hold up no real confirmation: neither a stranger's at his own MX, who names as many as
// he likes, nor those of a tenant that sends to many such MXs, nor lists of the table that have died.
//
// audit-A9
func TestNobodyHoldsUpTheConfirmationOfAListing(t *testing.T) {
	for _, test := range []struct {
		name            string
		weight          event.Weight
		tenant, speaker func(i int) string
	}{
		{"zones that are in no table", event.WeightUnknown, func(i int) string { return fmt.Sprint("t", i) }, func(i int) string { return fmt.Sprint("evil", i, ".example") }},
		{"closed ones", event.WeightClosed, func(i int) string { return fmt.Sprint("t", i) }, func(i int) string { return fmt.Sprint("evil", i, ".example") }},
		{"of the table, by one MX", event.WeightStrong, func(i int) string { return fmt.Sprint("t", i) }, func(int) string { return "evil.example" }},
		{"of the table, by one tenant's mail", event.WeightStrong, func(int) string { return "evil" }, func(i int) string { return fmt.Sprint("evil", i, ".example") }},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dns := &tarpit{asked: map[string]int{}}
				r := newRig(t, Options{Clock: time.Now, Check: dns})
				for i := range 1100 {
					ev := naming(listing(fmt.Sprint("mx:", i)), List{"list", fmt.Sprintf("z%d.tarpit.example", i), test.weight, false})
					ev.Tenant, ev.Speaker = test.tenant(i), test.speaker(i)
					r.Observe(ev)
				}
				begun := time.Now()
				ev := naming(listing("google"), sbl)
				ev.Tenant = "honest"
				r.Observe(ev)
				for s, _ := r.Show(key(Every)); s.By != ByCheck; s, _ = r.Show(key(Every)) {
					if time.Sleep(100 * time.Millisecond); time.Since(begun) > 3*time.Second {
						t.Fatal("a real listing is not confirmed within three seconds")
					}
				}
				time.Sleep(10 * time.Minute)
				asked, _, most := dns.told()
				for zone := range asked {
					if strings.HasSuffix(zone, "tarpit.example") && test.weight != event.WeightStrong {
						t.Errorf("%s is in no table and was asked", zone)
					}
				}
				if most > checksAtOnce {
					t.Errorf("%d at once", most)
				}
			})
		})
	}
}

// Lists of the table that do not answer are asked still, a few at a time, beside all others.
func TestSilentListsTakeFewPlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dns := &tarpit{asked: map[string]int{}}
		r := newRig(t, Options{Clock: time.Now, Check: dns})
		var lists []List
		for i := range maxLists {
			lists = append(lists, List{"dead", fmt.Sprintf("dead%d.example", i), event.WeightStrong, false})
		}
		for i := range 40 {
			ev := naming(listing(fmt.Sprint("p", i)), lists...)
			ev.IP, ev.Tenant, ev.Speaker = netip.AddrFrom4([4]byte{198, 51, 100, byte(i)}), fmt.Sprint("t", i), fmt.Sprint("s", i)
			r.Observe(ev)
		}
		time.Sleep(35 * time.Second) // between two rounds of ten seconds
		synctest.Wait()
		if _, busy, _ := dns.told(); busy == 0 || busy > checksOfSilent {
			t.Errorf("%d places are taken by lists that do not answer", busy)
		}
		time.Sleep(time.Hour)
		asked, _, _ := dns.told()
		for i := range maxLists {
			if asked[fmt.Sprintf("dead%d.example", i)] < 2 {
				t.Error("a list that was silent is not asked again")
			}
		}
	})
}
