package session

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"testing"
	"time"
)

// paddedCertificate has an extension of so many octets.
func paddedCertificate(t *testing.T, padding int) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour),
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3, 4}, Value: make([]byte, padding)}},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// resumes says whether a client keeps what a server with such a certificate gives it, and returns that.
func resumes(t *testing.T, config *tls.Config, padding int, version uint16) *tls.ClientSessionState {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	server := &tls.Config{Certificates: []tls.Certificate{paddedCertificate(t, padding)}, MaxVersion: version}
	served := make(chan error, 1)
	go func() {
		c, err := l.Accept()
		if err == nil {
			defer c.Close()
			_, err = tls.Server(c, server).Write([]byte("220 mx\r\n")) // behind the tickets
		}
		served <- err
	}()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := tls.Client(conn, config).Read(make([]byte, 10)); err != nil {
		t.Fatal(err, <-served)
	}
	state, _ := config.ClientSessionCache.Get(ticketKey(config, conn))
	return state
}

// An MX whose chain of certificates is huge is not kept in memory by its tickets: four thousand such MXs would fill it.
//
// audit-B: what is kept of a TLS session
func TestTicketsOfHugeChainsAreNotKept(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		if resumes(t, ClientTLS(), 5_000, version) == nil {
			t.Errorf("%s: a session with a usual chain is not resumed", tls.VersionName(version))
		}
		if state := resumes(t, ClientTLS(), 50_000, version); state != nil {
			t.Errorf("%s: a chain of 50,000 octets is kept", tls.VersionName(version))
		}
	}
}

// The MXs of one network leave room for the tickets of others.
func TestTicketsAreShared(t *testing.T) {
	state := resumes(t, ClientTLS(), 0, tls.VersionTLS13)
	cache := newTickets()
	cache.Put("192.0.2.25:25", state)
	for i := range 3 * mostTickets {
		cache.Put(fmt.Sprintf("[2001:db8:1:%x::25]:25", i), state)
	}
	if _, known := cache.Get("192.0.2.25:25"); !known {
		t.Error("the ticket of another network is forgotten")
	}
	if n := cache.known.Len(); n != mostTickets {
		t.Errorf("%d tickets are kept", n)
	}
	cache.Put("192.0.2.25:25", nil)
	if _, known := cache.Get("192.0.2.25:25"); known {
		t.Error("a ticket that failed is kept")
	}
}

func BenchmarkTicketSize(b *testing.B) {
	state := resumes(&testing.T{}, ClientTLS(), 5_000, tls.VersionTLS13)
	b.ReportAllocs()
	for b.Loop() {
		ticketSize(state)
	}
}

// The ticket that a host has given under a name is shown to that host alone, under that name: another address of the name, where somebody else may stand,
// gets none, and neither does the same address under another name.
//
// tls-A12
func TestATicketIsOfOneAddressAndName(t *testing.T) {
	state := resumes(t, ClientTLS(), 0, tls.VersionTLS13)
	forms := (&Engine{TLSToMX: ClientTLS()}).tlsToMX()
	at, other := netip.MustParseAddrPort("192.0.2.25:25"), netip.MustParseAddrPort("198.51.100.25:25")
	const name = "mx.example.net"
	forms.config(0, at, name).ClientSessionCache.Put(name, state)
	for _, c := range []struct {
		way  tlsWay
		mx   netip.AddrPort
		name string
		has  bool
	}{
		{0, at, name, true},
		{wayClassical, at, name, true},
		{0, other, name, false},
		{0, netip.MustParseAddrPort("192.0.2.25:26"), name, false},
		{0, at, "mx2.example.net", false},
	} {
		if got, has := forms.config(c.way, c.mx, c.name).ClientSessionCache.Get(name); has != c.has || has && got != state {
			t.Errorf("%s at %s, way %d: there is a ticket: %t, want %t", c.name, c.mx, c.way, has, c.has)
		}
	}
	if forms.config(wayNoTicket, at, name).ClientSessionCache != nil {
		t.Error("a ticket is shown where none may be")
	}
	if _, has := forms.config(0, at, "").ClientSessionCache.Get(name); has {
		t.Error("who shows no name has the ticket of a name")
	}
}
