package web

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// A certificate that kanmon makes itself.
const (
	ownCertificate = "web.pem"
	ownKey         = "web.key"
	ownFor         = 2 * 365 * 24 * time.Hour
	ownRenewed     = 30 * 24 * time.Hour // before its end
)

// OwnCertificate gives the certificate that was made in a folder; if there is none, or its time is nearly over, a new one for some names and
// addresses. The fingerprint is what a browser shows as SHA-256.
func OwnCertificate(dir string, hosts []string, now time.Time) (cert tls.Certificate, fingerprint string, err error) {
	file, key := filepath.Join(dir, ownCertificate), filepath.Join(dir, ownKey)
	cert, err = tls.LoadX509KeyPair(file, key)
	if err == nil && cert.Leaf.NotAfter.Sub(now) > ownRenewed {
		return cert, fingerprintOf(cert.Certificate[0]), nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return cert, "", fmt.Errorf("the certificate that kanmon has made: %w; remove both files, and it makes another", err)
	}
	if err := makeCertificate(file, key, hosts, now); err != nil {
		return cert, "", fmt.Errorf("make a certificate: %w", err)
	}
	if cert, err = tls.LoadX509KeyPair(file, key); err != nil {
		return cert, "", err
	}
	return cert, fingerprintOf(cert.Certificate[0]), nil
}

func fingerprintOf(der []byte) string {
	sum := sha256.Sum256(der)
	return strings.ReplaceAll(fmt.Sprintf("% X", sum[:]), " ", ":")
}

func makeCertificate(file, keyFile string, hosts []string, now time.Time) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return err
	}
	like := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "kanmon's page"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(ownFor),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, BasicConstraintsValid: true,
	}
	for _, host := range hosts {
		if addr, err := netip.ParseAddr(host); err == nil {
			like.IPAddresses = append(like.IPAddresses, addr.AsSlice())
		} else if host != "" {
			like.DNSNames = append(like.DNSNames, host)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, like, like, &key.PublicKey, key)
	if err != nil {
		return err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	if err := os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600); err != nil {
		return err
	}
	return os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644) //nolint:gosec // everybody who connects is shown it
}
