package smtptest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"sync"
	"testing"
	"time"
)

// CertificateOptions says what certificate is wanted. The zero value is a valid ECDSA one for mx.example.net, signed by
// the authority in [Roots].
type CertificateOptions struct {
	Name       string // common name and first DNS name; "": mx.example.net
	MoreNames  int    // DNS names after the first, all different
	RSA        bool   // RSA with 2048 bits
	SelfSigned bool   // its own authority
	Expired    bool
}

// Certificate returns a certificate with its key. The same options give the same one for as long as the test binary
// runs: making them is slow. They are valid in real time and in the virtual time of testing/synctest.
func Certificate(t testing.TB, o CertificateOptions) tls.Certificate {
	t.Helper()
	if o.Name == "" {
		o.Name = "mx.example.net"
	}
	c, err := made.certificate(o)
	if err != nil {
		t.Fatalf("making a certificate: %v", err)
	}
	return c
}

// Roots returns the pool with the authority that signs certificates which are not self-signed.
func Roots(t testing.TB) *x509.CertPool {
	t.Helper()
	ca, err := made.authority()
	if err != nil {
		t.Fatalf("making an authority: %v", err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(ca.Leaf)
	return pool
}

// made holds what was made in this run of the test binary.
var made certificates

type certificates struct {
	mu     sync.Mutex
	leaves map[CertificateOptions]tls.Certificate
	ca     *tls.Certificate
}

// The years hold both today and the first of January 2000, where virtual time begins.
var (
	notBefore = time.Date(1990, 1, 1, 0, 0, 0, 0, time.UTC)
	notAfter  = time.Date(2090, 1, 1, 0, 0, 0, 0, time.UTC)
	expiredAt = time.Date(1995, 1, 1, 0, 0, 0, 0, time.UTC)
)

func (s *certificates) certificate(o CertificateOptions) (tls.Certificate, error) {
	ca, err := s.authority()
	if err != nil {
		return tls.Certificate{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if c, ok := s.leaves[o]; ok {
		return c, nil
	}
	template := x509.Certificate{
		Subject:     pkix.Name{CommonName: o.Name},
		DNSNames:    []string{o.Name},
		NotAfter:    notAfter,
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for i := range o.MoreNames {
		template.DNSNames = append(template.DNSNames, fmt.Sprintf("mx%d.example.net", i+1))
	}
	if o.RSA {
		template.KeyUsage |= x509.KeyUsageKeyEncipherment // for suites without forward secrecy
	}
	if o.Expired {
		template.NotAfter = expiredAt
	}
	if o.SelfSigned {
		ca = nil
	}
	c, err := sign(template, o.RSA, ca)
	if err != nil {
		return tls.Certificate{}, err
	}
	if s.leaves == nil {
		s.leaves = make(map[CertificateOptions]tls.Certificate)
	}
	s.leaves[o] = c
	return c, nil
}

func (s *certificates) authority() (*tls.Certificate, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ca != nil {
		return s.ca, nil
	}
	ca, err := sign(x509.Certificate{
		Subject:               pkix.Name{CommonName: "smtptest authority"},
		NotAfter:              notAfter,
		KeyUsage:              x509.KeyUsageCertSign,
		IsCA:                  true,
		BasicConstraintsValid: true,
	}, false, nil)
	if err != nil {
		return nil, err
	}
	s.ca = &ca
	return s.ca, nil
}

// sign makes a key and a certificate for it, signed by the issuer, or by itself if there is none.
func sign(template x509.Certificate, useRSA bool, issuer *tls.Certificate) (tls.Certificate, error) {
	var key crypto.Signer
	var err error
	if useRSA {
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	} else {
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	if err != nil {
		return tls.Certificate{}, err
	}
	if template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 100)); err != nil {
		return tls.Certificate{}, err
	}
	template.NotBefore = notBefore
	parent, signer := &template, crypto.PrivateKey(key)
	if issuer != nil {
		parent, signer = issuer.Leaf, issuer.PrivateKey
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, parent, key.Public(), signer)
	if err != nil {
		return tls.Certificate{}, err
	}
	leaf, err := x509.ParseCertificate(der)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, err
}
