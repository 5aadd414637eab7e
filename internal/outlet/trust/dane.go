package trust

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/asn1"
	"slices"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/outlet/trust/dns"
)

// What the numbers of a TLSA record mean (RFC 6698 section 2.1, RFC 7218).
const (
	usageTA = 2 // a certificate above the MX's
	usageEE = 3 // the MX's own

	selectAll = 0 // the certificate
	selectKey = 1 // its public key

	typeFull   = 0
	typeSHA256 = 1
	typeSHA512 = 2
)

// usable returns the records that an MX can be authenticated by: others count as none (RFC 7672 section 3.1.3). Of records that differ in
// their digest alone those with the stronger one count (RFC 7671 section 9), and beside them the ones without a digest.
func usable(records []dns.TLSA) (list []dns.TLSA) {
	for _, r := range records {
		if isUsable(r) {
			list = append(list, r)
		}
	}
	return slices.DeleteFunc(list, func(r dns.TLSA) bool {
		return r.Type == typeSHA256 && slices.ContainsFunc(list, func(other dns.TLSA) bool {
			return other.Type == typeSHA512 && other.Usage == r.Usage && other.Selector == r.Selector
		})
	})
}

// isUsable reports whether a record is one that this package can compare with a certificate.
func isUsable(r dns.TLSA) bool {
	if r.Usage != usageTA && r.Usage != usageEE || r.Selector > selectKey {
		return false
	}
	switch r.Type {
	case typeFull: // no more is asked than that it may be one: a key that Go cannot read is still the MX's own
		var all asn1.RawValue
		rest, err := asn1.Unmarshal(r.Data, &all)
		return err == nil && len(rest) == 0 && all.Tag == asn1.TagSequence && all.IsCompound
	case typeSHA256:
		return len(r.Data) == sha256.Size
	case typeSHA512:
		return len(r.Data) == sha512.Size
	}
	return false
}

// matches reports whether one of the records of a usage is that of a certificate.
func matches(records []dns.TLSA, usage uint8, cert *x509.Certificate) bool {
	return slices.ContainsFunc(records, func(r dns.TLSA) bool {
		if r.Usage != usage {
			return false
		}
		data := cert.Raw
		if r.Selector == selectKey {
			data = cert.RawSubjectPublicKeyInfo
		}
		switch r.Type {
		case typeSHA256:
			sum := sha256.Sum256(data)
			return bytes.Equal(r.Data, sum[:])
		case typeSHA512:
			sum := sha512.Sum512(data)
			return bytes.Equal(r.Data, sum[:])
		}
		return bytes.Equal(r.Data, data)
	})
}

// proveDANE says whether a chain is one of a host's TLSA records (RFC 7671 section 5). With usage EE names and dates do not count; with
// usage TA the certificate above must have been presented, and the chain to it must be good for one of the names of the MX and of the
// domain (RFC 7672 section 3.2.2).
func (k *known) proveDANE(c *chain, h *host) proof {
	if matches(h.tlsa, usageEE, c.leaf()) {
		return proof{ok: true}
	}
	roots, presented := x509.NewCertPool(), false
	for _, cert := range c.above() {
		if matches(h.tlsa, usageTA, cert) {
			roots.AddCert(cert)
			presented = true
		}
	}
	if !presented {
		return proof{why: event.ValidationFailure}
	}
	p := c.verify(roots)
	if p.ok && !slices.ContainsFunc([]string{h.name, h.base, k.domain, k.expanded}, c.names) {
		return proof{why: event.HostMismatch}
	}
	return p
}

// A proof is what a chain of certificates proves.
type proof struct {
	ok    bool
	until time.Time         // with ok: it is good until then; zero: for as long as what is asked
	why   event.TrustReason // without ok
	err   error             // without ok, for people; nil: why says it
}
