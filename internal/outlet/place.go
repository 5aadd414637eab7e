package outlet

import (
	"context"
	"net/netip"
	"strings"

	"kanmon/internal/event"
	"kanmon/internal/outlet/route"
	"kanmon/internal/outlet/standing"
	"kanmon/internal/session"
	"kanmon/internal/who/mailbox"
	"kanmon/internal/who/witness"
)

// Where a mail goes, what stands against a sending IP there, and whose word a refusal is.

// peek is what holds at the MX, and as long as nobody knows whose MX it is what holds at the
// provider of the recipient's domain, too. The share is that of the times as well.
func (o *Outlet) peek(how Handling, ip netip.Addr, at place) standing.Permit {
	permit := o.stands(how, ip, at)
	permit.Share *= o.byTime(how, ip, &at)
	return permit
}

// stands is peek without the times.
func (o *Outlet) stands(how Handling, ip netip.Addr, at place) standing.Permit {
	var name [64]byte
	here := freely
	if !o.book.Blameless(ip, append(name[:0], at.name()...)) {
		here = o.may(how, at.key(ip))
	}
	there := o.peekAt(how, ip, at.domains)
	if there.Answer == standing.No {
		return there
	}
	if part := o.peekInParts(how, ip, &at); part.Answer == standing.No {
		return part
	}
	here.Share = min(here.Share, there.Share)
	return here
}

// peekInParts is what holds where only a part of a provider has refused the IP: at the recipient's domain, or at this one MX.
func (o *Outlet) peekInParts(how Handling, ip netip.Addr, at *place) standing.Permit {
	if !o.book.InParts(ip) {
		return freely
	}
	for _, name := range [...]string{at.name(), at.domains} {
		for _, part := range [...]string{at.recipient, bracketed(at.mx)} {
			if name == "" || part == "" {
				continue
			}
			if permit := o.may(how, standing.Key{IP: ip, Provider: name}.At(part)); permit.Answer == standing.No {
				return permit
			}
		}
	}
	return freely
}

// bracketed names an MX by its address, which no domain looks like.
func bracketed(mx netip.Addr) string { return "[" + mx.Unmap().String() + "]" }

var freely = standing.Permit{Answer: standing.Yes, Share: 1}

// peekAt is what holds at a provider that the recipient's domain names; "" is none. A suspension that has run out holds nothing
// back: its probe must be of an MX that is known to be the provider's, or nobody could hear what comes of it.
func (o *Outlet) peekAt(how Handling, ip netip.Addr, name string) standing.Permit {
	if name == "" {
		return freely
	}
	var text [64]byte
	if o.book.Blameless(ip, append(text[:0], name...)) {
		return freely
	}
	permit := o.may(how, standing.Key{IP: ip, Provider: name})
	if permit.Answer != standing.No {
		permit.Answer = standing.Yes
	}
	return permit
}

// A place is where a mail goes, as standings know it.
type place struct {
	mx       netip.Addr
	provider string // whose MX it is known to be; "": nobody knows
	domains  string // where nobody knows: the provider of the recipient's domain; "": none

	recipient string // the recipient's domain; "": not known, or none that there can be
	due       bool   // with provider "": it is time to look that domain up
}

func (w *way) placeOf(recipient string) place {
	at := place{mx: w.mx()}
	if domain := mailbox.DomainOf(recipient); len(domain) <= maxDomain {
		at.recipient = domain
	}
	if at.provider = w.o.providers.At(at.mx); at.provider == "" && at.recipient != "" {
		at.domains, at.due = w.o.providers.Heard(at.recipient)
	}
	return at
}

// name returns the provider of the standing's key.
func (p *place) name() string {
	if p.provider != "" {
		return p.provider
	}
	return witness.Stranger(p.mx)
}

func (p *place) key(ip netip.Addr) standing.Key { return standing.Key{IP: ip, Provider: p.name()} }

// key is what a sending IP's standing at a destination goes by: the provider whose MX this is known to be, else the one MX address.
// What a recipient's domain says does not count: any host can be given mail for any domain.
func (o *Outlet) key(ip, mx netip.Addr) standing.Key {
	return standing.Key{IP: ip, Provider: o.Provider(mx)}
}

// Provider names the provider of an MX, or the MX itself where none is known.
func (o *Outlet) Provider(mx netip.Addr) string {
	at := place{mx: mx, provider: o.providers.At(mx)}
	return at.name()
}

