package dns

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	miekg "github.com/miekg/dns"

	"kanmon/internal/event"
)

// How long an answer may be used, whatever its TTL says.
const (
	leastTTL = 30 * time.Second
	mostTTL  = time.Hour
)

const (
	mostAliases = 16  // in one chain
	mostSaid    = 200 // octets of what a resolver says of an error
)

// Errors of what a message says.
var (
	errLoop     = errors.New("the aliases go round in a circle, or are too many")
	errReferral = errors.New("it refers to other servers: it is no resolver")
)

// read says what a server's message means.
func read(m *miekg.Msg, q question) Answer {
	now := time.Now()
	a := Answer{Name: q.name, Heard: now}
	bogus, said := extended(m)
	if m.Rcode != miekg.RcodeSuccess && m.Rcode != miekg.RcodeNameError {
		a.Bogus = bogus
		a.Err = fmt.Errorf("the server answers %s%s", rcode(m.Rcode), said)
		return a
	}
	ttl := mostTTL
	err := a.collect(m, q.kind, &ttl)
	if err == nil {
		err = a.conclude(m, q.kind, &ttl)
	}
	if err != nil {
		return Answer{Name: q.name, Heard: now, Err: err}
	}
	a.Secure = m.AuthenticatedData
	a.Until = now.Add(max(leastTTL, ttl))
	return a
}

// collect follows the aliases and takes the records at their end.
func (a *Answer) collect(m *miekg.Msg, kind Kind, ttl *time.Duration) error {
	if kind == TypeCNAME {
		target, err := alias(m.Answer, a.Name, ttl)
		a.CNAME, a.Aliased = target, target != ""
		return err
	}
	for range mostAliases {
		target, err := alias(m.Answer, a.Name, ttl)
		if err != nil {
			return err
		}
		if target == "" {
			return a.take(m.Answer, kind, ttl)
		}
		a.Name, a.Aliased = target, true
	}
	return errLoop
}

// alias returns what a name is an alias of; "": of nothing. A DNAME comes with the CNAME that it makes (RFC 6672 section 3.1).
func alias(list []miekg.RR, name string, ttl *time.Duration) (target string, err error) {
	under := false
	for _, rr := range list {
		switch rr := rr.(type) {
		case *miekg.CNAME:
			if told(rr.Hdr.Name) != name || rr.Hdr.Class != miekg.ClassINET {
				continue
			}
			to := told(rr.Target)
			if to == "" || target != "" && target != to {
				return "", fmt.Errorf("%w: the alias of %s", errMalformed, name)
			}
			target = to
			shorten(ttl, rr.Hdr.Ttl)
		case *miekg.DNAME:
			under = under || strings.HasSuffix(name, "."+told(rr.Hdr.Name))
		}
	}
	if under && target == "" {
		return "", fmt.Errorf("%w: a DNAME above %s, and no CNAME", errMalformed, name)
	}
	return target, nil
}

// take takes the records of a kind that the name has.
func (a *Answer) take(list []miekg.RR, kind Kind, ttl *time.Duration) error {
	for _, rr := range list {
		head := rr.Header()
		if Kind(head.Rrtype) != kind || head.Class != miekg.ClassINET || told(head.Name) != a.Name {
			continue
		}
		if !a.add(rr) {
			return fmt.Errorf("%w: a record %s of %s", errMalformed, kind, a.Name)
		}
		a.Outcome = Found
		shorten(ttl, head.Ttl)
	}
	return nil
}

// add takes one record; false if it is not what its kind has to be. A TLSA record that is too short is one that nobody can use.
func (a *Answer) add(rr miekg.RR) bool {
	switch rr := rr.(type) {
	case *miekg.A:
		return a.addAddress(rr.A)
	case *miekg.AAAA:
		return a.addAddress(rr.AAAA)
	case *miekg.MX:
		a.MX = append(a.MX, MX{told(rr.Mx), rr.Preference})
		return rr.Mx != ""
	case *miekg.TLSA:
		data, err := hex.DecodeString(rr.Certificate)
		a.TLSA = append(a.TLSA, TLSA{rr.Usage, rr.Selector, rr.MatchingType, data})
		return err == nil
	case *miekg.TXT:
		a.TXT = append(a.TXT, strings.Join(rr.Txt, ""))
	case *miekg.PTR:
		a.PTR = append(a.PTR, told(rr.Ptr))
		return rr.Ptr != ""
	case *miekg.SOA:
		return rr.Ns != ""
	}
	return true
}

