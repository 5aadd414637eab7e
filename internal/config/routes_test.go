package config

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func TestBadProviders(t *testing.T) {
	compareErrors(t, "testdata/bad_providers/*.toml", 2, func(doc []byte) error {
		_, errs := parseProviders("providers.toml", doc)
		return errs
	})
}

// The shipped file has no error, no provider without a source, and what the documentation promises.
func TestDefaultProviders(t *testing.T) {
	list, errs := parseProviders("providers.toml", defaultProviders)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	var names []string
	for _, p := range list {
		names = append(names, p.Name)
		if p.Source == "" {
			t.Errorf("%s: no source", p.Name)
		}
	}
	for _, name := range []string{
		"google", "yahoo", "yahoo-japan", "outlook", "office365", "apple", "docomo", "au", "uq", "softbank", "comcast", "att", "cox", "spectrum",
		"orange", "gmx", "mail-com", "t-online", "kpn", "netvigator", "qq", "netease", "mimecast", "barracuda", "proofpoint", "cisco", "messagelabs",
	} {
		if !slices.Contains(names, name) {
			t.Errorf("no provider %s", name)
		}
	}
}

// parseWithProviders parses a configuration that names a file with this content.
func parseWithProviders(t *testing.T, content, rest string) (*Config, string, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "providers.toml")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := Parse("kanmon.toml", []byte("providers_file = "+strconv.Quote(path)+"\n"+rest))
	return cfg, path, err
}

func TestProvidersFile(t *testing.T) {
	const own = "[[provider]]\nname = 'google'\nmx = 'mx.google.example'\n[[provider]]\nname = 'hosting'\ndomains = ['hosting.example']\n"
	const route = "[[route]]\nprovider = ['hosting', 'google', 'docomo']\npool = 'default'\n"
	cfg, path, err := parseWithProviders(t, own, route)
	if err != nil {
		t.Fatal(err)
	}
	if cfg.ProvidersFile != path {
		t.Errorf("providers_file = %q, want %q", cfg.ProvidersFile, path)
	}
	defaults, _ := parseProviders("providers.toml", defaultProviders)
	all := cfg.Providers()
	if len(all) != len(defaults)+1 {
		t.Errorf("%d providers, want the %d defaults and one more", len(all), len(defaults))
	}
	found := 0
	for _, p := range all {
		if p.Name == "google" {
			found++
			if !slices.Equal(p.MX, []string{"mx.google.example"}) || len(p.Domains) > 0 {
				t.Errorf("google is %+v, want the operator's alone", p)
			}
		}
	}
	if found != 1 {
		t.Errorf("google stands %d times in the list", found)
	}
}

// Errors in the file name the file and its lines; those of the configuration are told with them.
func TestProvidersFileErrors(t *testing.T) {
	_, path, err := parseWithProviders(t, "[[provider]]\nname = 'own'\nmx = 'a b'\n", "[drain]\ntimeout = '1ms'\n[[route]]\nprovider = 'own'\npool = 'default'\n")
	if err == nil {
		t.Fatal("no error")
	}
	text := err.Error()
	for _, want := range []string{"kanmon.toml:3:11: drain.timeout", path + ":3:6: provider[0].mx[0]: \"a b\" is not a domain"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in:\n%s", want, text)
		}
	}
	if strings.Contains(text, "there is no provider") {
		t.Errorf("a provider is said to be missing, and the file could not be read:\n%s", text)
	}
}

func TestTenantsBehindOneSource(t *testing.T) {
	cfg, err := Parse("kanmon.toml", []byte(`
[[tenant]]
name = "shared"
sources = ["10.20.0.0/16"]
[[tenant]]
name = "acme"
sources = ["10.20.1.0/24"]
sender_domains = ["acme.example", "*.acme.example"]
[[tenant]]
name = "blue"
sources = ["10.20.1.0/24"]
sender_domains = ["blue.example", "acme.example.net"]
`))
	if err != nil {
		t.Fatalf("tenants that sender domains tell apart:\n%v", err)
	}
	for i, tenant := range cfg.Tenants {
		if tenant.Pool != "default" {
			t.Errorf("tenant %d has pool %q", i, tenant.Pool)
		}
	}
	if line := cfg.Line("tenant[1]"); line != 5 {
		t.Errorf("tenant[1] stands in line %d, want 5", line)
	}
}

