package outlet

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode"

	"kanmon/internal/outlet/classify"
	"kanmon/internal/outlet/route"
	"kanmon/internal/outlet/standing"
	"kanmon/internal/session"
	"kanmon/internal/store/keep"
	"kanmon/internal/who/mailbox"
	"kanmon/internal/who/witness"
)

// Pins: who greylists knows a sending IP, and the mail it has sent back must come again from there, whatever kanmon has learnt, or
// forgotten, meanwhile: whose MX that is, which share an IP may take, which IPs the pool has. So what met a 4xx that can be
// greylisting is pinned to the IP that met it. A pin chooses among the IPs that may be used, and never makes one usable.

// pinLife is how long a mail is waited for: greylisters do so for two days (postgrey --retry-window), and an MSA's queue tries more
// often than that. Each further 4xx begins it anew.
const pinLife = 48 * time.Hour

// mostPins bounds them; a tenant has its part.
const mostPins = 50_000

// A pinKey is whose mail it is and where it goes. Each refusal makes two pins: one for the recipient's domain, which holds for all its
// MXs of one address family, and one for the MX, which holds at MAIL, too, where no recipient is known.
type pinKey struct {
	tenant    string     // "": of no tenant, but of the MSA at source
	source    netip.Addr // with tenant "" only
	sender    string     // domain of the envelope sender; "": it has none
	recipient string     // domain, or with sender "" the name of a mail (nameOf)
	mx        netip.Addr // where recipient is ""; else the unspecified address of its family
}

func pinOptions(log *slog.Logger) keep.Options[pinKey, netip.Addr] {
	return keep.Options[pinKey, netip.Addr]{
		Most: mostPins, Life: pinLife, Log: log,
		Owner: func(k pinKey) string { return witness.Tenant(k.tenant, k.source) },
		Encode: func(k pinKey, ip netip.Addr) (string, string) {
			return encoded(k.tenant, addrText(k.source), k.sender, k.recipient, addrText(k.mx)), ip.String()
		},
		Decode: func(key, value string) (k pinKey, ip netip.Addr, ok bool) {
			parts, ok := decoded(key, 5)
			if !ok {
				return k, ip, false
			}
			k.tenant, k.sender, k.recipient = parts[0], parts[2], parts[3]
			var sourceOK, mxOK bool
			k.source, sourceOK = addrFrom(parts[1])
			k.mx, mxOK = addrFrom(parts[4])
			ip, err := netip.ParseAddr(value)
			return k, ip, err == nil && sourceOK && mxOK
		},
	}
}

// keysFor returns the two keys of a mail. What is not known of it is "". Domains are in the form of the routes' patterns.
func keysFor(tenant string, source netip.Addr, sender, recipient string, mx netip.Addr) (byDomain, byMX pinKey) {
	byMX = pinKey{tenant: tenant, sender: mailbox.DomainOf(sender), mx: mx.Unmap()}
	if tenant == "" {
		byMX.source = source.Unmap()
	}
	byDomain = byMX
	byDomain.recipient = mailbox.DomainOf(recipient)
	if byDomain.mx = netip.IPv6Unspecified(); mx.Unmap().Is4() {
		byDomain.mx = netip.IPv4Unspecified()
	}
	return byDomain, byMX
}

// pinned returns the sending IP that a mail has been told to come back from, if it may leave from there; else the zero Addr. One that has
// only a share of the mail may take this one: the share is of what could as well go elsewhere.
func (w *way) pinned(choice route.Choice, how Handling, req *session.DialRequest, at place) netip.Addr {
	if !req.SenderKnown {
		return netip.Addr{}
	}
	byDomain, byMX := keysFor(choice.Tenant, w.source, req.Sender, req.Recipient, at.mx)
	ip, found := netip.Addr{}, false
	if byDomain.recipient != "" {
		ip, _, found = w.o.pins.Get(byDomain)
	}
	if !found {
		ip, _, found = w.o.pins.Get(byMX)
	}
	if !found || !choice.Has(ip) || slices.Contains(req.Avoid, ip) || how.Heeds() && w.o.dials.shutsOut(at.mx.Unmap(), ip) || w.o.ports.lacks(at.mx.Unmap(), ip) || w.o.paths.passesOver(ip) || w.turns(&choice, how, ip) || w.o.peek(how, ip, at).Answer != standing.Yes {
		return netip.Addr{}
	}
	if w.hasWarmed(ip, &at) && !w.isRetry(&choice, req, ip) {
		return netip.Addr{}
	}
	return ip
}

// Pins hold for all mail of a domain to another. From an IP that warms up, and has had its amount, none but the very
// mail that met the 4xx may leave: so at such IPs a third pin is made, of the mail.

