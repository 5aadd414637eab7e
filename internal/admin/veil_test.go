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
		"bob@example.com":                         "…@example.com",
		"550 <bob.smith+x@example.com>: no":       "550 <…@example.com>: no",
		`"b o b"@example.com and al@b.example`:    "…@example.com and …@b.example",
		"/accounts/bob%40example.com?tenant=acme": "/accounts/…%40example.com?tenant=acme",
		"user=bob@example.com":                    "user=…@example.com",
		"no address at all":                       "no address at all",
		"ボブ@example.jp":                           "…@example.jp",
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
