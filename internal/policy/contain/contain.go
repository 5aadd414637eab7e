package contain

import (
	"net/netip"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/event/word"
	"kanmon/internal/who/witness"
)

// NullSender is the account of mail without a sender. Each tenant has one: bounces misbehave in their own way.
const NullSender = "<>"

// A Subject is whose level it is: an account, or a tenant if Account is "".
type Subject struct {
	Tenant  string `json:"tenant"`
	Account string `json:"account,omitempty"`
}

func (s Subject) String() string {
	if s.Account == "" {
		return s.Tenant
	}
	return s.Tenant + "/" + s.Account
}

// A Level is how far kanmon steps in. They are ordered.
type Level uint8

// The levels.
const (
	Normal Level = iota
	Slow         // fewer mails per time
	Divert       // from sending IPs kept for doubtful mail
	Stop         // none
	levels
)

var levelWords = word.List[Level]("level", "normal", "slow", "divert", "stop")

func (l Level) String() string { return levelWords.Text(l) }

// MarshalText returns the name, as JSON has it.
func (l Level) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText reads a level by its name.
func (l *Level) UnmarshalText(text []byte) error { return levelWords.Read(text, l) }

// Words returns the levels that kanmon can be told to step in as far as.
func (Level) Words() []string { return levelWords.Words()[Slow:] }

// A Cause is the mail that something has come of, as whoever tells of it counts. The zero Cause is none.
type Cause struct {
	Session     uint64 `json:"session,omitempty"`
	Transaction int    `json:"transaction,omitempty"` // of the session; 0: none
}

// A Mail is a transaction that begins: its MAIL was sent to the MX.
type Mail struct {
	Tenant  string
	Account string // "" and NullSender: without a sender
	Kind    Kind   // of the account
	Traits  Traits
}

// A Recipient is the MX's answer to a RCPT.
type Recipient struct {
	Tenant, Account string
	Provider        string       // a provider's name, or the organisation of the MX where none is known
	Witness         witness.Mark // who that is; 0: nobody knows more than the name
	Hash            uint64       // of the whole address: equal for equal addresses, else as good as random
	IP              netip.Addr   // the sending IP
	Class           event.Class  // what conclusions has for each what it is evidence of
	Sample          string       // the reply
	Own             bool         // made by kanmon itself: not evidence
	Again           bool         // the same mail was put off before, and this is what was said then: no new outcome
	Kind            Kind         // of the account
	Traits          Traits
	Message         uint64 // where Kind is not Plain: which message it is, as far as is known by now
	Cause           Cause
}

// A Callout is the MX's answer to a RCPT of mail without a sender, or of a verifying program's, that came to no DATA.
// Receivers verify addresses that way: it is no bounce. Whoever does it much gets onto block lists. Where the mail is
// refused as spam, it is a [Recipient].
type Callout struct {
	Tenant string
	Dead   bool // the recipient does not exist
}

// A Message is the MX's answer to the end of the data.
type Message struct {
	Tenant, Account string
	Provider        string
	Witness         witness.Mark
	Hash            uint64 // of its recipients' hashes: a message tried again has the same
	IP              netip.Addr
	Class           event.Class
	Octets          int64
	Recipients      int // accepted ones
	Sample          string
	Own             bool
	Again           bool // as of a Recipient
	Kind            Kind
	Traits          Traits
	Message         uint64
	Cause           Cause
}

// An Answer is what [Detector.Ask] says of a mail: the higher of its account's and its tenant's level.
type Answer struct {
	Level Level // to be acted on
	Would Level // what Level would be if everything were enforced
	// Tenant says that Level, or Would if that is Normal, is the tenant's.
	Tenant bool
	Hand   bool // Level is an operator's block
}

// A Signal is a way to misbehave.
type Signal string

