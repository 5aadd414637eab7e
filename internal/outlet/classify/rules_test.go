package classify

import (
	"errors"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"kanmon/internal/event"
)

func builtinOf(t testing.TB) *Rules {
	t.Helper()
	rules, err := Builtin()
	if err != nil {
		t.Fatal(err)
	}
	return rules
}

func TestBuiltinRulesCompile(t *testing.T) {
	r := builtinOf(t)
	if len(r.rules) == 0 || len(r.lists) == 0 || len(r.worth) != int(event.WeightCount) {
		t.Errorf("%d rules, %d lists, %d weights", len(r.rules), len(r.lists), len(r.worth))
	}
}

const ownRules = `
disable = ["greylisted"]

[words]
our_ip = ["your postal horse"]

[weights]
closed = "no"

[[list]]
name   = "acme"
kind   = "ip"
weight = "weak"
zones  = ["bl.acme.example"]

[[rule]]
name      = "acme, code 77"
class     = "throttled"
scope     = "netblock"
suspend   = "may"
providers = ["acme"]
phases    = ["rcpt", "dot"]
codes     = ["45x", "5.7.70-79"]
any       = ["{acme|ajax} code 77"]
none      = ["just kidding"]
lists     = ["acme"]
source    = "https://acme.example/codes"
advice    = "Ask Acme."

[[rule]]
name    = "incident numbers"
class   = "content_rejected"
regexps = ['incident inc[0-9]{4}\b']

[[test]]
reply    = "451 4.7.0 Acme: CODE-77, wait"
phase    = "rcpt"
provider = "acme"
ip       = "203.0.113.10"
class    = "throttled"
scope    = "netblock"
suspend  = "may"
rule     = "acme, code 77"
`

func TestParse(t *testing.T) {
	r, err := Parse("own.toml", []byte(ownRules))
	if err != nil {
		t.Fatal(err)
	}
	acme := Query{Text: "550 5.7.77 acme code 77", Phase: "dot", Provider: "acme"}
	changed := func(change func(*Query)) Query { q := acme; change(&q); return q }
	for name, c := range map[string]struct {
		query   Query
		rule    string // "" for any other than the two of the file
		suspend Suspend
	}{
		"all conditions":    {acme, "acme, code 77", May},
		"other phase":       {changed(func(q *Query) { q.Phase = "mail" }), "", No},
		"other provider":    {changed(func(q *Query) { q.Provider = "" }), "", No},
		"other code":        {changed(func(q *Query) { q.Text = "550 5.7.80 acme code 77" }), "", No},
		"basic code":        {changed(func(q *Query) { q.Text = "459 acme code 77" }), "acme, code 77", May},
		"other words":       {changed(func(q *Query) { q.Text = "550 5.7.77 acme code 78" }), "", No},
		"excluded words":    {changed(func(q *Query) { q.Text += ", just kidding" }), "", No},
		"regexp":            {Query{Text: "550 refused, Incident INC1234"}, "incident numbers", No},
		"disabled":          {Query{Text: "450 greylisted"}, "code: temporary", No},
		"word of our own":   {Query{Text: "550 your postal horse is blacklisted"}, "IP on a list", Yes},
		"weak list":         {Query{Text: "550 your IP is listed at bl.acme.example"}, "IP on a named list", May},
		"weight of our own": {Query{Text: "550 your IP is listed at dnsbl.sorbs.net"}, "IP on a named list", No},
	} {
		v := r.Classify(c.query)
		own := v.Rule == "acme, code 77" || v.Rule == "incident numbers"
		if v.Rule != c.rule && (c.rule != "" || own) || v.Suspend != c.suspend {
			t.Errorf("%s: rule %q, suspend %s; want %q, %s", name, v.Rule, v.Suspend, c.rule, c.suspend)
		}
	}
	if v := r.Classify(acme); v.Scope != ScopeNetblock || v.Source != "https://acme.example/codes" || v.Advice != "Ask Acme." || len(v.Lists) != 1 {
		t.Errorf("%+v", v)
	}
}

