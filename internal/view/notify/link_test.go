package notify

import "testing"

func TestALinkLeadsToAPageThatThereIs(t *testing.T) {
	w := &words{page: "https://gw1.example"}
	for want, e := range map[string]Event{
		"https://gw1.example/providers/docomo%2Fau":      {Type: "provider.slow", Data: Data{Provider: "docomo/au"}},
		"https://gw1.example/find?term=64d9a07b2e1c8f35": {Type: "mail.ambiguous", Data: Data{Session: 0x64d9a07b2e1c8f35}},
		"https://gw1.example/refusals":                   {Type: "refusal.new_kind"},
		"https://gw1.example/timeline":                   {Type: "gateway.drain"},
		"https://gw1.example/audit":                      {Type: "order.done"},
	} {
		if got := w.link(&e); got != want {
			t.Errorf("%s: %s, want %s", e.Type, got, want)
		}
	}
}