// The signals. Those of the second group are of tenants.
const (
	UnknownRecipients Signal = "unknown_recipients"
	Content           Signal = "content"     // refused as spam, virus and the like
	SenderRefused     Signal = "sender"      // the address or its domain is refused
	Listing           Signal = "listing"     // our IPs are refused with its mail, and with nobody else's
	Backscatter       Signal = "backscatter" // bounces to those who never wrote
	Volume            Signal = "volume"      // more distinct recipients than ever at this time of the week

	SpreadUnknown Signal = "spread_unknown" // many accounts, each with some unknown recipients
	SpreadContent Signal = "spread_content" // many accounts, each with some refused mail
	ManyAccounts  Signal = "many_accounts"  // many accounts are contained

	ScannersRefuse Signal = "scanners" // messages that scanners of content would refuse
	Viruses        Signal = "viruses"  // messages in which they have found one

	Quiet Signal = "quiet" // nothing bad for long enough: a step down
	Hand  Signal = "hand"  // an operator
)

// A Reading is a signal with its numbers.
type Reading struct {
	Signal    Signal  `json:"signal"`
	Window    string  `json:"window,omitempty"` // hour or day
	Bad       int     `json:"bad"`              // unknown recipients, refused messages, …; of Volume: distinct recipients
	Cases     int     `json:"cases"`            // of so many
	Share     float64 `json:"share"`            // Bad of Cases
	Low       float64 `json:"low"`              // the share is at least this: Wilson's lower bound
	Providers int     `json:"providers,omitempty"`
	// Attested is the part of Bad that can do more than slow: what providers with a name have said, and of what strangers have said as
	// much again.
	Attested float64 `json:"attested,omitempty"`
	Accounts int     `json:"accounts,omitempty"`
	// Named: Bad and Cases are what providers with a name have said, and no stranger's.
	Named bool `json:"named,omitempty"`
	// Elsewhere: one provider refuses what the others accept. It is worth Slow at most.
	Elsewhere bool `json:"elsewhere,omitempty"`
	// Level is what the numbers are enough for, Overwhelming that they are enough to skip steps.
	Level        Level   `json:"level"`
	Overwhelming bool    `json:"overwhelming,omitempty"`
	Threshold    float64 `json:"threshold"` // of Level, or of Slow if that is Normal: for Low, or for Bad where it is Volume or ManyAccounts
}

// A Sample is a reply that was counted as bad.
type Sample struct {
	At       time.Time `json:"at"`
	Account  string    `json:"account,omitempty"`
	Provider string    `json:"provider"`
	Class    string    `json:"class"`
	Reply    string    `json:"reply"`
}

// ByTime is who ends what an operator has said to be until a time.
const ByTime = "time"

const byEvidence = "evidence"

// A Decision is a change of a level, and why.
type Decision struct {
	Seq      uint64    `json:"seq"`
	At       time.Time `json:"at"`
	Subject  Subject   `json:"subject"`
	From     Level     `json:"from"`
	To       Level     `json:"to"`
	Enforced Level     `json:"enforced"` // what of To the policy enforced then
	By       string    `json:"by"`       // "evidence", "quiet", ByTime, or an operator
	Why      string    `json:"why"`
	Looks    Kind      `json:"looks,omitzero"` // like what it looks, if that is a list or a forwarder and nobody has said so
	Reading  Reading   `json:"reading"`
	Samples  []Sample  `json:"samples,omitempty"` // the newest last
	Cause              // the mail whose answer was enough, where it is by evidence
}

// Bounds, in octets, of what is kept of strangers' texts.
const (
	maxName   = 255
	maxReply  = 160
	maxSample = 8 // replies, not octets
)

// plain makes a name fit to be kept, shown and written as JSON. Most are already.
func plain(name string) string {
	if len(name) > maxName {
		return event.Printable(name, maxName)
	}
	for i := range len(name) {
		if name[i] < ' ' || name[i] > '~' {
			return event.Printable(name, maxName)
		}
	}
	return name
}
