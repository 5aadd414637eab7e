package parity

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// A certificate is how one is made: by openssl, or with edit by Go, with a key of P-256.
type certificate struct {
	key  string // of openssl genpkey
	req  string // of openssl req -x509
	edit func(*x509.Certificate)
}

const (
	named  = "-subj /CN=mx.example -addext subjectAltName=DNS:mx.example "
	rsaKey = "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:"
	ecKey  = "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:"
	primes = " -pkeyopt rsa_keygen_primes:5" // as others for whoever has the public key alone, and made much sooner
)

var certificates = map[string]certificate{
	"rsa512":    {key: rsaKey + "512", req: named + "-sha256"},
	"rsa1024":   {key: rsaKey + "1024", req: named},
	"rsa2048":   {key: rsaKey + "2048", req: named},
	"rsa4096":   {key: rsaKey + "4096", req: named},
	"rsa8192":   {key: rsaKey + "8192" + primes, req: named},
	"rsa10240":  {key: rsaKey + "10240" + primes, req: named},
	"p256":      {key: ecKey + "P-256", req: named},
	"p384":      {key: ecKey + "P-384", req: named},
	"p521":      {key: ecKey + "P-521", req: named},
	"brainpool": {key: ecKey + "brainpoolP256r1", req: named},
	"secp256k1": {key: ecKey + "secp256k1", req: named},
	"secp224r1": {key: ecKey + "secp224r1", req: named},
	"ed25519":   {key: "genpkey -algorithm ed25519", req: named},
	"ed448":     {key: "genpkey -algorithm ed448", req: named},
	"rsapss":    {key: "genpkey -algorithm RSA-PSS -pkeyopt rsa_keygen_bits:2048", req: named},
	"dsa2048":   {key: "dsaparam -genkey -noout 2048", req: named},
	"sha1":      {key: rsaKey + "2048", req: named + "-sha1"},
	"md5":       {key: rsaKey + "2048", req: named + "-md5"},
	"pss":       {key: rsaKey + "2048", req: named + "-sigopt rsa_padding_mode:pss"},
	"negative":  {key: rsaKey + "2048", req: named + "-set_serial -5"},
	"nameless":  {key: rsaKey + "2048", req: "-subj / -addext basicConstraints=CA:FALSE"},
	"version1":  {key: rsaKey + "2048", req: "-subj /CN=mx.example"},

	"expired":   {edit: func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Hour) }},
	"early":     {edit: func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Hour) }},
	"printable": {edit: func(c *x509.Certificate) { c.RawSubject = printableName("mail_1@mx.example") }},
	"address":   {edit: alternativeName(7, []byte{192, 0, 2, 25, 1})},
	"ascii":     {edit: alternativeName(2, []byte("m\xe4il.example"))},
	"twice":     {edit: func(c *x509.Certificate) { c.ExtraExtensions = []pkix.Extension{comment, comment} }},
	"dotted":    {edit: func(c *x509.Certificate) { c.DNSNames = []string{"mx_1.example."} }},
}

// comment is an extension that nobody asks for.
var comment = pkix.Extension{Id: asn1.ObjectIdentifier{2, 16, 840, 1, 113730, 1, 13}, Value: []byte{22, 2, 'o', 'k'}}

// printableName is a subject whose name is a PrintableString, whatever is in it.
func printableName(name string) []byte {
	value := asn1.RawValue{Tag: asn1.TagPrintableString, Bytes: []byte(name)}
	raw, err := asn1.Marshal([][]struct {
		Type  asn1.ObjectIdentifier
		Value asn1.RawValue
	}{{{asn1.ObjectIdentifier{2, 5, 4, 3}, value}}})
	if err != nil {
		panic(err)
	}
	// The outer sequence is of sets.
	return append([]byte{raw[0], raw[1], 0x31}, raw[3:]...)
}

// alternativeName is one name of a kind (RFC 5280 section 4.2.1.6), whatever is in it.
func alternativeName(kind int, name []byte) func(*x509.Certificate) {
	return func(c *x509.Certificate) {
		value, err := asn1.Marshal([]asn1.RawValue{{Class: asn1.ClassContextSpecific, Tag: kind, Bytes: name}})
		if err != nil {
			panic(err)
		}
		c.DNSNames = nil
		c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Value: value}}
	}
}

// makeCertificates makes those that profiles have, as NAME.crt and NAME.key.
func makeCertificates(t *testing.T, dir string, profiles []profile, all bool) {
	t.Helper()
	wanted := map[string]bool{"rsa2048": true}
	for _, p := range profiles {
		wanted[p.certificate] = true
	}
	must(t, os.WriteFile(filepath.Join(dir, "openssl.cnf"), []byte("[req]\ndistinguished_name = dn\n[dn]\n"), 0o644))
	errs := make(chan error, len(certificates)+1)
	var making sync.WaitGroup
	for name, c := range certificates {
		if all || wanted[name] {
			making.Go(func() { errs <- c.write(dir, name) })
		}
	}
	making.Go(func() { errs <- writeChain(filepath.Join(dir, "chain.crt"), 20) })
	making.Wait()
	close(errs)
	for err := range errs {
		must(t, err)
	}
}

func (c certificate) write(dir, name string) error {
	if c.edit != nil {
		return writeEdited(filepath.Join(dir, name), c.edit)
	}
	for _, arguments := range []string{
		c.key + " -out " + name + ".key",
		"req -x509 -days 30 -key " + name + ".key -out " + name + ".crt " + c.req,
	} {
		fields := strings.Fields(arguments)
		if fields[0] == "dsaparam" { // the number comes last
			fields = []string{"dsaparam", "-genkey", "-noout", "-out", name + ".key", "2048"}
		}
		cmd := openssl(dir, fields...)
		if output, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("openssl %s: %w: %s", arguments, err, output)
		}
	}
	return nil
}

func writeEdited(path string, edit func(*x509.Certificate)) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	block, err := signed(key, edit)
	if err != nil {
		return err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	if err := os.WriteFile(path+".key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o644); err != nil {
		return err
	}
	return os.WriteFile(path+".crt", block, 0o644)
}

// signed is a certificate that its own key has signed.
func signed(key *ecdsa.PrivateKey, edit func(*x509.Certificate)) ([]byte, error) {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "mx.example"}, DNSNames: []string{"mx.example"},
		NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(48 * time.Hour),
	}
	edit(template)
	raw, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw}), err
}

// writeChain writes certificates that stand behind one another and have nothing to do with each other: nobody looks.
func writeChain(path string, n int) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	var all []byte
	for range n {
		one, err := signed(key, func(*x509.Certificate) {})
		if err != nil {
			return err
		}
		all = append(all, one...)
	}
	return os.WriteFile(path, all, 0o644)
}
