package classify

import (
	"fmt"
	"strings"
)

// A Class is what a reply means, ordered by what the operator has to do.
type Class uint8

// The classes. The words of docs/ref/classification.md.
const (
	ClassNone         Class = iota // no refusal: 2xx and 3xx
	IPBlocklisted                  // the sending IP or its network is on a named list, or on the receiver's own
	IPReputation                   // the sending IP is refused for its reputation or kind, no list named
	Throttled                      // too much, too fast, too many connections
	Greylisted                     // first contact: the same again later, from the same IP
	DNSIdentity                    // PTR, forward-confirmed PTR, EHLO name
	AuthFailed                     // SPF, DKIM, DMARC, ARC
	SenderRejected                 // envelope sender, From or their domain
	ContentRejected                // the message: spam, virus, links, headers, format
	RecipientInvalid               // no such user or domain
	MailboxFull                    // the recipient's quota
	RecipientPolicy                // the recipient, or who administers it, does not want this sender
	MessageTooBig                  // size
	RelayDenied                    // the receiver is not responsible, or wants AUTH
	TLSRequired                    // STARTTLS, TLS version, certificate
	SystemError                    // fault, protocol error, no resources
	PolicyUnspecified              // refused, without saying what
)

var classNames = []string{
	"none", "ip_blocklisted", "ip_reputation", "throttled", "greylisted", "dns_identity", "auth_failed", "sender_rejected",
	"content_rejected", "recipient_invalid", "mailbox_full", "recipient_policy", "message_too_big", "relay_denied", "tls_required",
	"system_error", "policy_unspecified",
}

// explained is what a class means and what the operator should do, in words for humans.
var explained = [...]struct{ meaning, action string }{
	ClassNone:         {"no refusal", "nothing"},
	IPBlocklisted:     {"our IP or its network is on a block list", "stop sending from it to this provider; remove the cause, then ask for delisting"},
	IPReputation:      {"our IP is refused for its reputation or its kind; no list is named", "hold it back here; stop only if other destinations say so too"},
	Throttled:         {"too much, too fast, or too many connections", "slow down what the scope names"},
	Greylisted:        {"first contact: the receiver wants to see a retry", "nothing: the MSA retries, from the same IP"},
	DNSIdentity:       {"the names of our IP are wrong: PTR, its forward entry, EHLO", "put PTR and EHLO name of the sending IP in order"},
	AuthFailed:        {"SPF, DKIM or DMARC of the sender's domain failed", "tell the tenant: the DNS of the domain must allow our IPs"},
	SenderRejected:    {"the sender's address or domain is refused", "tell the tenant"},
	ContentRejected:   {"the message is refused: spam, virus, links, headers or form", "tell the tenant, and count it"},
	RecipientInvalid:  {"there is no such recipient", "nothing; a tenant with many of them has a bad list"},
	MailboxFull:       {"the recipient has no space", "nothing"},
	RecipientPolicy:   {"the recipient, or who administers it, does not want this sender", "nothing"},
	MessageTooBig:     {"the message is too large", "nothing"},
	RelayDenied:       {"the receiver is not responsible for the recipient, or wants AUTH", "look at the recipient domain's MX records"},
	TLSRequired:       {"the receiver wants TLS, or a better one", "look at the TLS policy of this destination"},
	SystemError:       {"a fault or a protocol error", "nothing: the MSA retries"},
	PolicyUnspecified: {"refused, without saying what is refused", "count it; nothing else"},
}

// Meaning explains the class in a few words.
func (c Class) Meaning() string { return explained[min(int(c), len(explained)-1)].meaning }

// Action is what the operator should do about a reply of the class.
func (c Class) Action() string { return explained[min(int(c), len(explained)-1)].action }

// A Scope is whose the refusal is.
type Scope uint8

