package veil

import (
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Of an address what stands before the @ is hidden, in whatever it stands.
func TestAddressesAreVeiled(t *testing.T) {
	for text, want := range map[string]string{
		"bob@example.com":                            "…@example.com",
		"550 <bob.smith+x@example.com>: no":          "550 <…@example.com>: no",
		`"b o b"@example.com and al@b.example`:       "…@example.com and …@b.example",
		"/accounts/bob%40example.com?tenant=acme":    "/accounts/…%40example.com?tenant=acme",
		"user=bob@example.com":                       "…@example.com",
		"/attempts?account=bob%40a.example&last=1":   "/attempts?account=…%40a.example&last=1",
		"/refusals?last=1&shape=no+bob%40a.example":  "/refusals?last=1&shape=…%40a.example",
		"bounces+bob=example.com@lists.example":      "…@lists.example",
		"SRS0=x=y=a.example=bob@b.example":           "…@b.example",
		"bob/sales@example.com":                      "…@example.com",
		"see https://a.example/?e=bob%2540b.example": "see https://a.example/?e=…%2540b.example",
		"bob&#64;example.com":                        "…&#64;example.com",
		"?shape=bob%EF%BC%A0b.example":               "?shape=…%EF%BC%A0b.example",
		"bob＠example.com":                            "…@example.com",
		"no address at all":                          "no address at all",
		"ボブ@example.jp":                              "…@example.jp",
	} {
		if got := Text(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

type said struct {
	Account string
	Reply   string
}

type subject struct{ Tenant, Account string }

type shown struct {
	subject
	When time.Time
	IP   netip.Addr
	Any  any
	Map  map[string][]string
	Near *said
	List [1]said
}

// All of a model is looked through, and what it was made of stays as it is.
func TestModelsAreVeiledAsAWhole(t *testing.T) {
	const bob = "bob@example.com"
	own := shown{
		subject: subject{Tenant: "acme", Account: bob}, When: time.Unix(1, 0), IP: netip.MustParseAddr("::1"),
		Any: []any{bob, map[string]any{bob: bob}}, Map: map[string][]string{bob: {bob}}, Near: &said{Reply: bob}, List: [1]said{{Account: bob}},
	}
	got := Model(own).(shown)
	for name, text := range map[string]string{
		"embedded": got.Account, "interface": got.Any.([]any)[0].(string), "map": got.Map["…@example.com"][0], "near": got.Near.Reply, "array": got.List[0].Account,
	} {
		if strings.Contains(text, "bob") || text == "" {
			t.Errorf("%s: %q", name, text)
		}
	}
	if got.When != own.When || got.IP != own.IP || got.Tenant != "acme" {
		t.Error("what is no text has changed")
	}
	if own.Account != bob || own.Near.Reply != bob || own.Map[bob][0] != bob {
		t.Error("the original has changed")
	}
}

// Who is named anywhere on a page is hidden in each of its texts, and names that are no texts stay: a tenant, a link.
func TestAPersonIsHiddenInAllTextsOfAModel(t *testing.T) {
	got := Model([]said{
		{"bob", "550 5.1.1 Bob: user unknown"}, {"x", "/tenants/bob/history"}, {"<Bob+news@example.com>", "x"}, {"y", "bob.example is bobby's, not bob's @bob.example"},
	}).([]said)
	for i, want := range []said{
		{"bob", "550 5.1.1 …: user unknown"}, {"x", "/tenants/bob/history"}, {"<…@example.com>", "x"}, {"y", "….example is bobby's, not …'s @bob.example"},
	} {
		if got[i] != want {
			t.Errorf("%+v, want %+v", got[i], want)
		}
	}
}

// A reply names a mailbox in many ways, and each is hidden of those that the mail was to.
func TestRepliesNameNobody(t *testing.T) {
	for reply, to := range map[string]string{
		"550 5.1.1 alice.b: no such user":                      "alice.b@example.com",
		"550 5.1.1 mailbox 'ALICE.B' unavailable":              "alice.b@example.com",
		"550 no mailbox here by the name of\n550 <alice.b>":    "<alice.b@example.com>",
		"550 user=alice.b; see http://x.example/?who=alice.b":  "alice.b@example.com",
		"550 (alice.b) is over quota":                          `"alice.b"@example.com`,
		"550 5.2.2 alice.b@example.com alice.b alice.b+x full": "alice.b+x@example.com",
		"550 xalice.bryantx":                                   "alice.bryant@example.com",
		"550 アリスさん、該当ユーザーが存在しません":                              "アリスさん@example.jp",
		"550 \xffalice.b\xfe unknown":                          "alice.b@example.com",
		"550 From: alice.b bounced":                            "Alice <alice.b@example.com>",
		"550 alice b: unknown":                                 `"alice b"@example.com`,
		`550 "alice\"b": unknown`:                              `"alice\"b"@example.com`,
	} {
		got := Said(reply, "", to)
		if strings.Contains(strings.ToLower(got), "alice") || strings.Contains(got, "アリス") || !strings.Contains(got, "…") || !strings.HasPrefix(got, "550 ") {
			t.Errorf("%q to %q: %q", reply, to, got)
		}
	}
	for _, reply := range []string{"550 5.7.1 information about this is at mail.example.com", "250 2.0.0 Ok", ""} {
		if got := Said(reply, "info@example.com", "", "@", "in@x"); got != reply {
			t.Errorf("%q: %q", reply, got)
		}
	}
}

// Where there are more people than are remembered, texts are hidden as a whole.
func TestTooManyPeopleAreHiddenAll(t *testing.T) {
	var p People
	for i := range mostPeople + 1 {
		p.Add("u" + strconv.Itoa(i) + "@example.com")
	}
	if got := p.Of("550 bob: unknown"); got != hidden {
		t.Errorf("%q", got)
	}
	if got := p.Of("bob"); got != "bob" {
		t.Errorf("a name: %q", got)
	}
}
