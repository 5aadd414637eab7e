package provider

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A fakeDNS answers from its maps, after its delay. It counts the questions.
type fakeDNS struct {
	mx    map[string][]*net.MX
	addrs map[string][]netip.Addr
	fail  error         // in place of every answer
	delay time.Duration // before every answer
	deaf  bool          // does not hear that nobody waits any more

	mu    sync.Mutex
	asked map[string]int
}

func (d *fakeDNS) ask(ctx context.Context, question string) error {
	d.mu.Lock()
	if d.asked == nil {
		d.asked = map[string]int{}
	}
	d.asked[question]++
	fail, delay := d.fail, d.delay
	d.mu.Unlock()
	over := ctx.Done()
	if d.deaf {
		over = nil
	}
	select {
	case <-time.After(delay):
		return fail
	case <-over:
		return ctx.Err()
	}
}

func (d *fakeDNS) set(fail error, delay time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fail, d.delay = fail, delay
}

func (d *fakeDNS) count(question string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.asked[question]
}

func (d *fakeDNS) LookupMX(ctx context.Context, name string) ([]*net.MX, error) {
	if err := d.ask(ctx, "mx "+name); err != nil {
		return nil, err
	}
	if list, found := d.mx[name]; found {
		return list, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}

func (d *fakeDNS) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	if err := d.ask(ctx, network+" "+host); err != nil {
		return nil, err
	}
	if list, found := d.addrs[host]; found {
		return list, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
}

func mx(pref uint16, host string) *net.MX { return &net.MX{Host: host, Pref: pref} }

const wait = 20 * time.Millisecond

var set = NewSet([]Provider{
	{Name: "google", Domains: []string{"gmail.com"}, MX: []string{"*.google.com"}},
	{Name: "office365", MX: []string{"*.mail.protection.outlook.com"}},
	{Name: "uq", Domains: []string{"uqmobile.jp"}},
})

func newDNS() *fakeDNS {
	return &fakeDNS{
		mx: map[string][]*net.MX{
			"acme.example.":    {mx(20, "alt.google.com."), mx(10, "ASPMX.google.com.")},
			"own.example.":     {mx(10, "mx.own.example."), mx(20, "backup.google.com.")},
			"tie.example.":     {mx(10, "z.example."), mx(10, "a.mail.protection.outlook.com.")},
			"none.example.":    {mx(0, ".")},
			"strange.example.": {nil, mx(10, ""), mx(10, "..")},
			"uqmobile.jp.":     {mx(10, "mx.uq.example.")},
			"gmail.com.":       {mx(5, "gmail-smtp-in.google.com.")},
		},
		addrs: map[string][]netip.Addr{
			"aspmx.google.com.": {netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")},
			"alt.google.com.":   {netip.MustParseAddr("::ffff:192.0.2.2")},
			"mx.uq.example.":    {netip.MustParseAddr("192.0.2.9")},
		},
	}
}

// inBubble runs a test with a Lookup in time of its own.
func inBubble(t *testing.T, dns Resolver, c Config, test func(t *testing.T, l *Lookup)) {
	synctest.Test(t, func(t *testing.T) {
		c.Set, c.Resolver = set, dns
		l := New(c)
		defer l.Close()
		test(t, l)
	})
}

func TestFind(t *testing.T) {
	inBubble(t, newDNS(), Config{Wait: wait}, func(t *testing.T, l *Lookup) {
		for domain, want := range map[string]Answer{
			"acme.example":    {Provider: "google", Known: true, MX: "aspmx.google.com", Name: "*.google.com"},
			"ACME.example.":   {Provider: "google", Known: true, MX: "aspmx.google.com", Name: "*.google.com"},
			"own.example":     {Known: true, MX: "mx.own.example"}, // its backup at Google does not count
			"tie.example":     {Provider: "office365", Known: true, MX: "a.mail.protection.outlook.com", Name: "*.mail.protection.outlook.com"},
			"none.example":    {Known: true},
			"strange.example": {Known: true, MX: "."},
			"nowhere.example": {Known: true, MX: "nowhere.example"}, // RFC 5321 section 5.1: its own MX
			"mail.google.com": {Provider: "google", Known: true, MX: "mail.google.com", Name: "*.google.com"},
			"gmail.com":       {Provider: "google", Known: true, Name: "gmail.com"},
			"[192.0.2.77]":    {Known: true},
		} {
			if got := l.Find(t.Context(), domain, "tenant"); got != want {
				t.Errorf("%s: %+v, want %+v", domain, got, want)
			}
		}
	})
}

// The address of an MX tells its provider once a domain has led to it.
func TestAt(t *testing.T) {
	dns := newDNS()
	inBubble(t, dns, Config{Wait: wait}, func(t *testing.T, l *Lookup) {
		for _, domain := range []string{"acme.example", "own.example", "uqmobile.jp"} {
			l.Find(t.Context(), domain, "tenant")
		}
		synctest.Wait()
		for addr, want := range map[string]string{
			"192.0.2.1": "google", "::ffff:192.0.2.1": "google", "2001:db8::1": "google", "192.0.2.2": "google",
			"192.0.2.9": "uq", // no name tells, but the domain is its own
			"192.0.2.8": "",
		} {
			if got := l.At(netip.MustParseAddr(addr)); got != want {
				t.Errorf("%s: %q, want %q", addr, got, want)
			}
		}
		if a := l.Find(t.Context(), "[IPv6:2001:db8::1]", "tenant"); a.Provider != "google" {
			t.Errorf("address literal: %+v", a)
		}
		if n := dns.count("ip mx.own.example."); n != 0 {
			t.Errorf("the addresses of an MX that is nobody's were asked for %d times", n)
		}
		time.Sleep(KnownFor - time.Minute)
		if got := l.At(netip.MustParseAddr("192.0.2.1")); got != "google" {
			t.Errorf("after nearly two weeks without a word: %q", got)
		}
		time.Sleep(time.Minute)
		if got := l.At(netip.MustParseAddr("192.0.2.1")); got != "" {
			t.Errorf("after two weeks without a word: %q", got)
		}
	})
}

// However many ask, and however often: one question, until the answer is old.
func TestOneQuestion(t *testing.T) {
	dns := newDNS()
	dns.delay = wait / 2
	inBubble(t, dns, Config{Wait: wait}, func(t *testing.T, l *Lookup) {
		var group sync.WaitGroup
		for range 100 {
			group.Go(func() {
				if a := l.Find(t.Context(), "acme.example", "tenant"); a.Provider != "google" {
					t.Errorf("%+v", a)
				}
			})
		}
		group.Wait()
		time.Sleep(freshFor - time.Minute)
		l.Find(t.Context(), "acme.example", "tenant")
		synctest.Wait()
		if n := dns.count("mx acme.example."); n != 1 {
			t.Errorf("asked %d times, want once", n)
		}
		time.Sleep(time.Minute)
		began := time.Now()
		if a := l.Find(t.Context(), "acme.example", "tenant"); a.Provider != "google" || time.Since(began) != 0 {
			t.Errorf("an old answer: %+v after %s, want it at once", a, time.Since(began))
		}
		time.Sleep(wait)
		if n := dns.count("mx acme.example."); n != 2 {
			t.Errorf("asked %d times, want a second time in the background", n)
		}
	})
}

// A domain without records is asked for again soon: it may be new.
func TestNewDomain(t *testing.T) {
	dns := newDNS()
	inBubble(t, dns, Config{Wait: wait}, func(t *testing.T, l *Lookup) {
		l.Find(t.Context(), "new.example", "tenant")
		synctest.Wait()
		dns.mx["new.example."] = dns.mx["acme.example."]
		time.Sleep(absentFor)
		l.Find(t.Context(), "new.example", "tenant")
		synctest.Wait()
		if a := l.Find(t.Context(), "new.example", "tenant"); a.Provider != "google" {
			t.Errorf("ten minutes after it got an MX: %+v", a)
		}
	})
}

// A slow resolver costs one session the wait and no more; its answer serves the next one.
func TestSlowResolver(t *testing.T) {
	for _, deaf := range []bool{false, true} {
		dns := newDNS()
		dns.delay, dns.deaf = 3*time.Second, deaf
		inBubble(t, dns, Config{Wait: wait}, func(t *testing.T, l *Lookup) {
			began := time.Now()
			a := l.Find(t.Context(), "acme.example", "tenant")
			if took := time.Since(began); !errors.Is(a.Err, ErrLate) || a.Known || took != wait {
				t.Errorf("deaf %t: %+v after %s, want ErrLate after %s", deaf, a, took, wait)
			}
			time.Sleep(3 * time.Second)
			began = time.Now()
			if a := l.Find(t.Context(), "acme.example", "tenant"); a.Provider != "google" || time.Since(began) != 0 {
				t.Errorf("deaf %t: the next session got %+v after %s", deaf, a, time.Since(began))
			}
		})
	}
}

func TestFindEndsWithItsContext(t *testing.T) {
	dns := newDNS()
	dns.delay = time.Hour
	inBubble(t, dns, Config{Wait: time.Minute}, func(t *testing.T, l *Lookup) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		began := time.Now()
		if a := l.Find(ctx, "acme.example", "tenant"); !errors.Is(a.Err, context.DeadlineExceeded) || time.Since(began) != time.Millisecond {
			t.Errorf("%+v after %s", a, time.Since(began))
		}
	})
}

func TestWithoutWait(t *testing.T) {
	inBubble(t, newDNS(), Config{}, func(t *testing.T, l *Lookup) {
		if a := l.Find(t.Context(), "acme.example", "tenant"); !errors.Is(a.Err, ErrLate) {
			t.Errorf("the first time: %+v, want ErrLate", a)
		}
		synctest.Wait()
		if a := l.Find(t.Context(), "acme.example", "tenant"); a.Provider != "google" {
			t.Errorf("the second time: %+v", a)
		}
	})
}

// A dead resolver: what is known stays in use for a day, what is not is asked for once a minute.
func TestDeadResolver(t *testing.T) {
	dns := newDNS()
	inBubble(t, dns, Config{Wait: wait}, func(t *testing.T, l *Lookup) {
		l.Find(t.Context(), "acme.example", "tenant")
		synctest.Wait()
		dead := errors.New("server misbehaving")
		dns.set(dead, 0)
		if a := l.Find(t.Context(), "own.example", "tenant"); a.Known || !errors.Is(a.Err, dead) {
			t.Errorf("unknown domain: %+v, want the resolver's error", a)
		}
		for range 59 {
			time.Sleep(time.Second)
			l.Find(t.Context(), "own.example", "tenant")
		}
		if n := dns.count("mx own.example."); n != 1 {
			t.Errorf("asked %d times in a minute, want once", n)
		}
		for range 23 {
			time.Sleep(time.Hour)
			if a := l.Find(t.Context(), "acme.example", "tenant"); a.Provider != "google" || a.Err != nil {
				t.Fatalf("known domain: %+v", a)
			}
		}
		time.Sleep(time.Hour)
		if a := l.Find(t.Context(), "acme.example", "tenant"); a.Known || !errors.Is(a.Err, dead) {
			t.Errorf("after a day: %+v, want the resolver's error", a)
		}
		dns.set(nil, 0)
		time.Sleep(failedFor)
		if a := l.Find(t.Context(), "acme.example", "tenant"); a.Provider != "google" {
			t.Errorf("once it is back: %+v", a)
		}
	})
}

// Many domains share an MX: its addresses are asked for once an hour.
func TestSharedMXIsAskedOnce(t *testing.T) {
	dns := newDNS()
	for i := range 50 {
		dns.mx[fmt.Sprintf("d%d.example.", i)] = dns.mx["acme.example."]
	}
	inBubble(t, dns, Config{Wait: wait}, func(t *testing.T, l *Lookup) {
		for i := range 50 {
			l.Find(t.Context(), fmt.Sprintf("d%d.example", i), "tenant")
			synctest.Wait()
		}
		if n := dns.count("ip aspmx.google.com."); n != 1 {
			t.Errorf("asked %d times, want once", n)
		}
	})
}

func TestClose(t *testing.T) {
	dns := newDNS()
	dns.delay = time.Hour
	synctest.Test(t, func(t *testing.T) {
		l := New(Config{Set: set, Resolver: dns, Wait: wait})
		l.Find(t.Context(), "acme.example", "tenant")
		began := time.Now()
		l.Close()
		if took := time.Since(began); took != 0 {
			t.Errorf("closed after %s, want at once", took)
		}
		if a := l.Find(t.Context(), "own.example", "tenant"); !errors.Is(a.Err, ErrBusy) {
			t.Errorf("after Close: %+v, want ErrBusy", a)
		}
		if n := dns.count("mx own.example."); n != 0 {
			t.Errorf("asked %d times after Close", n)
		}
	})
}

func TestBestMX(t *testing.T) {
	inBubble(t, newDNS(), Config{}, func(t *testing.T, l *Lookup) {
		host, addrs, err := l.BestMX(t.Context(), "acme.example")
		if host != "aspmx.google.com" || len(addrs) != 2 || err != nil {
			t.Errorf("%s, %v, %v", host, addrs, err)
		}
		if _, _, err := l.BestMX(t.Context(), "none.example"); !errors.Is(err, ErrNullMX) {
			t.Errorf("null MX: %v", err)
		}
	})
}

func BenchmarkFind(b *testing.B) {
	l := New(Config{Set: set, Resolver: newDNS(), Wait: time.Second})
	defer l.Close()
	ctx := context.Background()
	l.Find(ctx, "acme.example", "tenant")
	b.ReportAllocs()
	for b.Loop() {
		l.Find(ctx, "acme.example", "tenant")
	}
}
