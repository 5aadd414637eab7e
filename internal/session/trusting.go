package session

import (
	"bytes"
	"net/netip"
	"slices"
	"sync"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/smtp"
	"kanmon/internal/who/mailbox"
	"kanmon/internal/who/whose"
)

// A recipient's domain may ask that its MX proves who it is (RFC 8461, RFC 7672). What is asked is known when the first RCPT of the domain
// comes, long after TLS. It is judged then, on the leg at hand, before the recipient is named there; and on each leg that is to take that
// one's place, for all recipients so far, before anything is said there (I22). Nothing is taken for proved because it was on another
// connection.

// A trusting is what a session has of its [Trust], once it has asked. A nil one has asked nothing.
type trusting struct {
	proofs []proof     // of domains of the mail at hand, and of mails before it
	hand   int16       // of them, that of the recipient at hand; -1: there is none
	denied *smtp.Reply // that a recipient of the group at hand has been refused with; nil: none was
	mail   uint32      // counts the mails

	names   []string     // as of [Destination]
	by      string       // in whose part it counts, as owner says
	owner   *whose.Owner // nil: as the MSA's address does
	byKnown bool

	shown        string     // name in the hello that was said last
	want         string     // name for all further connections of the mail at hand; "": as is known of the MX
	from         netip.Addr // sending IP of the connection that is made in place of one that shows too little
	redialling   bool       // that is being made
	hasRedialled bool       // one was, for the mail at hand
	redials      uint8      // of the session
}

// A proof is what one domain asks, and what came of that on one leg.
type proof struct {
	domain string
	need   Need
	mail   uint32        // of trusting.mail: the last one that has asked
	leg    uint16        // number of the connection that the rest is of
	waited event.Micros  // for the need to be known
	until  time.Duration // it is what is asked until then, since the session began; 0: it is not, or nobody knows
	no     *smtp.Reply   // why it is not; nil likewise
	told   *event.Trust  // of its judge
	noted  *event.Trust  // the same as it is on record, for the mail at hand
}

// mostProofs is how many domains are kept; of a mail that has more the others are asked about again where they are needed.
const mostProofs = 16

var trustings = sync.Pool{New: func() any { return &trusting{hand: -1} }}

// replays reports whether what the MX has accepted may have to be said again, on another connection.
func (s *session) replays() bool { return !s.e.Observe || s.e.Trust != nil }

// trusts returns what the session has of its Trust, from now on.
func (s *session) trusts() *trusting {
	if s.trust == nil {
		s.trust = trustings.Get().(*trusting)
	}
	return s.trust
}

// endTrust gives it back at the session's end.
func (s *session) endTrust() {
	if t := s.trust; t != nil {
		s.trust = nil
		clear(t.proofs)
		*t = trusting{proofs: t.proofs[:0], hand: -1}
		trustings.Put(t)
	}
}

// anew begins with another mail: its domains are asked about anew, and what was seen of the leg stays seen.
func (t *trusting) anew() {
	if t != nil {
		t.mail++
		t.want, t.hasRedialled, t.denied, t.hand = "", false, nil, -1
	}
}

// atHand is the proof of the recipient at hand; nil: there is none.
func (t *trusting) atHand() *proof {
	if t == nil || t.hand < 0 {
		return nil
	}
	return &t.proofs[t.hand]
}

// endRcpt is the end of that.
func (t *trusting) endRcpt() (was *proof) {
	if was = t.atHand(); was != nil {
		t.hand = -1
	}
	return was
}

// find returns the place of a domain; -1: it is not kept.
func (t *trusting) find(domain []byte) int {
	for i := range t.proofs {
		if t.proofs[i].domain == string(domain) {
			return i
		}
	}
	return -1
}