// The scopes.
const (
	ScopeUnknown     Scope = iota
	ScopeIP                // our sending IP
	ScopeNetblock          // the network around it
	ScopeConnections       // how many connections we have, or how many messages one carried
	ScopeHost              // the names of our sending IP: PTR, EHLO
	ScopeSender            // the tenant: sender address, its domain, its account
	ScopeMessage           // one message
	ScopeTransaction       // how the recipients of one transaction were chosen
	ScopeRecipient         // one recipient or its organisation
	ScopeReceiver          // the receiver itself
	ScopeProtocol          // a command at the wrong time or in the wrong form
)

var scopeNames = []string{
	"unknown", "ip", "netblock", "connections", "host", "sender", "message", "transaction", "recipient", "receiver", "protocol",
}

// Suspend says whether a reply is a reason to stop sending from the IP to the provider.
type Suspend uint8

// No is the zero value: a doubt is no reason.
const (
	No  Suspend = iota
	May         // only together with other evidence: several destinations, a DNSBL query of our own
	Yes
)

var suspendNames = []string{"no", "may", "yes"}

// A Weight is what a listing is worth.
type Weight uint8

// The weights.
const (
	WeightUnknown Weight = iota // not in the table: the receiver's own, or one nobody told us of
	Strong                      // widely used, careful
	Weak                        // small, or lists neighbours: no reason alone
	Closed                      // out of service: whoever still asks it gets stale answers
	Range                       // says that the range should not send at all: configuration, not conduct
)

var weightNames = []string{"unknown", "strong", "weak", "closed", "range"}

// defaults is whose a refusal of a class is, and what it means for the IP, where the rule does not say.
var defaults = [...]struct {
	scope   Scope
	suspend Suspend
}{
	IPBlocklisted:     {ScopeIP, Yes},
	IPReputation:      {ScopeIP, May},
	Throttled:         {ScopeUnknown, No},
	Greylisted:        {ScopeTransaction, No},
	DNSIdentity:       {ScopeHost, No},
	AuthFailed:        {ScopeSender, No},
	SenderRejected:    {ScopeSender, No},
	ContentRejected:   {ScopeMessage, No},
	RecipientInvalid:  {ScopeRecipient, No},
	MailboxFull:       {ScopeRecipient, No},
	RecipientPolicy:   {ScopeRecipient, No},
	MessageTooBig:     {ScopeMessage, No},
	RelayDenied:       {ScopeReceiver, No},
	TLSRequired:       {ScopeReceiver, No},
	SystemError:       {ScopeReceiver, No},
	PolicyUnspecified: {ScopeUnknown, No},
}

// String gives the name as rules, JSON and the documentation write it.
func (c Class) String() string { return name(classNames, uint8(c)) }

// String gives the name as rules and JSON write it.
func (s Scope) String() string { return name(scopeNames, uint8(s)) }

// String gives yes, may or no.
func (s Suspend) String() string { return name(suspendNames, uint8(s)) }

// String gives the name as the table of lists writes it.
func (w Weight) String() string { return name(weightNames, uint8(w)) }

// UnmarshalText reads a class by its name. A rule cannot say none.
func (c *Class) UnmarshalText(text []byte) error {
	n, err := parseName("class", classNames, 1, text)
	*c = Class(n)
	return err
}

// UnmarshalText reads a scope by its name.
func (s *Scope) UnmarshalText(text []byte) error {
	n, err := parseName("scope", scopeNames, 0, text)
	*s = Scope(n)
	return err
}

// UnmarshalText reads yes, may or no.
func (s *Suspend) UnmarshalText(text []byte) error {
	n, err := parseName("suspend", suspendNames, 0, text)
	*s = Suspend(n)
	return err
}

// UnmarshalText reads a weight by its name.
func (w *Weight) UnmarshalText(text []byte) error {
	n, err := parseName("weight", weightNames, 0, text)
	*w = Weight(n)
	return err
}

func name(names []string, n uint8) string {
	if int(n) >= len(names) {
		return "unknown"
	}
	return names[n]
}

func parseName(what string, names []string, first int, text []byte) (uint8, error) {
	for n, name := range names[first:] {
		if name == string(text) {
			return uint8(first + n), nil
		}
	}
	return 0, fmt.Errorf("%q is no %s: want one of %s", text, what, strings.Join(names[first:], ", "))
}