func TestRouteCovers(t *testing.T) {
	for _, tc := range []struct {
		name, wider, narrower string
		want                  bool
	}{
		{"no condition", "", "provider = 'google'", true},
		{"the same", "provider = 'google'", "provider = 'google'", true},
		{"one of two", "provider = ['google', 'yahoo']", "provider = 'yahoo'", true},
		{"two of one", "provider = 'google'", "provider = ['google', 'yahoo']", false},
		{"fewer conditions", "provider = 'google'", "provider = 'google'\nnull_sender = true", true},
		{"more conditions", "provider = 'google'\nnull_sender = true", "provider = 'google'", false},
		{"domain below", "sender_domain = '*.acme.example'", "sender_domain = 'news.ACME.example'", true},
		{"domains below", "sender_domain = '*.acme.example'", "sender_domain = '*.news.acme.example'", true},
		{"domain itself", "sender_domain = '*.acme.example'", "sender_domain = 'acme.example'", false},
		{"domain beside", "recipient_domain = '*.acme.example'", "recipient_domain = 'bacme.example'", false},
		{"sender of the domain", "sender_domain = 'acme.example'", "sender = 'news@acme.example'", true},
		{"sender of another domain", "sender_domain = 'acme.example'", "sender = 'news@blue.example'", false},
		{"network inside", "destination = '192.0.2.0/24'", "destination = ['192.0.2.7/32', '192.0.2.128/25']", true},
		{"network outside", "destination = '192.0.2.0/24'", "destination = '192.0.2.0/23'", false},
		{"higher score", "suspicion_min = 0.5", "suspicion_min = 0.8", true},
		{"lower score", "suspicion_min = 0.8", "suspicion_min = 0.5", false},
		{"no score", "suspicion_min = 0.8", "null_sender = true", false},
		{"tenants", "tenant = 'acme'", "tenant = 'blue'", false},
	} {
		doc := "[[route]]\n" + tc.wider + "\npool = 'default'\n[[route]]\n" + tc.narrower + "\npool = 'default'\n" +
			"[[tenant]]\nname = 'acme'\nsources = ['10.20.1.0/24']\n[[tenant]]\nname = 'blue'\nsources = ['10.20.2.0/24']\n"
		cfg, err := Parse("kanmon.toml", []byte(doc))
		if err != nil {
			t.Fatalf("%s: %v", tc.name, err)
		}
		if got := cfg.Routes[0].covers(&cfg.Routes[1]); got != tc.want {
			t.Errorf("%s: %q covers %q: %t, want %t", tc.name, tc.wider, tc.narrower, got, tc.want)
		}
	}
}

// A route is forestalled by one that says the same in another spelling: they match by one form of a name.
func TestForestalledInAnotherSpelling(t *testing.T) {
	for name, c := range map[string]struct {
		earlier, later string
		want           bool
	}{
		"an IDN":                  {"sender_domain = 'bücher.example'", "sender_domain = 'XN--BCHER-KVA.example'", true},
		"a zone of an IDN":        {"sender_domain = '*.bücher.example'", "sender_domain = 'a.xn--bcher-kva.example'", true},
		"a sender in an IDN":      {"sender_domain = 'bücher.example'", "sender = 'bob@xn--bcher-kva.example'", true},
		"a sender in quotes":      {"sender = 'bob@acme.example'", "sender = '\"bob\"@ACME.example'", true},
		"a recipient's zone":      {"recipient_domain = '*.example.jp'", "recipient_domain = '*.a.EXAMPLE.jp'", true},
		"another domain":          {"sender_domain = 'bücher.example'", "sender_domain = 'bucher.example'", false},
		"the domain, by its zone": {"sender_domain = '*.acme.example'", "sender_domain = 'acme.example'", false},
	} {
		cfg, err := Parse("kanmon.toml", []byte("[[route]]\n"+c.earlier+"\nsoften = false\n[[route]]\n"+c.later+"\nsoften = true\n"))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if _, found := cfg.Forestalled(1); found != c.want {
			t.Errorf("%s: forestalled %v, want %v", name, found, c.want)
		}
	}
}
