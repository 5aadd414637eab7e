package policy

import (
	"fmt"
	"strings"

	"kanmon/internal/event"
	"kanmon/internal/policy/contain"
	"kanmon/internal/session"
	"kanmon/internal/smtp"
	"kanmon/internal/smtp/replies"
	"kanmon/internal/who/mailbox"
)

// Accounts says how the accounts of a tenant are told.
type Accounts struct {
	Fold *mailbox.Fold // of senders and of names; nil: mailbox.Default

	Header   string // that names the account; "": the envelope sender is it
	Strip    bool   // it does not leave
	Conflict mailbox.Conflict
	Required bool            // the MSA writes one into every message
	Domains  mailbox.Domains // of the accounts in it; none: any
	Senders  mailbox.Domains // the tenant's own

	// Kinds are those of accounts, of all accounts of a domain ("@lists.acme.example"), and of the tenant (""), in normal form.
	Kinds map[string]contain.Kind
}

// defaultAccounts are those of tenants about which nothing is said.
var defaultAccounts = &Accounts{}

// accountsOf returns how the accounts of a tenant are told.
func (s *Settings) accountsOf(tenant string) *Accounts {
	if s.Accounts != nil {
		if a := s.Accounts(tenant); a != nil {
			return a
		}
	}
	return defaultAccounts
}

// Account returns the account of a mailbox, or of a name, in normal form.
func (a *Accounts) Account(form string) string {
	if form == mailbox.Null {
		return contain.NullSender
	}
	account, _ := a.Fold.Account(form)
	return account
}

// normal returns a subject as it is kept: its account in normal form, as a mail of it has it.
func (s *Settings) normal(of contain.Subject) contain.Subject {
	if of.Account != "" {
		of.Account = s.accountsOf(of.Tenant).Named(of.Account)
	}
	return of
}

// Named returns the account that a person means, in normal form, or "@" and a domain for all accounts of that.
func (a *Accounts) Named(name string) string {
	if domain, all := strings.CutPrefix(name, "@"); all {
		if form, ok := mailbox.Domain(domain); ok {
			return "@" + form
		}
	}
	return a.Account(mailbox.Named(name))
}

// Normal returns a subject as it is kept: whatever a person calls an account by, it is the one that the mail of that sender has.
func (p *Policy) Normal(of contain.Subject) contain.Subject { return p.settings.Load().normal(of) }

// sentBy makes a mailbox, or the name of an account, the sender of the mail at hand. Named is an account that a header has said.
func (a *pass) sentBy(form string, named bool) {
	of := a.telling()
	a.spelled, a.folded, a.traits = form, contain.NullSender, 0
	if form != mailbox.Null {
		var how mailbox.Folded
		a.folded, how = of.Fold.Account(form)
		a.traits = of.traits(a.folded, how)
	}
	whose := a.policy.ofSender(a.set, a.tenant, a.folded, named)
	a.account, a.kind = whose.account, whose.kind
}

// traits tells what the sender of a mail shows.
func (a *Accounts) traits(account string, how mailbox.Folded) (t contain.Traits) {
	if how&mailbox.VERP != 0 {
		t |= contain.NamesRecipient
	}
	if how&mailbox.SRS != 0 {
		t |= contain.WasForwarded
	}
	if a.owns(account) {
		t |= contain.OwnDomain
	}
	return t
}

func (a *pass) telling() *Accounts { return a.set.accountsOf(a.tenant) }

// A reading is what the fields of a message that name its account come to.
type reading struct {
	names   []string // in their order; mailbox.Unreadable for what is cut or names several, mailbox.Null for what names nobody
	foreign int      // fields that others have written, which are not among names
}

// read reads the fields.
func (a *pass) read(fields []smtp.HeaderField) (r reading) {
	for _, f := range fields {
		name := mailbox.Named(f.Text)
		switch {
		case f.Cut:
			name = mailbox.Unreadable
		case a.isForeign(name):
			r.foreign++
			continue
		}
		r.names = append(r.names, name)
	}
	return r
}

// isForeign reports whether another than the tenant's MSA has written the name: somewhere on the way of mail that is only forwarded. It
// is known by its domain, where the operator has said which domains accounts have. The envelope tells nothing of it: its sender is the
// sender's choice, and would let an account that is limited or blocked pass for a stranger.
func (a *pass) isForeign(name string) bool {
	of, domain := a.telling(), mailbox.DomainOf(name)
	return domain != "" && len(of.Domains) > 0 && !of.Domains.Has(domain)
}

// agreed returns the one account that all fields name.
func (r *reading) agreed(of *Accounts) (name string, ok bool) {
	for i, next := range r.names {
		if next == mailbox.Null || next == mailbox.Unreadable || i > 0 && of.Account(next) != of.Account(r.names[0]) {
			return "", false
		}
	}
	return r.names[0], true
}

// nameAccount finds out whose the message is. It is its envelope sender's, found is false, where no field says it. What it refuses it has
// put into the decision.
func (a *pass) nameAccount(d *session.Decision, fields []smtp.HeaderField) (found bool) {
	of, r := a.telling(), a.read(fields)
	if r.foreign > 0 {
		a.noteHeader(d, "foreign_account", of, fmt.Sprintf("%d of %d fields name an account of another domain: they do not count", r.foreign, len(fields)))
	}
	if len(r.names) == 0 {
		if of.Required {
			d.Refuse, d.Say = session.RefuseNow, replies.AccountMissing.Say(of.Header)
			a.noteHeader(d, "deferred", of, "no field names an account of this tenant")
		}
		return false
	}
	if name, ok := r.agreed(of); ok {
		a.sentBy(name, true)
		return true
	}
	counts := "none counts"
	name := mailbox.Unreadable
	switch of.Conflict {
	case mailbox.ConflictFirst:
		name, counts = r.names[0], "the first counts"
	case mailbox.ConflictLast:
		name, counts = r.names[len(r.names)-1], "the last counts"
	}
	if name == mailbox.Null {
		name = mailbox.Unreadable
	}
	a.sentBy(name, true)
	did := "conflicting_accounts"
	if of.Conflict == mailbox.ConflictDefer {
		did = "deferred"
		d.Refuse, d.Say = session.RefuseNow, replies.AccountAmbiguous.Say(of.Header)
	}
	a.noteHeader(d, did, of, r.String()+": "+counts)
	return true
}

// String says what the fields name, for the record.
func (r *reading) String() string {
	var shown []string
	for _, name := range r.names {
		switch {
		case name == mailbox.Null:
			name = "nobody"
		case name == mailbox.Unreadable:
			name = "cannot be read"
		case !strings.Contains(name, "@"):
			name = "a login name" // which no mode of the record's addresses would hide
		}
		shown = append(shown, name)
	}
	return fmt.Sprintf("%d fields (%s)", len(r.names), strings.Join(shown, "; "))
}

// noteHeader tells what was thought of the fields of a message; once, also if it is held.
func (a *pass) noteHeader(d *session.Decision, did string, of *Accounts, why string) {
	if !a.waiting {
		d.Notes = append(d.Notes, event.Note{Did: did, Tenant: a.tenant, Account: a.account, Rule: "account_header " + of.Header, Why: why})
	}
}
