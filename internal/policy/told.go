package policy

import (
	"cmp"
	"math/bits"
	"slices"
	"strings"
	"unicode/utf8"

	"kanmon/internal/event"
	"kanmon/internal/policy/contain"
	"kanmon/internal/session"
	"kanmon/internal/who/veil"
	"kanmon/internal/who/witness"
)

// Tell implements [session.Pass].
func (a *pass) Tell(n session.News) {
	if n.Step == event.StepGivenUp {
		a.decided(true)
	}
	if !a.begun {
		return
	}
	if n.SendingIP.IsValid() {
		a.leftFrom(n.SendingIP)
	}
	a.heard = a.heard || n.Code > 0
	switch n.Step {
	case event.StepMail:
		a.toldMail(n)
	case event.StepRecipient:
		a.toldRecipient(n)
	case event.StepData:
		a.toldMessage(n)
	case event.StepMessage:
		a.toldMessage(n)
		a.endMail(n.Code < 400, n.Octets) // a dot without a reply may have been a message
	case event.StepOver:
		a.endMail(false, 0)
	}
}

func (a *pass) toldMail(n session.News) {
	switch {
	case n.Code/100 == 2:
		switch {
		case a.taken:
		case a.waitsForName():
			a.events = append(a.events, nil)
		default:
			a.attribute()
			a.tellMail()
		}
		a.taken = true
	case !a.taken: // else it is a MAIL inside a transaction, and the first one stands
		a.senderRefused(n)
		a.giveBack()
	}
}

// senderRefused tells the detector of a mail that the MX did not want to hear of. Which mail it is, the recipients tell that the MSA has
// named with it; without any, all that one MX refuses are one.
func (a *pass) senderRefused(n session.News) {
	var mail uint64
	for _, hash := range a.asked[a.replied:] {
		mail += hash
	}
	mail ^= a.policy.hash(a.provider)
	a.policy.detector.Message(contain.Message{
		Tenant: a.tenant, Account: a.account, Provider: a.provider, Witness: a.witness, Hash: mail, IP: n.SendingIP, Class: n.Class,
		Sample: sampleOf(&n), Own: n.Own, Again: a.triedAgain(n.Code, mail, n.Class, 0),
		Kind: a.kind, Traits: a.traits, Message: a.identity(a.size), Cause: a.cause(),
	})
}

func (a *pass) toldRecipient(n session.News) {
	if a.replied == len(a.asked) {
		return
	}
	hash, domain := a.asked[a.replied], uint64(0)
	if a.replied < len(a.askedAt) {
		domain = a.askedAt[a.replied]
	}
	if a.replied++; a.replied == len(a.asked) {
		a.asked, a.askedAt, a.replied = a.asked[:0], a.askedAt[:0], 0
	}
	class := classOf(&n)
	a.tried += hash // in any order; and twice the same is not nothing
	again := a.saidBefore(hash, class) || a.triedAgain(n.Code, hash, class, 0)
	r := heard{domain: domain, Recipient: contain.Recipient{
		Tenant: a.tenant, Provider: a.provider, Witness: a.witness, Hash: hash, IP: n.SendingIP, Class: class, Sample: sampleOf(&n), Own: n.Own,
		Again: again,
	}}
	if n.Code/100 == 2 {
		a.reached = append(a.reached, hash) // what becomes of it, the reply to the dot says
	} else {
		a.answered(n.Code, hash)
	}
	if a.waitsForName() {
		kept := r // most need not be kept, and are not made for that
		a.events = append(a.events, &kept)
		return
	}
	a.attribute()
	a.tellRecipient(&r)
}

// classOf is what an answer means. That a person does not exist, only a 5xx says: 450 is "mailbox unavailable" (RFC
// 5321 §4.2.3), and what is being looked up.
func classOf(n *session.News) event.Class {
	switch {
	case n.Code > 0 && n.Code < 400:
		return event.NoRefusal
	case n.Code < 500 && n.Class == event.RecipientInvalid:
		return event.Unjudged
	}
	return n.Class
}

// saidBefore reports whether the same was said of the recipient in this mail already: who is named a thousand times is one.
func (a *pass) saidBefore(recipient uint64, class event.Class) bool {
	key := recipient ^ a.policy.hash(class.String())
	i, found := slices.BinarySearch(a.said, key)
	if !found {
		a.said = slices.Insert(a.said, i, key)
	}
	return found
}

// sampleOf is what of a reply is evidence: the detector shows no more, and an MX can say 64 KiB to each of a thousand recipients. Whom it names is
// not kept with it, so nobody could hide that later: it is hidden now.
func sampleOf(n *session.News) string {
	if n.Code < 400 {
		return ""
	}
	const wholeNames = 4 * sampleOctets // an address at the cut is known for one
	sample := veil.Said(string(n.Text[:min(len(n.Text), wholeNames)]), n.Names...)
	end := min(len(sample), sampleOctets)
	for end < len(sample) && end > 0 && !utf8.RuneStart(sample[end]) {
		end--
	}
	return sample[:end]
}

const sampleOctets = 160

// waitsForName reports whether it is still open whose the mail is, or what: then the detector does not hear of it yet.
func (a *pass) waitsForName() bool { return a.unnamed || a.calling() }

