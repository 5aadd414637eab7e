package sts

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"time"

	"kanmon/internal/event"
)

// What a fetch may take, whatever the host does.
const (
	fetchTime    = 30 * time.Second // in all; RFC 8461 section 3.3 suggests a minute
	connectTime  = 10 * time.Second // to one address
	mostHeader   = 16 << 10         // octets of a response's header
	mostAddrs    = 4                // that are tried
	policyPort   = "443"
	policyPrefix = "mta-sts."
	policyPath   = "/.well-known/mta-sts.txt"
	policyType   = "text/plain"
)

// A Dialer connects as [net.Dialer.DialContext] does.
type Dialer func(ctx context.Context, network, address string) (net.Conn, error)

// A fetcher gets policies from their hosts. It takes nothing from the environment: no proxy, which would be told which domains get mail.
type fetcher struct {
	resolver Resolver
	roots    *x509.CertPool
	dial     Dialer
	private  bool // addresses inside are connected to
	clock    func() time.Time
}

// newFetcher returns one with a dialer of its own, if none is given.
func newFetcher(o *Options) fetcher {
	f := fetcher{resolver: o.Resolver, roots: o.Roots, dial: o.Dial, private: o.AllowPrivate, clock: o.Clock}
	if f.dial == nil {
		own := &net.Dialer{Timeout: connectTime, KeepAlive: -1}
		if !f.private {
			own.Control = refuseInside
		}
		f.dial = own.DialContext
	}
	return f
}

// fetch gets a domain's policy (RFC 8461 section 3.3); by says in whose part the lookup of the host's addresses counts. The reason
// is that of an error.
func (f *fetcher) fetch(ctx context.Context, domain string, by func() string) (*Policy, event.TrustReason, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTime)
	defer cancel()
	host := policyPrefix + domain
	addrs, err := f.addresses(ctx, host, by)
	if err != nil {
		return nil, event.FetchError, err
	}
	text, err := f.get(ctx, host, addrs)
	var untrusted *tls.CertificateVerificationError
	switch {
	case errors.As(err, &untrusted):
		return nil, event.WebPKIInvalid, fmt.Errorf("policy host %s: %w", host, err)
	case err != nil:
		return nil, event.FetchError, fmt.Errorf("policy host %s: %w", host, err)
	}
	policy, err := parsePolicy(text)
	if err != nil {
		return nil, event.PolicyInvalid, err
	}
	return policy, event.TrustWhyNot, nil
}

// addresses returns those of the host that may be connected to.
func (f *fetcher) addresses(ctx context.Context, host string, by func() string) ([]netip.Addr, error) {
	all, err := f.resolver.Addresses(ctx, host, by)
	if err != nil {
		return nil, fmt.Errorf("look up the policy host %s: %w", host, err)
	}
	may := make([]netip.Addr, 0, mostAddrs)
	for _, a := range all {
		if (f.private || isPublic(a)) && len(may) < mostAddrs {
			may = append(may, a)
		}
	}
	switch {
	case len(all) == 0:
		return nil, fmt.Errorf("the policy host %s has no address", host)
	case len(may) == 0:
		return nil, fmt.Errorf("the policy host %s has no address of the public Internet: %s is none", host, all[0])
	}
	return may, nil
}

// get makes the one request and reads the response. No connection outlives it.
func (f *fetcher) get(ctx context.Context, host string, addrs []netip.Addr) ([]byte, error) {
	transport := &http.Transport{
		Proxy:       nil, // not http.ProxyFromEnvironment
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) { return f.connect(ctx, network, addrs) },
		TLSClientConfig: &tls.Config{
			MinVersion: tls.VersionTLS12,
			RootCAs:    f.roots,
			ServerName: host,
			NextProtos: []string{"http/1.1"},
			Time:       f.clock,
		},
		TLSNextProto:           map[string]func(string, *tls.Conn) http.RoundTripper{}, // no HTTP/2
		TLSHandshakeTimeout:    connectTime,
		DisableKeepAlives:      true,
		DisableCompression:     true,
		MaxResponseHeaderBytes: mostHeader,
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+host+policyPath, http.NoBody)
	if err != nil {
		return nil, err
	}
	request.Header.Set("User-Agent", "kanmon")
	request.Header.Set("Accept", policyType)
	response, err := transport.RoundTrip(request) // not a Client's Do: redirects must not be followed (RFC 8461 section 3.3)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if err := isPolicy(response); err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(response.Body, mostText+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read the policy: %w", err)
	case len(text) > mostText:
		return nil, errTooLong
	}
	return text, nil
}

// isPolicy says why a response is none with a policy (RFC 8461 sections 3.2, 3.3); nil: it is one.
func isPolicy(response *http.Response) error {
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("it answers %d, want %d", response.StatusCode, http.StatusOK)
	}
	given := response.Header.Get("Content-Type")
	if kind, _, err := mime.ParseMediaType(given); err != nil || kind != policyType {
		return fmt.Errorf("it serves %q, want %s", given, policyType)
	}
	if coding := response.Header.Get("Content-Encoding"); coding != "" && coding != "identity" {
		return fmt.Errorf("it serves the coding %q, and none was asked for", coding)
	}
	return nil
}

// connect connects to the first of the addresses that can be connected to.
func (f *fetcher) connect(ctx context.Context, network string, addrs []netip.Addr) (net.Conn, error) {
	var failed error
	for _, a := range addrs {
		one, cancel := context.WithTimeout(ctx, connectTime)
		conn, err := f.dial(one, network, net.JoinHostPort(a.String(), policyPort))
		cancel()
		if err == nil {
			return conn, nil
		}
		failed = errors.Join(failed, err)
		if ctx.Err() != nil {
			break
		}
	}
	return nil, failed
}
