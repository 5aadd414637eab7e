package story

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"time"

	"kanmon/internal/event"
)

// A tenant has MSAs and domains.
type tenant struct {
	name    string
	domain  string
	source  netip.Addr
	senders []string // local parts
	weight  int      // of the many mails
}

// A site takes mail: a provider, or somebody with an MX of their own.
type site struct {
	provider string // as kanmon knows it; "": as none
	domain   string
	mx       []netip.Addr
	taken    func(*rand.Rand) (reply, id string) // the reply to the dot, and the queue id that it names
	plain    bool                                // without TLS
	weight   int
	cert     *event.Certificate
}

// Names of gateways.
const (
	Tokyo = "gw1" // identifies messages
	Osaka = "gw2" // does not
)

var (
	tokyoIPs = addrs("203.0.113.10", "203.0.113.11", "203.0.113.12", "2001:db8:113::10")
	osakaIPs = addrs("198.51.100.20", "198.51.100.21")
	newIP    = netip.MustParseAddr("203.0.113.13") // of Tokyo, warming
)

func addrs(texts ...string) (list []netip.Addr) {
	for _, text := range texts {
		list = append(list, netip.MustParseAddr(text))
	}
	return list
}

// Names of tenants: none is a part of another's, nor of any other text.
var tenants = func() (list []*tenant) {
	for i, name := range []string{"acme", "borealis", "cumulus", "dynamo", "estuary", "fjordkraft", "granite", "hinode"} {
		t := &tenant{name: name, domain: name + ".example", source: netip.AddrFrom4([4]byte{10, 20, byte(i), 10}), weight: 9 - i}
		t.senders = []string{"anna", "billing", "chiaki", "desk", "emi", "factory", "goro", "hr", "info", "jobs"}
		list = append(list, t)
	}
	return list
}()

func tenantOf(name string) *tenant {
	for _, t := range tenants {
		if t.name == name {
			return t
		}
	}
	mistaken("tenant", name)
	return nil
}

// mistaken is called where a story names what is not there.
func mistaken(what, name string) {
	panic("no " + what + " " + name) //nolint:forbidigo // it is a mistake in this package, and no run gets past it
}

const idLetters = "BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz0123456789"

func token(r *rand.Rand, letters string, n int) string {
	text := make([]byte, n)
	for i := range text {
		text[i] = letters[r.IntN(len(letters))]
	}
	return string(text)
}

func postfixTook(r *rand.Rand) (reply, id string) {
	id = "4" + token(r, idLetters, 12)
	return "250 2.0.0 Ok: queued as " + id, id
}

func eximTook(r *rand.Rand) (reply, id string) {
	id = "1" + token(r, idLetters, 5) + "-0" + token(r, idLetters, 5) + "-" + token(r, idLetters, 2)
	return "250 OK id=" + id, id
}

func googleTook(r *rand.Rand) (reply, id string) {
	id = token(r, "0123456789abcdef", 16) + "." + fmt.Sprint(100+r.IntN(900))
	return fmt.Sprintf("250 2.0.0 OK  %d %s - gsmtp", 1_764_000_000+r.IntN(1_000_000), id), id
}

func nothingSaid(*rand.Rand) (reply, id string) { return "250 2.0.0 Message accepted", "" }

var sites = []*site{
	{provider: "google", domain: "gmail.com", mx: addrs("192.0.2.26", "192.0.2.27"), taken: googleTook, weight: 30},
	{provider: "docomo", domain: "docomo.ne.jp", mx: addrs("192.0.2.40"), taken: nothingSaid, plain: true, weight: 14},
	{provider: "au", domain: "ezweb.ne.jp", mx: addrs("192.0.2.50"), taken: postfixTook, weight: 8},
	{provider: "yahoo", domain: "yahoo.com", mx: addrs("192.0.2.60", "192.0.2.61"), taken: nothingSaid, weight: 8},
	{provider: "outlook", domain: "outlook.com", mx: addrs("192.0.2.70", "192.0.2.71"), taken: postfixTook, weight: 12},
	{provider: "apple", domain: "icloud.com", mx: addrs("192.0.2.80"), taken: postfixTook, weight: 6},
	{domain: "partner.example", mx: addrs("192.0.2.100"), taken: postfixTook, weight: 6},
	{domain: "school.example", mx: addrs("192.0.2.101"), taken: eximTook, plain: true, weight: 4},
	{domain: "city.example", mx: addrs("192.0.2.102", "2001:db8:102::25"), taken: postfixTook, weight: 4},
	{domain: "example.net", mx: addrs("192.0.2.103"), taken: eximTook, weight: 4},
	{domain: "example.org", mx: addrs("192.0.2.104"), taken: nothingSaid, weight: 4},
}

// Sites of a story alone: no other mail goes there.
var ownSites = []*site{
	{domain: "grey.example", mx: addrs("192.0.2.110"), taken: postfixTook},
	{domain: "oldtls.example", mx: addrs("192.0.2.111"), taken: eximTook},
	{domain: "tarpit.example", mx: addrs("192.0.2.112"), taken: postfixTook, plain: true},
	{domain: "broken.example", mx: addrs("192.0.2.113"), taken: postfixTook},
	{domain: "v6only.example", mx: addrs("2001:db8:113:25::25"), taken: postfixTook},
	{domain: "xn--r8jz45g.example", mx: addrs("192.0.2.114"), taken: postfixTook},
	{domain: "例え.example", mx: addrs("192.0.2.114"), taken: postfixTook},
	{domain: "mute.example", mx: addrs("192.0.2.115"), taken: nothingSaid},
	{domain: "hostile.example", mx: addrs("192.0.2.116"), taken: postfixTook},
	{domain: "example.net.lookalike.example", mx: addrs("192.0.2.117"), taken: postfixTook},
	{domain: "notexample.net", mx: addrs("192.0.2.118"), taken: postfixTook},
	{domain: "slow.example", mx: addrs("192.0.2.119"), taken: postfixTook},
	{domain: "down.example", mx: addrs("192.0.2.120"), taken: postfixTook},
	{domain: "list.example", mx: addrs("192.0.2.121"), taken: postfixTook},
	{domain: "strict.example", mx: addrs("192.0.2.122"), taken: postfixTook},
	{domain: "rival.example", mx: addrs("192.0.2.123"), taken: postfixTook},
}

func init() {
	for i, s := range append(sites[:len(sites):len(sites)], ownSites...) {
		if !s.plain {
			s.cert = &event.Certificate{Names: []string{fmt.Sprintf("mx%d.%s", i, s.domain)}, NotAfter: time.Date(2027, 3, 1, 0, 0, 0, 0, time.UTC), Verified: i%3 > 0}
		}
	}
}

func siteOf(address string) *site {
	_, domain, _ := strings.Cut(strings.ToLower(address), "@")
	for _, list := range [][]*site{sites, ownSites} {
		for _, s := range list {
			if s.domain == domain {
				return s
			}
		}
	}
	mistaken("site for", address)
	return nil
}

// weighted chooses one by weight.
func weighted[T any](r *rand.Rand, list []T, weight func(T) int) T {
	sum := 0
	for _, one := range list {
		sum += weight(one)
	}
	n := r.IntN(sum)
	for _, one := range list {
		if n -= weight(one); n < 0 {
			return one
		}
	}
	return list[len(list)-1] // if all of them weigh nothing
}
