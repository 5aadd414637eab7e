// Package witness says whose word a refusal is, and when two of them are the word of two. An MX is a witness, not a judge: what it says
// acts where it speaks for itself, and elsewhere only if others, who have nothing to do with it, say the same.
//
// What a receiver owns is what he can buy: addresses by the network, domains below the ones that registries sell, mailboxes and
// domains at providers that serve everybody. So two receivers are two only if nothing that is known of them is the same:
//
//	provider      the same name in the table of providers: one
//	organisation  MX names below the same registered domain: one
//	recipient     recipient domains below the same registered domain: one
//	network       MX addresses in the same /24 or /48: one
//
// A receiver with a provider's name is named; all others are strangers, whoever they are. Strangers are cheap to be: a few of them that
// agree prove nothing that one of them could not have made up. A [Crowd] says what part of their word is that of many.
//
// Within one provider its customers are the witnesses. They are told apart by the recipient domain alone ([Destination]).
//
// Tenants are two if they have two names; where none is configured, if their MSAs are not in one /64 ([Tenant]). Messages are two if they
// are two transactions ([Message]): a message that is refused for each of its recipients is refused once.
//
// The package is used by contain (from how many sides an account is refused), standing (what suspends a sending IP at a whole provider),
// and by the questions to public lists (who may have how many of them asked).
package witness

import (
	"hash/maphash"
	"math"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"

	"golang.org/x/net/publicsuffix"
)

// A Receiver is who answers at an MX, as far as is known.
type Receiver struct {
	Provider string     // its name in the table of providers; "": a stranger
	Host     string     // the name of the MX, where DNS has told it
	Domain   string     // of the recipient; "" before there is one
	MX       netip.Addr // its address
}

// Organisation names who answers: the provider, else whoever owns the MX's name, the recipient's domain or, if neither
// is known, the network.
func (r *Receiver) Organisation() string {
	switch {
	case r.Provider != "":
		return r.Provider
	case r.Host != "":
		return Registered(r.Host)
	}
	return Destination(r.Domain, r.MX)
}

// Destination names which customer of a provider, or which of the recipient domains of an MX, an answer is from: the registered domain of
// the recipient. Where no recipient is known it is the MX's network.
func Destination(domain string, mx netip.Addr) string {
	if domain != "" && domain[0] != '[' {
		return Registered(domain)
	}
	return Network(mx).String()
}

// Tenant names whose mail it is. Without a tenant's name each MSA is one; those of one /64 are one.
func Tenant(name string, source netip.Addr) string {
	if name != "" {
		return name
	}
	return Source(source).String()
}

// Source is what of an MSA's address tells it from others: all of an IPv4 address, of an IPv6 one the /64 that any host
// can choose its address from (RFC 4291 section 2.5.4).
func Source(source netip.Addr) netip.Addr { return SourceBlock(source).Addr() }

// SourceBlock is Source as a block of addresses.
func SourceBlock(source netip.Addr) netip.Prefix {
	if source = source.Unmap(); source.Is4() {
		return prefix(source, 32)
	}
	return prefix(source, 64)
}

// Message tells the transactions of sessions apart; 0 is that of no session. What is said before the first one is the session's own.
func Message(session uint64, transaction int) uint64 {
	if session == 0 {
		return 0
	}
	return session ^ uint64(transaction)<<48 | 1
}

// Network is the /24 or /48 of an address: what one owner has at least, and who rents a host can have it all.
func Network(addr netip.Addr) netip.Prefix {
	if addr = addr.Unmap(); addr.Is4() {
		return prefix(addr, 24)
	}
	return prefix(addr, 48)
}

func prefix(addr netip.Addr, bits int) netip.Prefix {
	return netip.PrefixFrom(addr.WithZone(""), bits).Masked()
}

// Registered returns the part of a domain name that somebody has registered: one label below what a registry sells names under. Names
// below domains that private persons give away (dynamic DNS, hosting) are their giver's: anybody can have a thousand of them.
func Registered(domain string) string {
	domain = strings.ToLower(strings.Trim(domain, "."))
	suffix, official := publicsuffix.PublicSuffix(domain)
	for !official {
		dot := strings.IndexByte(suffix, '.')
		if dot < 0 {
			break
		}
		suffix, official = publicsuffix.PublicSuffix(suffix[dot+1:])
	}
	if len(domain) <= len(suffix) {
		return domain
	}
	above := domain[:len(domain)-len(suffix)-1]
	return domain[strings.LastIndexByte(above, '.')+1:]
}

// A Mark is a Receiver in 8 octets: what is counted is kept of many. The zero Mark is nobody's.
type Mark uint64

// A Mark of a named receiver is the hash of its name. One of a stranger has 21 bits for each thing that is known of it, and zeros
// for what is not.
const (
	named     Mark = 1 << 63
	facetBits      = 21
	facet     Mark = 1<<facetBits - 1
	facets         = 3
)

