package mailbox

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// spellings are texts that MXs read as the mailbox in front.
var spellings = map[string][]string{
	"bob@acme.example": {
		"bob@acme.example", "BOB@Acme.Example", "bob@acme.example.", " bob@acme.example", "bob@acme.example ", "\tbob@acme.example\t",
		"bob @acme.example", "bob@ acme.example", "bob\t@\tacme.example", "bob@acme .example", "bob@acme. example",
		"@r.example:bob@acme.example", "@a.example,@b.example:bob@acme.example", "@ r.example , @b.example : bob@acme.example",
		"@[192.0.2.1]:bob@acme.example", "@[IPv6:2001:db8::1]:bob@acme.example",
		"bob(x)@acme.example", "(x)bob@acme.example", "bob@(x)acme.example", "bob@acme.example(x)", "bob@acme(x).example",
		"bob(a(b)c)@acme.example", `bob(\))@acme.example`, "bob@acme.example (one) (two)",
		`"bob"@acme.example`, `"b\ob"@acme.example`, `b\ob@acme.example`, `"BOB" @acme.example`, `\b\o\b@acme.example`,
		"bob@acme。example", "bob@acme．example", "bob@acme｡example", "bob@ａｃｍｅ.example", "bob@acme.example。", "bob@ac\u00adme.example",
	},
	"bob.lee@acme.example":                  {"bob.lee@acme.example", `bob."lee"@acme.example`, `"bob.lee"@acme.example`, "bob . lee@acme.example", "bob.(x)lee@acme.example"},
	"a..b.@acme.example":                    {"a..b.@acme.example", `"a..b."@acme.example`, `a\..b.@acme.example`},
	`"bob lee"@acme.example`:                {`"bob lee"@acme.example`, `"BOB\ lee"@acme.example`, `bob\ lee@acme.example`},
	`"b@c"@acme.example`:                    {`"b@c"@acme.example`, `b\@c@acme.example`, `"b\@c"@acme.example`},
	`"a\"b\\"@acme.example`:                 {`"a\"b\\"@acme.example`, `a\"b\\@acme.example`},
	`">"@acme.example`:                      {`">"@acme.example`, `\>@acme.example`},
	`""@acme.example`:                       {`""@acme.example`, `"" @acme.example`},
	"a@xn--bcher-kva.example":               {"a@bücher.example", "a@BÜCHER.example", "a@xn--bcher-kva.example", "a@XN--Bcher-KVA.example.", "a@bu\u0308cher.example", "a@bücher。example", "a@b\u00fcche\u200br.example"},
	"a@xn--fa-hia.example":                  {"a@faß.example", "a@xn--fa-hia.example"},
	"a@xn--wgv71a119e.xn--wgv71a119e":       {"a@日本語.日本語", "a@日本語。日本語."},
	"jürgen@acme.example":                   {"jürgen@acme.example", "JÜRGEN@acme.example", "ju\u0308rgen@acme.example", `"jürgen"@acme.example`},
	"a@[192.0.2.1]":                         {"a@[192.0.2.1]", "a@[ 192.0.2.1 ]", "a@[IPv6:::ffff:192.0.2.1]", "a@[ipv6:::ffff:c000:201]"},
	"a@[ipv6:2001:db8::1]":                  {"a@[IPv6:2001:db8::1]", "a@[ipv6:2001:DB8:0:0:0:0:0:1]", "a@[2001:db8::1]", "@r.example:a@[IPv6:2001:db8::1] "},
	"postmaster":                            {"postmaster", "Postmaster", " postmaster ", `"postmaster"`, "@r.example:postmaster"},
	"a_b@x_y.example":                       {"a_b@x_y.example", "A_B@X_Y.example."},
	"o'hara!#$%&*+-/=?^_`{|}~@acme.example": {"O'Hara!#$%&*+-/=?^_`{|}~@acme.example"},
	Null:                                    {"", " ", "\t", "@r:", "@r.example:", " @a.example,@b.example: ", `""`, ` "" `, "(nobody)", "()", "@r.example:(x)"},
	Unreadable: {
		"bob@", "@acme.example", "@", ":", ",", "bob@acme.example bob", "bob bob@acme.example", "bob@acme@evil.example", "bob@@acme.example",
		"a@x.example,b@x.example", "group:a@x.example;", "<bob@acme.example>", "bob@acme.example>", "bob(@acme.example", `bob\`, `"bob@acme.example`, `"bob"x@acme.example`,
		`x"bob"@acme.example`, "bob@.example", "bob@acme..example", "bob@acme.example..", ".", "..", "bob@.", "acme.example!bob", "bob%acme.example",
		"size=100", "bob@acme.example/x", "bob@a!b", "@r.example:@acme.example", "@r.example", "@r.example bob@acme.example", "@,@:bob@acme.example", "b\x00b@acme.example",
		"b\x7fb@acme.example", "bob@acme\x01.example", "bob\x00", "b\xe9@acme.example", "b@\xe9.example", "b@\ufffd.example", "bob＠acme.example", "bob@acme.example(", ")bob@acme.example",
		"bob@[192.0.2.1", "bob@[]", "bob@[192.0.2.001]", "bob@[fe80::1%eth0]", "bob@[x]y", `bob@[192\.0.2.1]`, "bob@#1", `"bob lee"`, `"b@c"`,
		"bob@" + strings.Repeat("a", 64) + ".example", "bob@" + strings.Repeat("a.", 127) + "example", "bob@℀.example", "bob@a\u0378.example", "bob;lee@acme.example",
		"bob@acme.example:x@evil.example", "\"bob\n\"@acme.example", `"bob"."@acme.example`, "jürgen", "bob@[é]",
	},
}

