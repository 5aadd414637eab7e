package history

import (
	"errors"
	"net/netip"
	"time"

	"kanmon/internal/event"
)

// ErrGone is seen where what is asked for is not kept, or no more.
var ErrGone = errors.New("history does not have it, or no more")

// A Key names a line among those of all gateways.
type Key struct {
	Gateway, Run string
	Line         uint64
}

// A Line is one line as it stands in the records, and what it says.
type Line struct {
	Raw   []byte
	Entry *event.Entry
}

// A Mark is how far a source, a file of records, has been read.
type Mark struct {
	File   string    // which file, and which others have been read to their end, by their first octets, as the reader names them
	Offset int64     // behind the last whole line that was taken in
	At     time.Time // of that line
}

// Keep is how long what is kept, and how much.
type Keep struct {
	Detail  time.Duration // every attempt and recipient
	Trouble time.Duration // attempts that were not delivered
	Counts  time.Duration // roll-ups and events
	Octets  int64         // of all files; detail is shortened first; 0: no bound
}

// Pruned is what was taken away.
type Pruned struct {
	Detail, Trouble, Counts int // days
	ForSize                 bool
}

// An Attempt is one transaction: an MSA's attempt to hand a mail to an MX.
type Attempt struct {
	Key
	At, Start   time.Time // its end, its MAIL
	Session     event.ID
	Number      int
	Source      netip.AddrPort // the MSA
	Destination netip.AddrPort // the MX
	SendingIP   netip.Addr     // the zero Addr: none is configured
	Pool        string
	Provider    string
	Tenant      string
	Account     string
	Sender      string
	Recipients  []Recipient // as far as they are on record
	More        int         // beyond those
	MessageID   string
	QueueID     string // of the MSA
	Received    time.Time
	MXQueueID   string // that the MX's reply to the dot names
	Reference   string // that the reply of kanmon has, where the content was judged
	Outcome     string // as docs/ref/record.md has it
	Reply       Reply  // the one that decided
	Octets      int64
	Duration    time.Duration
	Suspicion   *event.EntrySuspicion // nil: nobody had asked
	Slowest     string                // phase
	SlowestTook time.Duration
	TLS         string // state
	Rescued     bool
	Mail        string // the mail that it is an attempt of
}

// A Recipient is one of an attempt's.
type Recipient struct {
	Address string
	Code    int    // of the reply to its RCPT
	Fate    string // as docs/ref/record.md has it
}

// A Reply is the reply that decided about an attempt.
type Reply struct {
	Code     int
	Enhanced string
	Text     string
	Phase    string
	Class    string
	Scope    string
	Rule     string
	Shape    string // its text without what differs from mail to mail
	Local    bool   // kanmon's own
}

// A Mail is what its attempts tell of it. kanmon has no queue: what becomes of it between them, its MSA knows.
type Mail struct {
	ID       string
	Probably bool // no id says that the attempts are of one mail: sender, recipients, tenant and size do
	First    time.Time
	Last     time.Time
	State    MailState
	Attempts []Attempt // the oldest first; at most MaxAttempts, the newest
	Tries    int       // of how many
}

// MaxAttempts is how many attempts of a mail are given with it.
const MaxAttempts = 100

// A MailState is what the last attempt tells of a mail.
type MailState string

// The states of a mail.
const (
	Delivered MailState = "delivered"
	Partly    MailState = "partly"  // some recipients have it, others are refused or waited for
	Refused   MailState = "refused" // for good
	Waits     MailState = "waiting" // as far as anybody knows its MSA tries again
	GivenUp   MailState = "given_up"
	Unclear   MailState = "unclear" // the dot was sent, and nobody answered
)

// A Filter says which attempts are meant. What is zero is not asked for; what is given must all hold.
type Filter struct {
	From, To  time.Time // of the attempt's end: From ≤ At < To
	Gateway   string
	Tenant    string
	Account   string
	Provider  string
	SendingIP netip.Addr
	MX        netip.Addr
	Sender    string
	Recipient string // an address, or @domain
	ID        string // a message id, a queue id of the MSA or of the MX
	Session   event.ID
	Outcomes  []string
	Class     string
	Shape     string
	Mail      string
}