// seed is of the places in which names are remembered: nobody can choose names that crowd one.
var seed = maphash.MakeSeed()

// A Marker makes marks, with a secret. It is safe for concurrent use.
type Marker struct {
	secret Secret
	lately [1024]atomic.Pointer[owner]
}

// NewMarker makes one.
func NewMarker(secret Secret) *Marker { return &Marker{secret: secret} }

// Mark returns the mark of a receiver.
func (k *Marker) Mark(r *Receiver) Mark {
	if r.Provider != "" {
		return Called(r.Provider, k.secret.Hash)
	}
	var m Mark
	if r.MX.IsValid() {
		network := Network(r.MX).Addr().As16()
		m = facetOf(k.secret.Hash(string(network[:])))
	}
	for i, domain := range [...]string{r.Host, r.Domain} {
		if domain != "" && domain[0] != '[' {
			m |= k.ofOwner(domain) << (facetBits * (i + 1))
		}
	}
	return m
}

// ofOwner is the bits of a domain's owner. A mark is made for every recipient, and the list of suffixes takes some
// microseconds: what was asked lately is remembered, in as many places as there are.
func (k *Marker) ofOwner(domain string) Mark {
	place := &k.lately[maphash.String(seed, domain)%uint64(len(k.lately))]
	if known := place.Load(); known != nil && known.domain == domain {
		return known.bits
	}
	m := facetOf(k.secret.Hash(Registered(domain)))
	place.Store(&owner{strings.Clone(domain), m})
	return m
}

type owner struct {
	domain string
	bits   Mark
}

// facetOf never gives what stands for nothing known.
func facetOf(h uint64) Mark {
	if m := Mark(h) & facet; m != 0 {
		return m
	}
	return 1
}

// Strange is what the names of strangers begin with where they stand beside those of providers.
const Strange = "mx:"

// Stranger is the name of a stranger: an MX of which only the address is known. It is asked for with every mail: the
// names that were asked for lately are remembered, in as many places as there are.
func Stranger(mx netip.Addr) string {
	mx = mx.Unmap()
	octets := mx.As16()
	place := &strangers[maphash.Bytes(seed, octets[:])%uint64(len(strangers))]
	if known := place.Load(); known != nil && known.mx == mx {
		return known.name
	}
	name := Strange + mx.String()
	place.Store(&stranger{mx, name})
	return name
}

type stranger struct {
	mx   netip.Addr
	name string
}

var strangers [1024]atomic.Pointer[stranger]

// Called is the Mark of whom only a name is known: a provider's, or with the prefix [Strange] a stranger's.
func Called(name string, hash func(string) uint64) Mark {
	h := hash(name)
	if strings.HasPrefix(name, Strange) {
		return facetOf(h) | facetOf(h>>facetBits)<<facetBits | facetOf(h>>(2*facetBits))<<(2*facetBits)
	}
	return Mark(h) | named
}

// Named reports that it is a provider with a name.
func (m Mark) Named() bool { return m&named != 0 }

// Same reports that two marks may be of one receiver: a name, or anything that is known of two strangers, is the same.
func (m Mark) Same(other Mark) bool {
	if m == other {
		return true
	}
	if m.Named() || other.Named() {
		return false
	}
	for same := m ^ other; ; same >>= facetBits {
		if m&facet != 0 && same&facet == 0 {
			return true
		}
		if m >>= facetBits; m == 0 {
			return false
		}
	}
}

// A Crowd is how much strangers have said, and how many of them there are, about, and never more than there are: of
// each thing that can be known of them as many as differ in it, and the least of these counts. The zero Crowd is
// nobody.
type Crowd [facets][crowdPlaces]uint8

const crowdPlaces = 32

// Add counts what a stranger has said; of others it takes no notice.
func (c *Crowd) Add(m Mark) {
	if m.Named() {
		return
	}
	for i := range c {
		f := m >> (facetBits * i) & facet
		if f == 0 {
			continue
		}
		said := &c[i][f%crowdPlaces]
		if *said == math.MaxUint8 { // what matters is their parts
			for j := range c[i] {
				c[i][j] /= 2
			}
		}
		*said++
	}
}

// Many is the part of what was said that is left without the few who have said most, if there are so many strangers
// that it is more than what one person with some addresses, domains and mailboxes can arrange; else 0. Who has said
// little makes nobody else's word that of many.
func (c *Crowd) Many() (part float64) {
	part = 1
	known := false
	for i := range c {
		said := c[i]
		slices.Sort(said[:])
		if said[crowdPlaces-1] == 0 {
			continue // nothing is known of this kind
		}
		known = true
		if said[crowdPlaces-many] == 0 {
			return 0
		}
		all, left := 0, 0
		for j, n := range said {
			if all += int(n); j < crowdPlaces-few {
				left += int(n)
			}
		}
		part = min(part, float64(left)/float64(all))
	}
	if !known {
		return 0
	}
	return part
}

// What one person can arrange to be, and what he cannot.
const (
	few  = 5
	many = 8
)
