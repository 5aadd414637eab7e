package main

import (
	"bytes"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kanmon/internal/admin"
)

// What is slow is marked in the list, and told below it: whom it concerns, by how much, and what is done, or why nothing is.
func TestWhatIsSlowIsPrinted(t *testing.T) {
	ip := netip.MustParseAddr("203.0.113.10")
	for name, test := range map[string]struct {
		timing admin.Timing
		want   []string
	}{
		"moved": {
			admin.Timing{Scope: "this IP here", Phase: "rcpt", Mails: 14, Tenants: 3, Here: 14.2, Others: .3, Before: .25, Waits: 47, Done: "moved", Shaping: "1 connections at once are left"},
			[]string{
				"active, slow there", "answered slowly: rcpt 14.2 s, other IPs 0.3 s (this IP here)", "here 14.2 s, other IPs 0.3 s, before 0.2 s",
				"14 mails, of 3 tenants that were slow", "47.0 s in all", "1 in 20 stays", "shaping       1 connections at once are left",
			},
		},
		"told": {
			admin.Timing{Scope: "this IP here", Phase: "drip", Mails: 2, Done: "told", Why: "two sending IPs send there: nobody can say which is the odd one"},
			[]string{"replies come in pieces", "nothing but this report: two sending IPs send there"},
		},
		"refused": {
			admin.Timing{Scope: "this IP here", Phase: "refused", Mails: 5, Refuses: .004, Done: "slowed"},
			[]string{"5 mails, since", "connections are refused; usually 0.4 % of them are", "half of its new sessions leave from other sending IPs"},
		},
		"suspected": {
			admin.Timing{Suspected: true, Scope: "one tenant", Phase: "dot", Tenant: "acme", Here: 3, Done: "split"},
			[]string{"active, suspected", "may be answered slowly: dot 3.0 s (one tenant)", "one tenant: acme (suspected: nothing is sure yet)", "to compare with"},
		},
		"one host": {
			admin.Timing{Scope: "one host", Host: "192.0.2.25", Phase: "banner", Done: "told", Why: "it is not about this IP alone"},
			[]string{"one host: 192.0.2.25", "it is not about this IP alone"},
		},
	} {
		var out bytes.Buffer
		if err := printStandings(&out, []admin.Standing{{IP: ip, Provider: "docomo", State: "active", Share: 1, Timing: &test.timing}}); err != nil {
			t.Fatal(err)
		}
		for _, want := range test.want {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%s: there is no %q in\n%s", name, want, out.String())
			}
		}
	}
	var out bytes.Buffer
	err := printStandings(&out, []admin.Standing{{State: "active", Share: 1, Timing: &admin.Timing{Scope: "everything: ours", Phase: "dot", Done: "told"}}})
	if err != nil || !strings.Contains(out.String(), "all at several providers, by its times:") {
		t.Errorf("%v:\n%s", err, out.String())
	}
}

// An operator with one sending IP, or two, reads what cannot be found, or done, with so few.
func TestFewSendingIPsAreTold(t *testing.T) {
	for ips, want := range map[int]string{0: "", 1: "only drip is reported", 2: "never acted on", 3: ""} {
		if text := withFew(ips); want == "" && text != "" || !strings.Contains(text, want) {
			t.Errorf("of %d: %q", ips, text)
		}
	}
}

// Whoever asks where a mail leaves from reads when its times would have it leave from elsewhere.
func TestExplainSaysWhenTimingDecides(t *testing.T) {
	const pools = `[[sending_ip]]
address = "203.0.113.10"
ehlo    = "out10.example.jp"
[[sending_ip]]
address = "203.0.113.11"
ehlo    = "out11.example.jp"
[pool.default]
ips = ["203.0.113.10", "203.0.113.11"]
[pool.one]
ips = ["203.0.113.10"]
[[route]]
null_sender = true
pool        = "one"
[[route]]
sender_domain = "own.example"
suspend       = false
pool          = "default"
`
	for name, test := range map[string]struct{ config, sender, want string }{
		"told":       {"", "a@sender.example", ""},
		"slowed":     {"[timing]\nact = \"slow\"\n", "a@sender.example", "keeps half of its new sessions there (kanmon ip list)"},
		"moved":      {"[timing]\nact = \"move\"\n", "a@sender.example", "1 in 20 while mail waits for more than 30 s"},
		"one IP":     {"[timing]\nact = \"move\"\n", "<>", ""},
		"not heeded": {"[timing]\nact = \"move\"\n", "a@own.example", ""},
	} {
		file := filepath.Join(t.TempDir(), "kanmon.toml")
		if err := os.WriteFile(file, []byte(pools+test.config), 0o600); err != nil {
			t.Fatal(err)
		}
		var out, wrong bytes.Buffer
		args := []string{"explain", "--no-dns", "--source", "10.20.1.10", "--sender", test.sender, "--recipient", "b@example.net", "--mx", "192.0.2.25", "--config", file}
		if code := run(args, &console{stdout: &out, stderr: &wrong}); code != exitOK {
			t.Fatalf("%s: %d: %s", name, code, wrong.String())
		}
		if said := strings.Contains(out.String(), "\ntiming "); said != (test.want != "") || !strings.Contains(out.String(), test.want) {
			t.Errorf("%s:\n%s", name, out.String())
		}
	}
}