// place returns the place of a domain, which is kept from now on: in that of one that the mail at hand has not asked about, if there are
// too many, or of the last one.
func (t *trusting) place(domain []byte) int {
	if at := t.find(domain); at >= 0 {
		return at
	}
	fresh := proof{domain: string(domain)}
	if len(t.proofs) < mostProofs {
		t.proofs = append(t.proofs, fresh)
		return len(t.proofs) - 1
	}
	at := mostProofs - 1
	for i := range t.proofs {
		if t.proofs[i].mail != t.mail {
			at = i
			break
		}
	}
	t.proofs[at] = fresh
	return at
}

// domainIn returns the domain that a RCPT names, in memory that may be the command's. What nobody can read has one of its own, and so has a
// mailbox without a domain: an MX may read one, or add its own. Of <postmaster> every MX knows whose it is (RFC 5321 section 2.3.5).
func domainIn(cmd smtp.Command) []byte {
	path, params, ok := cmd.Path()
	if ok && mailbox.IsForm(path) && smtp.AreParams(params) {
		return path[bytes.LastIndexByte(path, '@')+1:]
	}
	switch form := mailboxOf(cmd); form {
	case mailbox.Null, "postmaster":
		return nil
	default:
		if domain := mailbox.DomainOf(form); domain != "" {
			return []byte(domain)
		}
		return []byte(mailbox.Unreadable)
	}
}

// asked has a domain of the mail at hand asked about, unless it has been, and gives its place.
func (s *session) asked(domain []byte) (at int) {
	t := s.trust
	at = t.place(domain)
	p := &t.proofs[at]
	if p.need != nil && p.mail == t.mail {
		return at
	}
	if need := s.need(p.domain); need != p.need {
		*p = proof{domain: p.domain, need: need}
	}
	p.mail, p.waited, p.no, p.noted = t.mail, 0, nil, nil
	return at
}

// need asks what a domain asks.
func (s *session) need(domain string) Need {
	q := TrustQuestion{
		Domain: domain, MX: s.info.Destination, Rule: Destination{TLS: s.dest.TLS, Names: s.trust.names}, Source: s.info.Source.Addr(), Sender: s.mail.sender, By: s.trustedBy(),
	}
	if domain == mailbox.Unreadable {
		q.Domain, q.Unreadable = "", true
	}
	return s.e.Trust.Need(q)
}

// trustedBy is in whose part it counts what is asked about for the mail at hand.
func (s *session) trustedBy() string {
	t := s.trust
	var owner *whose.Owner
	if s.gate != nil {
		owner = s.gate.owner
	}
	if !t.byKnown || t.owner != owner {
		t.byKnown, t.owner = true, owner
		if t.by = owner.Name(); t.by == "" {
			t.by = s.sharer().text()
		}
	}
	return t.by
}

// foresee has all domains asked about that stand next in the group at hand. It gives what is to be waited for of them.
func (s *session) foresee() (unready []<-chan struct{}) {
	if s.e.Trust == nil {
		return nil
	}
	t := s.trusts()
	for rest := s.msa.in.Buffered(); ; {
		line, behind, whole := bytes.Cut(rest, []byte("\r\n"))
		cmd, err := smtp.ParseCommand(line)
		if !whole || err != nil || cmd.Verb != smtp.VerbRCPT {
			return unready
		}
		rest = behind
		switch domain := domainIn(cmd); {
		case string(domain) == mailbox.Unreadable: // nobody is asked about it
		case t.mayKeep(domain):
			unready = t.proofs[s.asked(domain)].unready(unready)
		default:
			beyond := proof{need: s.need(string(domain))}
			unready = beyond.unready(unready)
		}
	}
}

// mayKeep reports whether a domain can be kept beside all others of the mail at hand.
func (t *trusting) mayKeep(domain []byte) bool {
	return len(t.proofs) < mostProofs || t.find(domain) >= 0 || slices.ContainsFunc(t.proofs, func(p proof) bool { return p.mail != t.mail })
}

// unready adds what the need has to be waited for.
func (p *proof) unready(all []<-chan struct{}) []<-chan struct{} {
	ready := p.need.Ready()
	if ready == nil {
		return all
	}
	select {
	case <-ready:
		return all
	default:
		return append(all, ready)
	}
}
