package find

import (
	"cmp"
	"strings"

	"kanmon/internal/event"
)

// A Policy is what a domain of an attempt's recipients asks of the TLS with its MX, and what came of that there.
type Policy struct {
	event.EntryTrust
	Recipients int // in that domain
}

// mostPolicies bounds how many are told apart.
const mostPolicies = 20

// policiesOf gives what the domains of an attempt's recipients ask; with somebody who was asked for what his does.
func policiesOf(e *event.Entry, asked string) (all []Policy) {
	_, only, _ := strings.Cut(asked, "@")
	at := map[event.EntryTrust]int{}
	for i := range e.Recipients {
		t := e.Recipients[i].TLSPolicy
		if t == nil || t.Policy == event.TrustNone.String() && t.Reason == "" || only != "" && !strings.EqualFold(t.Domain, only) {
			continue
		}
		n, known := at[*t]
		switch {
		case known:
			all[n].Recipients++
		case len(all) < mostPolicies:
			at[*t] = len(all)
			all = append(all, Policy{*t, 1})
		}
	}
	return all
}

// A ToldPolicy is a Policy.
type ToldPolicy struct {
	Domain     string  `json:"domain"`
	Policy     string  `json:"policy"`
	Verdict    string  `json:"verdict,omitempty"`
	Reason     string  `json:"reason,omitempty"`
	MX         string  `json:"mx,omitempty"`
	Detail     string  `json:"detail,omitempty"`
	Waited     float64 `json:"waited_seconds,omitempty"`
	Recipients int     `json:"recipients"`
	Text       string  `json:"text"`
}

func (t Teller) policy(p *Policy) ToldPolicy {
	return ToldPolicy{
		p.Domain, p.Policy, p.Verdict, p.Reason, p.Name, p.Detail, p.Waited.Duration().Seconds(), p.Recipients, t.policyText(p),
	}
}

// policyText says it in one sentence.
func (t Teller) policyText(p *Policy) string {
	who := cmp.Or(p.Domain, policyNobody.in(t.Lang))
	if whole, is := policyWhole[p.Policy]; is {
		return whole.in(t.Lang, who) + t.because(p.Reason)
	}
	asks, is := policyAsks[p.Policy]
	if !is {
		return who + ": " + p.Policy
	}
	said := policyAsked.in(t.Lang, who, asks.in(t.Lang))
	switch p.Verdict {
	case event.TrustPassed.String():
		if p.Name == "" {
			return said + policyPassed.in(t.Lang)
		}
		return said + policyProved.in(t.Lang, p.Name)
	case event.TrustRefused.String():
		return said + policyRefused.in(t.Lang) + t.because(p.Reason)
	case event.TrustWouldRefuse.String():
		return said + policyWould.in(t.Lang) + t.because(p.Reason)
	}
	return said + policyUnjudged.in(t.Lang)
}

// because says why, if anything does.
func (t Teller) because(reason string) string {
	if reason == "" {
		return ""
	}
	why, is := policyReasons[reason]
	if !is {
		return ": " + reason
	}
	return colon.in(t.Lang) + why.in(t.Lang)
}
