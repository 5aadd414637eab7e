package session

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"testing"
	"time"
)

// An MX that forgets its intermediate certificate once is not taken for unverified ever after, nor the other way round.
func TestVerifiedIsKnownByTheWholeChain(t *testing.T) {
	root, rootKey := issue(t, "root", nil, nil)
	between, betweenKey := issue(t, "between", root, rootKey)
	leaf, _ := issue(t, "mx.example.net", between, betweenKey)
	c := certificates{roots: func() (*x509.CertPool, error) {
		pool := x509.NewCertPool()
		pool.AddCert(root)
		return pool, nil
	}}
	for range 2 {
		if c.describe([]*x509.Certificate{leaf}, holder{}).Verified {
			t.Error("verified without its intermediate")
		}
		if !c.describe([]*x509.Certificate{leaf, between}, holder{}).Verified {
			t.Error("not verified with its intermediate")
		}
	}
}

func issue(t *testing.T, name string, issuer *x509.Certificate, issuerKey *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: name != "mx.example.net", BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	if issuer == nil {
		issuer, issuerKey = template, key
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, issuer, key.Public(), issuerKey)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(raw)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}
