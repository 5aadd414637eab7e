package policy

import (
	"net/netip"

	"kanmon/internal/event"
	"kanmon/internal/policy/contain"
	"kanmon/internal/policy/content"
	"kanmon/internal/policy/limit"
	"kanmon/internal/who/witness"
)

// A mail is what a pass has of the mail at hand: whose it is, what it has taken, and what MXs have said of it.
type mail struct {
	begun     bool
	taken     bool // the MX has accepted MAIL
	heard     bool // it has answered something of the mail
	tenant    string
	envelope  string              // its sender, in the form of package mailbox
	spelled   string              // who sent it: the envelope's sender, or who a header names; in that form, with its tags
	folded    string              // the account of spelled
	sender    string              // the account of the envelope's sender, whoever a header names
	account   string              // that it counts for: folded, or all that the tenant forwards
	kind      contain.Kind        // of account
	traits    contain.Traits      // of spelled
	number    int32               // of the session's transactions
	size      int64               // as announced
	witness   witness.Mark        // who answers for the recipient that was named last
	ofMail    limit.Ticket        // what MAIL took, but for the account's
	ofAccount limit.Ticket        // what it took of the account's
	slowing   limit.Ticket        // what it took of a contained sender's rate; given back if the MX has not heard of it
	own       berth               // which most have
	berths    [2]*berth           // of the sending IP that the mail leaves from, and of one that it may go on from instead; nil: none yet
	at        int8                // which of them is the first
	trying    bool                // it is asked about the second: nobody can wait
	partly    bool                // a recipient was refused here
	recipient limit.Ticket        // of the recipients
	asked     []uint64            // recipients that were let pass, in order
	askedAt   []uint64            // hashes of their domains; nil: nobody wants to know
	replied   int                 // of them, those that the MX has answered
	tried     uint64              // hash of all recipients
	reached   []uint64            // recipients that the MX has accepted
	said      []uint64            // what was said of which recipient, in order of the keys
	unnamed   bool                // a header of the message may still name the account
	dataAsked bool                // the MX has answered DATA, or the message
	judged    *content.Inspection // how its content is judged; nil: it is not
	metAs     uint8               // of names: by which what holds for the sender was said
	retry     bool                // of the recipient that is asked about: it was put off before
	events    []*heard            // for the detector, while it may; nil is the mail itself
	suspicion *event.Suspicion    // nil: nobody has asked
}

// heard is an MX's answer to a RCPT.
type heard struct {
	contain.Recipient
	domain uint64 // hash of the recipient's; 0: nobody wants to know
}

// cause names the mail at hand, or before any the session.
func (a *pass) cause() contain.Cause {
	return contain.Cause{Session: uint64(a.origin.Session), Transaction: int(a.number)}
}

// giveBack is for a mail that the MX did not take.
func (a *pass) giveBack() {
	a.policy.limiter.Settle(&a.ofMail, false, 0)
	a.policy.limiter.Settle(&a.ofAccount, false, 0)
	a.policy.limiter.Settle(&a.berths[a.at].mail, false, 0)
}

// endMail settles what was taken for the mail at hand. Recipients that the MX was asked for stay counted, whatever it said; but where the
// MSA gives up a mail of which something was refused here, it will bring the others again.
func (a *pass) endMail(delivered bool, octets int64) {
	a.endCallout()
	a.attribute()
	a.policy.limiter.Settle(&a.ofMail, delivered, octets)
	a.policy.limiter.Settle(&a.ofAccount, delivered, octets)
	a.policy.limiter.Settle(&a.slowing, delivered || a.heard, 0)
	a.policy.limiter.Settle(&a.berths[a.at].mail, delivered, octets)
	a.moor(1-a.at, netip.Addr{})
	a.policy.limiter.Settle(&a.recipient, delivered || !a.partly, 0)
	a.judged = nil
	a.begun, a.taken, a.heard, a.unnamed, a.asked, a.replied, a.tried = false, false, false, false, a.asked[:0], 0, 0
	a.askedAt, a.suspicion = a.askedAt[:0], nil
	a.partly, a.dataAsked, a.reached, a.said = false, false, a.reached[:0], a.said[:0]
}