// nameOf gives the key of a mail's own pin.
func nameOf(byDomain pinKey, sender, recipient string) pinKey {
	sum := sha256.Sum256([]byte(sender + "\x00" + recipient))
	byDomain.sender, byDomain.recipient = "", "mail "+hex.EncodeToString(sum[:12])
	return byDomain
}

// isRetry reports whether a mail is one that met a 4xx at this sending IP. Before its recipient is known nobody can say.
func (w *way) isRetry(choice *route.Choice, req *session.DialRequest, ip netip.Addr) bool {
	if req.Recipient == "" {
		return false
	}
	byDomain, _ := keysFor(choice.Tenant, w.source, req.Sender, req.Recipient, w.mx())
	met, _, found := w.o.pins.Get(nameOf(byDomain, req.Sender, req.Recipient))
	return found && met == ip
}

// pin notes what a refusal says of the retry: back from the same IP, or not from it.
func (o *Outlet) pin(r *plea) {
	greylisted, ours := mayBeGreylisting(r.Code, r.Text, &r.verdict), classes[r.verdict.Class].stake == ofOurIP
	if r.Sender == nil || !r.SendingIP.IsValid() || !greylisted && !ours {
		return
	}
	byDomain, byMX := keysFor(r.choice.Tenant, r.source, string(r.Sender), string(r.Recipient), r.mx())
	keys := []pinKey{byDomain, byMX}
	if len(r.Recipient) > 0 && o.warm.Knows(r.SendingIP) {
		keys = append(keys, nameOf(byDomain, string(r.Sender), string(r.Recipient)))
	}
	for _, key := range keys {
		switch {
		case key.recipient == "" && key.mx.IsUnspecified() || len(key.sender) > maxDomain || len(key.recipient) > maxDomain:
		case greylisted:
			o.pins.Put(kept(key), r.SendingIP)
		default:
			if ip, _, found := o.pins.Get(key); found && ip == r.SendingIP {
				o.pins.Drop(key)
			}
		}
	}
}

// mayBeGreylisting: many who greylist do not say so (450 "service currently unavailable", 451 "try again later", 450
// "mailbox unavailable"), and some speak as if they were throttling. A fault that was one costs nothing but that its
// retry does not change its IP. What says of our IP that it sends too much, or is listed, is none.
func mayBeGreylisting(code int, text []byte, v *classify.Verdict) bool {
	deferral := code == 450 || code == 451
	switch classes[v.Class].putOff {
	case putOffAlways:
		return code/100 == 4
	case putOffFaults:
		return deferral || code == 452 && says(text, wordsOfDelay)
	case putOffDeferrals:
		return deferral
	case putOffByScope:
		switch v.Scope {
		case classify.ScopeRecipient, classify.ScopeReceiver, classify.ScopeUnknown:
			return deferral
		case classify.ScopeIP: // by a provider's code alone, whose words name nothing that there is too much of
			return deferral && !says(text, wordsOfMuch)
		}
	}
	return false
}

// Beginnings of words, in small letters.
var (
	wordsOfDelay = []string{"defer", "first", "delay", "contact", "later"}
	wordsOfMuch  = []string{
		"rate", "limit", "throttl", "many", "much", "fast", "quick", "frequen", "often", "exceed", "excess", "quota", "volume", "reputation", "unusual",
		"connection", "concurren", "session", "list", "block", "spam", "complaint", "slow", "flood", "per",
	}
)

// says reports whether a word of a reply begins in one of these ways.
func says(text []byte, words []string) bool {
	for word := range bytes.FieldsFuncSeq(text, func(r rune) bool { return !unicode.IsLetter(r) }) {
		if slices.ContainsFunc(words, func(begin string) bool {
			return len(word) >= len(begin) && strings.EqualFold(string(word[:len(begin)]), begin)
		}) {
			return true
		}
	}
	return false
}

// kept returns a key that does not hold larger texts in memory.
func kept(k pinKey) pinKey {
	k.sender, k.recipient = strings.Clone(k.sender), strings.Clone(k.recipient)
	return k
}

// encoded makes one text of several, decoded undoes it.
func encoded(parts ...string) string {
	text, _ := json.Marshal(parts) // of texts alone: it cannot fail
	return string(text)
}

func decoded(text string, count int) (parts []string, ok bool) {
	err := json.Unmarshal([]byte(text), &parts)
	return parts, err == nil && len(parts) == count
}

// addrText returns an address as text, the zero Addr as "".
func addrText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

func addrFrom(text string) (a netip.Addr, ok bool) {
	if text == "" {
		return a, true
	}
	a, err := netip.ParseAddr(text)
	return a, err == nil
}
