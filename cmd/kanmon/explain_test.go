package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A scriptedDNS knows one domain, or nothing at all.
type scriptedDNS struct{ fail error }

func (d scriptedDNS) LookupMX(_ context.Context, name string) ([]*net.MX, error) {
	switch {
	case d.fail != nil:
		return nil, d.fail
	case name == "example.com.":
		return []*net.MX{{Host: "alt1.aspmx.l.google.com.", Pref: 5}, {Host: "aspmx.l.google.com.", Pref: 1}}, nil
	case name == "closed.example.":
		return []*net.MX{{Host: "."}}, nil
	}
	return []*net.MX{{Host: "mx." + name, Pref: 10}}, nil
}

func (d scriptedDNS) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	if host == "aspmx.l.google.com." {
		return []netip.Addr{netip.MustParseAddr("2001:db8:9::1"), netip.MustParseAddr("192.0.2.25")}, nil
	}
	return []netip.Addr{netip.MustParseAddr("192.0.2.77")}, d.fail
}

const explained = `[[sending_ip]]
address = "203.0.113.10"
ehlo    = "out10.example.jp"
[[sending_ip]]
address = "2001:db8::10"
ehlo    = "out10.example.jp"
[[sending_ip]]
address = "203.0.113.20"
ehlo    = "out20.example.jp"
[pool.default]
ips = ["203.0.113.10", "2001:db8::10"]
[pool.google]
ips = ["203.0.113.20"]
[[route]]
provider    = "google"
destination = "192.0.2.0/26"
pool        = "google"
`

func TestExplainWithDNS(t *testing.T) {
	file := filepath.Join(t.TempDir(), "kanmon.toml")
	if err := os.WriteFile(file, []byte(explained), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		recipient string
		fail      error
		want      string
	}{
		// The route is for an IPv4 network: the other family goes another way.
		{"a@example.com", nil, `provider   google: the MX aspmx.l.google.com is in *.l.google.com
mx         aspmx.l.google.com
pool       google, by: route 1 (line 14)
refusals   rescued, or softened; suspended sending IPs are passed over
IPv4       203.0.113.20 (out20.example.jp) toward 192.0.2.25
           route 1 (line 14): the MX 2001:db8:9::1 is not in 192.0.2.0/26
pool       default, by: default pool
refusals   rescued, or softened; suspended sending IPs are passed over
IPv6       2001:db8::10 (out10.example.jp) toward 2001:db8:9::1
`},
		{"a@other.example", nil, `provider   none: no list has the MX mx.other.example
mx         mx.other.example
           route 1 (line 14): the MX 192.0.2.77 is not in 192.0.2.0/26
pool       default, by: default pool
refusals   rescued, or softened; suspended sending IPs are passed over
IPv4       203.0.113.10 (out10.example.jp) toward 192.0.2.77
`},
		{"a@closed.example", nil, `provider   none: no list has the MX of this domain
mx         not known: the domain takes no mail (null MX)
           route 1 (line 14): the provider is none that is known, not google
pool       default, by: default pool
refusals   rescued, or softened; suspended sending IPs are passed over
IPv4       203.0.113.10 (out10.example.jp)
IPv6       2001:db8::10 (out10.example.jp)
`},
		{"a@example.com", errors.New("lookup example.com: connection refused"), `provider   not known: DNS has no answer: lookup example.com: connection refused
mx         not known: lookup example.com: connection refused
           route 1 (line 14): the provider is none that is known, not google
pool       default, by: default pool
refusals   rescued, or softened; suspended sending IPs are passed over
IPv4       203.0.113.10 (out10.example.jp)
IPv6       2001:db8::10 (out10.example.jp)
`},
	} {
		var out, wrong strings.Builder
		code := run([]string{"explain", "--config", file, "--source", "10.20.1.5", "--sender", "x@acme.example", "--recipient", tc.recipient},
			&console{stdout: &out, stderr: &wrong, resolver: scriptedDNS{tc.fail}})
		_, got, _ := strings.Cut(out.String(), "recipient  "+tc.recipient+"\n")
		if code != exitOK || wrong.String() != "" || got != tc.want+notGreeted {
			t.Errorf("%s: exit %d, %s\n got:\n%s\nwant:\n%s", tc.recipient, code, wrong.String(), got, tc.want+notGreeted)
		}
	}
}

