package event

import "kanmon/internal/event/word"

// A Content is how the content of one message was judged, and what followed. It never changes once it is told.
type Content struct {
	Lane      Lane
	Wanted    Lane     // that it would have had, where Lane is a lesser one: it is only observed, or there was no room
	Verdict   Handling // what the scanners come to under the tenant's rules
	Done      Handling // what was done: less than the verdict where it is only observed, or came behind the dot
	Rule      string   // of the tenant's rules, which decided
	Why       string   // for people: why the lane, or the verdict, is what it is; not sanitised
	Reference string   // that stands in the reply, and that people may ask for; "": none
	Octets    int64    // that the scanners were given
	Waited    Micros   // that the MSA waited for the verdict, or for room
	Prepended int64    // octets of header fields that were put before the message, beside those that the MSA sent
	Scans     []Scan
}

// A Lane is how a message's content is judged, beside its way to the MX.
type Lane uint8

// The lanes.
const (
	LaneOff    Lane = iota // not at all
	LaneBehind             // a copy is scanned behind the reply to the dot: only the next mail feels it
	LaneHold               // kanmon keeps the message, and gives it to the MX behind the verdict
	LaneTee                // the message goes to the MX, all but its end, which waits for the verdict
	LaneCount
)

var lanes = word.List[Lane]("lane", "off", "behind", "hold", "tee")

// String returns the lane as it stands in the records.
func (l Lane) String() string { return lanes.Text(l) }

// UnmarshalText reads a lane.
func (l *Lane) UnmarshalText(text []byte) error { return lanes.Read(text, l) }

// Words returns the lanes.
func (Lane) Words() []string { return lanes.Words() }

// A Handling is what follows from a verdict. A later one is the stricter.
type Handling uint8

// The handlings.
const (
	HandleNot    Handling = iota // there is no verdict
	HandleAccept                 // as if nobody had looked
	HandleDivert                 // it leaves from the pool for doubtful mail
	HandleDefer                  // 4xx
	HandleRefuse                 // 5xx
	HandlingCount
)

var handlings = word.List[Handling]("handling", "", "accept", "divert", "defer", "refuse")

// String returns the handling as it stands in the records.
func (h Handling) String() string { return handlings.Text(h) }

// UnmarshalText reads a handling.
func (h *Handling) UnmarshalText(text []byte) error { return handlings.Read(text, h) }

// Words returns the handlings.
func (Handling) Words() []string { return handlings.Words() }

// A Scan is what one scanner said of a message, or why it said nothing. The absence of a verdict is never a verdict.
type Scan struct {
	Scanner   string
	State     ScanState
	Lack      Lack    // of a verdict, in one word
	Why       string  // it was skipped, or has failed: not sanitised
	Action    string  // in the scanner's own words, those of a milter as of Rspamd: not sanitised
	Code      int     // of the reply that it asks for, 4xx or 5xx; 0: it names none
	Score     float64 // its points; of a scanner that has none 0
	Threshold float64 // at which it refuses; 0: it has none
	Symbols   []Symbol
	Virus     string // its name; "": none was found. Not sanitised
	Took      Micros
	Cached    bool // it was said of the same message before
	Changes   int  // that it asked for, and nobody made
}

// A Symbol is one of a scanner's rules that a message met. Its options are not kept: they quote the message.
type Symbol struct {
	Name   string
	Points float64
}

// A ScanState is what came of asking a scanner.
type ScanState uint8

// The states.
const (
	ScanNot     ScanState = iota
	Scanned               // there is a verdict
	ScanSkipped           // it was not asked
	ScanFailed            // it was asked, and there is no verdict
	ScanStateCount
)

var scanStates = word.List[ScanState]("state of a scan", "", "scanned", "skipped", "failed")

// String returns the state as it stands in the records.
func (s ScanState) String() string { return scanStates.Text(s) }

// UnmarshalText reads a state.
func (s *ScanState) UnmarshalText(text []byte) error { return scanStates.Read(text, s) }

// Words returns the states.
func (ScanState) Words() []string { return scanStates.Words() }

// A Lack says why a scanner has given no verdict, as far as something follows from that.
type Lack uint8

// The lacks.
const (
	LackNot         Lack = iota
	LackBusy             // it has more to do than it takes
	LackTooLarge         // the message is larger than it takes
	LackUnavailable      // it cannot be asked, says nothing in time or nothing that is understood, or says itself that it has not seen all
	LackUnfit            // by the sender's doing the message cannot be put to it: such a message is never accepted for want of a verdict
	LackCount
)

var lacks = word.List[Lack]("lack of a verdict", "", "busy", "too_large", "unavailable", "unfit")

// String returns the lack as it stands in the records.
func (l Lack) String() string { return lacks.Text(l) }

// UnmarshalText reads a lack.
func (l *Lack) UnmarshalText(text []byte) error { return lacks.Read(text, l) }

// Words returns the lacks.
func (Lack) Words() []string { return lacks.Words() }

// What is kept of one message.
const (
	MaxScans   = 8
	MaxSymbols = 24 // of one scan: those with the most points
)

// A Judged is news: the content of a message was judged behind its end, or what was to be judged could not be.
type Judged struct {
	Cause   // the mail
	Tenant  string
	Account string
	Content *Content
}
