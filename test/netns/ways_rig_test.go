package netns

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"kanmon/internal/smtp/smtptest"
	"kanmon/test/netlab"
)

// meetAll has an MX of a host meet each of its clients, until the test ends.
func meetAll(t *testing.T, host *netlab.Host, meet func(net.Conn)) {
	t.Helper()
	l, err := host.Listen("0.0.0.0:25")
	must(t, err)
	var sessions sync.WaitGroup
	sessions.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			sessions.Go(func() { meet(conn) })
		}
	})
	t.Cleanup(func() { _ = l.Close(); sessions.Wait() })
}

// A way is how connections come to kanmon.
type way struct {
	name      string
	intercept string
	tenant    string // how tenant acme is known
	local     bool   // its MSA is on the gateway
}

var ways = []way{
	{name: "redirect", intercept: forwardedRedirect, tenant: acmeBySource},
	{name: "tproxy", intercept: forwardedTProxy, tenant: acmeBySource},
	{name: "redirect local", intercept: localByMark, tenant: acmeOnTheGateway, local: true},
	{name: "tproxy local", intercept: localTProxy, tenant: acmeOnTheGateway, local: true},
	{name: "redirect dedicated", intercept: dedicatedRedirect, tenant: acmeByWire},
	{name: "tproxy dedicated", intercept: dedicatedTProxy, tenant: acmeByWire},
}

const (
	localTProxy = `
[intercept]
mode   = "tproxy"
listen = ["127.0.0.1:10025", "[::1]:10025"]
local  = true
mark   = 0x2525
`
	dedicatedRedirect = `
[intercept]
mode   = "redirect"
listen = ["0.0.0.0:10025", "[::]:10025"]
mark   = 0x2525
`
	dedicatedTProxy = `
[intercept]
mode   = "tproxy"
listen = ["127.0.0.1:10025", "[::1]:10025"]
mark   = 0x2525
`
	acmeBySource = `
[[tenant]]
name    = "acme"
sources = ["10.20.1.0/24", "fd20:0:1::/64"]
`
	acmeOnTheGateway = `
[[tenant]]
name    = "acme"
sources = ["203.0.113.0/24", "2001:db8:71::/64"]
`
	acmeByWire = `
[[tenant]]
name        = "acme"
listen_port = 10026
interfaces  = ["msa1"]
`
	somebodyElse = `
[[tenant]]
name    = "else"
sources = ["192.0.2.0/24"]
`
	// The second MX is passed through.
	passedThrough = `
[[destination]]
networks    = ["198.51.100.22/32", "2001:db8:51::22/128"]
passthrough = true
`
)

// A wayRig is a way with two MXs, the second of which is passed through. Both, and kanmon, offer TLS.
type wayRig struct {
	way
	tenant string // that is configured now
	world  *netlab.Outbound
	kanmon *netlab.Kanmon
	mxs    [2]smtptest.MX
	host   *netlab.Host // of the MSA
	sent   int
}

// A manner is a kind of session.
type manner struct {
	name string
	mx   int // 1 or 2
	tls  bool
}

var manners = []manner{
	{"in clear", 1, false},
	{"with TLS of the MSA", 1, true},
	{"passed through", 2, false},
	{"passed through with TLS", 2, true},
}

func newWayRig(t *testing.T, w way) *wayRig {
	t.Helper()
	t.Parallel()
	r := &wayRig{way: w, tenant: w.tenant}
	r.world = newOutbound(t, netlab.OutboundOptions{Tenants: 1, MXs: len(r.mxs)})
	if r.host = r.world.MSAs[0]; w.local {
		r.host = r.world.Gateway
	}
	cert := smtptest.Certificate(t, smtptest.CertificateOptions{})
	for i := range r.mxs {
		r.mxs[i].TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
		l, err := r.world.MXs[i].Listen("[::]:25")
		must(t, err)
		var sessions sync.WaitGroup
		sessions.Go(func() { r.mxs[i].Serve(l) })
		t.Cleanup(func() { _ = l.Close(); sessions.Wait() })
	}
	r.kanmon = newKanmon(t, r.world)
	keep(t, r.kanmon.Folder(), cert)
	return r
}

