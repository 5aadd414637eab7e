package netns

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"kanmon/test/netlab"
)

// policyHost is where all policies are served: an address of the public Internet, since kanmon connects to no other. The lab's Internet has it.
var policyHost = netip.MustParseAddr("11.0.0.10")

// An mxKind is one way in which an MX meets those who want to know who it is.
type mxKind struct {
	name    string
	names   []string // of its certificate; nil: its own
	expired bool
	alone   bool   // its certificate is its own authority
	plain   bool   // it offers no STARTTLS
	said    string // of what the MSA is told; "": the mail is delivered
}

var mxKinds = []mxKind{
	{name: "good"},
	{name: "wrong", names: []string{"mx.elsewhere.example"}, said: "is for mx.elsewhere.example"},
	{name: "expired", expired: true, said: "is out of date"},
	{name: "stranger", alone: true, said: "no trusted authority vouches"},
	{name: "stripped", plain: true, said: "offers no STARTTLS"},
}

// mxServers are the programs that are MXs, and where: the address of their first kind, which others follow. The last one is asked for names.
var mxServers = []struct {
	name  string
	first netip.Addr
}{{"postfix", netip.MustParseAddr("198.51.100.31")}, {"exim", netip.MustParseAddr("198.51.100.41")}}

const stsZone = "sts.test"

// bothNames are those by which the last address of a server is known: it shows each its own certificate.
var bothNames = []string{"one", "two"}

// domainOf is a domain whose MX is one of a server.
func domainOf(kind, server string) string { return kind + "-" + server + "." + stsZone }

func addressOf(first netip.Addr, n int) netip.Addr {
	for range n {
		first = first.Next()
	}
	return first
}

// An stsWorld has domains with policies of MTA-STS, their MXs and their policy host.
type stsWorld struct {
	*netlab.Outbound
	authority *authority
	dir       string
	zone      netlab.Zone     // as the MSAs know it
	records   strings.Builder // as kanmon's resolver knows it
	eximMX    *netlab.Image
	eximMSA   *netlab.Image
	postfixMX *netlab.Postfix
	postfix   *netlab.Postfix
	kanmon    *netlab.Kanmon
	unproved  []string // senders of mails whose MX has not proved itself

	policies map[string]http.HandlerFunc // by domain
	hosts    map[string]*tls.Config      // of policies that are not served as usual
	host     *http.Server                // of all policies
}

// newSTSWorld makes the names, and serves the policies. MXs, MSAs and kanmon come after it.
func newSTSWorld(t *testing.T, more func(*stsWorld)) *stsWorld {
	t.Helper()
	w := &stsWorld{authority: newAuthority(t), policies: map[string]http.HandlerFunc{}, hosts: map[string]*tls.Config{}}
	for _, server := range mxServers {
		for n, kind := range mxKinds {
			w.addMX(domainOf(kind.name, server.name), addressOf(server.first, n))
			w.serve(domainOf(kind.name, server.name), policyFor("mx."+domainOf(kind.name, server.name)))
		}
		for _, name := range bothNames {
			w.addMX(domainOf(name, server.name), addressOf(server.first, len(mxKinds)))
			w.serve(domainOf(name, server.name), policyFor("mx."+domainOf(name, server.name)))
		}
	}
	more(w)
	w.Outbound = newOutbound(t, netlab.OutboundOptions{Tenants: 2, MXs: 2, Zone: w.zone})
	w.dir = filepath.Join(w.Lab.Dir, "sts")
	must(t, os.Mkdir(w.dir, 0o755))
	must(t, w.Internet.Address("lo", netip.PrefixFrom(policyHost, 32)))
	w.servePolicies(t)
	_, err := w.Gateway.ServeSignedDNS(netlab.SignedZone{Name: stsZone, Kind: netlab.Unsigned, Records: w.records.String()})
	must(t, err)
	return w
}

// addMX adds a domain with an MX of its own.
func (w *stsWorld) addMX(domain string, at netip.Addr) {
	w.addDomain(domain, "mx."+domain)
	w.zone.Address("mx."+domain, at)
	fmt.Fprintf(&w.records, "mx.%s. A %s\n", domain, at)
}

