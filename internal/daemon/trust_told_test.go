package daemon

import (
	"errors"
	"net/http"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kanmon/internal/admin"
	"kanmon/internal/outlet/trust/dns"
	"kanmon/internal/outlet/trust/sts"
	"kanmon/test/dnszone"
)

const policyZone = `
. SIGNED
plain.example. UNSIGNED
plain.example. MX 10 mx1.plain.example.
mx1.plain.example. A 192.0.2.1
dane.example. MX 10 mx1.dane.example.
mx1.dane.example. A 192.0.2.2
_25._tcp.mx1.dane.example. TLSA 3 1 1 0000000000000000000000000000000000000000000000000000000000000000
broken.example. MX 10 mx1.broken.example.
mx1.broken.example. A 192.0.2.3
_25._tcp.mx1.broken.example. SERVFAIL
six.example. UNSIGNED
six.example. MX 10 mx1.six.example.
mx1.six.example. AAAA 2001:db8::25
kept.example. UNSIGNED
kept.example. MX 10 new.kept.example.
new.kept.example. A 192.0.2.4
null.example. MX 0 .
`

// withPolicies is a kanmon that knows one MTA-STS policy, whose owner has another MX by now.
func withPolicies(t *testing.T, tables string) (*world, *admin.Client) {
	t.Helper()
	zone := dnszone.Serve(t, policyZone)
	dir := t.TempDir()
	file, err := sts.OpenSQLite(filepath.Join(dir, "sts.db"))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().Truncate(time.Second)
	row := sts.Row{Domain: "kept.example", Owner: "acme", Fetched: now, Used: int(now.Unix() / 86400), Policy: &sts.Policy{
		ID: "7", Mode: sts.Enforce, MX: []string{"old.kept.example"}, MaxAge: 240 * time.Hour, Fetched: now, Until: now.Add(240 * time.Hour),
	}}
	if err := errors.Join(file.Save([]sts.Row{row}, now), file.Close()); err != nil {
		t.Fatal(err)
	}
	return withSocket(t, customersIn(filepath.Join(dir, "policy.db"))+sendingTable+
		strings.NewReplacer("RESOLVER", zone.Addr, "STORE", filepath.Join(dir, "sts.db")).Replace(tables))
}

// An operator sees what a domain asks, and what follows for mail.
func TestAnOperatorSeesWhatADomainAsks(t *testing.T) {
	_, c := withPolicies(t, "[tls_policy]\nmode = 'enforce'\nresolver = 'RESOLVER'\nstore = 'STORE'\nexempt_domains = ['exempt.example']\n"+
		"[[destination]]\nnetworks = ['198.51.100.0/24']\ntls = 'off'\n[[destination]]\nnetworks = ['198.51.100.64/26']\npassthrough = true\n"+
		"[[destination]]\nnetworks = ['198.51.100.128/26']\ntls = 'verify'\nnames = ['relay.example']\n")
	for _, test := range []struct {
		domain, at string
		refused    bool
		instead    string
		asks, by   string // of the last host
		why        string
	}{
		{domain: "plain.example", asks: admin.TLSAsksNothing, by: "none"},
		{domain: "six.example", asks: admin.TLSAsksNothing, by: "none"},
		{domain: "Dane.Example.", asks: admin.TLSAsksProof, by: "dane"},
		{domain: "dane.example", at: "192.0.2.2", asks: admin.TLSAsksProof, by: "dane"},
		{domain: "dane.example", at: "192.0.2.99", refused: true, asks: admin.TLSRefused, by: "dane", why: "not-an-mx"},
		{domain: "broken.example", refused: true, asks: admin.TLSRefused, by: "unknown", why: "dns-failed"},
		{domain: "kept.example", refused: true, asks: admin.TLSRefused, by: "sts", why: "mx-not-in-policy"},
		{domain: "null.example", asks: admin.TLSAsksNothing, by: "none"},
		{domain: "exempt.example", instead: "exempt", asks: admin.TLSAsksNothing, by: "exempt"},
		{domain: "dane.example", at: "198.51.100.1", instead: "overridden", asks: admin.TLSAsksNothing, by: "overridden"},
		{domain: "dane.example", at: "198.51.100.65", instead: "passthrough", asks: admin.TLSAsksNothing},
		{domain: "dane.example", at: "198.51.100.129", instead: "named", asks: admin.TLSAsksProof, by: "named"},
	} {
		var at netip.Addr
		if test.at != "" {
			at = netip.MustParseAddr(test.at)
		}
		d, err := c.DomainTLS(t.Context(), test.domain, at)
		if err != nil || len(d.Hosts) == 0 {
			t.Errorf("%s: %+v, %v", test.domain, d, err)
			continue
		}
		last := d.Hosts[len(d.Hosts)-1]
		if d.Mode != "enforce" || !d.Resolver.Answers || !d.Resolver.Validates || d.Refused != test.refused || d.Instead != test.instead ||
			last.Asks != test.asks || last.By != test.by || last.Why != test.why {
			t.Errorf("%s at %q: %+v", test.domain, test.at, d)
		}
	}
	if _, err := c.DomainTLS(t.Context(), "not a domain", netip.Addr{}); asRefused(err) != http.StatusBadRequest {
		t.Errorf("no domain: %v", err)
	}
}

