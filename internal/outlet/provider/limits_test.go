package provider

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A hung resolver and any number of domains: a bounded number of lookups, half of the places for one tenant, and an answer for everybody.
func TestHungResolver(t *testing.T) {
	dns := newDNS()
	dns.delay = time.Hour
	inBubble(t, dns, Config{Wait: wait}, func(t *testing.T, l *Lookup) {
		var group sync.WaitGroup
		late, busy := make(chan string, 1000), make(chan string, 1000)
		began := time.Now()
		for i := range 1000 {
			group.Go(func() {
				switch a := l.Find(t.Context(), fmt.Sprintf("d%d.example", i), "tenant"); {
				case errors.Is(a.Err, ErrLate):
					late <- ""
				case errors.Is(a.Err, ErrBusy):
					busy <- ""
				default:
					t.Errorf("%+v", a)
				}
			})
		}
		group.Wait()
		if took := time.Since(began); took != wait || len(late) != mostWaited/2 || len(busy) != 1000-mostWaited/2 {
			t.Errorf("after %s: %d late, %d busy; want %d late after %s", took, len(late), len(busy), mostWaited/2, wait)
		}
		time.Sleep(lookupTime)
		dns.set(nil, 0)
		if a := l.Find(t.Context(), "acme.example", "tenant"); a.Provider != "google" {
			t.Errorf("once they have given up: %+v", a)
		}
	})
}

// A lying resolver: any number of names and addresses, only some of which are kept.
func TestLyingResolver(t *testing.T) {
	dns := newDNS()
	var list []*net.MX
	for i := range 1000 {
		host := fmt.Sprintf("mx%04d.google.com.", i)
		list = append(list, mx(10, host))
		for n := range 200 {
			dns.addrs[host] = append(dns.addrs[host], netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), byte(n)}))
		}
	}
	dns.mx["big.example."] = list
	dns.mx["long.example."] = []*net.MX{mx(10, strings.Repeat("a.", 10_000)+"google.com.")}
	inBubble(t, dns, Config{Wait: wait}, func(t *testing.T, l *Lookup) {
		for _, domain := range []string{"big.example", "long.example"} {
			if a := l.Find(t.Context(), domain, "tenant"); a.Provider != "google" {
				t.Errorf("%s: provider %q", domain, a.Provider)
			}
		}
		synctest.Wait()
		n := 0
		l.addresses.All(func(netip.Addr, MX) bool { n++; return true })
		if n != mostHosts*mostAddrs {
			t.Errorf("%d addresses are kept, want %d", n, mostHosts*mostAddrs)
		}
		l.mxs.All(func(_ string, mx MX) bool {
			if len(mx.Host) > mostName {
				t.Errorf("a name of %d octets is kept", len(mx.Host))
			}
			return true
		})
	})
}

func TestCacheIsBounded(t *testing.T) {
	inBubble(t, newDNS(), Config{Wait: wait, Domains: 10}, func(t *testing.T, l *Lookup) {
		for i := range 100 {
			l.Find(t.Context(), fmt.Sprintf("d%d.example", i), fmt.Sprintf("tenant %d", i))
		}
		if n := l.domains.Len(); n != 10 {
			t.Errorf("%d domains are kept, want 10", n)
		}
	})
}

// Which providers are met is found out in one look at all that is known, whosever MXs they are and however many.
func TestMetIsFoundInOnePass(t *testing.T) {
	addresses := &listing{memory: newMemory[netip.Addr]()}
	l := New(Config{Set: set, Addresses: addresses})
	defer l.Close()
	for i := range MostKnown / 2 {
		addresses.PutOf(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), MX{Host: fmt.Sprintf("mx%d.google.com", i%100)}, "")
	}
	addresses.PutOf(netip.MustParseAddr("192.0.2.9"), MX{Host: "mx.uq.example", Domain: "uqmobile.jp"}, "")
	addresses.PutOf(netip.MustParseAddr("192.0.2.10"), MX{Host: "mx.nobody.example"}, "")
	if met := l.Met(); !maps.Equal(met, map[string]bool{"google": true, "uq": true}) || addresses.passes != 1 {
		t.Errorf("%v, in %d passes", met, addresses.passes)
	}
}

// listing counts how often all that is known was looked at.
type listing struct {
	*memory[netip.Addr]
	passes int
}

func (m *listing) All(each func(netip.Addr, MX) bool) {
	m.passes++
	m.memory.All(each)
}
