package main

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kanmon/internal/config"
)

// sendingTables are sending IPs in a pool of all.
func sendingTables(addresses ...string) (text string) {
	for i, a := range addresses {
		text += fmt.Sprintf("[[sending_ip]]\naddress = '%s'\nehlo = 'out%d.example.jp'\n", a, i)
	}
	return text
}

// explainTo returns what is explained of a configuration, on a host that lacks some sending IPs.
func explainTo(t *testing.T, text string, lacks func(*config.Config) ([]netip.Addr, error), args ...string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "kanmon.toml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, wrong strings.Builder
	code := run(append([]string{"explain", "--no-dns", "--config", file}, args...), &console{stdout: &out, stderr: &wrong, lacks: lacks})
	if code != exitOK {
		t.Fatalf("exit %d, %s", code, wrong.String())
	}
	return out.String()
}

// Where an MX is passed through nobody ever hears of sender and recipient: every mail of an MSA leaves from the IP that its connection has got, and by
// the pool of that.
func TestExplainEndsAtTheConnectionWhereItIsPassedThrough(t *testing.T) {
	const routes = "[[route]]\nsender = 'u1@a.example'\npool = 'other'\n[[route]]\nprovider = 'google'\npool = 'other'\n[pool.other]\nips = ['203.0.113.12']\n" +
		"[pool.default]\nips = ['203.0.113.10', '203.0.113.11']\n[[destination]]\nnetworks = ['192.0.2.64/26']\npassthrough = true\n"
	text := sendingTables("203.0.113.10", "203.0.113.11", "203.0.113.12") + routes
	of := func(args ...string) (pool, ip string) {
		for line := range strings.Lines(explainTo(t, text, nil, append([]string{"--source", "10.20.9.9", "--mx", "192.0.2.77"}, args...)...)) {
			if strings.HasPrefix(line, "pool ") {
				pool = line
			}
			if strings.HasPrefix(line, "IPv4 ") {
				ip = line
			}
			if strings.HasPrefix(line, "refusals ") {
				t.Errorf("nothing of a reply is seen: %s", line)
			}
		}
		return pool, ip
	}
	pool, ip := of()
	for i := range 12 {
		if p, from := of("--sender", fmt.Sprintf("u%d@a.example", i), "--recipient", "r@gmail.com"); p != pool || from != ip {
			t.Errorf("u%d: %s%s, want %s%s", i, p, from, pool, ip)
		}
	}
}

// The host is looked at as by kanmon itself: what it does not have is none of its pool.
func TestExplainKnowsWhatTheHostLacks(t *testing.T) {
	text := sendingTables("203.0.113.10", "203.0.113.99", "203.0.113.98", "2001:db8::10") +
		"[pool.default]\nips = ['203.0.113.10', '203.0.113.99', '2001:db8::10']\n[pool.gone]\nips = ['203.0.113.98']\n[[route]]\nsender_domain = 'gone.example'\npool = 'gone'\n"
	lack := func(list ...string) func(*config.Config) ([]netip.Addr, error) {
		return func(*config.Config) (all []netip.Addr, err error) {
			for _, a := range list {
				all = append(all, netip.MustParseAddr(a))
			}
			return all, nil
		}
	}
	const none = "IPv4       none: this host has no sending IP of the pool; the MSA is greeted, and the mail gets 451 until it has one\n"
	for i := range 8 {
		sender := fmt.Sprintf("x@s%d.example", i)
		got := explainTo(t, text, lack("203.0.113.99", "203.0.113.98"), "--source", "10.20.1.5", "--sender", sender, "--mx", "192.0.2.25")
		if !strings.Contains(got, "IPv4       203.0.113.10 (out0.example.jp) toward 192.0.2.25\n") ||
			!strings.Contains(got, "host       no mail leaves from 203.0.113.99, 203.0.113.98 until it is on this host (kanmon check)\n") {
			t.Errorf("%s:\n%s", sender, got)
		}
	}
	if got := explainTo(t, text, lack("203.0.113.98"), "--source", "10.20.1.5", "--sender", "x@gone.example", "--mx", "192.0.2.25"); !strings.Contains(got, none) {
		t.Errorf("none of the pool:\n%s", got)
	}
	got := explainTo(t, text, lack("203.0.113.10", "203.0.113.99"), "--source", "10.20.1.5", "--mx", "192.0.2.25")
	if !strings.Contains(got, "IPv4       none: connections to this family are reset") {
		t.Errorf("IPv6 alone:\n%s", got)
	}
	for says, lacks := range map[string]func(*config.Config) ([]netip.Addr, error){
		"host       it has none of the sending IPs, and no mail leaves from it; what follows is as if it had them\n": lack("203.0.113.10", "203.0.113.99", "203.0.113.98", "2001:db8::10"),
		"host       not looked at: no netlink; what follows is as if it had all sending IPs\n":                       func(*config.Config) ([]netip.Addr, error) { return nil, errors.New("no netlink") },
	} {
		if got := explainTo(t, text, lacks, "--source", "10.20.1.5", "--mx", "192.0.2.25"); !strings.Contains(got, says) || !strings.Contains(got, " toward 192.0.2.25") {
			t.Errorf("want %q:\n%s", says, got)
		}
	}
	if got := explainTo(t, text, lack(), "--source", "10.20.1.5"); strings.Contains(got, "\nhost ") {
		t.Errorf("it has all:\n%s", got)
	}
}

