package standing

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
)

// A Resolver looks addresses up; *net.Resolver is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// DNSBL is the [Check] that asks lists by DNS (RFC 5782).
type DNSBL struct {
	// Resolver must be one whose queries the lists accept: many refuse those of public resolvers. nil: the system's.
	Resolver Resolver
}

// Errors of a query whose answer cannot be used.
var (
	ErrRefused   = errors.New("the list refuses to answer this resolver")     // 127.255.255.x, 127.0.0.1
	ErrNoList    = errors.New("the answer is not that of a block list")       // outside 127.0.0.0/8: a parked domain, a resolver that lies
	ErrListsAll  = errors.New("the list has everybody: it is out of service") // RFC 5782 §5: 127.0.0.1 must not be listed
	ErrListsNone = errors.New("the list lacks the address that every list has (RFC 5782): it has none of this family, or it is no list, or the resolver says no to everything")
	errNoAddress = errors.New("not an IP address")
)

// Listed reports whether the list has the IP. It believes a yes only if the list does not have the address that none may
// have: a list that has ended may say yes to everything.
func (d DNSBL) Listed(ctx context.Context, ip netip.Addr, zone string) (bool, error) {
	codes, err := d.Codes(ctx, ip, zone)
	return len(codes) > 0, err
}

// Codes is Listed, with what the list answers: which of its parts have the IP; none: it does not have it.
func (d DNSBL) Codes(ctx context.Context, ip netip.Addr, zone string) ([]netip.Addr, error) {
	if !ip.IsValid() {
		return nil, errNoAddress
	}
	ip = ip.Unmap()
	codes, err := d.query(ctx, ip, zone)
	if err != nil || len(codes) == 0 {
		return nil, err
	}
	if err := d.hasNotEverybody(ctx, zone, ip.Is6()); err != nil {
		return nil, err
	}
	return codes, nil
}

func (d DNSBL) hasNotEverybody(ctx context.Context, zone string, v6 bool) error {
	never := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	if v6 {
		never = netip.AddrFrom16(never.As16()) // ::FFFF:7F00:1
	}
	switch all, err := d.query(ctx, never, zone); {
	case err != nil:
		return err
	case len(all) > 0:
		return fmt.Errorf("%s: %w", zone, ErrListsAll)
	}
	return nil
}

// Believe asks for what every list has, and for what none may have: an error says why an answer of the list means nothing.
func (d DNSBL) Believe(ctx context.Context, zone string, v6 bool) error {
	switch has, err := d.Answers(ctx, zone, v6); {
	case err != nil:
		return err
	case !has:
		return fmt.Errorf("%s: %w", zone, ErrListsNone)
	}
	return d.hasNotEverybody(ctx, zone, v6)
}

// Answers reports whether the list has the address that all have (RFC 5782 §5: 127.0.0.2, ::FFFF:7F00:2). Without it, that an IP is not on
// the list says nothing: the zone is none of a list, or has no addresses of the family.
func (d DNSBL) Answers(ctx context.Context, zone string, v6 bool) (bool, error) {
	always := netip.AddrFrom4([4]byte{127, 0, 0, 2})
	if v6 {
		always = netip.AddrFrom16(always.As16())
	}
	codes, err := d.query(ctx, always, zone)
	return len(codes) > 0, err
}

// query gives what a list answers about an address, none where it does not have it.
func (d DNSBL) query(ctx context.Context, ip netip.Addr, zone string) (codes []netip.Addr, err error) {
	resolver := d.Resolver
	if resolver == nil {
		resolver = net.DefaultResolver
	}
	// The dot at the end keeps the resolver's search list away.
	answers, err := resolver.LookupNetIP(ctx, "ip4", reverse(ip)+"."+zone+".")
	var dns *net.DNSError
	if errors.As(err, &dns) && dns.IsNotFound {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", zone, err)
	}
	for _, a := range answers {
		switch octets := a.Unmap().As4(); {
		case octets[0] != 127:
			return nil, fmt.Errorf("%s answers %v: %w", zone, a, ErrNoList)
		case octets[1] == 255 && octets[2] == 255, octets == [4]byte{127, 0, 0, 1}:
			return nil, fmt.Errorf("%s answers %v: %w", zone, a, ErrRefused)
		}
		codes = append(codes, a.Unmap())
	}
	return codes, nil
}

// reverse writes an address as the name under which lists have it: octets (RFC 5782 §2.1) or nibbles (§2.4), last first.
func reverse(ip netip.Addr) string {
	if ip.Is4() {
		o := ip.As4()
		return fmt.Sprintf("%d.%d.%d.%d", o[3], o[2], o[1], o[0])
	}
	octets := ip.As16()
	var b strings.Builder
	for i := len(octets) - 1; i >= 0; i-- {
		fmt.Fprintf(&b, "%x.%x.", octets[i]&0xf, octets[i]>>4)
	}
	return strings.TrimSuffix(b.String(), ".")
}
