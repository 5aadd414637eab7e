package smtptest

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync/atomic"
	"time"
)

// DNS answers for the MXs of some domains. Without MXs there is no resolver. Its fields change while nobody asks.
type DNS struct {
	MXs   map[string]string     // host by domain, both rooted
	Hosts map[string]netip.Addr // by host, rooted
	Addrs []netip.Addr          // of all other hosts
	Delay atomic.Int64          // of an answer, in nanoseconds
	Asked func(name string)     // nil: nobody is told
}

var errNoResolver = errors.New("no resolver")

// LookupMX is that of [net.Resolver].
func (d *DNS) LookupMX(_ context.Context, name string) ([]*net.MX, error) {
	if d.Asked != nil {
		d.Asked(name)
	}
	time.Sleep(time.Duration(d.Delay.Load()))
	if d.MXs == nil {
		return nil, errNoResolver
	}
	if host := d.MXs[name]; host != "" {
		return []*net.MX{{Host: host, Pref: 10}}, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}

// LookupNetIP is that of [net.Resolver].
func (d *DNS) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	if d.MXs == nil {
		return nil, errNoResolver
	}
	if addr, found := d.Hosts[host]; found {
		return []netip.Addr{addr}, nil
	}
	return d.Addrs, nil
}
