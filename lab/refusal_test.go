package main

import (
	"net"
	"net/netip"
	"testing"
	"time"
)

// TestList refuses the listed IP alone, at its own verb alone, and from its time on.
func TestList(t *testing.T) {
	now := time.Duration(0)
	l := &list{refusal: refusal{Verb: "RCPT", Reply: "550 listed", At: 10 * time.Second}, now: func() time.Duration { return now }}
	listed := net.TCPAddrFromAddrPort(netip.AddrPortFrom(listedIP, 4000))
	other := net.TCPAddrFromAddrPort(netip.MustParseAddrPort("203.0.113.11:4000"))
	for _, c := range []struct {
		at      time.Duration
		client  net.Addr
		command string
		want    string
	}{
		{9 * time.Second, listed, "RCPT", ""},
		{10 * time.Second, listed, "BANNER", ""},
		{11 * time.Second, other, "RCPT TO:<a@b>", ""},
		{12 * time.Second, listed, "MAIL FROM:<a@b>", ""},
		{12 * time.Second, listed, "RCPT TO:<a@b>", l.Reply},
		{12100 * time.Millisecond, listed, "BANNER", ""}, // the first refusal is still on its way
		{13 * time.Second, listed, "BANNER", ""},
		{13 * time.Second, other, "BANNER", ""},
		{14 * time.Second, listed, "RCPT TO:<a@b>", l.Reply},
	} {
		now = c.at
		if got := l.refuse(c.client, c.command); got != c.want {
			t.Errorf("at %v, %v, %s: %q, want %q", c.at, c.client, c.command, got, c.want)
		}
	}
	want := sighting{Refused: 2, LastRefused: 2 * time.Second, Opened: 1, LastOpened: 800 * time.Millisecond}
	if got := l.sighting(200 * time.Millisecond); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// TestReadRescues counts refusals in kanmon's records, and wants all records.
func TestReadRescues(t *testing.T) {
	const records = `{"type":"transaction","outcome":"delivered"}
{"type":"refusal","action":"rescued","took_ms":600.5}
{"type":"refusal","action":"rescued","took_ms":20}
{"type":"refusal","action":"softened","took_ms":900}
`
	got, err := readRescues(records)
	if want := (rescues{Rescued: 2, Other: 1, Longest: 600500 * time.Microsecond}); err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	for _, bad := range []string{`{"type":"dropped","records":1}`, `{"type":`} {
		if _, err := readRescues(records + bad); err == nil {
			t.Errorf("%s is no error", bad)
		}
	}
}
