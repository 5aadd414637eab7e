package admin

import (
	"net/netip"
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
		if got := VeilText(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

type shown struct {
	Sender
	When time.Time
	IP   netip.Addr
	Any  any
	Map  map[string][]string
	Near *Sample
	List [1]Sample
}

// All of a model is looked through, and what it was made of stays as it is.
func TestModelsAreVeiledAsAWhole(t *testing.T) {
	const bob = "bob@example.com"
	own := shown{
		Sender: Sender{Subject: Subject{Tenant: "acme", Account: bob}, Block: &ByHand{Why: bob}}, When: time.Unix(1, 0), IP: netip.MustParseAddr("::1"),
		Any: []any{bob, map[string]any{bob: bob}}, Map: map[string][]string{bob: {bob}}, Near: &Sample{Reply: bob}, List: [1]Sample{{Account: bob}},
	}
	got := Veiled(own).(shown)
	for name, text := range map[string]string{
		"embedded": got.Account, "pointer": got.Block.Why, "interface": got.Any.([]any)[0].(string), "map": got.Map["…@example.com"][0], "near": got.Near.Reply, "array": got.List[0].Account,
	} {
		if strings.Contains(text, "bob") || text == "" {
			t.Errorf("%s: %q", name, text)
		}
	}
	if got.When != own.When || got.IP != own.IP || got.Tenant != "acme" {
		t.Error("what is no text has changed")
	}
	if own.Account != bob || own.Block.Why != bob || own.Near.Reply != bob || own.Map[bob][0] != bob {
		t.Error("the original has changed")
	}
}