// law: I17
func TestForm(t *testing.T) {
	for want, texts := range spellings {
		for _, text := range texts {
			if got := Form([]byte(text)); got != want {
				t.Errorf("Form(%q) = %q, want %q", text, got, want)
			}
		}
	}
}

// A mailbox that is written in any of these ways, and in all of them at once, has one form; who differs in a letter has another.
//
// law: I17
func TestFormOfEverySpelling(t *testing.T) {
	blank := rapid.SampledFrom([]string{"", "", " ", "\t", "(x)", " (a(b) c) ", `(\))`})
	route := rapid.SampledFrom([]string{"", "", "@r.example:", "@a.example,@b.example:", "@[192.0.2.1]:"})
	rapid.Check(t, func(t *rapid.T) {
		local := rapid.StringMatching(`[a-z0-9]{1,6}([.+=_-][a-z0-9]{1,4}){0,2}`).Draw(t, "local")
		domain := rapid.SampledFrom([]string{"acme.example", "xn--bcher-kva.example", "[ipv6:2001:db8::1]", "a-b.c_d.example"}).Draw(t, "domain")
		want := local + "@" + domain
		written := map[string][]string{
			"acme.example":          {"acme.example", "ACME.example.", "acme。example", "ａcme.example"},
			"xn--bcher-kva.example": {"bücher.example", "BÜCHER.Example.", "XN--bcher-kva.example", "bu\u0308cher｡example"},
			"[ipv6:2001:db8::1]":    {"[IPv6:2001:db8::1]", "[IPv6:2001:DB8:0::1]"},
			"a-b.c_d.example":       {"A-b.c_d.example"},
		}[domain]
		spelled := route.Draw(t, "route") + blank.Draw(t, "before") + spellLocal(t, local) + blank.Draw(t, "behind") + "@" +
			blank.Draw(t, "before the domain") + rapid.SampledFrom(written).Draw(t, "written") + blank.Draw(t, "at the end")
		if got := Form([]byte(spelled)); got != want {
			t.Fatalf("Form(%q) = %q, want %q", spelled, got, want)
		}
		if other := Form([]byte("x" + spelled)); other == want {
			t.Fatalf("Form(%q) is somebody else's: %q", "x"+spelled, other)
		}
	})
}

