package config

import (
	"net/netip"
	"testing"
)

// A page at an address that others reach speaks TLS, with a certificate or with one that is made.
func TestPageWithTLS(t *testing.T) {
	const doc = "[web]\nlisten = '[2001:db8::1]:443'\ntls = true\n"
	for _, more := range []string{"", "certificate = '/etc/kanmon/web.pem'\nkey = '/etc/kanmon/web.key'\n"} {
		cfg, err := Parse("kanmon.toml", []byte(doc+more))
		if err != nil {
			t.Fatal(err)
		}
		if w := cfg.Web; !w.TLS || (w.Certificate == "/etc/kanmon/web.pem") != (more != "") || (w.Key == "/etc/kanmon/web.key") != (more != "") || w.UnixSocket() != "" ||
			w.Address() != netip.MustParseAddrPort("[2001:db8::1]:443") {
			t.Errorf("%q is read as %+v", more, w)
		}
	}
}

// Without a word about it the page is at this host alone, and a socket is one.
func TestPageIsForThisHost(t *testing.T) {
	cfg, err := Parse("kanmon.toml", nil)
	if err != nil || !cfg.Web.Address().Addr().IsLoopback() {
		t.Errorf("%v, listen %q", err, cfg.Web.Listen)
	}
	cfg, err = Parse("kanmon.toml", []byte("[web]\nlisten = 'unix:/run/web.sock'\n"))
	if err != nil || cfg.Web.UnixSocket() != "/run/web.sock" || cfg.Web.Address().IsValid() {
		t.Errorf("%v, listen %q", err, cfg.Web.Listen)
	}
}