// A mail whose own route has a way is told to leave, before an MX is known to be a provider's and behind that. One that has none is told what its MSA meets.
func TestExplainTellsAResetBeforeAndAfterAMailHasTaught(t *testing.T) {
	text := sendingTables("203.0.113.11", "2001:db8::10") + "[pool.default]\nips = ['203.0.113.11', '2001:db8::10']\n[pool.news]\nips = ['2001:db8::10']\n"
	other := sendingTables("203.0.113.11", "2001:db8::10") + "[pool.default]\nips = ['2001:db8::10']\n[pool.news]\nips = ['203.0.113.11']\n"
	taught := "[[route]]\nprovider = 'google'\npool = 'news'\n"
	own := func(condition string) string { return "[[route]]\n" + condition + "\npool = 'default'\n" }
	const leaves = "IPv4       203.0.113.11 (out0.example.jp) toward 192.0.2.25\n"
	for doc, want := range map[string]string{
		text + own("sender_domain = 'bulk.example'") + taught: leaves,
		text + own("recipient_domain = 'gmail.com'") + taught: leaves,
		other + taught: leaves,
		text + taught:  "IPv4       none: connections to this family are reset",
		text + own("sender_domain = 'other.example'") + taught:   "IPv4       none: the MSA is greeted, and the mail gets 451: its pool has no address of this family",
		text + own("recipient_domain = 'docomo.ne.jp'") + taught: "IPv4       none: the MSA is greeted, and the mail gets 451: its pool has no address of this family",
	} {
		if got := explainTo(t, doc, nil, "--source", "10.20.1.4", "--sender", "x@bulk.example", "--recipient", "r@gmail.com", "--mx", "192.0.2.25"); !strings.Contains(got, want) {
			t.Errorf("no %q of\n%s\nin\n%s", want, doc, got)
		}
	}
}

// Whose domain is another tenant's is told as it is done: refused, or told of. What explain does not know of is said, with who does.
func TestExplainSaysWhatTheGateWouldSay(t *testing.T) {
	text := sendingTables("203.0.113.11") + "[[tenant]]\nname = 'acme'\nsources = ['10.20.1.0/24']\n[[tenant]]\nname = 'cyan'\nsources = ['10.20.2.0/24']\nsender_domains = ['cyan.example']\n" +
		"[[destination]]\nnetworks = ['192.0.2.64/26']\npassthrough = true\n[senders]\n"
	const notSeen = "not seen   what people have blocked or suspended, containment, limits, and what stands against sending IPs:\n"
	for _, c := range []struct{ key, source, mx, want string }{
		{"spoofing = 'refuse'\n", "10.20.1.5", "192.0.2.25", "refused    550: its sender's domain is that of tenant cyan (spoofing of [senders])"},
		{"spoofing = 'record'\n", "10.20.1.5", "192.0.2.25", "spoofed    the records tell that its sender's domain is that of tenant cyan, and nothing is done"},
		{"", "10.20.1.5", "192.0.2.25", "spoofed    "},
		{"spoofing = 'refuse'\n", "10.20.2.5", "192.0.2.25", ""},
		{"spoofing = 'refuse'\n", "10.20.1.5", "192.0.2.77", ""}, // passed through
	} {
		got := explainTo(t, text+c.key, nil, "--source", c.source, "--sender", "C@CYAN.EXAMPLE", "--recipient", "r@three.example", "--mx", c.mx)
		told := strings.Contains(got, "\nrefused ") || strings.Contains(got, "\nspoofed ")
		if !strings.Contains(got, c.want) || told != (c.want != "") || !strings.Contains(got, notSeen) {
			t.Errorf("%+v:\n%s", c, got)
		}
	}
}