// attribute tells the detector whose it was that has waited for that.
func (a *pass) attribute() {
	for i, r := range a.events {
		if r == nil {
			a.tellMail()
			continue
		}
		a.tellRecipient(r)
		a.events[i] = nil
	}
	a.events = a.events[:0]
}

func (a *pass) tellMail() {
	a.policy.detector.Begin(contain.Mail{Tenant: a.tenant, Account: a.account, Kind: a.kind, Traits: a.traits})
	a.learnsMail()
}

func (a *pass) tellRecipient(r *heard) {
	r.Account, r.Kind, r.Traits, r.Message, r.Cause = a.account, a.kind, a.traits, a.identity(a.size), a.cause()
	a.policy.detector.Recipient(r.Recipient)
	a.learnsRecipient(r)
}

func (a *pass) toldMessage(n session.News) {
	class := classOf(&n)
	a.dataAsked = true
	if a.attribute(); n.Code > 0 {
		a.policy.detector.Message(contain.Message{
			Tenant: a.tenant, Account: a.account, Provider: a.provider, Witness: a.witness, Hash: a.tried, IP: n.SendingIP, Class: class,
			Octets: n.Octets, Recipients: n.Recipients, Sample: sampleOf(&n), Own: n.Own,
			Again: a.triedAgain(n.Code, ^a.tried, class, n.Octets), Kind: a.kind, Traits: a.traits, Message: a.identity(cmp.Or(n.Octets, a.size)), Cause: a.cause(),
		})
		for _, hash := range a.reached {
			a.answered(n.Code, hash)
		}
	}
}

// keyOf is what a recipient of this mail is remembered by, as long as it is put off: the sender, how large the mail is
// said to be, and the provider that has put it off. More is not known of it at RCPT. Strangers are one: a domain's MXs
// may have nothing else in common, and nobody but a provider's name gives a refusal its full weight.
func (a *pass) keyOf(recipient uint64) uint64 {
	key := recipient ^ a.policy.hash(a.sender) + uint64(a.size)*spreadSize
	who := a.witness
	if who == 0 {
		who = witness.Called(a.provider, a.policy.hash)
	}
	if who.Named() {
		key ^= bits.RotateLeft64(uint64(who), 32)
	}
	return key
}

// Odd numbers that spread a length over the bits of a key.
const (
	spreadSize   = 0x9e3779b97f4a7c15
	spreadOctets = 0xc2b2ae3d27d4eb4f
)

// answered notes what became of a recipient: put off, or done with.
func (a *pass) answered(code int, recipient uint64) {
	a.answeredAs(code, a.keyOf(recipient))
}

// triedAgain reports whether an outcome is that of a mail which was put off for the same reason before: same sender, recipients and length,
// as far as that is known by now, at a queue's pace. It remembers the outcome, if the mail is put off again.
func (a *pass) triedAgain(code int, whose uint64, class event.Class, octets int64) bool {
	if code < 400 {
		return false
	}
	return a.answeredAs(code, a.keyOf(whose)+uint64(octets)*spreadOctets^a.policy.hash(class.String()))
}

// answeredAs notes what was answered, put off or done with, and reports whether it was put off before.
func (a *pass) answeredAs(code int, key uint64) (again bool) {
	if code/100 == 4 {
		return a.policy.retries.note(a.tenant, key, a.policy.clock())
	}
	return a.policy.retries.over(a.tenant, key, a.policy.clock)
}

// endCallout tells the detector of a mail of a program's sender that came to no DATA: an MSA asks whether a recipient exists. That is no
// mail. What the MX says of the mail, and not of the recipient, is left to be told as of any mail, and so is what goes beyond callouts.
func (a *pass) endCallout() {
	if !a.calling() {
		return
	}
	asMail := false
	a.events = slices.DeleteFunc(a.events, func(r *heard) bool {
		if r == nil {
			return false
		}
		apart := !isSpam(r) && a.policy.detector.Callout(contain.Callout{Tenant: a.tenant, Dead: r.Class == event.RecipientInvalid})
		asMail = asMail || !apart
		return apart
	})
	if !asMail {
		a.events = a.events[:0]
	}
}

func isSpam(r *heard) bool { return r != nil && r.Class == event.ContentRejected }

// calling reports whether the mail at hand may be a callout.
func (a *pass) calling() bool {
	return a.begun && !a.dataAsked && (a.account == contain.NullSender || a.telling().asks(a.account))
}

// asks reports whether an account is one that mail programs verify addresses by, where they do not do so with the null sender: of the
// tenant's own domains, where anybody has said which these are.
func (a *Accounts) asks(account string) bool {
	local, domain, _ := strings.Cut(account, "@")
	switch local {
	case "double-bounce", "postmaster", "mailer-daemon", "verify", "verifier", "address-verify", "callout":
		return len(a.Senders)+len(a.Domains) == 0 || a.Senders.Has(domain) || a.Domains.Has(domain)
	}
	return false
}

// Close implements [session.Pass].
func (a *pass) Close() {
	a.release()
	a.endMail(false, 0)
	for _, s := range []*stay{&a.visit, &a.accounts, &a.berths[a.at].stay} {
		a.policy.end(s)
	}
}