// spellLocal writes a local part with capitals, escapes and quotes.
func spellLocal(t *rapid.T, local string) string {
	isQuoted := rapid.Bool().Draw(t, "quoted")
	var b strings.Builder
	for _, c := range local {
		switch rapid.IntRange(0, 3).Draw(t, "how") {
		case 0:
			b.WriteString(strings.ToUpper(string(c)))
		case 1:
			b.WriteString(`\` + string(c))
		default:
			b.WriteRune(c)
		}
	}
	if isQuoted {
		return `"` + b.String() + `"`
	}
	return b.String()
}

// checkForm holds for every text: its form is its own form, and fit to be shown; and what is taken for a form at a glance is one.
func checkForm(t *testing.T, text string) {
	form := Form([]byte(text))
	if form == Unreadable {
		return
	}
	if again := Form([]byte(form)); again != form {
		t.Fatalf("Form(%q) = %q, and of that %q", text, form, again)
	}
	if IsForm([]byte(text)) {
		if p, ok := parse([]byte(text)); text != form || !ok || p.null != (text == "") {
			t.Fatalf("%q is taken for a form, and is read as %+v, %t", text, p, ok)
		}
	}
	if strings.HasPrefix(form, "<") || strings.ContainsFunc(form, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
		t.Fatalf("Form(%q) = %q", text, form)
	}
	if domain := DomainOf(form); domain != "" {
		if again, ok := Domain(domain); !ok || again != domain {
			t.Fatalf("Domain(%q) = %q, %t", domain, again, ok)
		}
	}
	for _, f := range []*Fold{Default, {}} {
		account, how := f.Account(form)
		if again, more := f.Account(account); again != account || more != Nothing {
			t.Fatalf("account of %q: %q (%s), and of that %q (%s)", form, account, how, again, more)
		}
		if at := strings.LastIndexByte(account, '@'); account != Unreadable && (at == 0 || DomainOf(account) != DomainOf(form)) {
			t.Fatalf("account of %q: %q", form, account)
		}
		if named := Named(account); named != account && len(account) <= maxAccount && !strings.ContainsAny(account, " \t") {
			t.Fatalf("account of %q: %q, which names %q", form, account, named)
		}
	}
}

func FuzzForm(f *testing.F) {
	for _, texts := range spellings {
		for _, text := range texts {
			f.Add(text)
		}
	}
	for _, text := range []string{"prvs=1234abcdef=a-bounces+b=c.example@d", "\"srs0=ab=cd=e=f g\"@h", "B-Bounces-1-+@x", "\u037e@x", "\u1fef@x", "a@\u2024x", "İ@x", "K@x", "ǅ@x"} {
		f.Add(text)
	}
	f.Fuzz(checkForm)
}

// law: I17
func TestDomain(t *testing.T) {
	for name, want := range map[string]string{
		"acme.example": "acme.example", "Acme.Example.": "acme.example", "bücher.example": "xn--bcher-kva.example", "BÜCHER。example": "xn--bcher-kva.example",
		"xn--bcher-kva.example": "xn--bcher-kva.example", "localhost": "localhost", "[IPv6:2001:DB8::1]": "[ipv6:2001:db8::1]", "_dmarc.acme.example": "_dmarc.acme.example",
		"": "", ".": "", "..": "", ".acme.example": "", "a..b": "", "a b": "", "a@b": "", "*": "", "*.acme.example": "", "\xff": "", "a\x00b": "", "[": "", "[]": "",
	} {
		if got, ok := Domain(name); ok != (want != "") || ok && got != want {
			t.Errorf("Domain(%q) = %q, %t, want %q", name, got, ok, want)
		}
	}
	for text, want := range map[string]string{
		"*.Bücher.example.": "*.xn--bcher-kva.example", "acme.example": "acme.example", "*.": "", "*": "", "*.*.example": "", "*.[192.0.2.1]": "", "x*.example": "",
	} {
		if got, ok := Pattern(text); ok != (want != "") || ok && got != want {
			t.Errorf("Pattern(%q) = %q, %t, want %q", text, got, ok, want)
		}
	}
	d := NewDomains([]string{"bücher.example", "*.acme.example", "bad domain"})
	for domain, want := range map[string]bool{
		"xn--bcher-kva.example": true, "a.xn--bcher-kva.example": false, "acme.example": false, "a.acme.example": true, "b.a.acme.example": true, "xacme.example": false, "": false,
	} {
		if d.Has(domain) != want {
			t.Errorf("%q has %q: %t", d, domain, !want)
		}
	}
}

// Nearly every sender is in its form already: it costs the string at most, and none where that is there already.
func TestFormAllocates(t *testing.T) {
	plain := []byte("news-team.2@lists.acme.example")
	form := string(plain)
	if n := testing.AllocsPerRun(100, func() {
		if !IsForm(plain) {
			t.Error("not taken for a form")
		}
		if account, _ := Default.Account(form); account != form {
			t.Error(account)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if n := testing.AllocsPerRun(100, func() { form = Form(plain) }); n > 1 {
		t.Errorf("Form: %v allocations", n)
	}
}

func TestNamed(t *testing.T) {
	for text, want := range map[string]string{
		"alice": "alice", " Alice ": "alice", "alice@acme.example": "alice@acme.example", "<Alice@ACME.example.>": "alice@acme.example",
		"Mallory <mallory@acme.example>": "mallory@acme.example", `"Doe, John" <john@acme.example>`: "john@acme.example", "Doe, Jane <jane@acme.example>": "jane@acme.example",
		"eve@acme.example (Eve)": "eve@acme.example", "(Eve) eve@acme.example": "eve@acme.example", "eve@acme.example <eve@acme.example>": "eve@acme.example",
		"ceo@acme.example <eve@acme.example>": "eve@acme.example", `"<ceo@acme.example>" <eve@acme.example>`: "eve@acme.example", "=?utf-8?q?M=C3=BC?= <m@acme.example>": "m@acme.example",
		"=?x-unknown?q?M?= <m@acme.example>": "m@acme.example", "m@bücher.example": "m@xn--bcher-kva.example", `ACME\Bob`: `acme\bob`, "uid=bob,ou=x": Unreadable, "uid=bob": "uid=bob",
		"host.example: bob@acme.example": "host.example: bob@acme.example", "a@x.example, A@X.example": "a@x.example", "Bob <bob @ acme.example>": "bob@acme.example",
		"": Null, " \t ": Null, "<>": Null, "<srs>@Acme.example": "<srs>@acme.example", "<unreadable>": Unreadable, "<SRS>@": Unreadable,
		"a@x.example, b@x.example": Unreadable, "a@x.example b@x.example": Unreadable, "a@x.example; b@x.example": Unreadable, "<a@x.example> <b@x.example>": Unreadable,
		"a@x.example, b <c@x.example>": Unreadable, "Nobody <>": Unreadable, "<": Unreadable, "group: a@x.example;": "a@x.example", "a\x00b": Unreadable, "b\xe9": Unreadable,
		"<forwarded>": Forwarded, "<FORWARDED>": Forwarded, "forwarded": "forwarded", `"<forwarded>"@acme.example`: `"<forwarded>"@acme.example`,
		strings.Repeat("a", maxNamed+1): Unreadable,
	} {
		if got := Named(text); got != want {
			t.Errorf("Named(%q) = %q, want %q", text, got, want)
		}
	}
}
