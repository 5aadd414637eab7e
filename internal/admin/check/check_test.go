package check

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"kanmon/internal/config"
	"kanmon/internal/intercept"
)

// plain is a configuration that a good host has nothing to say about.
const plain = `[intercept]
sources = ["10.20.0.0/16"]

[journal]
session_log = "-"

[standing]
file = "DIR/standing.db"
`

// ips sends from two IPv4 addresses and one IPv6 address.
const ips = plain + `[[sending_ip]]
address = '203.0.113.10'
ehlo    = 'a.example.jp'
[[sending_ip]]
address = '203.0.113.11'
ehlo    = 'b.example.jp'
[[sending_ip]]
address = '2001:db8::10'
ehlo    = 'a.example.jp'
`

// oneAddress is a site of IPv4 alone.
var oneAddress = in(plain, "listen = ['0.0.0.0:10025']") + "[[sending_ip]]\naddress = '203.0.113.10'\nehlo = 'a.example.jp'\n"

// doubtful has a pool for doubtful mail.
var doubtful = oneAddress + `[[sending_ip]]
address = '203.0.113.11'
ehlo = 'b.example.jp'
[pool.default]
ips = ['203.0.113.10']
[pool.bulk]
ips = ['203.0.113.11']
high_risk = true
`

// pools has no fault: two pools of both families, all in use. Its only route takes everything.
const pools = ips + `[pool.default]
ips = ['203.0.113.10', '2001:db8::10']
[pool.bulk]
ips = ['203.0.113.11', '2001:db8::10']
[[route]]
pool = 'bulk'
`

// acme is a site with one tenant that has all sources.
const acme = plain + `[senders]
file = "DIR/senders.db"
[[tenant]]
name = 'acme'
sources = ['10.20.0.0/16']
`

// edited gives a document with a text in place of another one.
func edited(doc, old, replacement string) string {
	if !strings.Contains(doc, old) {
		panic(old + " is not in the document")
	}
	return strings.Replace(doc, old, replacement, 1)
}

// in adds lines to [intercept].
func in(doc, lines string) string { return edited(doc, "[intercept]\n", "[intercept]\n"+lines+"\n") }

// A row is a bad case, and a good one that differs from it as little as can be.
type row struct {
	id, name string
	doc      string
	host     func(*rig)
	want     string // in the only finding
	good     string // document; "": the plain one
	goodHost func(*rig)
}

func noCapabilities(r *rig) {
	r.proc("thread-self/status", "Name:\tkanmon\nCapEff:\t0000000000000000\n")
}

// asDaemon is the start of kanmon itself, without a capability.
func asDaemon(r *rig) {
	noCapabilities(r)
	r.Service = nil
}

func proc(path, content string) func(*rig) { return func(r *rig) { r.proc(path, content) } }

func tproxy(doc string) string { return in(doc, "mode = 'tproxy'") }

func rows() []row {
	return slices.Concat(configRows(), shapingRows(), hostRows(), fileRows(), historyRows(), notifyRows(), policyRows(), pageRows())
}

func withoutNft(r *rig) {
	r.LookPath = func(string) (string, error) { return "", os.ErrNotExist }
}

// natRule is one NAT rule: a verdict behind its conditions.
func natRule(verdict string, conditions ...string) func(*rig) {
	return oneRule("nat", "post", "nat", "postrouting", verdict, conditions)
}

// otherRule is the same in a chain of another table.
func otherRule(kind, hook, verdict string, conditions ...string) func(*rig) {
	return oneRule("other", "at", kind, hook, verdict, conditions)
}

func tcpPort(port int) string {
	return fmt.Sprintf(`{"match":{"op":"==","left":{"payload":{"protocol":"tcp","field":"dport"}},"right":%d}}`, port)
}

func oneRule(table, chain, kind, hook, verdict string, conditions []string) func(*rig) {
	text := fmt.Sprintf(`{"nftables":[{"table":{"family":"inet","name":"kanmon"}},{"chain":{"family":"inet","table":%q,"name":%q,"type":%q,"hook":%q,"prio":-200,"policy":"accept"}},
		{"rule":{"family":"inet","table":%q,"chain":%q,"expr":[%s]}}]}`, table, chain, kind, hook, table, chain, strings.Join(append(conditions, verdict), ","))
	return func(r *rig) { r.Ruleset = func(context.Context) ([]byte, error) { return []byte(text), nil } }
}

func TestEveryBadCaseIsFoundAndItsGoodOneIsNot(t *testing.T) {
	for _, test := range rows() {
		t.Run(test.id+" "+test.name, func(t *testing.T) {
			bad := newRig(t)
			if test.host != nil {
				test.host(bad)
			}
			findings := bad.check(test.doc)
			if test.id == "reply-filtered" || strings.HasPrefix(test.id, "shaping-") || strings.HasPrefix(test.id, "tls-re") { // it says how the other one hurts, or what the other one says
				findings = only(findings, test.id)
			}
			bad.wantOnly(findings, test.id, test.want)
			good := newRig(t)
			if test.goodHost != nil {
				test.goodHost(good)
			}
			doc := test.good
			if doc == "" {
				doc = plain
			}
			good.wantOnly(only(good.check(doc), test.id), "", "")
		})
	}
}