func TestParseSaysWhatIsWrong(t *testing.T) {
	rule := func(more string) string { return "\n[[rule]]\nname = \"mine\"\nclass = \"throttled\"\n" + more }
	for file, want := range map[string]string{
		"[[rule]\n": "own.toml:1: ",
		rule("any = [\"slow\"]\ncolour = \"red\""): `own.toml:6: unknown key rule.colour: a [[rule]] has name, class`,
		"[[rule]]\nname = \"m\"\nclass = \"slow\"": `own.toml:3: "slow" is no class: want one of ip_blocklisted, ip_reputation, throttled`,
		"[[rule]]\nclass = \"throttled\"":          `own.toml:1: rule "": no name`,
		"[[rule]]\nname = \"m\"\ncodes=[\"5xx\"]":  `own.toml:1: rule "m": no class`,
		rule(""):                                                             `own.toml:2: rule "mine": it matches every reply: want any, all, codes, nested or regexps`,
		rule("any = [\"{a|b\"]"):                                             `{ without }`,
		rule("any = [\"a}\"]"):                                               `} without {`,
		rule("any = [\"{nobody} slow\"]"):                                    `{nobody}: no such group in [words]; for a choice write {a|b}`,
		rule("any = [\"... slow\"]"):                                         `words are wanted on both sides`,
		rule("any = [\"slow ...\"]"):                                         `words are wanted on both sides`,
		rule("any = [\"a\"]"):                                                `matches almost everything`,
		rule("any = [\"sl*w down\"]"):                                        `it may stand at the beginning and at the end only`,
		rule("any = [\"write to a@b.c\"]"):                                   `write <mail> or <ip>`,
		rule("any = [\"listed 127.0.0.2\"]"):                                 `write <mail> or <ip>`,
		rule("phases = [\"rctp\"]\nany=[\"slow\"]"):                          `phase "rctp": want some of dial, banner`,
		rule("codes = [\"5.7\"]"):                                            `own.toml:5: code "5.7": want one like 550, 5xx`,
		rule("codes = [\"250\"]"):                                            `own.toml:5: code "250"`,
		rule("regexps = [\"(\"]"):                                            `missing closing )`,
		rule("lists = [\"none\"]\nany=[\"slow\"]"):                           `list "none": there is no [[list]] of that name`,
		rule("any=[\"slow\"]") + rule("any=[\"slow\"]"):                      `own.toml:6: rule "mine": there is one of that name`,
		"[[rule]]\nname=\"greylisted\"\nclass=\"throttled\"\nany=[\"slow\"]": `want another, or for a built-in one disable = ["greylisted"]`,
		"\ndisable = [\"no such\"]":                                          `own.toml:2: disable: there is no built-in rule "no such"`,
		"[[list]]\nname=\"l\"\nkind=\"ip\"":                                  `own.toml:1: list "l": want a name and a weight, one of strong`,
		"[[list]]\nname=\"l\"\nkind=\"cheese\"\nweight=\"weak\"":             `kind "cheese": want ip, domain or url`,
		"[weights]\nheavy = \"no\"":                                          `own.toml:1: "heavy" is no weight`,
		"[weights]\nweak = \"never\"":                                        `own.toml:2: "never" is no suspend: want one of no, may, yes`,
		"[[test]]\nreply = \"450 greylisted\"":                               `own.toml:1: a test needs reply and class`,
		"\n[[test]]\nreply = \"450 greylisted\"\nclass=\"throttled\"":        `own.toml:2: test "450 greylisted": got greylisted`,
		"[words]\na=[\"b ... c\"]" + rule("any=[\"{a}\"]"):                   `may stand in phrases only`,
		"[words]\na=[\"{b}\"]\nb=[\"{a}\"]" + rule("any=[\"{a}\"]"):          `groups of words name each other`,
	} {
		_, err := Parse("own.toml", []byte(file))
		var at *Error
		if !errors.As(err, &at) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q:\n%v\nwant %s", file, err, want)
		}
	}
}

// Rules are shared by all sessions.
func TestClassifyAtOnce(t *testing.T) {
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			ip := netip.AddrFrom4([4]byte{203, 0, 113, byte(i)})
			for range 200 {
				v := builtinOf(t).Classify(Query{Text: "554 Client host [" + ip.String() + "] blocked using zen.spamhaus.org", SendingIP: ip})
				if v.Suspend != Yes || len(v.Quoted) != 1 || v.Quoted[0].Addr() != ip {
					t.Errorf("%s: %+v", ip, v)
				}
			}
		})
	}
	all.Wait()
}

// What an address is, and what only looks like one.
func TestQuoted(t *testing.T) {
	for text, want := range map[string]string{
		"550 [203.0.113.10] [203.0.113.10]":       "203.0.113.10/32",
		"550 ip=203.0.113.10:25, see":             "203.0.113.10/32",
		"550 (IPv6:2001:db8::10).":                "2001:db8::10/128",
		"550 http://x.example/?ip=203.0.113.10&a": "203.0.113.10/32",
		"550 net 203.0.113.77/24":                 "203.0.113.0/24",
		"550 answered 127.0.0.2":                  "",
		"550 x.x.x.x, a.b.c.d, 5.7.1, 4.16.50":    "",
		"550 10.113.0.203.zen.example":            "203.0.113.10/32",
		"550 0.1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.zen.example": "2001:db8::10/128",
		"550 a.1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.zen.example": "2001:db8::1a/128",
		"550 ten: " + strings.Repeat("x", maxText-15) + " 203.0.113.10":                   "",
	} {
		var got []string
		for _, p := range builtinOf(t).Classify(Query{Text: text}).Quoted {
			got = append(got, p.String())
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%.80q: %v, want %s", text, got, want)
		}
	}
}
