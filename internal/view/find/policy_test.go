package find

import (
	"strings"
	"testing"

	"kanmon/internal/event"
)

// What the domains of a mail's recipients ask of TLS is told once for each with what came of it; where somebody was asked for, of his alone, and what asks
// nothing is left out.
func TestWhatDomainsAskIsTold(t *testing.T) {
	refused := &event.EntryTrust{Domain: "a.test", Policy: "sts", Verdict: "refused", Reason: "certificate-host-mismatch", Detail: "the certificate of MX 192.0.2.1 is for b.test", Waited: 1500}
	passed := &event.EntryTrust{Domain: "b.test", Policy: "dane", Verdict: "passed", Name: "mx.b.test"}
	none := &event.EntryTrust{Domain: "c.test", Policy: "none"}
	e := &event.Entry{}
	for _, one := range []struct {
		to    string
		trust *event.EntryTrust
	}{{"x@a.test", refused}, {"y@A.test", refused}, {"z@b.test", passed}, {"z@c.test", none}, {"z@d.test", nil}} {
		e.Recipients = append(e.Recipients, event.EntryRecipient{Address: one.to, TLSPolicy: one.trust})
	}
	all := policiesOf(e, "")
	if len(all) != 2 || all[0].Recipients != 2 || all[1].Domain != "b.test" {
		t.Fatalf("%+v", all)
	}
	if all = policiesOf(e, "z@B.test"); len(all) != 1 || all[0].Domain != "b.test" {
		t.Errorf("asked for one: %+v", all)
	}
	for lang, wants := range map[Lang][2]string{
		English: {
			"a.test asks for verified TLS (MTA-STS), the MX has not proved itself, and the recipient was not named to it: its certificate is for another name",
			"b.test asks for verified TLS (DANE), and the MX has proved that it is mx.b.test",
		},
		Japanese: {
			"a.test は検証済みのTLSを求めています（MTA-STSポリシー）。MXが証明できなかったため、宛先をMXに伝えませんでした：証明書の名前が異なります",
			"b.test は検証済みのTLSを求めています（DANEレコード）。MXは mx.b.test であることを証明しました",
		},
	} {
		told := Teller{Lang: lang}.try(&Try{Entry: e, Policies: policiesOf(e, "")})
		for i, want := range wants {
			if got := told.Policies[i].Text; got != want {
				t.Errorf("%q, want %q", got, want)
			}
		}
		if told.Policies[0].Waited != 1.5 {
			t.Errorf("waited for %v s", told.Policies[0].Waited)
		}
	}
}

// Every word that the records have for a policy and for a reason is said in words.
func TestEachPolicyAndReasonHasWords(t *testing.T) {
	for _, word := range event.TrustPolicy(0).Words() {
		_, asks := policyAsks[word]
		if _, whole := policyWhole[word]; word != "" && asks == whole {
			t.Errorf("policy %q has no words, or two kinds of them", word)
		}
	}
	for _, word := range event.TrustReason(0).Words() {
		if _, is := policyReasons[word]; word != "" && !is {
			t.Errorf("reason %q has no words", word)
		}
	}
	for _, verdict := range event.TrustVerdict(0).Words() {
		for _, policy := range event.TrustPolicy(0).Words() {
			if policy == "" {
				continue
			}
			p := &Policy{EntryTrust: event.EntryTrust{Policy: policy, Verdict: verdict}}
			if text := (Teller{}).policyText(p); strings.Contains(text, "%!") || !strings.Contains(text, "nobody can read") {
				t.Errorf("%s, %q: %q", policy, verdict, text)
			}
		}
	}
}
