package timing

import "time"

// A Phase is a step of a mail that is timed.
type Phase uint8

// The phases, in the order of a mail. A reply of a pipelined group is timed from the group's one write.
const (
	Dial   Phase = iota // connecting; a refused connection is judged apart, as Refused
	Banner              // the greeting
	Hello               // EHLO, STARTTLS, handshake and the EHLO after it, together
	Mail
	Rcpt
	Data
	Write // writing the body: how long the MX's window kept us from it
	Dot   // the reply to the end of data

	Phases                 // how many are timed
	Refused       = Phases // connections refused: evidence with a place of its own
	Dripped Phase = Refused + 1
	kinds         = int(Refused) + 1 // of evidence
)

var phaseNames = [...]string{"dial", "banner", "hello", "mail", "rcpt", "data", "write", "dot", "refused", "drip"}

// String gives the phase's name as it stands in records.
func (p Phase) String() string {
	if int(p) >= len(phaseNames) {
		return "unknown"
	}
	return phaseNames[p]
}

// Absent is the time of a phase that a mail did not have.
const Absent = -1

// Absence has no phase in it: what an observation begins with.
var Absence = [Phases]float64{Absent, Absent, Absent, Absent, Absent, Absent, Absent, Absent}

// An Observation is what one mail tells: one for each transaction that has ended, for each connection that was refused, and, with
// Waits set, for a wait that has not ended.
type Observation struct {
	At       time.Time // when it ended, or when it was looked at while it waits
	ID       uint64    // of the mail, not 0: what a wait has told is not told again by the mail's end
	IP       string    // that it left from
	Provider string
	Host     string // the MX's name
	Tenant   string

	New     bool            // on a new connection: dial, banner and hello are this mail's
	Took    [Phases]float64 // seconds; Absent where there was no such phase
	Size    int             // octets of the body
	Dripped uint16          // bit for each phase whose one-line reply came in at least DripPieces reads over at least DripTime

	Refused      bool // the connection was refused: there are no phases
	BadRecipient bool // a recipient was refused: from RCPT on the mail says nothing of the IP
	Stalled      bool // kanmon itself stood still meanwhile: nothing is taken from the times
	Waits        bool // the last phase present has not ended

	SplitFrom string // the suspicious IP that this mail would have left from: see Detector.Split
}

// A reply of one line is dripped if it came in so many reads, over so long.
const (
	DripPieces = 4
	DripTime   = time.Second
)

// A Scope says whom a slowness concerns.
type Scope uint8

// The scopes. ThisIPHere alone is a restriction of a sending IP at a provider, and alone may be acted on.
const (
	ThisIPHere       Scope = iota + 1 // this IP at this provider, and no other
	ThisIPEverywhere                  // this IP at several providers: its route, its PTR, or a list
	Everything                        // several IPs at several providers: ours
	OneHost                           // what is slow of the IP's mail went to one host, where no other IP was
	OneTenant                         // what is slow is one tenant's mail: recipients, content
	Unpaired                          // too little mail of other IPs to compare with
	Small                             // clear, and too little to be worth a word
)

var scopeWords = [...]string{"", "this IP here", "this IP everywhere: route, PTR or a list", "everything: ours", "one host", "one tenant", "unpaired", "small"}

func (s Scope) String() string {
	if int(s) >= len(scopeWords) {
		return "unknown"
	}
	return scopeWords[s]
}

// A Change says what has become of a finding.
type Change uint8

// The changes of a finding.
const (
	Begun     Change = iota + 1
	Continued        // its scope has changed, or it has come back within Again: nothing to be alarmed at anew
	Cleared
)

var changeWords = [...]string{"", "begun", "continued", "cleared"}

func (c Change) String() string {
	if int(c) >= len(changeWords) {
		return "unknown"
	}
	return changeWords[c]
}

// A Finding is what the detector tells.
type Finding struct {
	Change   Change
	Scope    Scope
	Phase    Phase
	At       time.Time
	Since    time.Time // the first mail of what it rests on
	IP       string    // empty: all
	Provider string    // empty: several
	Host     string    // of OneHost
	Tenant   string    // of OneTenant
	Mails    int       // of the IP at the provider since then
	Tenants  int       // whose mail was slow
	Evidence float64   // natural logarithm

	// Typical times in seconds, of the slow mails here, of other IPs at the provider, of this IP before; of refused connections:
	// the share refused. 0 where it is not known.
	Here, Others, Before float64
}
