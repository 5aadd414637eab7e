package trust

import (
	"errors"
	"net/netip"
	"slices"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/outlet/trust/dns"
	"kanmon/internal/outlet/trust/sts"
)

// A known is what was known at one moment of what a domain asks of its MXs. It is never changed.
type known struct {
	domain   string // the recipient's; "": the operator has named the hosts
	expanded string // where its alias ends, if it is one; ""
	hosts    []host // the best first
	dane     daneState
	more     bool  // there are more MX names, and nobody knows what they ask
	failed   bool  // nobody knows the MX names
	bogus    bool  // with failed: DNSSEC finds the answer forged
	err      error // with failed, for people
	noMail   bool  // there is no MX: a null MX (RFC 7505), or a domain that does not exist
	null     bool
	implicit bool        // the domain itself is its MX (RFC 5321 section 5.1)
	mx       dns.Outcome // of the question for MX records

	sts sts.Found

	heard time.Time // when the oldest answer of the DNS came
	until time.Time // it may be used until then

	crowded bool // there was no place for a question to the DNS

	nothing *event.Trust // what is told where nothing is asked; nil: something is
}

// A daneState says how far DANE is asked of the MXs of a domain.
type daneState uint8

const (
	daneNone    daneState = iota // the MX records are not signed, or DANE is off: no TLSA record counts (RFC 7672 section 2.2.1)
	daneUnknown                  // nobody knows whether they are
	daneHosts                    // each host says
)

// A host is one MX name of a domain.
type host struct {
	name  string       // as the MX record has it
	addrs []netip.Addr // of the family that was dialled
	sure  bool         // these are all
	asks  asks
	base  string     // the name that has the TLSA records, and that is shown to the MX
	tlsa  []dns.TLSA // with asksDANE: the usable ones, of the strongest digest
	bogus bool       // with asksUnknown: DNSSEC finds the answer forged
	err   error      // with asksUnknown, for people

	gone    bool // it was answered that there are no addresses
	signed  bool // they are validated
	records int  // of TLSA that count
}

// asks is what DANE asks of one host: the more, the stricter.
type asks uint8

const (
	asksNothing asks = iota // no TLSA record counts
	asksTLS                 // there are some, and none is usable (RFC 7672 section 2.2)
	asksUnknown             // nobody knows (RFC 7672 section 2.1.2)
	asksDANE
)

// has reports whether an address is one of the host's.
func (h *host) has(mx netip.Addr) bool { return slices.Contains(h.addrs, mx) }

// candidates returns the hosts as they come into question for an address: its own first, each in the order of preference, and how many
// are its own.
func (k *known) candidates(mx netip.Addr) (all []*host, own int) {
	all = make([]*host, 0, len(k.hosts))
	for i := range k.hosts {
		if k.hosts[i].has(mx) {
			all = append(all, &k.hosts[i])
		}
	}
	own = len(all)
	for i := range k.hosts {
		if !k.hosts[i].has(mx) {
			all = append(all, &k.hosts[i])
		}
	}
	return all, own
}

// isForeign reports whether an address is surely none of the domain's MXs.
func (k *known) isForeign(mx netip.Addr) bool {
	return !k.failed && !k.more && !slices.ContainsFunc(k.hosts, func(h host) bool { return h.has(mx) || !h.sure })
}

// asked returns the policy of MTA-STS that counts; nil: none does.
func (k *known) asked() *sts.Policy {
	if k.sts.Policy == nil || k.sts.Policy.Mode == sts.None {
		return nil
	}
	return k.sts.Policy
}

// asksAny reports whether anything is asked of the MXs, or may be.
func (k *known) asksAny() bool {
	return k.asked() != nil || k.dane == daneUnknown ||
		k.dane == daneHosts && (k.more || slices.ContainsFunc(k.hosts, func(h host) bool { return h.asks != asksNothing }))
}

// settle ends the making of it.
func (k *known) settle() *known {
	if k.asksAny() || k.domain == "" {
		return k
	}
	k.nothing = &event.Trust{Domain: k.domain, Policy: event.TrustNone, Why: k.sts.Why}
	if !k.sts.Known {
		k.nothing.Policy = event.TrustUnknown
	}
	return k
}

// isSmall reports whether it may be kept: DNS is asked for the others again, whose answers it keeps in its own bounds.
func (k *known) isSmall() bool {
	octets := 0
	for i := range k.hosts {
		h := &k.hosts[i]
		octets += len(h.name) + len(h.base) + 24*len(h.addrs)
		for _, r := range h.tlsa {
			octets += 24 + len(r.Data)
		}
	}
	return octets <= mostOctets
}

// isCrowded reports whether a look-up had no place to ask something, the DNS or about the policy: that is news of who wanted to know, and not of
// the domain.
func (k *known) isCrowded() bool { return k.crowded || errors.Is(k.sts.Err, sts.ErrBusy) }

// mostOctets is what one that is kept may have.
const mostOctets = 4 << 10