// A Page says how much is wanted, and behind what. There is no "all".
type Page struct {
	Limit int  // 0, or more than MaxPage: MaxPage
	After Next // the zero one: from the beginning
}

// MaxPage is how much one answer has at most.
const MaxPage = 500

// A Next is where the next page begins, as its store understands it; "": there is none.
type Next string

// Names of what counts are grouped by.
const (
	ByGateway  = "gateway"
	ByProvider = "provider"
	BySending  = "sending_ip"
	ByTenant   = "tenant"
	ByAccount  = "account" // by day only
	ByOutcome  = "outcome"
	ByClass    = "class"
)

// CountsOf asks for counts. A step of less than an hour is kept as long as detail, and is not by tenant; a step of less than a day (of UTC) is not
// by account, nor is any by account and provider or sending IP. From and To that lie within what is counted together are taken to its begin, or its end.
type CountsOf struct {
	Filter               // From, To, Gateway, Tenant, Account, Provider, SendingIP, Outcomes and Class of it
	Step   time.Duration // 5 minutes, an hour, a day, or a multiple of one of these, counted from From; 0: all of it in one
	By     []string
}

// A Count is how many attempts there were.
type Count struct {
	Begin      time.Time
	Gateway    string
	Provider   string
	SendingIP  netip.Addr
	Tenant     string
	Account    string
	Outcome    string
	Class      string
	Attempts   int64
	First      int64 // of mails of which no attempt was known before
	Recipients int64
	Octets     int64
	Rescued    int64
	TLS        int64 // that went out encrypted
}

// TimesOf asks for how long phases took. A step of less than an hour is kept as long as detail.
type TimesOf struct {
	From, To  time.Time
	Provider  string
	SendingIP netip.Addr
	Phase     string
	Step      time.Duration // as of CountsOf
	ByIP      bool
}

// Times are durations of one phase, counted in buckets.
type Times struct {
	Begin     time.Time
	Provider  string
	SendingIP netip.Addr
	Phase     string
	Counts    [len(Buckets) + 1]int64 // up to each of Buckets, and longer
}

// Buckets are the bounds of durations, in seconds.
var Buckets = [...]float64{0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900}

// A Shape is refusals of one meaning in like words.
type Shape struct {
	Class, Rule string
	Shape       string
	Text        string   // one of them
	To          []string // whom that may name
	Count       int64
	First, Last time.Time
	Tenants     int
	SendingIPs  []netip.Addr
	Providers   []string
	One         string // the tenant, where it is one
	Seen        Key    // the first that is kept
}

// EventsOf asks for news. What holds for a sending IP everywhere is of each provider, too; and steps of a gateway, where they are asked for by their
// type, are of all whose mail it has. Without Types and Session all are given but heartbeats and what comes with single mails ("refusal", "decision",
// "wait").
type EventsOf struct {
	From, To  time.Time
	Gateway   string
	Types     []string // as docs/ref/record.md has them
	Tenant    string
	Account   string
	Provider  string
	SendingIP netip.Addr
	Session   event.ID
	Reference string // of a verdict about content
}

// Waiting is how many mails wait, by how long ago the first attempt was.
type Waiting struct {
	Provider string
	Ages     [len(Ages) + 1]int64 // up to each of Ages, and older
	Tenants  int
}

// Ages are the bounds of Waiting.
var Ages = [...]time.Duration{5 * time.Minute, 15 * time.Minute, time.Hour, 4 * time.Hour, 12 * time.Hour, 24 * time.Hour, 48 * time.Hour}

// A Search is that somebody looked for mail of somebody.
type Search struct {
	At   time.Time
	By   string
	What string
	Why  string
}

// A Status is what there is.
type Status struct {
	Marks     map[string]Mark
	Last      time.Time // the newest line
	Attempts  int64
	Octets    int64        // of all files
	Detail    [2]time.Time // the first and the last day of it
	Trouble   [2]time.Time
	Counts    [2]time.Time
	Shortened bool  // detail was taken away for size
	Gaps      int64 // records that were lost, as "dropped" lines say
	BadLines  int64
	Damaged   []string // files of days that are damaged, and left out in full or in part
}
