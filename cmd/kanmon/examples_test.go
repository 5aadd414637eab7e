package main

import (
	"bytes"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"kanmon/internal/admin"
	"kanmon/internal/admin/manual"
)

var updateExamples = flag.Bool("update", false, "write what the examples of the manual print")

// The examples of the manual print what it shows: they are all that says what these commands print, and "make docs" brings them up to date.
func TestExamplesOfTheManual(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	end, err := serveCustomers(socket, newCustomers())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := end(); err != nil {
			t.Error(err)
		}
	}()

	routes := filepath.Join(t.TempDir(), "kanmon.toml")
	if err := os.WriteFile(routes, []byte(firstTOML(t, routingPage)), 0o600); err != nil {
		t.Fatal(err)
	}
	past := pastOfADay(t)
	var all strings.Builder
	for _, e := range manual.Examples() {
		args := shellWords(e.Line)[1:]
		switch {
		case asksThePast(args):
			args = append(args, "--config", past)
		case args[0] == "explain", args[0] == "provider":
			args = append(args, "--config", routes)
		case args[0] != "classify" && args[0] != "help":
			args = append(args, "--socket", socket)
		}
		got := prints(t, args)
		if got != e.Output && !*updateExamples {
			t.Errorf("%s prints\n%s, and the manual shows\n%s", e.Line, got, e.Output)
		}
		all.WriteString("-- " + e.Line + " --\n" + got)
	}
	if *updateExamples {
		if err := os.WriteFile("../../internal/admin/manual/examples.txt", []byte(all.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	examplesOfAPage(t, routingPage, routes)
}

// asksThePast reports whether a command reads history.
func asksThePast(args []string) bool {
	return slices.Contains([]string{"mail", "refusals", "timeline"}, args[0]) || args[0] == "provider" && args[1] == "show"
}

// routingPage has a configuration, and what "kanmon explain" says of it.
const routingPage = "../../docs/why/routing.md"

// firstTOML gives the first configuration that a page shows.
func firstTOML(t *testing.T, page string) string {
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	_, doc, found := strings.Cut(string(text), "```toml\n")
	if !found {
		t.Fatalf("no configuration in %s", page)
	}
	doc, _, _ = strings.Cut(doc, "```")
	return doc
}

var exampleInPage = regexp.MustCompile(`(?m)^    # (kanmon explain .+)\n((?:    .+\n)+)`)

// examplesOfAPage does for a page whose blocks begin with a command and go on with what it prints what is done for the manual.
func examplesOfAPage(t *testing.T, page, config string) {
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	shown := 0
	got := exampleInPage.ReplaceAllStringFunc(string(text), func(block string) string {
		shown++
		line := exampleInPage.FindStringSubmatch(block)[1]
		is := "    # " + line + "\n"
		for printed := range strings.Lines(prints(t, append(shellWords(line)[1:], "--config", config))) {
			is += "    " + printed
		}
		if is != block && !*updateExamples {
			t.Errorf("%s shows\n%s, which is\n%s", page, block, is)
		}
		return is
	})
	if shown == 0 {
		t.Errorf("no example in %s", page)
	}
	if *updateExamples {
		if err := os.WriteFile(page, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// prints gives what a command prints, without spaces at the end of a line.
func prints(t *testing.T, args []string) string {
	var out, wrong bytes.Buffer
	if code := run(args, &console{stdout: &out, stderr: &wrong}); code != exitOK || wrong.Len() > 0 {
		t.Errorf("%s: %d: %s", strings.Join(args, " "), code, wrong.String())
	}
	return spacesAtEnd.ReplaceAllString(out.String(), "\n")
}

var spacesAtEnd = regexp.MustCompile(` +\n`)

// shellWords parts a line as a shell does, as far as examples need it.
func shellWords(line string) []string {
	var words []string
	for _, w := range regexp.MustCompile(`'[^']*'|"[^"]*"|\S+`).FindAllString(line, -1) {
		words = append(words, strings.Trim(w, `'"`))
	}
	return words
}

// listedIPs are two sending IPs, of which one is listed at a provider.
type listedIPs struct{}

func (listedIPs) Standings(ip netip.Addr) ([]admin.Standing, error) {
	listed := admin.Standing{
		IP: netip.MustParseAddr("203.0.113.10"), Provider: "microsoft", State: "suspended", Since: at("10:12"), Until: at("12:12"), By: "evidence",
		Reason: "a reply says that the IP is listed", Rule: "blocked using", Lists: []string{"zen.spamhaus.org"},
	}
	if ip.IsValid() {
		listed.Evidence = []admin.Evidence{{
			At: at("10:12"), Tenant: "acme", Destination: "example.com", Class: "ip_blocklisted", Rule: "blocked using",
			Sample: "550 5.7.1 Service unavailable, Client host [203.0.113.10] blocked using Spamhaus",
		}}
	}
	tarpitted := admin.Standing{
		IP: netip.MustParseAddr("203.0.113.11"), Provider: "docomo", State: "active", Since: at("09:40"), Share: .05, By: "timing",
		Timing: &admin.Timing{
			Scope: "this IP here", Phase: "rcpt", Since: at("09:40"), Mails: 14, Tenants: 3, Here: 14.2, Others: .3, Before: .3, Waits: 47, Done: "moved",
		},
	}
	return slices.DeleteFunc([]admin.Standing{listed, tarpitted}, func(s admin.Standing) bool { return ip.IsValid() && s.IP != ip }), nil
}

func (listedIPs) WarmUps(netip.Addr) ([]admin.WarmUp, error) {
	return []admin.WarmUp{{
		IP: netip.MustParseAddr("203.0.113.12"), State: admin.Warming, Plan: "standard", Step: 4, Steps: 30, Share: 0.016, Mails: 212, Amount: 510,
		Begun: "2026-12-01", Since: "2026-12-05", Repeats: 1, Why: "17 of 20 mails were accepted, less than 90 %", Used: "2026-12-06", Ends: "2027-01-02",
		Classes: []admin.WarmUpClass{
			{Provider: "google", Step: 4, Mails: 140, Amount: 140, Tried: 270, Accepted: 268},
			{Provider: "yahoo", Step: 3, Mails: 12, Amount: 100, Over: 0, Tried: 31, Accepted: 29, Rests: at("12:12")},
			{Step: 4, Mails: 60, Amount: 270, Tried: 151, Accepted: 150},
		},
	}}, nil
}

func (listedIPs) Shaping(netip.Addr) (admin.Shaping, error) {
	ip := netip.MustParseAddr("203.0.113.10")
	return admin.Shaping{Mode: "on", Takes: []admin.Takes{
		{IP: ip, Provider: "orange", Count: "connections", Amount: 2, Kept: true, Now: 1, Used: 1, Since: at("10:12"), Source: "postmaster.orange.fr"},
		{IP: ip, Provider: "orange", Count: "messages_per_connection", Amount: 100, Kept: true, Now: 100, Source: "postmaster.orange.fr"},
	}}, nil
}

func (listedIPs) Sightings(asked netip.Addr) ([]admin.Sighting, error) {
	ip := netip.MustParseAddr("203.0.113.10")
	if asked != ip {
		return nil, nil
	}
	return []admin.Sighting{
		{IP: ip, State: "named", Since: at("08:00"), Asked: at("10:40"), Names: []string{"out10.example.jp"}},
		{IP: ip, List: "spamhaus-zen", State: "listed", Bad: true, Since: at("10:05"), Asked: at("11:05"), Answers: []string{"127.0.0.4"}},
		{IP: ip, List: "spamcop", State: "clear", Since: at("08:00"), Asked: at("10:52")},
	}, nil
}

func (listedIPs) WarmUp(netip.Addr, admin.WarmUpOrder, string) error { return nil }

func (listedIPs) Suspend(netip.Addr, string, time.Time, string, string) error { return nil }

func (listedIPs) Resume(netip.Addr, string, string, string) error { return nil }
