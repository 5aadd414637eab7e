package standing

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// answers is a resolver: names to addresses. A name without any is not found.
type answers map[string][]string

func (a answers) LookupNetIP(_ context.Context, network, host string) ([]netip.Addr, error) {
	if network != "ip4" || !strings.HasSuffix(host, ".") {
		return nil, errors.New("asked for " + network + " " + host)
	}
	all, ok := a[host]
	if !ok {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	var out []netip.Addr
	for _, one := range all {
		if one == "servfail" {
			return nil, &net.DNSError{Err: "server misbehaving", Name: host, IsTemporary: true}
		}
		out = append(out, netip.MustParseAddr(one))
	}
	return out, nil
}

const sixReversed = "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2.bl.example."

func TestDNSBL(t *testing.T) {
	six := netip.MustParseAddr("2001:db8:1:2::1")
	never6 := "1.0.0.0.0.0.f.7.f.f.f.f." + strings.Repeat("0.", 20) + "bl.example."
	for name, c := range map[string]struct {
		ip     netip.Addr
		has    answers
		listed bool
		err    error
	}{
		"not listed":           {ours, answers{}, false, nil},
		"listed":               {ours, answers{"10.113.0.203.bl.example.": {"127.0.0.2"}}, true, nil},
		"listed twice":         {ours, answers{"10.113.0.203.bl.example.": {"127.0.0.4", "127.0.0.10"}}, true, nil},
		"IPv4 in IPv6":         {netip.AddrFrom16(ours.As16()), answers{"10.113.0.203.bl.example.": {"127.0.0.2"}}, true, nil},
		"IPv6, not listed":     {six, answers{}, false, nil},
		"IPv6, listed":         {six, answers{sixReversed: {"127.0.0.3"}}, true, nil},
		"IPv6, lists all":      {six, answers{sixReversed: {"127.0.0.3"}, never6: {"127.0.0.3"}}, false, ErrListsAll},
		"open resolver":        {ours, answers{"10.113.0.203.bl.example.": {"127.255.255.254"}}, false, ErrRefused},
		"too many queries":     {ours, answers{"10.113.0.203.bl.example.": {"127.255.255.255"}}, false, ErrRefused},
		"refused among others": {ours, answers{"10.113.0.203.bl.example.": {"127.0.0.2", "127.255.255.252"}}, false, ErrRefused},
		"127.0.0.1":            {ours, answers{"10.113.0.203.bl.example.": {"127.0.0.1"}}, false, ErrRefused},
		"parked domain":        {ours, answers{"10.113.0.203.bl.example.": {"192.0.2.80"}}, false, ErrNoList},
		"lists everybody":      {ours, answers{"10.113.0.203.bl.example.": {"127.0.0.2"}, "1.0.0.127.bl.example.": {"127.0.0.2"}}, false, ErrListsAll},
		"no IP":                {netip.Addr{}, answers{}, false, errNoAddress},
	} {
		listed, err := DNSBL{Resolver: c.has}.Listed(t.Context(), c.ip, "bl.example")
		if listed != c.listed || !errors.Is(err, c.err) {
			t.Errorf("%s: %v, %v; want %v, %v", name, listed, err, c.listed, c.err)
		}
	}
	// What is not known is not a no.
	for _, has := range []answers{{"10.113.0.203.bl.example.": {"servfail"}}, {"10.113.0.203.bl.example.": {"127.0.0.2"}, "1.0.0.127.bl.example.": {"servfail"}}} {
		if listed, err := (DNSBL{Resolver: has}).Listed(t.Context(), ours, "bl.example"); listed || err == nil {
			t.Errorf("%v: %v, %v", has, listed, err)
		}
	}
}

// A zone that has not what every list has is none, or none of the family.
func TestDNSBLAnswers(t *testing.T) {
	four, six := "2.0.0.127.bl.example.", "2.0.0.0.0.0.f.7.f.f.f.f."+strings.Repeat("0.", 20)+"bl.example."
	for name, c := range map[string]struct {
		has    answers
		v4, v6 bool
		err    error
	}{
		"a list":         {answers{four: {"127.0.0.2"}, six: {"127.0.0.2"}}, true, true, nil},
		"a list of IPv4": {answers{four: {"127.0.0.2"}}, true, false, nil},
		"no list":        {answers{}, false, false, nil},
		"refused":        {answers{four: {"127.255.255.254"}, six: {"127.255.255.254"}}, false, false, ErrRefused},
	} {
		for v6, want := range map[bool]bool{false: c.v4, true: c.v6} {
			if got, err := (DNSBL{Resolver: c.has}).Answers(t.Context(), "bl.example", v6); got != want || !errors.Is(err, c.err) {
				t.Errorf("%s, IPv6 %v: %v, %v", name, v6, got, err)
			}
		}
	}
}

// The standard library's resolver, against a name server on the loopback: which of its errors is a "no".
func TestDNSBLWithARealResolver(t *testing.T) {
	server, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() { defer close(served); serveNames(server) }()
	defer func() { server.Close(); <-served }()
	d := DNSBL{Resolver: &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp4", server.LocalAddr().String())
	}}}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for last, want := range map[byte]struct{ listed, failed bool }{10: {true, false}, 11: {false, false}, 12: {false, true}, 13: {false, true}} {
		listed, err := d.Listed(ctx, netip.AddrFrom4([4]byte{203, 0, 113, last}), "bl.example")
		if listed != want.listed || (err != nil) != want.failed {
			t.Errorf("203.0.113.%d: %v, %v; want %+v", last, listed, err, want)
		}
	}
}

// serveNames answers by the first label: 10 is listed, 12 is SERVFAIL, 13 is refused by the list, all others NXDOMAIN.
func serveNames(server net.PacketConn) {
	buf := make([]byte, 512)
	for {
		n, from, err := server.ReadFrom(buf)
		if err != nil {
			return
		}
		q := buf[:n]
		end := 12
		for end < n && q[end] != 0 {
			end += int(q[end]) + 1
		}
		if end+5 > n {
			continue
		}
		out := append([]byte(nil), q[:end+5]...)
		binary.BigEndian.PutUint16(out[2:], 0x8180)
		binary.BigEndian.PutUint16(out[8:], 0)
		binary.BigEndian.PutUint16(out[10:], 0) // the resolver's EDNS record goes
		address := []byte{127, 0, 0, 2}
		switch string(q[13 : 13+q[12]]) {
		case "13":
			address = []byte{127, 255, 255, 254}
			fallthrough
		case "10":
			binary.BigEndian.PutUint16(out[6:], 1)
			out = append(out, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4)
			out = append(out, address...)
		case "12":
			out[3] |= 2
		default:
			out[3] |= 3
		}
		if _, err := server.WriteTo(out, from); err != nil {
			return
		}
	}
}
