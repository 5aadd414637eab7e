package rspamd

import (
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/net/http/httpguts"

	"kanmon/internal/event"
	"kanmon/internal/policy/inspect"
)

// Addresses as Rspamd 3.4 was seen to read them; test/scanners asks it about the same ones.
func TestAddresses(t *testing.T) {
	for in, want := range map[string]string{
		"a@b.example":                      "a@b.example",
		"A+x=y@B.EXAMPLE":                  "A+x=y@b.example",
		"a..b@docomo.example":              `"a..b"@docomo.example`,
		".a@docomo.example":                `".a"@docomo.example`,
		"a.@docomo.example":                `"a."@docomo.example`,
		`"a b"@b.example`:                  `"a b"@b.example`,
		`"a@b"@b.example`:                  `"a@b"@b.example`,
		`"a\"b"@b.example`:                 `"a\"b"@b.example`,
		"é@b.example":                      "%C3%A9@b.example",
		"é..x@bücher.example":              `"%C3%A9..x"@xn--bcher-kva.example`,
		"日本@日本.example":                    "%E6%97%A5%E6%9C%AC@xn--wgv71a.example",
		"a@[192.0.2.1]":                    "a@[192.0.2.1]",
		"a@[IPv6:2001:db8::1]":             "a@[IPv6:2001:db8::1]",
		"a@under_score.example":            "a@under_score.example",
		"a@b.example.":                     "a@b.example",
		"postmaster":                       "postmaster@localhost",
		"Postmaster":                       "postmaster@localhost",
		"@relay.example,@x.example:a@b.jp": "a@b.jp",
		"!#$%&'*+-/=?^_`{|}~@b.example":    "!#$%&'*+-/=?^_`{|}~@b.example",
		`"a b"@@x`:                         "",
		"a@b@c.example":                    "",
		"a\nb@b.example":                   "",
		"a@b.example\r\nX-Y: z":            "",
		"a\x00@b.example":                  "",
		"a\x7f@b.example":                  "",
		"a b@b.example":                    "",
		`a"b@b.example`:                    "",
		`"a@b.example`:                     "",
		`"a"b@c.example`:                   "",
		"@b.example":                       "",
		"a@":                               "",
		"a":                                "",
		"":                                 "",
		"a@-b.example":                     "",
		"a@_b.example":                     "",
		"a@b..example":                     "",
		"a@[1.2.3]":                        "",
		"a@[192.0.2.1":                     "",
		"a@b.example,c@d.example":          "",
		"a@<b.example>":                    "",
		"a@" + strings.Repeat("b", 64):     "",
		"a@b\xffc.example":                 "",
	} {
		got, err := address(in)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v; want %q", in, got, err, want)
		}
	}
}

// What cannot stand in a field is the sender's doing, whichever field it is, and nobody is asked.
func TestWhatCannotStandInAField(t *testing.T) {
	e := engine(t, Settings{Address: "http://127.0.0.1:1"})
	for name, spoil := range map[string]func(*inspect.Mail){
		"sender":    func(m *inspect.Mail) { m.Sender = "a\r\nUser: x@b.example" },
		"recipient": func(m *inspect.Mail) { m.Recipients = append(m.Recipients, `"a b"@@x`) },
		"recipient, 1001": func(m *inspect.Mail) {
			m.Recipients = append(strings.Split(strings.Repeat("a@b.jp ", 1000), " ")[:1000], "a@@")
		},
		"account":    func(m *inspect.Mail) { m.Account = "a\nb" },
		"no account": func(m *inspect.Mail) { m.Account, m.Tenant = "", "" },
		"helo":       func(m *inspect.Mail) { m.Helo = "a\x00b" },
	} {
		m := mail("x")
		spoil(m)
		if got := e.Scan(t.Context(), m); got.State != event.ScanFailed || got.Lack != event.LackUnfit || !strings.HasPrefix(got.Why, "cannot be put to the scanner: ") {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// What stands in fields, when it can stand there.
func TestFields(t *testing.T) {
	m := mail("x")
	m.Account, m.Helo, m.Source = " é x ", "bücher", netip.MustParseAddr("::ffff:192.0.2.1")
	m.Recipients = strings.Split(strings.Repeat("a@b.jp ", 1200), " ")[:1200]
	h, err := fieldsOf(m, "")
	if err != nil {
		t.Fatal(err)
	}
	if h["User"][0] != "%20%C3%A9 x%20" || h["Helo"][0] != "b%C3%BCcher" || h["Ip"][0] != "192.0.2.1" || len(h["Rcpt"]) != mostRecipients || h["Settings-Id"] != nil {
		t.Errorf("%+v", h)
	}
	m.Account = ""
	if h, err = fieldsOf(m, ""); err != nil || h["User"][0] != m.Tenant {
		t.Errorf("without an account: %q, %v", h["User"], err)
	}
}

// FuzzAddress: what is made of any address is one line of visible ASCII and blanks, which HTTP takes, with one @ outside of quotes.
func FuzzAddress(f *testing.F) {
	for _, seed := range []string{"a@b.example", `"a b"@@x`, "é@é", "a..b@x", "@a:b@c", `"\`, "postmaster", "a@[::1]", "a@xn--a"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		got, err := address(in)
		if err != nil {
			return
		}
		if !httpguts.ValidHeaderFieldValue(got) || strings.ContainsFunc(got, func(r rune) bool { return r < ' ' || r > '~' }) || !strings.Contains(got, "@") {
			t.Errorf("%q becomes %q", in, got)
		}
		if again, err := address(got); err != nil || again != got {
			t.Errorf("%q becomes %q, and that %q, %v", in, got, again, err)
		}
	})
}
