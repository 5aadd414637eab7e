package policy

import (
	"errors"
	"fmt"
	"strings"

	"kanmon/internal/policy/contain"
	"kanmon/internal/who/mailbox"
)

// ErrAccount is what an order gets that is for an account of which no mail can be: it would be told as done, and change nothing.
var ErrAccount = errors.New("no mail is of this account")

// meant refuses an order for what nobody's mail is of. Domains says that the order may be for all accounts of a domain.
func (p *Policy) meant(s contain.Subject, domains bool) error {
	if err := p.known(s); err != nil || s.Account == "" {
		return err
	}
	of := p.settings.Load().accountsOf(s.Tenant)
	name := of.Named(s.Account)
	local, domain, isAddress := strings.Cut(name, "@")
	switch {
	case name == contain.NullSender || name == mailbox.Unreadable || name == mailbox.Forwarded || strings.HasPrefix(name, mailbox.SRSAccount+"@"):
		return nil
	case isAddress && local == "":
		if domains {
			return nil
		}
		return fmt.Errorf("%w: %q is all accounts of a domain, which can be blocked, and marked as a list or forwarder; this order is for one account, bob@%s, or for the tenant", ErrAccount, name, domain)
	case p.detector.Explain(contain.Subject{Tenant: s.Tenant, Account: name}).Known:
		return nil // an odd name, but somebody's
	case isAddress && strings.Contains(local, "*"):
		return fmt.Errorf("%w: %q: there are no patterns; for all accounts of a domain say %q", ErrAccount, s.Account, "@"+domain)
	case strings.ContainsAny(name, "*?"):
		return fmt.Errorf("%w: %q: there are no patterns; say an address, or \"@\" and a domain for all accounts of that", ErrAccount, s.Account)
	case !isAddress && (of.Senders.Has(name) || of.Domains.Has(name) || of.Header == "" && strings.Contains(name, ".")):
		return fmt.Errorf("%w: %q is no address; for all accounts of a domain say %q", ErrAccount, s.Account, "@"+name)
	}
	return nil
}