// keep writes a certificate with its key as kanmon reads them.
func keep(t *testing.T, folder string, cert tls.Certificate) {
	t.Helper()
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	must(t, err)
	for name, block := range map[string]*pem.Block{
		"cert.pem": {Type: "CERTIFICATE", Bytes: cert.Certificate[0]}, "key.pem": {Type: "PRIVATE KEY", Bytes: key},
	} {
		must(t, os.WriteFile(filepath.Join(folder, name), pem.EncodeToMemory(block), 0o644))
	}
}

// configure writes the configuration of the way, with more.
func (r *wayRig) configure(t *testing.T, more ...string) {
	t.Helper()
	folder := r.kanmon.Folder()
	text := r.intercept + r.tenant + passedThrough + fmt.Sprintf(`
[tls]
msa_certificate = %q
msa_key         = %q

[admin]
socket = %q

[standing]
file = %q

[senders]
file = %q
`, filepath.Join(folder, "cert.pem"), filepath.Join(folder, "key.pem"), r.kanmon.Socket(), filepath.Join(folder, "standing.db"), filepath.Join(folder, "senders.db"))
	for _, m := range more {
		text += m
	}
	must(t, r.kanmon.Configure(text))
}

// reload takes kanmon to a configuration with sending IPs, and a limit.
func (r *wayRig) reload(t *testing.T) {
	t.Helper()
	r.configure(t, sendingIPs, twoMails)
	before := strings.Count(r.kanmon.Log(), "msg=reloaded")
	must(t, r.kanmon.Reload())
	eventually(t, "a line about the reload", func() bool { return strings.Count(r.kanmon.Log(), "msg=reloaded") > before })
}

// from is the address that the MSA sends from: on the gateway one that the kernel would not choose.
func (r *wayRig) from(v6 bool) netip.Addr {
	switch {
	case !r.local:
		return netlab.MSAAddr(1, v6)
	case v6:
		return netlab.OtherSendingIPv6
	default:
		return netlab.OtherSendingIPv4
	}
}

// dial connects as most MSAs do, who send no probes to keep a connection alive.
func (r *wayRig) dial(v6 bool, mx int) (net.Conn, error) {
	conn, err := r.host.DialFrom(r.from(v6), netip.AddrPortFrom(netlab.MXAddr(mx, v6), 25), 5*time.Second)
	if err != nil {
		return nil, err
	}
	return conn, conn.(*net.TCPConn).SetKeepAlive(false)
}

// msa opens a session.
func (r *wayRig) msa(t *testing.T, v6 bool, m manner) *smtptest.MSA {
	t.Helper()
	conn, err := r.dial(v6, m.mx)
	must(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	must(t, conn.SetDeadline(time.Now().Add(2*time.Minute)))
	msa := smtptest.NewMSA(t, conn)
	msa.Wait = 90 * time.Second
	if m.tls {
		msa.TLS = &tls.Config{InsecureSkipVerify: true}
	}
	return msa
}

// send delivers a message, and gives what the MX knows of it.
func (r *wayRig) send(t *testing.T, v6 bool, m manner) (smtptest.Delivery, smtptest.Transaction) {
	t.Helper()
	r.sent++
	text := fmt.Sprintf("message %d\r\n", r.sent)
	msa := r.msa(t, v6, m)
	got := msa.Deliver("a@acme.example", []string{"b@mx.example"}, []byte(text), true)
	_ = msa.Quit()
	var stored smtptest.Transaction
	for _, tx := range r.mxs[m.mx-1].Mailbox.Transactions() {
		if string(tx.Body) == text {
			stored = tx
		}
	}
	return got, stored
}

// mustSend wants a message to arrive.
func (r *wayRig) mustSend(t *testing.T, v6 bool, m manner) smtptest.Transaction {
	t.Helper()
	got, stored := r.send(t, v6, m)
	if !got.All(smtptest.Accepted) || stored.Peer == nil {
		t.Fatalf("%s, IPv6 %t: %v %v %v", m.name, v6, got.Verdicts, got.Replies, got.Err)
	}
	return stored
}

// each calls a function for both families and all manners.
func (r *wayRig) each(f func(v6 bool, m manner)) {
	for _, family := range families {
		for _, m := range manners {
			f(family.v6, m)
		}
	}
}
