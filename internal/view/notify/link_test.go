package notify

import "testing"

func TestALinkLeadsToAPageThatThereIs(t *testing.T) {
	w := &words{page: "https://gw1.example"}
	for want, e := range map[string]Event{
		"https://gw1.example/providers/docomo%2Fau":           {Type: "provider.slow", Data: Data{Provider: "docomo/au"}},
		"https://gw1.example/find?term=64d9a07b2e1c8f35":      {Type: "mail.ambiguous", Data: Data{Session: 0x64d9a07b2e1c8f35}},
		"https://gw1.example/ips/203.0.113.10":                {Type: "ip.listed", Data: Data{SendingIP: ip10}},
		"https://gw1.example/ips":                             {Type: "pool.exhausted", Data: Data{Pool: "default", Provider: "docomo"}},
		"https://gw1.example/tenants/acme/a/bob@acme.example": {Type: "account.contained", Data: Data{Tenant: "acme", Account: "bob@acme.example"}},
		"https://gw1.example/tenants/acme":                    {Type: "account.contained", Data: Data{Tenant: "acme", Account: "3b98c9d5cdaf@acme.example"}},
		"https://gw1.example/tenants/a%2Fb":                   {Type: "tenant.contained", Data: Data{Tenant: "a/b"}},
		"https://gw1.example/tenants":                         {Type: "spoofing.first"},
		"https://gw1.example/":                                {Type: "digest"},
		"https://gw1.example/refusals":                        {Type: "refusal.new_kind"},
		"https://gw1.example/timeline":                        {Type: "gateway.draining"},
		"https://gw1.example/audit":                           {Type: "order.done"},
	} {
		if got := w.link(&e); got != want {
			t.Errorf("%s: %s, want %s", e.Type, got, want)
		}
	}
}
