package provider

import "testing"

func TestSet(t *testing.T) {
	s := NewSet([]Provider{
		{Name: "google", Domains: []string{"gmail.com"}, MX: []string{"*.google.com", "*.googlemail.com"}},
		{Name: "outlook", MX: []string{"*.olc.protection.outlook.com"}},
		{Name: "office365", MX: []string{"*.protection.outlook.com"}},
		{Name: "docomo", Domains: []string{"*.Docomo.ne.jp"}, MX: []string{"mfsmax.docomo.ne.jp"}},
		{Name: "own", MX: []string{"mx.google.com", "*.googlemail.com"}},
	})
	for host, want := range map[string]string{
		"aspmx.l.google.com":                   "google",
		"ASPMX.L.Google.COM.":                  "google",
		"google.com":                           "", // not below itself
		"notgoogle.com":                        "",
		"mx.google.com":                        "own", // the exact name wins
		"alt1.mx.google.com":                   "google",
		"aspmx2.googlemail.com":                "own", // the later one wins
		"a.olc.protection.outlook.com":         "outlook",
		"acme-com.mail.protection.outlook.com": "office365",
		"mfsmax.docomo.ne.jp":                  "docomo",
		"mx.mfsmax.docomo.ne.jp":               "",
		"google.com.evil.example":              "",
		"":                                     "",
		".":                                    "",
		"..google.com":                         "google",
	} {
		if got, name := s.OfMX(host); got != want || (name == "") != (want == "") {
			t.Errorf("MX %q: provider %q by %q, want %q", host, got, name, want)
		}
	}
	for domain, want := range map[string]string{"gmail.com": "google", "GMAIL.com": "google", "x.gmail.com": "", "mb.docomo.ne.jp": "docomo", "docomo.ne.jp": ""} {
		if got, _ := s.OfDomain(domain); got != want {
			t.Errorf("domain %q: provider %q, want %q", domain, got, want)
		}
	}
	if n := testing.AllocsPerRun(100, func() { s.OfMX("alt1.aspmx.l.google.com.") }); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}
