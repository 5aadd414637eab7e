package watch

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"kanmon/test/dnszone"
)

// serve gives a resolver that asks a server with these records.
func serve(t *testing.T, records ...string) *Resolver {
	t.Helper()
	return &Resolver{Servers: []string{dnszone.Serve(t, records...).Addr}, Timeout: 5 * time.Second}
}

// What stands in /etc/hosts is not what receivers see: localhost is there, and in no zone.
func TestHostsAreNotTheDNS(t *testing.T) {
	r := serve(t)
	if found, err := r.LookupNetIP(t.Context(), "ip4", "localhost"); !Missing(err) {
		t.Errorf("localhost: %v, %v", found, err)
	}
	if names, err := r.LookupAddr(t.Context(), "127.0.0.1"); !Missing(err) {
		t.Errorf("127.0.0.1: %v, %v", names, err)
	}
}

// An answer too long for UDP comes by TCP, and a server that does not answer has the next one asked.
func TestTheResolverDoesNotGiveUpEarly(t *testing.T) {
	dead, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = dead.Close() })
	var records strings.Builder
	for i := range 300 {
		fmt.Fprintf(&records, "long.example. A 192.0.2.%d\n", i%250)
	}
	r := serve(t, records.String())
	r.Servers, r.Timeout = append([]string{dead.LocalAddr().String()}, r.Servers...), time.Second
	if found, err := r.LookupNetIP(t.Context(), "ip", "long.example"); err != nil || len(found) != 300 {
		t.Errorf("%d addresses, %v", len(found), err)
	}
}

func TestNewResolver(t *testing.T) {
	for given, want := range map[string]string{"192.0.2.53": "192.0.2.53:53", "192.0.2.53:5353": "192.0.2.53:5353", "2001:db8::53": "[2001:db8::53]:53", "[2001:db8::53]:5353": "[2001:db8::53]:5353"} {
		if r, err := NewResolver(given); err != nil || r.Servers[0] != want {
			t.Errorf("%s: %v, %v", given, r, err)
		}
	}
	if _, err := NewResolver("dns.example"); err == nil || !strings.Contains(err.Error(), `"dns.example" is not an address`) {
		t.Errorf("a name: %v", err)
	}
}
