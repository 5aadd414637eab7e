package admin

import (
	"net/netip"
	"time"
)

// A Subject is whose sending it is about: an account, or a tenant if Account is "".
type Subject struct {
	Tenant  string `json:"tenant"`
	Account string `json:"account,omitempty"`
}

// Levels of containment, as they are named in the API.
const (
	LevelNormal = "normal"
	LevelSlow   = "slow"   // fewer mails per time
	LevelDivert = "divert" // from sending IPs kept for doubtful mail
	LevelStop   = "stop"   // none
)

// A Sender is a line of a list: how a tenant or an account stands.
type Sender struct {
	Subject
	Level string `json:"level"` // its own, by evidence
	// InForce is the level that its mail is treated by: of evidence as far as it is enforced, or by an operator, its own or
	// its tenant's. Would is what InForce would be if all evidence were enforced.
	InForce  string    `json:"in_force"`
	Would    string    `json:"would"`
	ByTenant bool      `json:"by_tenant,omitempty"` // of an account: InForce, or Would if that is normal, is its tenant's
	Blocked  bool      `json:"blocked,omitempty"`   // InForce is by an operator's block, or by a limit that blocks
	Since    time.Time `json:"since,omitzero"`      // of Level; none of a normal one
	Why      string    `json:"why,omitempty"`       // the last decision
	Block    *ByHand   `json:"block,omitempty"`     // its own
	Exempt   *ByHand   `json:"exempt,omitempty"`
	Allow    *ByHand   `json:"allow,omitempty"` // what scanners say of its mail, but for viruses, is not held against it
	Mark     *Mark     `json:"mark,omitempty"`  // as a list or a forwarder

	Accounts int    `json:"accounts,omitempty"` // of a tenant: those that are contained, blocked or exempt
	Note     string `json:"note,omitempty"`     // why what an operator has said of it may not last
}

// A ByHand is what an operator said.
type ByHand struct {
	At    time.Time `json:"at"`
	Until time.Time `json:"until,omitzero"` // zero: until an operator ends it
	By    string    `json:"by"`
	Why   string    `json:"why"`
}

// Kinds of senders, as they are named in the API.
const (
	KindNone      = "none"
	KindList      = "list"
	KindForwarder = "forwarder"
	KindDefault   = "default" // of an order: as it is configured
)

// A Mark is what was said that a sender is.
type Mark struct {
	Kind string  `json:"kind"`
	Of   string  `json:"of,omitempty"`   // that it was said of: a domain ("@lists.acme.example"), or "tenant"; "": of the sender itself
	Hand *ByHand `json:"hand,omitempty"` // nil: the configuration says it
}

// Callouts are recipients that a tenant has asked MXs for with the null sender and without a message, in this hour and the one before.
type Callouts struct {
	Asked int `json:"asked"`
	Dead  int `json:"dead"` // of them: they do not exist
}

// A Suspicion is what speaks against a mail before its content is known.
type Suspicion struct {
	Score  float64   `json:"score"` // from 0 to 1
	Capped bool      `json:"capped,omitempty"`
	Parts  []Suspect `json:"parts"`
}

// A Suspect is one part of a suspicion.
type Suspect struct {
	Ground string  `json:"ground"`
	P      float64 `json:"p"`
	N      float64 `json:"n"`
	Of     float64 `json:"of"`
	Says   string  `json:"says"` // what N and Of count, in words
}

// A SenderDetail is all that is known of a tenant or an account.
type SenderDetail struct {
	Sender
	Known   bool          `json:"known"` // false: nothing was heard of it, and there are no numbers
	Signal  string        `json:"signal,omitempty"`
	Strikes int           `json:"strikes,omitempty"` // rises in short succession: each makes the way down twice as long
	DownIn  time.Duration `json:"down_in,omitempty"` // one level, if nothing bad happens; nanoseconds
	Last    *Decision     `json:"last,omitempty"`

	Readings      []Reading `json:"readings"` // since the level was last set
	Usual         Usual     `json:"usual"`
	Hour          Counts    `json:"hour"`
	Day           Counts    `json:"day"`
	Distinct      int       `json:"distinct"` // recipients in this hour of the clock, estimated with a standard error of 13 %
	Counting      int       `json:"counting"` // of them, those that count against the allowance
	Allowance     int       `json:"allowance"`
	AllowanceFrom string    `json:"allowance_from,omitempty"`
	Octets        int64     `json:"octets"` // accepted since kanmon began, or since it was last forgotten
	Recipients    int64     `json:"recipients"`
	Samples       []Sample  `json:"samples,omitempty"`

	// Suspicion is what would speak against the next mail of an account, as far as that is known without the mail. Nil: nobody wants to know, by
	// a route or in the records.
	Suspicion *Suspicion `json:"suspicion,omitempty"`

	CountsFor string    `json:"counts_for,omitempty"` // another account, which the mail of this one is evidence for
	Callouts  *Callouts `json:"callouts,omitempty"`   // of a tenant and of the null sender

	Limits  []LimitUse `json:"limits"`            // of an account: its own, then its tenant's
	Changes []Change   `json:"changes,omitempty"` // the last lines of the audit, the newest last
}

