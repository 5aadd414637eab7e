package config

import (
	"slices"
	"strings"
	"testing"
)

// mailOnly are the whole registered domains of the shipped file, and why nobody but the provider has a host in them.
var mailOnly = map[string]string{
	"*.mx.microsoft":          "Microsoft's own top-level domain; the zone was made for MXs",
	"*.mimecast.com":          "the company's; customers are at its hosts, and have none of their own there",
	"*.mimecast.co.za":        "the same",
	"*.mimecast-offshore.com": "the same",
	"*.pphosted.com":          "MXs that Proofpoint runs or names for customers, and nothing else",
	"*.ppe-hosted.com":        "the same, of the small ones",
	"*.iphmx.com":             "MXs that Cisco names for customers, and nothing else",
	"*.messagelabs.com":       "the filter's clusters",
}

// No name in the shipped file can be that of a subscriber, or of a host that somebody else may have.
//
// audit-A2
func TestNobodyElseSpeaksForAShippedProvider(t *testing.T) {
	list, errs := parseProviders("providers.toml", defaultProviders)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	var used []string
	for _, p := range list {
		for _, name := range p.MX {
			why := riskOf(&p, name)
			if mailOnly[name] != "" && strings.Contains(why, "registered") {
				used = append(used, name)
			} else if why != "" {
				t.Errorf("%s: %s: %s", p.Name, name, why)
			}
		}
		if p.CustomersRunMX && len(p.Domains) > 0 {
			t.Errorf("%s: its customers run its MXs, and it has recipient domains of its own?", p.Name)
		}
	}
	for name := range mailOnly {
		if !slices.Contains(used, name) {
			t.Errorf("%s is excused and stands nowhere", name)
		}
	}
}

func TestRiskyNamesOfMXs(t *testing.T) {
	own := Provider{Name: "isp", Domains: Names{"isp.example", "*.old.example"}}
	for name, risky := range map[string]bool{
		"mx1.isp.example": false, "*.mx.isp.example": false, "*.isp.example": true, "*.old.example": true, "*.hsd1.isp.example": true,
		"*.abo.wanadoo.fr": true, "*.Dyn.hosting.example": true, "*.hosting.example": true, "*.co.jp": true, "*.example": true,
		"*.l.google.com": false, "c-1-2-3-4.hsd1.ma.isp.example": false, // one host, which the operator has named
	} {
		if why := riskOf(&own, name); (why != "") != risky {
			t.Errorf("%s: %q", name, why)
		}
	}
}

// An operator hears of the risky names of his own file, and of none of kanmon's.
func TestCheckTellsOfRiskyProviders(t *testing.T) {
	const file = "[[provider]]\nname = 'isp'\ndomains = 'isp.example'\nmx = ['mx1.isp.example', '*.isp.example']\nblock_codes = ['5.7.606-649']\n"
	cfg, _, err := parseWithProviders(t, file, "")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, risky := range cfg.RiskyNames() {
		found = append(found, risky.Name)
	}
	if len(found) != 1 || found[0] != "*.isp.example" {
		t.Errorf("%q", found)
	}
	if _, _, err := parseWithProviders(t, strings.Replace(file, "5.7.606-649", "too bad", 1), ""); err == nil || !strings.Contains(err.Error(), "block_codes[0]") {
		t.Errorf("a code that is none: %v", err)
	}
}
