package sts

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"testing"
)

// inside are addresses that no policy host may have (attack A6).
var inside = []string{
	"0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "127.0.0.1", "127.255.255.254", "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.8",
	"192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255",
	"::", "::1", "::7f00:1", "::ffff:10.0.0.1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "64:ff9b::a00:1", "64:ff9b::808:808", "64:ff9b:1::1", "100::1",
	"2001::1", "2001:10::1", "2001:db8::1", "2002:7f00:1::1", "2002:a00:1::", "3fff::1", "fc00::1", "fd12:3456::1", "fe80::1", "fe80::1%lo", "fec0::1",
	"ff02::1", "ff0e::1", "4000::1", "5f00::1",
}

func TestA6AddressesInside(t *testing.T) {
	for _, text := range inside {
		if isPublic(netip.MustParseAddr(text)) {
			t.Errorf("%s is public", text)
		}
	}
	for _, text := range []string{"8.8.8.8", "1.1.1.1", "11.0.0.1", "172.32.0.1", "192.169.0.1", "100.128.0.1", "2606:4700::1111", "2a00:1450::1", "2001:4860:4860::8888"} {
		if !isPublic(netip.MustParseAddr(text)) {
			t.Errorf("%s is not public", text)
		}
	}
}

// A host with an address inside is not connected to, whatever the name was found to be before: the check is where the connection is made.
func TestA6NothingInsideIsDialled(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	for _, address := range []string{"127.0.0.1:" + port, "[::ffff:127.0.0.1]:" + port, "0.0.0.0:" + port, "[::1]:" + port, "[::]:" + port} {
		f := newFetcher(&Options{})
		conn, err := f.dial(t.Context(), "tcp", address)
		if err == nil {
			conn.Close()
		}
		if err == nil || !strings.Contains(err.Error(), "no address of the public Internet") {
			t.Errorf("%s: %v", address, err)
		}
	}
	allowed := newFetcher(&Options{AllowPrivate: true})
	conn, err := allowed.dial(t.Context(), "tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}

func TestA6APolicyHostInsideHasNoPolicy(t *testing.T) {
	r := newRig(t)
	r.options.Dial = func(context.Context, string, string) (net.Conn, error) {
		t.Error("dialled")
		return nil, net.ErrClosed
	}
	k := r.open()
	r.record("example.test", "1")
	for _, text := range inside {
		r.zone.addrs["mta-sts.example.test"] = []netip.Addr{netip.MustParseAddr(text)}
		f, err := k.Refresh(t.Context(), "example.test")
		if err != nil || f.Policy != nil || f.Err == nil || !strings.Contains(f.Err.Error(), "no address of the public Internet") {
			t.Fatalf("%s: %+v, %v", text, f, err)
		}
	}
}

// Of several addresses those inside are left out.
func TestA6AddressesBesideOthers(t *testing.T) {
	r := newRig(t)
	var dialled []string
	r.options.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		dialled = append(dialled, address)
		return r.hosts.Dial(ctx, network, address)
	}
	r.publish("example.test", "1", "enforce", longestAge, "mx1.example.test")
	r.zone.addrs["mta-sts.example.test"] = []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fd00::1"), somewhere}
	r.wantPolicy(r.look(r.open(), "example.test", "a"), Enforce, "1", "mx1.example.test")
	if len(dialled) != 1 || dialled[0] != "11.1.2.3:443" {
		t.Errorf("dialled %q", dialled)
	}
}
