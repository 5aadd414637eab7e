package smtptest

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"testing"
	"testing/synctest"
)

func TestCertificate(t *testing.T) {
	many := Certificate(t, CertificateOptions{RSA: true, MoreNames: 300})
	if _, ok := many.PrivateKey.(*rsa.PrivateKey); !ok || len(many.Leaf.DNSNames) != 301 {
		t.Errorf("key %T, %d names; want RSA, 301", many.PrivateKey, len(many.Leaf.DNSNames))
	}
	plain := Certificate(t, CertificateOptions{})
	if _, ok := plain.PrivateKey.(*ecdsa.PrivateKey); !ok || plain.Leaf != Certificate(t, CertificateOptions{}).Leaf {
		t.Errorf("key %T; want ECDSA, and the same certificate again", plain.PrivateKey)
	}
	verify := func(t *testing.T) {
		t.Helper()
		if _, err := plain.Leaf.Verify(x509.VerifyOptions{Roots: Roots(t), DNSName: "mx.example.net"}); err != nil {
			t.Error(err)
		}
	}
	verify(t)
	synctest.Test(t, verify)
}
