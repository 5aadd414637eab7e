package watch

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"time"

	"kanmon/internal/outlet/trust/dns"
)

// A Resolver asks DNS servers and nobody else: the names in /etc/hosts, which the net package looks at first, are not what receivers see.
type Resolver struct {
	Servers []string // "192.0.2.53:53"; tried in their order
	Timeout time.Duration
}

// NewResolver takes the server that is given, or those of the system.
func NewResolver(server string) (*Resolver, error) {
	servers, err := dns.Servers(server)
	if err != nil {
		return nil, err
	}
	return &Resolver{Servers: servers, Timeout: 5 * time.Second}, nil
}

// query asks for the records of a name. None is no error where the name exists; where it does not, the error is a [net.DNSError] that
// says so, as those of the net package are.
func (r *Resolver) query(ctx context.Context, name string, kind dns.Kind) (dns.Answer, error) {
	fail := &net.DNSError{Err: "no answer", Name: name, IsTemporary: true}
	for _, server := range r.Servers {
		switch answer := dns.Exchange(ctx, server, name, kind, r.Timeout); answer.Outcome {
		case dns.Failed:
			fail.Server, fail.Err = server, answer.Err.Error()
			var netErr net.Error
			fail.IsTimeout = errors.As(answer.Err, &netErr) && netErr.Timeout()
		case dns.NoName:
			return answer, &net.DNSError{Err: "no such host", Name: name, Server: server, IsNotFound: true}
		default:
			return answer, nil
		}
	}
	return dns.Answer{}, fail
}

// LookupNetIP returns a host's addresses of one family ("ip4", "ip6") or both ("ip").
func (r *Resolver) LookupNetIP(ctx context.Context, network, host string) (list []netip.Addr, err error) {
	kinds := map[string][]dns.Kind{"ip4": {dns.TypeA}, "ip6": {dns.TypeAAAA}, "ip": {dns.TypeA, dns.TypeAAAA}}[network]
	for _, kind := range kinds {
		found, err := r.query(ctx, host, kind)
		if err != nil {
			return nil, err
		}
		list = append(list, found.Addrs...)
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
func (r *Resolver) LookupAddr(ctx context.Context, address string) ([]string, error) {
	name, err := dns.Reverse(address)
	if err != nil {
		return nil, err
	}
	found, err := r.query(ctx, name, dns.TypePTR)
	return found.PTR, err
}

// LookupTXT returns the texts of a name, each as one.
func (r *Resolver) LookupTXT(ctx context.Context, name string) ([]string, error) {
	found, err := r.query(ctx, name, dns.TypeTXT)
	return found.TXT, err
}

// LookupMX returns the MXs of a domain.
func (r *Resolver) LookupMX(ctx context.Context, name string) (list []*net.MX, err error) {
	found, err := r.query(ctx, name, dns.TypeMX)
	for _, mx := range found.MX {
		list = append(list, &net.MX{Host: mx.Host + ".", Pref: mx.Preference})
	}
	return list, err
}
