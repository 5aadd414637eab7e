package trust

import (
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"testing"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/outlet/trust/dns"
	"kanmon/internal/outlet/trust/sts"
	"kanmon/internal/outlet/trust/sts/ststest"
	"kanmon/internal/session"
	"kanmon/test/dnszone"
)

const joinedZone = `
. SIGNED
unsigned.test. UNSIGNED
policy.test. UNSIGNED
plain.unsigned.test. MX 10 mx.unsigned.test.
mx.unsigned.test. A 192.0.2.1
signed.test. MX 10 mx.signed.test.
mx.signed.test. A 192.0.2.1
nodane.signed.test. MX 10 nodane.signed.test.
nodane.signed.test. A 192.0.2.1
bogus.signed.test. MX 10 bogus.signed.test.
bogus.signed.test. A 192.0.2.1
_25._tcp.bogus.signed.test. TLSA BOGUS
alias.signed.test. MX 10 out.signed.test.
out.signed.test. CNAME mx.unsigned.test.
implicit.signed.test. A 192.0.2.1
null.signed.test. MX 0 .
dead.test. SERVFAIL
policy.test. MX 10 mx.policy.test.
mx.policy.test. A 192.0.2.1
mta-sts.policy.test. A 192.0.2.80
_mta-sts.policy.test. TXT "v=STSv1; id=1;"
`

// joined is a Trust with the DNS client and the keeper of policies that it has in a running kanmon.
type joined struct {
	t     *testing.T
	zone  *dnszone.Server
	host  *ststest.Server
	trust *Trust
}

func join(t *testing.T, records string) *joined {
	t.Helper()
	j := &joined{t: t, zone: dnszone.Serve(t, joinedZone, records), host: ststest.New(t)}
	client, err := dns.New(dns.Settings{Servers: []string{j.zone.Addr}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	keeper, err := sts.New(sts.Options{Resolver: Texts{client}, Roots: j.host.Roots(), Dial: j.host.Dial, AllowPrivate: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = keeper.Close() })
	j.trust = New(Config{Enforce: true, DNS: client, DANE: true, STS: keeper, Roots: public.pool()}, NewMemory())
	t.Cleanup(j.trust.Close)
	return j
}

func (j *joined) judge(domain string, l session.TrustLeg) session.Verdict {
	q := question(l.MX)
	q.Domain = domain
	return judge(wait(j.trust.Need(q)), l)
}

func tlsaLine(name string, r dns.TLSA) string {
	return fmt.Sprintf("%s. TLSA %d %d %d %s\n", name, r.Usage, r.Selector, r.Type, hex.EncodeToString(r.Data))
}

// With the real client and the real keeper the cases come out as with those of a table, cold and known.
func TestJoined(t *testing.T) {
	self, good := selfSigned(nil), between.issue([]string{"mx.policy.test"})
	right := record(3, 1, 1, self[0])
	j := join(t, tlsaLine("_25._tcp.mx.signed.test", right)+tlsaLine("_25._tcp.out.signed.test", right)+tlsaLine("_25._tcp.implicit.signed.test", right))
	j.host.Set("policy.test", ststest.Host{Text: ststest.Policy("enforce", 24*time.Hour, "mx.policy.test")})
	for _, round := range []string{"cold", "known"} {
		for _, c := range []struct {
			domain string
			chain  []*x509.Certificate
			policy event.TrustPolicy
			why    event.TrustReason
		}{
			{"plain.unsigned.test", self, event.TrustNone, 0},
			{"nodane.signed.test", self, event.TrustNone, 0},
			{"nobody.signed.test", self, event.TrustNone, 0},
			{"null.signed.test", self, event.TrustNone, 0},
			{"signed.test", self, event.TrustDANE, 0},
			{"signed.test", good, event.TrustDANE, event.ValidationFailure},
			{"alias.signed.test", self, event.TrustDANE, 0},
			{"alias.signed.test", good, event.TrustDANE, event.ValidationFailure},
			{"implicit.signed.test", self, event.TrustDANE, 0},
			{"bogus.signed.test", self, event.TrustUnknown, event.DNSSECInvalid},
			{"dead.test", self, event.TrustUnknown, event.DNSFailed},
			{"policy.test", good, event.TrustSTS, 0},
			{"policy.test", self, event.TrustSTS, event.NotTrusted},
		} {
			v := j.judge(c.domain, with(at1, c.chain, sni("mx."+c.domain)))
			if v.Pass != (c.why == 0) || v.Told.Policy != c.policy || v.Told.Why != c.why {
				t.Errorf("%s, %s: %s", round, c.domain, text(v))
			}
		}
	}
	if n := j.host.Gets("policy.test"); n != 1 {
		t.Errorf("the policy was fetched %d times", n)
	}
}

// Of a name with more TXT records than are kept nobody knows whether one announces a policy: that is no answer that there is none, and what is kept counts.
func TestMoreTXTRecordsThanAreKept(t *testing.T) {
	many := ""
	for n := range 80 {
		many += fmt.Sprintf("_mta-sts.many.test. TXT \"something else, %d\"\n", n)
	}
	j := join(t, "many.test. UNSIGNED\nmany.test. MX 10 mx.many.test.\nmx.many.test. A 192.0.2.1\n"+many)
	client := j.trust.c.DNS
	texts := Texts{client}.Texts(t.Context(), "_mta-sts.many.test", func() string { return "" })
	if texts.Answered || texts.Err == nil || len(texts.All) != 0 {
		t.Errorf("%+v", texts)
	}
	if v := j.judge("many.test", with(at1, selfSigned(nil), sni("mx.many.test"))); !v.Pass || v.Told.Why != event.DNSFailed {
		t.Errorf("%s", text(v))
	}
}