// A Decision is the last change of a level, or of what an operator said.
type Decision struct {
	At       time.Time `json:"at"`
	From     string    `json:"from"`
	To       string    `json:"to"`
	Enforced string    `json:"enforced"`
	By       string    `json:"by"` // "evidence", "quiet", "time" or an operator
	Why      string    `json:"why"`
	Session  string    `json:"session,omitempty"` // whose mail's answer was enough, as the records name it
	Number   int       `json:"number,omitempty"`  // of that mail in its session
	Looks    string    `json:"looks,omitempty"`   // "list" or "forwarder": it looks like one, and is not marked as one
	Reading  Reading   `json:"reading"`
	Samples  []Sample  `json:"samples,omitempty"` // the newest last
}

// A Reading is a signal of misbehaviour, with its numbers and what they are compared with.
type Reading struct {
	Signal       string  `json:"signal"`
	Window       string  `json:"window,omitempty"` // hour or day
	Bad          int     `json:"bad"`
	Cases        int     `json:"cases"` // of so many
	Share        float64 `json:"share"` // Bad of Cases
	Low          float64 `json:"low"`   // the share is at least this, with confidence
	Providers    int     `json:"providers,omitempty"`
	Accounts     int     `json:"accounts,omitempty"`
	Named        bool    `json:"named,omitempty"`     // Bad and Cases are what providers with a name have said, and no stranger's
	Elsewhere    bool    `json:"elsewhere,omitempty"` // one provider refuses what others accept
	Level        string  `json:"level"`               // what the numbers are enough for
	Overwhelming bool    `json:"overwhelming,omitempty"`
	Threshold    float64 `json:"threshold"` // of Level, or of slow if that is normal: for Low, or for Bad of volume and many_accounts
}

// Usual is what share of bad outcomes a sender usually has; 0 while too little is known.
type Usual struct {
	Unknown float64 `json:"unknown"`
	Content float64 `json:"content"`
}

// Counts are those of a sliding window.
type Counts struct {
	Mails      int `json:"mails"`
	NullSender int `json:"null_sender"`
	Tried      int `json:"tried"` // recipients
	Answered   int `json:"answered"`
	Unknown    int `json:"unknown"`
	Rejected   int `json:"sender_rejected"`
	Judged     int `json:"judged"` // messages
	Content    int `json:"content_rejected"`
	Delivered  int `json:"delivered"`
	RefusedIP  int `json:"refused_ip"`
	Followed   int `json:"followed"`
}

// A Sample is a reply that was counted as bad.
type Sample struct {
	At       time.Time `json:"at"`
	Account  string    `json:"account"`
	Provider string    `json:"provider"`
	Class    string    `json:"class"`
	Reply    string    `json:"reply"`
}

// A LimitUse is how a limit stands.
type LimitUse struct {
	Name       string        `json:"name"`
	Scope      string        `json:"scope"` // tenant, account, or tenant_provider
	Provider   string        `json:"provider,omitempty"`
	Measure    string        `json:"measure"` // messages, recipients, octets, connections, sessions
	Amount     int64         `json:"amount"`
	Configured int64         `json:"configured"` // another than Amount if an operator has set one
	Per        time.Duration `json:"per"`        // nanoseconds; of sessions 0
	Enforced   bool          `json:"enforced"`
	Used       int64         `json:"used"` // of Max, which is what may come at once
	Max        int64         `json:"max"`
	Free       time.Duration `json:"free"` // until all of it is free, nanoseconds; of sessions 0
	Room       bool          `json:"room"` // for one more
	Wait       time.Duration `json:"wait"` // until there is, nanoseconds
}

// A Change is a line of the audit.
type Change struct {
	At time.Time `json:"at"`
	By string    `json:"by"`
	Subject
	IP       netip.Addr `json:"ip,omitzero"`        // instead of a Subject: it is of a sending IP
	Provider string     `json:"provider,omitempty"` // of the IP's standing; "": all
	Did      string     `json:"did"`                // "block", "unblock", "exempt", "unexempt", "limit", "kind", "allow", "withdraw"; of an IP "suspend", "resume", "warm_up"; else "end_session", "try"; "tls forget", whose domain stands in Before
	Before   string     `json:"before"`
	After    string     `json:"after"`
	Why      string     `json:"why,omitempty"`
}

// An Order is what an operator wants done.
type Order struct {
	Do     string    // as Change.Did
	Until  time.Time // of a block and an exemption; zero: until an operator ends it
	Limit  string    // of "limit": its name
	Amount int64     // of "limit"; 0: as it is configured
	Kind   string    // of "kind"; KindDefault: as it is configured
	Reason string
}

// Senders is what the daemon offers for the API to work on tenants and accounts. A Subject with an account may come without
// a tenant: the daemon finds it, or says that it must be named.
type Senders interface {
	// Tenants returns all of the configuration, and others that an operator has said something of.
	Tenants() ([]Sender, error)
	// Accounts returns those that are contained, blocked or exempt; with "" of all tenants.
	Accounts(tenant string) ([]Sender, error)
	// Sender returns all of one.
	Sender(Subject) (SenderDetail, error)
}

// SenderOrders is what the daemon offers for what operators do, and have done.
type SenderOrders interface {
	// Carry carries out an order, and gives the subject with its tenant. An error may come of what is done but not kept.
	Carry(s Subject, o Order, who string) (Subject, error)
	// Changes returns the last lines of the audit, the newest last: of a tenant with those of its accounts, of an
	// account, or of a sending IP; with none of them all.
	Changes(s Subject, ip netip.Addr, most int) ([]Change, error)
}

// An Error is why something cannot be done, with the HTTP status that says so.
type Error struct {
	Status int
	Err    error
}

func (e *Error) Error() string { return e.Err.Error() }

func (e *Error) Unwrap() error { return e.Err }
