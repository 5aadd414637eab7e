package classify

import "kanmon/internal/event"

// The words of a verdict are event's, since records, containment and standing speak of them, too. Here they have short names.

// Class is what a reply means.
type Class = event.Class

// Scope is whose a refusal is.
type Scope = event.Scope

// Suspend says whether it is a reason to stop sending from the IP to the provider.
type Suspend = event.Suspend

// Count is what a provider takes only so much of.
type Count = event.Count

// Weight is what a listing is worth.
type Weight = event.Weight

// The short names.
const (
	ClassNone         = event.NoRefusal
	IPBlocklisted     = event.IPBlocklisted
	IPReputation      = event.IPReputation
	Throttled         = event.Throttled
	Greylisted        = event.Greylisted
	DNSIdentity       = event.DNSIdentity
	AuthFailed        = event.AuthFailed
	SenderRejected    = event.SenderRejected
	ContentRejected   = event.ContentRejected
	RecipientInvalid  = event.RecipientInvalid
	MailboxFull       = event.MailboxFull
	RecipientPolicy   = event.RecipientPolicy
	MessageTooBig     = event.MessageTooBig
	RelayDenied       = event.RelayDenied
	TLSRequired       = event.TLSRequired
	SystemError       = event.SystemError
	PolicyUnspecified = event.PolicyUnspecified

	ScopeUnknown     = event.ScopeUnknown
	ScopeIP          = event.ScopeIP
	ScopeNetblock    = event.ScopeNetblock
	ScopeConnections = event.ScopeConnections
	ScopeHost        = event.ScopeHost
	ScopeSender      = event.ScopeSender
	ScopeMessage     = event.ScopeMessage
	ScopeTransaction = event.ScopeTransaction
	ScopeRecipient   = event.ScopeRecipient
	ScopeReceiver    = event.ScopeReceiver
	ScopeProtocol    = event.ScopeProtocol

	No  = event.SuspendNo
	May = event.SuspendMay
	Yes = event.SuspendYes

	WeightUnknown = event.WeightUnknown
	Strong        = event.WeightStrong
	Weak          = event.WeightWeak
	Closed        = event.WeightClosed
	Range         = event.WeightRange
)

// explained is what a class means and what the operator should do, in words for humans.
var explained = [event.ClassCount]struct{ meaning, action string }{
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

// Explain returns what the class of a reply means in a few words, and what the operator should do about it.
func Explain(c Class) (meaning, action string) { return explained[c].meaning, explained[c].action }

// defaults is whose a refusal of a class is, and what it means for the IP, where the rule does not say.
var defaults = [event.ClassCount]struct {
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
