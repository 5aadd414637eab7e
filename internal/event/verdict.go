package event

import "kanmon/internal/event/word"

// A Class is what a refusal of an MX means, ordered by what the operator has to do. docs/ref/classification.md is its page. Whoever draws
// conclusions from classes has a row for each of them, which a test wants: so no new one is nothing to anybody by oversight.
type Class uint8

// The classes.
const (
	Unjudged          Class = iota // nobody has said what it means
	NoRefusal                      // 2xx and 3xx
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
	SilentDial                     // no reply: the connection was refused, or not answered
	SilentReset                    // no reply: the connection was reset
	ClassCount
)

// A reply has one of those from IPBlocklisted to PolicyUnspecified: no rule can say another.
var classes = word.List[Class](
	"class", "", "none", "ip_blocklisted", "ip_reputation", "throttled", "greylisted", "dns_identity", "auth_failed", "sender_rejected",
	"content_rejected", "recipient_invalid", "mailbox_full", "recipient_policy", "message_too_big", "relay_denied", "tls_required",
	"system_error", "policy_unspecified", "unreachable", "connection_reset",
).Between(IPBlocklisted, PolicyUnspecified)

// A Scope is whose a refusal is.
type Scope uint8

// The scopes.
const (
	Unscoped         Scope = iota // nobody has said
	ScopeUnknown                  // the reply does not say
	ScopeIP                       // our sending IP
	ScopeNetblock                 // the network around it
	ScopeConnections              // how many connections we have, or how many messages one carried
	ScopeHost                     // the names of our sending IP: PTR, EHLO
	ScopeSender                   // the tenant: sender address, its domain, its account
	ScopeMessage                  // one message
	ScopeTransaction              // how the recipients of one transaction were chosen
	ScopeRecipient                // one recipient or its organisation
	ScopeReceiver                 // the receiver itself
	ScopeProtocol                 // a command at the wrong time or in the wrong form
	ScopeCount
)

var scopes = word.List[Scope](
	"scope", "", "unknown", "ip", "netblock", "connections", "host", "sender", "message", "transaction", "recipient", "receiver", "protocol",
).Between(ScopeUnknown, ScopeProtocol)

// Suspend says whether a refusal is a reason to stop sending from the IP to the provider.
type Suspend uint8

// SuspendNo is the zero value: a doubt is no reason.
const (
	SuspendNo  Suspend = iota
	SuspendMay         // only together with other evidence: several destinations, a DNSBL query of our own
	SuspendYes
)

var suspends = word.List[Suspend]("suspend", "no", "may", "yes")

// A Weight is what a listing is worth.
type Weight uint8

// The weights.
const (
	WeightUnknown Weight = iota // not in the table: the receiver's own, or one nobody told us of
	WeightStrong                // widely used, careful
	WeightWeak                  // small, or lists neighbours: no reason alone
	WeightClosed                // out of service: whoever still asks it gets stale answers
	WeightRange                 // says that the range should not send at all: configuration, not conduct
	WeightCount
)

var weights = word.List[Weight]("weight", "unknown", "strong", "weak", "closed", "range")

// String returns the class as rules, records and the documentation write it.
func (c Class) String() string { return classes.Text(c) }

// UnmarshalText reads the class of a reply.
func (c *Class) UnmarshalText(text []byte) error { return classes.Read(text, c) }

// Words returns the classes of replies.
func (Class) Words() []string { return classes.Words() }

// String returns the scope as rules and records write it.
func (s Scope) String() string { return scopes.Text(s) }

// UnmarshalText reads a scope.
func (s *Scope) UnmarshalText(text []byte) error { return scopes.Read(text, s) }

// Words returns the scopes that a rule can say.
func (Scope) Words() []string { return scopes.Words() }

// String returns no, may or yes.
func (s Suspend) String() string { return suspends.Text(s) }

// UnmarshalText reads no, may or yes.
func (s *Suspend) UnmarshalText(text []byte) error { return suspends.Read(text, s) }

// String returns the weight as the table of lists writes it.
func (w Weight) String() string { return weights.Text(w) }

// Words returns the weights that the table of lists can say.
func (Weight) Words() []string { return weights.Words()[WeightStrong:] }

// UnmarshalText reads a weight.
func (w *Weight) UnmarshalText(text []byte) error { return weights.Read(text, w) }

// WeightOf returns the weight that a word stands for; of one that nobody knows here, WeightUnknown.
func WeightOf(text string) Weight {
	w, _ := weights.Of(text)
	return w
}