const notGreeted = "not seen   what people have blocked or suspended, containment, limits, and what stands against sending IPs:\n" +
	"           kanmon account explain ADDRESS, kanmon tenant explain NAME, kanmon ip list\n" +
	"no MX      an MSA whose MX cannot be reached is not greeted, so that it tries the next one: its connection is reset, or closed\n"

// What is passed through is said to be so: nothing that needs a look at the mail holds there.
//
// audit-F6
func TestExplainPassthrough(t *testing.T) {
	file := filepath.Join(t.TempDir(), "kanmon.toml")
	if err := os.WriteFile(file, []byte(explained+"[[destination]]\nnetworks = ['192.0.2.64/26']\npassthrough = true\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for mx, want := range map[string]bool{"192.0.2.77": true, "192.0.2.25": false} {
		var out, wrong strings.Builder
		code := run([]string{"explain", "--config", file, "--source", "10.20.1.5", "--mx", mx, "--no-dns"}, &console{stdout: &out, stderr: &wrong})
		if told := strings.Contains(out.String(), "unseen     "+mx+" is passed through: "); code != exitOK || told != want {
			t.Errorf("%s: exit %d, %s\n%s", mx, code, wrong.String(), out.String())
		}
	}
}

// With two sending IPs and nothing else the gateway knows an MX by its address until a mail has taught it whose that is: then it may be another
// IP, and both are named. What leaves from nowhere has none.
//
// audit-D7
func TestExplainSaysWhatItCannotKnow(t *testing.T) {
	two := "[[sending_ip]]\naddress = '203.0.113.10'\nehlo = 'a.example.jp'\n[[sending_ip]]\naddress = '203.0.113.11'\nehlo = 'b.example.jp'\n"
	shared := two + "[[tenant]]\nname = 'a'\nsources = ['10.20.2.0/24']\nsender_domains = ['a.example']\n" +
		"[[tenant]]\nname = 'b'\nsources = ['10.20.2.0/24']\nsender_domains = ['b.example']\n"
	for _, tc := range []struct {
		name, config string
		args         []string
		want         []string
	}{
		{"tenants behind one MSA", shared, []string{"--tenant", "a", "--sender", "x@a.example", "--mx", "192.0.2.25"}, []string{"it depends on the MSA's address (--source)"}},
		{"nobody's", shared, []string{"--source", "10.99.0.1", "--sender", "x@c.example", "--mx", "192.0.2.25"}, []string{"refused    451: no tenant claims this mail"}},
		{
			"TLS", two + "[[destination]]\nnetworks = ['192.0.2.0/24']\ntls = 'require'\n",
			[]string{"--source", "10.20.1.5", "--mx", "192.0.2.25"},
			[]string{"tls        192.0.2.25 must have TLS: "},
		},
		{"a score", two, []string{"--source", "10.20.1.5", "--mx", "192.0.2.25", "--suspicion", "0.9"}, []string{"suspicion  0.9, as --suspicion says"}},
	} {
		file := filepath.Join(t.TempDir(), "kanmon.toml")
		if err := os.WriteFile(file, []byte(tc.config), 0o600); err != nil {
			t.Fatal(err)
		}
		var out, wrong strings.Builder
		if code := run(append([]string{"explain", "--no-dns", "--config", file}, tc.args...), &console{stdout: &out, stderr: &wrong}); code != exitOK {
			t.Errorf("%s: exit %d, %s", tc.name, code, wrong.String())
		}
		for _, want := range tc.want {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%s: no %q in\n%s", tc.name, want, out.String())
			}
		}
	}
	file := filepath.Join(t.TempDir(), "kanmon.toml")
	if err := os.WriteFile(file, []byte(two), 0o600); err != nil {
		t.Fatal(err)
	}
	taught := 0
	for i := range 20 {
		var out, wrong strings.Builder
		_ = run([]string{"explain", "--no-dns", "--config", file, "--source", "10.20.1.5", "--recipient", "x@gmail.com", "--mx", fmt.Sprintf("192.0.2.%d", i)},
			&console{stdout: &out, stderr: &wrong})
		if strings.Contains(out.String(), "once an earlier mail has taught kanmon that this MX is of google, and ") {
			taught++
		}
	}
	if taught < 4 || taught > 16 { // one of two, by the hash
		t.Errorf("both are named for %d of 20 MXs", taught)
	}
}