// Witness says who answers at an MX for a recipient's domain; "": none is known yet.
func (o *Outlet) Witness(mx netip.Addr, domain string) witness.Receiver {
	return o.receiver(mx, domain)
}

func (o *Outlet) receiver(mx netip.Addr, domain string) witness.Receiver {
	r := witness.Receiver{Provider: o.providers.At(mx), MX: mx}
	if r.Provider == "" && domain != "" && len(domain) <= maxDomain {
		r.Domain, r.Host = domain, o.providers.Host(domain)
	}
	return r
}

// speaks returns the recipient domain that a refusal is about. Before a recipient is named that is none. Nobody's is what names no domain,
// or comes when the MX has accepted recipients of several: nobody can tell which of them has written it, nor that none has.
func speaks(r *session.MXRefusal) (domain string, nobodys bool) {
	switch {
	case r.Phase < event.PhaseRcpt:
		return mailbox.DomainOf(string(r.Recipient)), false
	case r.Phase == event.PhaseRcpt:
		domain = mailbox.DomainOf(string(r.Recipient))
	default:
		domain = r.Domain
	}
	if strings.HasPrefix(domain, "[") || len(domain) > maxDomain {
		domain = ""
	}
	return domain, domain == ""
}

// partOf says which part of its provider has spoken, where the words may be those of one of its customers: a recipient
// domain or, before there is one, an MX. "" is all of the provider. So also at an MX that is no known provider's: that
// no mail for another domain has been seen there does not make the one that has the MX's owner.
func (o *Outlet) partOf(p *plea) string {
	name := p.receiver.Provider
	switch {
	case name == "" && p.domain == "":
		return ""
	case name != "" && !p.nobodys && o.providers.OwnWord(name, p.domain, p.Text):
		return ""
	case p.domain == "":
		return bracketed(p.mx())
	}
	return p.domain
}

// oneDestination reports whether a provider has but one recipient domain, so that doubts cannot be several domains'.
// One whose customers' domains it serves may always have another.
func (o *Outlet) oneDestination(provider string) bool {
	own, named := o.domains[provider]
	return (!named || own == 1) && o.sites.oneDestination(provider, own)
}

// ProviderOf returns the provider of an MX or, as long as nobody knows whose that is, of a recipient's domain; "" if there is none. It is
// asked for every recipient, and learns behind each.
func (o *Outlet) ProviderOf(mx netip.Addr, domain, tenant string) string {
	name := o.providers.At(mx)
	if name != "" || len(domain) > maxDomain {
		o.learn(domain, tenant)
		return name
	}
	heard, due := o.providers.Heard(domain)
	if due {
		o.learn(domain, tenant)
	}
	return heard
}

// learn looks up whose MXs a domain has, behind the tenant's mail, so that the next refusal by one of them counts for its provider, and the
// next session to it heeds what stands there.
func (o *Outlet) learn(domain, tenant string) {
	if len(domain) <= maxDomain && strings.Contains(domain, ".") {
		o.providers.Learn(domain, tenant)
	}
}

// learnBehind is learn for a mail whose first recipient is known. Where something stands against the sending IP anywhere, and nothing is
// known of the domain, that is worth the short wait: it may stand there. It reports whether more may be known now.
func (o *Outlet) learnBehind(q *route.Query, at *place, sendingIP netip.Addr) (more bool) {
	if at.recipient == "" || at.provider == "" && !at.due || at.provider != "" && !o.providers.Due(at.recipient) {
		return false
	}
	tenant := o.asker(*q)
	o.learn(q.RecipientDomain, tenant)
	if q.Provider != "" || o.book.Spotless(sendingIP) {
		return false
	}
	if o.providers.Of(q.RecipientDomain) == "" { // else it has been learnt already
		o.providers.Find(context.Background(), q.RecipientDomain, tenant)
	}
	return true
}

// asker is whose part of the lookups a mail's are: its tenant's, and of all sources that are of none together; without
// tenants the source's.
func (o *Outlet) asker(q route.Query) string {
	if o.tenants == 0 {
		return witness.Tenant("", q.Source)
	}
	return o.router.Owner(q).Name()
}

// maxDomain is the length of the longest domain name (RFC 1035 §2.3.4).
const maxDomain = 253