// addDomain adds a domain with MXs of others, the best first.
func (w *stsWorld) addDomain(domain string, mxs ...string) {
	for n, mx := range mxs {
		w.zone.MX(domain, mx, 10*(n+1))
		fmt.Fprintf(&w.records, "%s. MX %d %s.\n", domain, 10*(n+1), mx)
	}
	fmt.Fprintf(&w.records, "mta-sts.%s. A %s\n", domain, policyHost)
}

// serve announces a policy, and serves it.
func (w *stsWorld) serve(domain, policy string) {
	w.announce(domain, `TXT "v=STSv1; id=20260101;"`)
	w.serves(domain, policy)
}

func (w *stsWorld) announce(domain, record string) {
	fmt.Fprintf(&w.records, "_mta-sts.%s. %s\n", domain, record)
}

func (w *stsWorld) serves(domain, policy string) {
	w.policies[domain] = func(out http.ResponseWriter, _ *http.Request) {
		out.Header().Set("Content-Type", "text/plain")
		_, _ = out.Write([]byte(policy))
	}
}

// policyFor is one that is to be enforced.
func policyFor(mxs ...string) string {
	text := "version: STSv1\r\nmode: enforce\r\nmax_age: 604800\r\n"
	for _, mx := range mxs {
		text += "mx: " + mx + "\r\n"
	}
	return text
}

// servePolicies serves all of them by HTTPS.
func (w *stsWorld) servePolicies(t *testing.T) {
	t.Helper()
	listener, err := w.Internet.Listen(netip.AddrPortFrom(policyHost, 443).String())
	must(t, err)
	config := &tls.Config{GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		if own := w.hosts[strings.TrimPrefix(hello.ServerName, "mta-sts.")]; own != nil {
			return own, nil
		}
		pair, err := w.authority.pair(mxKind{names: []string{hello.ServerName}})
		return &tls.Config{Certificates: []tls.Certificate{pair}}, err
	}}
	w.host = &http.Server{ErrorLog: log.New(io.Discard, "", 0), ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		serve := w.policies[strings.TrimPrefix(r.Host, "mta-sts.")]
		if serve == nil || r.URL.Path != "/.well-known/mta-sts.txt" {
			http.NotFound(out, r)
			return
		}
		serve(out, r)
	})}
	var ended sync.WaitGroup
	ended.Go(func() { _ = w.host.Serve(tls.NewListener(listener, config)) })
	t.Cleanup(func() { _ = w.host.Close(); ended.Wait() })
}

// An authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	pair, err := (*authority)(nil).pair(mxKind{names: []string{"authority.example"}})
	must(t, err)
	return &authority{pair.Leaf, pair.PrivateKey.(*ecdsa.PrivateKey)}
}

// pair makes a certificate; without an authority one that can be one.
func (a *authority) pair(kind mxKind) (pair tls.Certificate, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return pair, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 100))
	if err != nil {
		return pair, err
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: kind.names[0]}, DNSNames: kind.names,
		NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(48 * time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
	}
	if kind.expired {
		template.NotAfter = time.Now().Add(-time.Hour)
	}
	parent, signer := template, key
	if a == nil || kind.alone {
		template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageDigitalSignature|x509.KeyUsageCertSign
	} else {
		parent, signer = a.cert, a.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		return pair, err
	}
	pair = tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	pair.Leaf, err = x509.ParseCertificate(der)
	return pair, err
}

// inPEM gives a key and its certificate as programs read them.
func inPEM(t *testing.T, pair tls.Certificate) (key, cert string) {
	t.Helper()
	private, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	must(t, err)
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})), certPEM(pair.Leaf)
}

func certPEM(cert *x509.Certificate) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}))
}

// write writes a file that all programs of the lab can read.
func (w *stsWorld) write(t *testing.T, name, content string) (path string) {
	t.Helper()
	path = filepath.Join(w.dir, name)
	must(t, os.WriteFile(path, []byte(content), 0o644))
	return path
}
