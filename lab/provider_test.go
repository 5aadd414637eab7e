package main

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"kanmon/internal/outlet/classify"
	"kanmon/test/netlab"
)

func clientAt(ip netip.Addr) net.Addr { return net.TCPAddrFromAddrPort(netip.AddrPortFrom(ip, 4000)) }

// TestProvider lists a sending IP by its unknown recipients within the time, and nobody else; then it refuses all that comes from it.
func TestProvider(t *testing.T) {
	now := time.Duration(0)
	p := newProvider("red", reputation{Unknown: 2, Within: 10 * time.Second}, func() time.Duration { return now })
	one, other := netlab.SendingIPv4, netlab.OtherSendingIPv4
	for _, c := range []struct {
		at      time.Duration
		from    netip.Addr
		command string
		want    string // how the reply begins
	}{
		{0, one, "BANNER", ""},
		{0, one, "MAIL FROM:<nobody-1@d0.red.example>", ""},
		{0, one, "RCPT TO:<user-1@d0.red.example>", ""},
		{0, one, "RCPT TO:<nobody-1@d0.red.example> ORCPT=rfc822;nobody-1@d0.red.example", "550 5.1.1 <nobody-1@d0.red.example>:"},
		{time.Second, other, "RCPT TO:<nobody-2@d0.red.example>", "550 5.1.1"},
		{5 * time.Second, one, "RCPT TO:<nobody-3@d0.red.example>", "550 5.1.1"},
		{10 * time.Second, one, "RCPT TO:<nobody-4@d0.red.example>", "550 5.1.1"}, // the first is forgotten
		{11 * time.Second, one, "RCPT TO:<user-5@d0.red.example>", ""},
		{12 * time.Second, one, "RCPT TO:<nobody-6@d0.red.example>", "550 5.1.1"}, // the third within the time
		{13 * time.Second, one, "RCPT TO:<user-7@d0.red.example>", "554 5.7.1 Service unavailable; client [203.0.113.10] is listed"},
		{13 * time.Second, one, "MAIL FROM:<a@b>", ""},
		{14 * time.Second, other, "RCPT TO:<user-8@d0.red.example>", ""},
		{time.Hour, one, "RCPT TO:<nobody-9@d0.red.example>", "554 5.7.1"},
	} {
		now = c.at
		if got := p.refuse(clientAt(c.from), c.command); !strings.HasPrefix(got, c.want) || (got == "") != (c.want == "") {
			t.Errorf("at %v, %v, %s: %q, want %q", c.at, c.from, c.command, got, c.want)
		}
	}
	want := listing{Provider: "red", IP: one, At: 12 * time.Second, Refused: 2}
	if got := p.listings(); len(got) != 1 || got[0] != want {
		t.Errorf("listed %+v, want %+v", got, want)
	}
}

// TestRepliesOfProviders are taken by kanmon for what they are meant to be: else the experiment shows nothing.
func TestRepliesOfProviders(t *testing.T) {
	rules, err := classify.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	for reply, want := range map[string]classify.Class{
		fmt.Sprintf(unknownReply, "nobody-1@d0.red.example"): classify.RecipientInvalid,
		fmt.Sprintf(listedReply, netlab.SendingIPv4):         classify.IPBlocklisted,
	} {
		got := rules.Classify(classify.Query{Text: reply, Phase: "rcpt", Provider: "red", SendingIP: netlab.SendingIPv4})
		if got.Class != want {
			t.Errorf("%s: %v, want %v", reply, got.Class, want)
		}
	}
}

// TestRecipients are all different, evenly spread, and exist as often as they should.
func TestRecipients(t *testing.T) {
	to := recipients("bob", func(n int) bool { return n%5 >= massUnknown })
	seen, unknown := map[string]bool{}, map[string]int{}
	const count = 6000
	for n := range count {
		m := mail{to: to(n)}
		seen[m.to] = true
		_, domain, _ := strings.Cut(m.to, "@")
		if !m.exists() {
			unknown[domain]++
		}
	}
	if len(seen) != count || len(unknown) != len(providerNames)*providerDomains {
		t.Errorf("%d addresses, unknown ones at %d domains", len(seen), len(unknown))
	}
	for domain, n := range unknown {
		if n != count/len(unknown)*massUnknown/5 {
			t.Errorf("%s: %d unknown recipients", domain, n)
		}
	}
	for number := range othersTenants {
		missing := 0
		for n := range usualUnknown {
			if !usuallyExists(number)(n) {
				missing++
			}
		}
		if missing != 1 {
			t.Errorf("sender %d writes to %d unknown recipients, want 1 of %d", number, missing, usualUnknown)
		}
	}
}