func (a *Answer) addAddress(ip net.IP) bool {
	addr, ok := netip.AddrFromSlice(ip)
	a.Addrs = append(a.Addrs, addr.Unmap())
	return ok
}

// conclude says what it means that there are no records, and refuses what contradicts itself.
func (a *Answer) conclude(m *miekg.Msg, kind Kind, ttl *time.Duration) error {
	if kind == TypeCNAME && a.CNAME != "" {
		a.Outcome = Found
	}
	if a.Outcome == Found {
		if m.Rcode == miekg.RcodeNameError {
			return fmt.Errorf("%w: records of a name that does not exist", errMalformed)
		}
		return nil
	}
	a.Outcome = NoData
	if m.Rcode == miekg.RcodeNameError {
		a.Outcome = NoName
	}
	minimum, referred := absence(m.Ns)
	switch {
	case minimum >= 0:
		*ttl = min(*ttl, minimum)
	case referred && !m.RecursionAvailable:
		return errReferral
	default:
		*ttl = leastTTL // an absence without the SOA that says how long it holds (RFC 2308 section 5)
	}
	return nil
}

// absence returns how long an absence holds (RFC 2308 section 5), -1 if nothing says so; referred says that other servers are named.
func absence(list []miekg.RR) (minimum time.Duration, referred bool) {
	minimum = -1
	for _, rr := range list {
		switch rr := rr.(type) {
		case *miekg.SOA:
			ttl := mostTTL
			shorten(&ttl, rr.Hdr.Ttl)
			shorten(&ttl, rr.Minttl)
			minimum = ttl
		case *miekg.NS:
			referred = true
		}
	}
	return minimum, referred
}

// shorten makes a TTL that of one more record. One with the highest bit set is 0 (RFC 2181 section 8).
func shorten(ttl *time.Duration, seconds uint32) {
	if seconds > 1<<31-1 {
		seconds = 0
	}
	*ttl = min(*ttl, time.Duration(seconds)*time.Second)
}

func rcode(code int) string {
	if text, known := miekg.RcodeToString[code]; known {
		return text
	}
	return fmt.Sprintf("error %d", code)
}

// extended returns what a resolver says of an error (RFC 8914), for people, and whether that is that validation failed.
func extended(m *miekg.Msg) (bogus bool, said string) {
	opt := m.IsEdns0()
	if opt == nil {
		return false, ""
	}
	var all []string
	for _, option := range opt.Option {
		ede, is := option.(*miekg.EDNS0_EDE)
		if !is {
			continue
		}
		bogus = bogus || isBogus(ede.InfoCode)
		all = append(all, strings.Trim(miekg.ExtendedErrorCodeToString[ede.InfoCode]+": "+ede.ExtraText, ": "))
	}
	if len(all) == 0 {
		return bogus, ""
	}
	return bogus, " (" + event.Printable(strings.Join(all, "; "), mostSaid) + ")"
}

// isBogus reports whether an error says that signatures do not prove what they should.
func isBogus(code uint16) bool {
	switch code {
	case miekg.ExtendedErrorCodeDNSBogus, miekg.ExtendedErrorCodeSignatureExpired, miekg.ExtendedErrorCodeSignatureNotYetValid,
		miekg.ExtendedErrorCodeDNSKEYMissing, miekg.ExtendedErrorCodeRRSIGsMissing, miekg.ExtendedErrorCodeNoZoneKeyBitSet,
		miekg.ExtendedErrorCodeNSECMissing, miekg.ExtendedErrorCodeSignatureExpiredBeforeValid:
		return true
	}
	return false
}
