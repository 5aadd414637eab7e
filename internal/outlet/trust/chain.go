package trust

import (
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"time"

	"kanmon/internal/event"
)

// Bounds of what an MX shows: what is beyond them is looked at by nobody, so it proves nothing.
const (
	mostCertificates = 16
	mostNames        = 2048 // of a certificate: public authorities put 250 into one, some 2,000
	mostRSA          = 8192 // bits, as crypto/tls
)

var errNoRoots = errors.New("there are no roots to verify it by")

// A chain is the certificates that an MX has shown, its own first.
type chain struct {
	certs []*x509.Certificate
	now   time.Time
}

func newChain(certs []*x509.Certificate, now time.Time) *chain {
	return &chain{certs[:min(len(certs), mostCertificates)], now}
}

// isEmpty reports whether nothing was shown.
func (c *chain) isEmpty() bool { return len(c.certs) == 0 }

func (c *chain) leaf() *x509.Certificate    { return c.certs[0] }
func (c *chain) above() []*x509.Certificate { return c.certs[1:] }

// names reports whether the certificate is for a name: one of its DNS names, never its common name, and never an address, which Go would
// look for among its addresses (RFC 6125 section 6.4, RFC 8461 section 4.2).
func (c *chain) names(name string) bool {
	return name != "" && !isAddress(name) && len(c.leaf().DNSNames) <= mostNames && c.leaf().VerifyHostname(name) == nil
}

// isAddress reports whether a name is an address, as x509 and TLS read it.
func isAddress(name string) bool {
	_, err := netip.ParseAddr(strings.Trim(name, "[]"))
	return err == nil
}

// verify says whether the chain leads to one of the roots now, whatever name it is for. Nothing is fetched.
func (c *chain) verify(roots *x509.CertPool) proof {
	if roots == nil { // to x509 that would mean the system's
		return proof{why: event.NotTrusted, err: errNoRoots}
	}
	between := x509.NewCertPool()
	for _, cert := range c.above() {
		if key, ok := cert.PublicKey.(*rsa.PublicKey); !ok || key.N.BitLen() <= mostRSA {
			between.AddCert(cert)
		}
	}
	chains, err := c.leaf().Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: c.now})
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return proof{why: event.Expired, err: err}
	case err != nil:
		return proof{why: event.NotTrusted, err: err}
	}
	p := proof{ok: true}
	for _, one := range chains {
		first := slices.MinFunc(one, func(x, y *x509.Certificate) int { return x.NotAfter.Compare(y.NotAfter) })
		if first.NotAfter.After(p.until) {
			p.until = first.NotAfter
		}
	}
	return p
}

// isFor says for people what names the certificate is for.
func (c *chain) isFor() string {
	list := c.leaf().DNSNames
	switch {
	case len(list) == 0:
		return "no name"
	case len(list) > 3:
		return strings.Join(list[:3], ", ") + ", ..."
	}
	return strings.Join(list, ", ")
}
