package watch

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// A Resolver asks DNS servers and nobody else: the names in /etc/hosts, which the net package looks at first, are not what receivers see.
type Resolver struct {
	Servers []string // "192.0.2.53:53"; tried in their order
	Timeout time.Duration
}

// NewResolver takes the server that is given, or those of the system.
func NewResolver(server string) (*Resolver, error) {
	r := &Resolver{Timeout: 5 * time.Second}
	if server != "" {
		host, port := server, "53"
		if a, err := netip.ParseAddrPort(server); err == nil {
			host, port = a.Addr().String(), fmt.Sprint(a.Port())
		}
		if _, err := netip.ParseAddr(host); err != nil {
			return nil, fmt.Errorf("resolver %q is not an address such as 192.0.2.53 or [2001:db8::53]:5353", server)
		}
		r.Servers = []string{net.JoinHostPort(host, port)}
		return r, nil
	}
	const file = "/etc/resolv.conf"
	system, err := dns.ClientConfigFromFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the system's resolvers: %w", err)
	}
	for _, s := range system.Servers {
		r.Servers = append(r.Servers, net.JoinHostPort(s, system.Port))
	}
	if len(r.Servers) == 0 {
		return nil, fmt.Errorf("%s names no nameserver: name one", file)
	}
	return r, nil
}

// query asks for the records of a name. None is no error where the name exists; where it does not, the error is a [net.DNSError] that
// says so, as those of the net package are.
func (r *Resolver) query(ctx context.Context, name string, kind uint16) ([]dns.RR, error) {
	q := new(dns.Msg).SetQuestion(dns.Fqdn(name), kind)
	q.SetEdns0(1232, false)
	fail := &net.DNSError{Err: "no answer", Name: name, IsTemporary: true}
	for _, server := range r.Servers {
		fail.Server = server
		answer, err := r.exchange(ctx, q, server)
		switch {
		case err != nil:
			fail.Err = err.Error()
			var netErr net.Error
			fail.IsTimeout = errors.As(err, &netErr) && netErr.Timeout()
			continue
		case answer.Rcode == dns.RcodeNameError:
			return nil, &net.DNSError{Err: "no such host", Name: name, Server: server, IsNotFound: true}
		case answer.Rcode != dns.RcodeSuccess:
			fail.Err = "the server answers " + dns.RcodeToString[answer.Rcode]
			continue
		}
		var found []dns.RR
		for _, rr := range answer.Answer {
			if rr.Header().Rrtype == kind { // behind CNAMEs, which come with it
				found = append(found, rr)
			}
		}
		return found, nil
	}
	return nil, fail
}

// exchange asks by UDP, and again by TCP where the answer is too long for it.
func (r *Resolver) exchange(ctx context.Context, q *dns.Msg, server string) (*dns.Msg, error) {
	answer, err := r.exchangeBy(ctx, "udp", q, server)
	if err == nil && answer.Truncated {
		return r.exchangeBy(ctx, "tcp", q, server)
	}
	return answer, err
}

// exchangeBy ends with the context: the library heeds its deadline alone.
func (r *Resolver) exchangeBy(ctx context.Context, network string, q *dns.Msg, server string) (*dns.Msg, error) {
	client := &dns.Client{Net: network, Timeout: r.Timeout}
	conn, err := client.DialContext(ctx, server)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	answer, _, err := client.ExchangeWithConnContext(ctx, q, conn)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return answer, err
}

// LookupNetIP returns a host's addresses of one family ("ip4", "ip6") or both ("ip").
func (r *Resolver) LookupNetIP(ctx context.Context, network, host string) (list []netip.Addr, err error) {
	kinds := map[string][]uint16{"ip4": {dns.TypeA}, "ip6": {dns.TypeAAAA}, "ip": {dns.TypeA, dns.TypeAAAA}}[network]
	for _, kind := range kinds {
		found, err := r.query(ctx, host, kind)
		if err != nil {
			return nil, err
		}
		for _, rr := range found {
			var ip net.IP
			switch rr := rr.(type) {
			case *dns.A:
				ip = rr.A
			case *dns.AAAA:
				ip = rr.AAAA
			}
			if a, ok := netip.AddrFromSlice(ip); ok {
				list = append(list, a.Unmap())
			}
		}
	}
	if len(list) == 0 {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	return list, nil
}

// LookupIPAddr is LookupNetIP for package spf.
func (r *Resolver) LookupIPAddr(ctx context.Context, host string) (list []net.IPAddr, err error) {
	found, err := r.LookupNetIP(ctx, "ip", host)
	for _, a := range found {
		list = append(list, net.IPAddr{IP: a.AsSlice()})
	}
	return list, err
}

// LookupAddr returns the names in an address's PTR records.
func (r *Resolver) LookupAddr(ctx context.Context, address string) (names []string, err error) {
	name, err := dns.ReverseAddr(address)
	if err != nil {
		return nil, err
	}
	found, err := r.query(ctx, name, dns.TypePTR)
	for _, rr := range found {
		if ptr, ok := rr.(*dns.PTR); ok {
			names = append(names, ptr.Ptr)
		}
	}
	return names, err
}

// LookupTXT returns the texts of a name, each as one.
func (r *Resolver) LookupTXT(ctx context.Context, name string) (texts []string, err error) {
	found, err := r.query(ctx, name, dns.TypeTXT)
	for _, rr := range found {
		if txt, ok := rr.(*dns.TXT); ok {
			texts = append(texts, strings.Join(txt.Txt, ""))
		}
	}
	return texts, err
}

// LookupMX returns the MXs of a domain.
func (r *Resolver) LookupMX(ctx context.Context, name string) (list []*net.MX, err error) {
	found, err := r.query(ctx, name, dns.TypeMX)
	for _, rr := range found {
		if mx, ok := rr.(*dns.MX); ok {
			list = append(list, &net.MX{Host: mx.Mx, Pref: mx.Preference})
		}
	}
	return list, err
}