func only(findings []Finding, id string) (list []Finding) {
	for _, f := range findings {
		if f.ID == id {
			list = append(list, f)
		}
	}
	return list
}

// What an operator can read in docs/ref/check.md has been seen by a test.
func TestEveryKindHasABadCase(t *testing.T) {
	tested := map[string]bool{"configuration-wrong": true} // TestAWrongFileIsAFinding
	for _, r := range rows() {
		tested[r.id] = true
	}
	for _, r := range dnsRows() {
		tested[r.id] = true
	}
	// TestMXsInPlainTextAreListedByNetworkAndCause, TestScannersMustProveThemselves, TestTheDatabaseOfHistoryIsAsked
	for _, id := range []string{"tls-lacked", "tls-broken", "tls-remembered", "scanner-unproved", "scanner-plain", "scanner-streams", "history-database"} {
		tested[id] = true
	}
	delete(tested, "") // where all is well
	known := map[string]bool{}
	for _, k := range byID() {
		if known[k.ID] {
			t.Errorf("two kinds have the id %s", k.ID)
		}
		known[k.ID] = true
		if !tested[k.ID] {
			t.Errorf("no bad case of %s", k.ID)
		}
		if k.Meaning == "" || k.Why == "" || k.Cure == "" {
			t.Errorf("%s lacks a text", k.ID)
		}
		if k.Refuses && k.Severity != Error {
			t.Errorf("%s keeps kanmon from starting, and is no error", k.ID)
		}
	}
	for id := range tested {
		if !known[id] {
			t.Errorf("%s is tested, and is no kind", id)
		}
	}
}

func TestAWrongFileIsAFinding(t *testing.T) {
	_, err := config.Parse("kanmon.toml", []byte("[intercept]\nsource = ['10.20.0.0/16']\n"))
	var wrong config.Errors
	if !errors.As(err, &wrong) {
		t.Fatal(err)
	}
	newRig(t).wantOnly(Wrong(wrong), "configuration-wrong", "error: kanmon.toml:2:1: intercept.source: unknown key [configuration-wrong]\n      why: kanmon does not start; a reload changes nothing\n      = did you mean \"sources\"?")
}

// Who may not list the rules hears of the guard that they are gone.
func TestTheGuardsWordCountsWithoutPrivilege(t *testing.T) {
	r := newRig(t)
	r.Ruleset = func(context.Context) ([]byte, error) { return nil, errors.New("only root sees them") }
	r.guard(intercept.Guarding{Lost: []string{"table inet kanmon is gone"}})
	findings := r.check(plain)
	r.wantOnly(only(findings, "rules-gone"), "rules-gone", "its guard says: table inet kanmon is gone")
	r.wantOnly(only(findings, "not-checked"), "not-checked", "only root sees them")
}

// A host that tells nothing is not a host that lacks everything.
func TestASilentHostLacksNothing(t *testing.T) {
	r := newRig(t)
	r.Proc = t.TempDir()
	r.FileLimit = func() (uint64, error) { return 0, errors.New("refused") }
	r.wantOnly(r.check(ips), "", "")
}

func TestChecksEndWithTheContext(t *testing.T) {
	r := newRig(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	cfg := r.parse(edited(plain, `session_log = "-"`, ""))
	r.wantOnly(Run(ctx, Site{Config: cfg, Rules: rulesOf(cfg), Host: r.Host}), "", "")
}

// The worst comes first.
func TestTheWorstComesFirst(t *testing.T) {
	r := newRig(t)
	var severities []string
	for _, f := range r.check(edited(edited(ips, "'203.0.113.11'", "'203.0.113.12'\nrequired = true"), `session_log = "-"`, "")) {
		severities = append(severities, f.Severity.String())
	}
	if strings.Join(severities, " ") != "error warning" {
		t.Errorf("%q", severities)
	}
}

// A program reads what a person reads, and can hand a cure to a shell.
func TestFindingsAsJSON(t *testing.T) {
	var text bytes.Buffer
	out := json.NewEncoder(&text)
	out.SetEscapeHTML(false)
	if err := out.Encode(Finding{fileUnreadable, "here", "it is closed", "chgrp kanmon FILE && chmod g+r FILE"}); err != nil {
		t.Fatal(err)
	}
	want := `{"id":"file-unreadable","severity":"error","refuses_start":true,"where":"here","what":"it is closed","why":"kanmon does not start; a reload changes nothing","cure":"chgrp kanmon FILE && chmod g+r FILE"}` + "\n"
	if text.String() != want {
		t.Errorf("%s\nwant %s", text.String(), want)
	}
}
