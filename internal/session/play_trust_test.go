package session_test

import (
	"net/netip"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/session"
	own "kanmon/internal/smtp/replies"
)

// playedTrust is the trust of a play.
type playedTrust struct{ played }

func (p playedTrust) Need(q session.TrustQuestion) session.Need {
	words := append([]string{"need", "domain=" + q.Domain}, named(map[string]bool{"unreadable": q.Unreadable})...)
	a := p.Ask("trust", words...)
	return p.need(q.Domain, a["wait"])
}

// need is one that is known so much later.
func (p playedTrust) need(domain, wait string) *playedNeed {
	n := &playedNeed{playedTrust: p, domain: domain}
	if wait, err := time.ParseDuration(wait); err == nil {
		ready := make(chan struct{})
		time.AfterFunc(wait, func() { close(ready) })
		n.ready = ready
	}
	return n
}

func (p playedTrust) ServerName(netip.AddrPort) string      { return p.Ask("trust", "hello")["sni"] }
func (p playedTrust) Proved(_ netip.AddrPort, name string)  { p.Tell("trust proved " + name) }
func (p playedTrust) Unknown(_ netip.AddrPort, name string) { p.Tell("trust unknown " + name) }

// playedNeed is what one domain asks.
type playedNeed struct {
	playedTrust
	domain string
	ready  <-chan struct{} // nil: known at once
}

func (n *playedNeed) Ready() <-chan struct{} { return n.ready }

func (n *playedNeed) Judge(leg session.TrustLeg) session.Verdict {
	words := append([]string{"judge", "domain=" + n.domain, "sni=" + leg.ServerName}, named(map[string]bool{
		"plain": leg.TLS == nil, "resumed": leg.TLS != nil && leg.TLS.DidResume, "early": !n.isReady(),
	})...)
	a := n.Ask("trust", words...)
	v := session.Verdict{Pass: !a.Has("refuse"), Name: a["name"], ServerName: a["sni"], Fresh: a.Has("fresh"), Until: leg.Now.Add(time.Hour)}
	if a.Has("anew") {
		v.Anew = n.need(n.domain, a["anew"])
	}
	if until, err := time.ParseDuration(a["until"]); err == nil {
		v.Until = leg.Now.Add(until)
	}
	told := &event.Trust{Domain: n.domain, Policy: event.TrustSTS, Verdict: event.TrustPassed, Name: v.Name, ServerName: leg.ServerName}
	if a.Has("policy") {
		_ = told.Policy.UnmarshalText([]byte(a["policy"])) // the dialogue has looked
	}
	switch {
	case !v.Pass:
		v.Say, told.Verdict, told.Why, told.Detail = own.NoTLS.Say(), event.TrustRefused, event.HostMismatch, "as the script says"
		v.Told = told
	case a != nil:
		v.Told = told
	}
	return v
}

func (n *playedNeed) isReady() bool {
	select {
	case <-n.ready:
		return true
	default:
		return n.ready == nil
	}
}
