package check

import (
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"testing"
	"time"

	"kanmon/internal/outlet/trust/dns"
	"kanmon/internal/outlet/trust/sts"
	"kanmon/test/dnszone"
)

// answers has every DNS server give one answer about the root.
func answers(a dns.Answer) func(*rig) {
	return func(r *rig) { r.Root = func(string) dns.Answer { return a } }
}

// builtAt has the program built so long behind what the clock shows.
func builtAt(behind time.Duration) func(*rig) {
	return func(r *rig) { r.Built = r.Now().Add(behind) }
}

// both does two things to a host.
func both(first, second func(*rig)) func(*rig) {
	return func(r *rig) { first(r); second(r) }
}

// A resolver that answers and validates is asked as it is, and found well; one that is not there is not.
func TestTheResolverIsAskedAboutTheRoot(t *testing.T) {
	server := dnszone.Serve(t, ". SIGNED\n")
	r := newRig(t)
	doc := plain + "[tls_policy]\nmode = 'enforce'\nresolver = '" + server.Addr + "'\nstore = 'off'\n"
	r.wantOnly(r.check(doc), "", "")
	conn, err := net.ListenPacket("udp", "127.0.0.1:0") // who says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	r.wantOnly(r.check(edited(doc, server.Addr, conn.LocalAddr().String())), "tls-resolver-silent", "does not answer")
}

// A clock that is set back is seen by the time that the file of policies has seen.
func TestAClockBehindThePoliciesIsFound(t *testing.T) {
	r := newRig(t)
	answers(dns.Answer{Outcome: dns.Found, Secure: true})(r)
	for _, c := range []struct {
		after time.Duration
		want  string
	}{{time.Minute, ""}, {time.Hour, "this host's clock shows 2026-07-01 00:00:00 UTC, and "}} {
		path := filepath.Join(r.dir, fmt.Sprintf("tls%d.db", c.after))
		file, err := sts.OpenSQLite(path)
		if err == nil {
			err = errors.Join(file.Save(nil, r.Now().Add(c.after)), file.Close())
		}
		if err != nil {
			t.Fatal(err)
		}
		id := ""
		if c.want != "" {
			id = "clock-behind"
		}
		r.wantOnly(only(r.check(fmt.Sprintf("%s[tls_policy]\nmode = 'enforce'\nresolver = '127.0.0.1:53'\nstore = '%s'\n", plain, path)), "clock-behind"), id, c.want)
	}
}

func policyRows() []row {
	const (
		observed = plain + "[tls_policy]\nresolver = '127.0.0.1:53'\nstore = 'off'\n"
		enforced = plain + "[tls_policy]\nmode = 'enforce'\nresolver = '127.0.0.1:53'\nstore = 'off'\n"
		reported = "[tls_report]\nsocket = '/run/tlsrpt/collectd.sock'\n"
		passing  = "[[destination]]\nnetworks = ['198.51.100.0/24']\npassthrough = true\n"
	)
	well, blind := answers(dns.Answer{Outcome: dns.Found, Secure: true}), answers(dns.Answer{Outcome: dns.Found})
	silent := answers(dns.Answer{Err: errors.New("i/o timeout")})
	return []row{
		{id: "tls-resolver-silent", name: "resolver down", doc: observed, host: silent, want: "tls_policy.resolver: 127.0.0.1:53 does not answer: i/o timeout", good: observed, goodHost: well},
		{id: "tls-resolver-blind", name: "resolver that does not validate", doc: observed, host: blind, want: "127.0.0.1:53 does not validate DNSSEC", good: edited(observed, "store", "dane = false\nstore"), goodHost: blind},
		{
			id: "tls-resolver-blind", name: "resolver elsewhere", doc: edited(observed, "127.0.0.1", "192.0.2.53"), host: well, want: "192.0.2.53:53 is not on this host, and trust_ad is not set",
			good: edited(edited(observed, "127.0.0.1", "192.0.2.53"), "store", "trust_ad = true\nstore"), goodHost: well,
		},
		{id: "tls-reports-unused", name: "reports of mode observe", doc: observed + reported, host: well, want: "note: kanmon.toml:13: tls_report.socket: no TLS report is made", good: enforced + reported, goodHost: well},
		{id: "tls-msa-settings", name: "what MSAs want, before they are enforced", doc: observed, host: well, want: "tls_policy.mode: kanmon observes. Before it enforces: MSAs must not want", good: enforced, goodHost: well},
		{id: "tls-roots-none", name: "no authority", doc: edited(enforced, "store", "roots = '/dev/null'\nstore"), host: well, want: "tls_policy.roots: /dev/null has no certificate", good: enforced, goodHost: well},
		{id: "file-missing", name: "no file of authorities", doc: edited(enforced, "store", "roots = '/nowhere/roots.pem'\nstore"), host: well, want: "/nowhere/roots.pem", good: enforced, goodHost: well},
		{id: "folder-missing", name: "no folder for policies", doc: edited(enforced, "store = 'off'", "store = 'DIR/nowhere/tls.db'"), host: well, want: "tls_policy.store", good: enforced, goodHost: well},
		{id: "clock-behind", name: "a clock before the build", doc: enforced, host: both(well, builtAt(time.Hour)), want: "this host's clock shows 2026-07-01 00:00:00 UTC, and this kanmon was built at 2026-07-01 01:00:00 UTC", good: enforced, goodHost: both(well, builtAt(-time.Hour))},
		{id: "tls-policy-passed", name: "a destination that is passed through", doc: enforced + passing, host: well, want: "destination[0].passthrough: kanmon asks nothing of the MXs here", good: observed + passing, goodHost: well},
	}
}