func asRefused(err error) int {
	var refused *admin.Error
	if !errors.As(err, &refused) {
		return 0
	}
	return refused.Status
}

// In mode observe the same is told, and that it is let pass.
func TestAnOperatorSeesWhatWouldBeRefused(t *testing.T) {
	_, c := withPolicies(t, "[tls_policy]\nresolver = 'RESOLVER'\nstore = 'STORE'\n")
	d, err := c.DomainTLS(t.Context(), "kept.example", netip.Addr{})
	if err != nil || d.Mode != "observe" || !d.Refused || d.Hosts[0].Asks != admin.TLSWould || d.Seen != nil {
		t.Errorf("%+v, %v", d, err)
	}
	if all, err := c.TLSRefusals(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("a question is no mail: %+v, %v", all, err)
	}
}

// Policies are listed, and forgotten with a reason that is in the audit.
func TestAPolicyIsForgottenByAnOperator(t *testing.T) {
	_, c := withPolicies(t, "[tls_policy]\nresolver = 'RESOLVER'\nstore = 'STORE'\n")
	ctx := t.Context()
	all, err := c.TLSPolicies(ctx)
	if err != nil || len(all) != 1 || all[0].Domain != "kept.example" || all[0].Mode != "enforce" || all[0].Owner != "acme" || all[0].MX[0] != "old.kept.example" || all[0].Used.IsZero() {
		t.Fatalf("%+v, %v", all, err)
	}
	if err := c.ForgetTLS(ctx, "KEPT.example", "they have moved"); err != nil {
		t.Fatal(err)
	}
	if all, err := c.TLSPolicies(ctx); err != nil || len(all) != 0 {
		t.Errorf("%+v, %v", all, err)
	}
	changes, err := c.Changes(ctx, admin.Subject{}, netip.Addr{}, 10)
	if err != nil || len(changes) != 1 || changes[0].Did != "tls forget" || !strings.HasPrefix(changes[0].Before, "kept.example: MTA-STS enforce until ") ||
		changes[0].By != peerName() || changes[0].Why != "they have moved" {
		t.Errorf("%+v, %v", changes, err)
	}
	if err := c.ForgetTLS(ctx, "kept.example", "again"); asRefused(err) != http.StatusNotFound {
		t.Errorf("again: %v", err)
	}
	if d, err := c.RefreshTLS(ctx, "kept.example"); err != nil || d.Policy != nil || !d.PolicyKnown || d.Refused {
		t.Errorf("refreshed: %+v, %v", d, err)
	}
}

// Where nothing is asked of MXs, that is said.
func TestWithoutATLSPolicyThereIsNothingToSee(t *testing.T) {
	_, c := withSocket(t, listenTable+sendingTable+"[admin]\nsocket = 'DIR/s'\n")
	if _, err := c.DomainTLS(t.Context(), "example.com", netip.Addr{}); asRefused(err) != http.StatusNotFound || !strings.Contains(err.Error(), "[tls_policy]") {
		t.Error(err)
	}
	if _, err := c.TLSPolicies(t.Context()); asRefused(err) != http.StatusNotFound {
		t.Error(err)
	}
}

// A resolver that has failed is not normal; one that has never validated, and one that nobody has asked yet, is no news.
func TestAResolverThatFailsIsNotNormal(t *testing.T) {
	for name, test := range map[string]struct {
		state dns.State
		mode  string
		want  string
	}{
		"well":            {dns.State{Answers: true, Validates: true, Since: time.Now()}, "enforce", ""},
		"not asked yet":   {dns.State{}, "enforce", ""},
		"never validated": {dns.State{Answers: true, Since: time.Now()}, "enforce", ""},
		"silent":          {dns.State{Since: time.Now(), Why: "i/o timeout"}, "observe", "no DNS resolver answers: what recipients' domains ask of MXs is not known"},
		"lost": {
			dns.State{Answers: true, Lost: true, Since: time.Now()},
			"enforce",
			"the DNS resolver has stopped validating DNSSEC: mail to domains whose MXs may ask for DANE waits",
		},
	} {
		got := resolverProblems(test.state, test.mode)
		if test.want == "" && len(got) == 0 {
			continue
		}
		if len(got) != 1 || got[0].ID != "resolver" || got[0].What != test.want {
			t.Errorf("%s: %+v", name, got)
		}
	}
}
