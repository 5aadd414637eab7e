package event

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/netip"
	"strconv"
	"time"
)

// An Entry is one JSON line, as docs/ref/record.md has it. Members that a type does not have, or that are not known,
// are zero. Whoever keeps entries may tell them apart by (Gateway, Run, Line).
type Entry struct {
	Type    string    `json:"type"`
	At      time.Time `json:"at"`
	Gateway string    `json:"gateway"`
	Run     string    `json:"run"`
	Line    uint64    `json:"line"`

	// What happened in a session.
	Session     ID                      `json:"session"`
	Number      int                     `json:"number"` // of the transaction
	Start       time.Time               `json:"start"`
	Time        time.Time               `json:"time"`
	Source      string                  `json:"source"` // address and port; of a gap, an address or a network
	Destination netip.AddrPort          `json:"destination"`
	Local       netip.AddrPort          `json:"local"`
	SendingIP   netip.Addr              `json:"sending_ip"`
	Pool        string                  `json:"pool"`
	Route       string                  `json:"route"`
	InsteadOf   netip.Addr              `json:"instead_of"`
	EHLOMSA     string                  `json:"ehlo_msa"`
	EHLOMX      string                  `json:"ehlo_mx"`
	TLSMX       EntryTLS                `json:"tls_mx"`
	TLSMSA      EntryTLS                `json:"tls_msa"`
	Phases      map[string]Milliseconds `json:"phases"`

	// A transaction.
	Sender         string                  `json:"sender"`
	Suspicion      *EntrySuspicion         `json:"suspicion"` // nil: nobody has asked
	MessageID      string                  `json:"message_id"`
	QueueID        string                  `json:"msa_queue_id"`
	Received       time.Time               `json:"msa_received"`
	Mail           EntryReply              `json:"mail"`
	Recipients     []EntryRecipient        `json:"recipients"`
	MoreRecipients int                     `json:"more_recipients"`
	Data           EntryReply              `json:"data"`
	Body           Milliseconds            `json:"body_ms"`
	Window         Milliseconds            `json:"window_ms"`  // of a wait, too
	Stalled        Milliseconds            `json:"stalled_ms"` // of a wait and of a heartbeat, too
	BodyBytes      int64                   `json:"body_bytes"`
	Dot            EntryReply              `json:"dot"`
	Content        *EntryContent           `json:"content"` // also of a judged line; nil: nobody was to judge it
	Outcome        string                  `json:"outcome"`
	Results        map[string]int          `json:"results"`
	Times          map[string]Milliseconds `json:"times"` // of a session, too
	Leg            int                     `json:"leg"`
	Cause          string                  `json:"cause"`

	// The end of a session.
	Duration     Milliseconds   `json:"duration_ms"`
	Transactions int            `json:"transactions"`
	Delivered    int            `json:"delivered"`
	BadCommands  int            `json:"bad_commands"`
	Opening      []EntryOpening `json:"opening"`
	Octets       EntryOctets    `json:"octets"`
	EndPhase     string         `json:"end_phase"`
	EndReason    string         `json:"end_reason"`
	Ungreeted    string         `json:"ungreeted"`
	Legs         []EntryLeg     `json:"legs"`
	MoreLegs     int            `json:"more_legs"`

	// A refusal, a decision.
	Phase     string       `json:"phase"`
	Step      string       `json:"step"`
	Reply     EntryReply   `json:"reply"`
	Class     string       `json:"class"`
	Rule      string       `json:"rule"`
	Refusal   int          `json:"refusal"`
	Action    string       `json:"action"`
	RescuedBy netip.Addr   `json:"rescued_by"`
	Took      Milliseconds `json:"took_ms"`
	Tenant    string       `json:"tenant"`
	Account   string       `json:"account"`
	Count     int          `json:"count"` // that the line stands for; 0: one

	// News, and gaps.
	Provider   string       `json:"provider"`
	By         string       `json:"by"`
	Before     string       `json:"before"`
	After      string       `json:"after"`
	State      string       `json:"state"`
	Was        string       `json:"was"`
	Would      bool         `json:"would"`
	Until      time.Time    `json:"until"`
	Share      float64      `json:"share"`
	Waited     Milliseconds `json:"waited_ms"`
	Began      bool         `json:"began"`
	Pieces     int          `json:"pieces"`
	First      Milliseconds `json:"first_ms"`
	Resent     int          `json:"resent"`
	RTT        Milliseconds `json:"rtt_ms"`
	Refused    int          `json:"recipients_refused"`
	Scope      string       `json:"scope"` // of a finding
	Host       string       `json:"host"`
	Since      time.Time    `json:"since"`
	Mails      int          `json:"mails"`
	Tenants    int          `json:"tenants"`
	Here       Milliseconds `json:"here_ms"`
	Others     Milliseconds `json:"others_ms"`
	BeforeIt   Milliseconds `json:"before_ms"`
	Refuses    float64      `json:"refuses"`
	Acted      string       `json:"acted"`
	List       string       `json:"list"` // of a sighting
	Names      []string     `json:"names"`
	NamesOnce  []string     `json:"names_before"`
	Answers    []string     `json:"answers"`
	Version    string       `json:"version"`
	Rules      string       `json:"rules"`
	Sessions   int          `json:"sessions"`
	SendingIPs int          `json:"sending_ips"`
	Limit      bool         `json:"limit"`
	Unkept     bool         `json:"unkept"`
	Up         Milliseconds `json:"up_ms"`
	Dropped    uint64       `json:"dropped"`
	Records    uint64       `json:"records"`
	Unclean    bool         `json:"unclean"`
	LastRun    string       `json:"last_run"` // the run before
	LastLine   uint64       `json:"last_line"`
	LastAt     time.Time    `json:"last_at"`
}

// An EntryLeg is a connection to the MX that was tried.
type EntryLeg struct {
	Leg       int                     `json:"leg"`
	At        Milliseconds            `json:"at_ms"` // since the session began
	Local     netip.AddrPort          `json:"local"`
	SendingIP netip.Addr              `json:"sending_ip"`
	Pool      string                  `json:"pool"`
	Route     string                  `json:"route"`
	Provider  string                  `json:"provider"`
	InsteadOf netip.Addr              `json:"instead_of"`
	EHLOMX    string                  `json:"ehlo_mx"`
	TLSMX     EntryTLS                `json:"tls_mx"`
	Phases    map[string]Milliseconds `json:"phases"`
	Failed    string                  `json:"failed"` // "": it has not
	SYNs      int                     `json:"syns_resent"`
	Resent    int                     `json:"resent"`
	RTT       Milliseconds            `json:"rtt_ms"`
	Stalled   Milliseconds            `json:"stalled_ms"`
}

// EntryTLS is the TLS of a leg.
type EntryTLS struct {
	State    string    `json:"state"`
	Version  string    `json:"version"`
	Cipher   string    `json:"cipher"`
	Curve    string    `json:"curve"`
	Resumed  bool      `json:"resumed"`
	Names    []string  `json:"names"`
	NotAfter time.Time `json:"not_after"`
	Verified bool      `json:"verified"`
	Error    string    `json:"error"`
	Cause    string    `json:"cause"`
}

// An EntryReply is a reply; the zero one was never waited for.
type EntryReply struct {
	Code     int          `json:"code"`
	Enhanced string       `json:"enhanced"`
	Text     string       `json:"text"`
	Local    bool         `json:"local"`
	Softened bool         `json:"softened"`
	Told     int          `json:"told"`
	Class    string       `json:"class"`
	Scope    string       `json:"scope"`
	Rule     string       `json:"rule"`
	Lists    []string     `json:"lists"`
	First    Milliseconds `json:"first_ms"`
	Took     Milliseconds `json:"took_ms"`
	Pieces   int          `json:"pieces"` // that it came in; 0: one, or none
}

// An EntryRecipient is one RCPT.
type EntryRecipient struct {
	Address   string      `json:"address"`
	Reply     EntryReply  `json:"reply"`
	Told      int         `json:"told"`
	Fate      string      `json:"fate"`
	By        string      `json:"by"`
	TLSPolicy *EntryTrust `json:"tls_policy"` // nil: nobody has looked, or the domain asks nothing
}

// An EntrySuspicion is what spoke against a mail.
type EntrySuspicion struct {
	Score  float64        `json:"score"`
	Capped bool           `json:"capped"`
	Parts  []EntrySuspect `json:"parts"`
}

// An EntrySuspect is one part of it. A line of a newer kanmon may have grounds that this one does not know.
type EntrySuspect struct {
	Ground string  `json:"ground"`
	P      float64 `json:"p"`
	N      float64 `json:"n"`
	Of     float64 `json:"of"`
}

// Says says it in a line, as [Suspicion.Says].
func (e *EntrySuspicion) Says() string {
	s := Suspicion{Score: e.Score, Capped: e.Capped}
	for _, p := range e.Parts {
		ground, known := grounds.Of(p.Ground)
		if !known {
			ground = GroundCount
		}
		s.Parts = append(s.Parts, Suspect{Ground: ground, P: p.P, N: p.N, Of: p.Of})
	}
	return s.Says()
}

// An EntryTrust is what a recipient's domain asks of the TLS with the MX, and what came of that.
type EntryTrust struct {
	Domain  string       `json:"domain"`
	Policy  string       `json:"policy"`
	Verdict string       `json:"verdict"`
	Reason  string       `json:"reason"`
	Name    string       `json:"mx"`
	SNI     string       `json:"sni"`
	Detail  string       `json:"detail"`
	Age     Milliseconds `json:"age_ms"`
	Waited  Milliseconds `json:"waited_ms"`
}

// An EntryContent is how the content of a message was judged, and what followed.
type EntryContent struct {
	Lane      string       `json:"lane"`
	Wanted    string       `json:"wanted"` // "": that
	Verdict   string       `json:"verdict"`
	Done      string       `json:"done"`
	Rule      string       `json:"rule"`
	Why       string       `json:"why"`
	Reference string       `json:"reference"`
	Octets    int64        `json:"octets"`
	Prepended int64        `json:"prepended"`
	Waited    Milliseconds `json:"waited_ms"`
	Scans     []EntryScan  `json:"scans"`
}

// An EntryScan is what one scanner said of a message, or why it said nothing.
type EntryScan struct {
	Scanner   string        `json:"scanner"`
	State     string        `json:"state"`
	Lack      string        `json:"lack"`
	Why       string        `json:"why"`
	Action    string        `json:"action"`
	Code      int           `json:"code"`
	Score     float64       `json:"score"`
	Threshold float64       `json:"threshold"`
	Virus     string        `json:"virus"`
	Took      Milliseconds  `json:"took_ms"`
	Cached    bool          `json:"cached"`
	Changes   int           `json:"changes"`
	Symbols   []EntrySymbol `json:"symbols"`
}

// An EntrySymbol is one of a scanner's rules that a message met.
type EntrySymbol struct {
	Name   string  `json:"name"`
	Points float64 `json:"points"`
}

// An EntryOpening is a reply while the MX leg was opened.
type EntryOpening struct {
	Phase string     `json:"phase"`
	Leg   int        `json:"leg"`
	Reply EntryReply `json:"reply"`
}

// EntryOctets are a session's octets.
type EntryOctets struct {
	FromMSA int64 `json:"from_msa"`
	ToMSA   int64 `json:"to_msa"`
	FromMX  int64 `json:"from_mx"`
	ToMX    int64 `json:"to_mx"`
}

// Milliseconds are a duration as the JSON lines have it.
type Milliseconds float64

// Duration returns the milliseconds as a duration.
func (m Milliseconds) Duration() time.Duration {
	return time.Duration(float64(m) * float64(time.Millisecond))
}

// MarshalText is the inverse of UnmarshalText.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads an ID as String gives it.
func (id *ID) UnmarshalText(text []byte) error {
	n, err := strconv.ParseUint(string(text), 16, 64)
	if err != nil || len(text) != len("17f3a9c2b4d5e6f0") {
		return fmt.Errorf("session %q: want 16 hexadecimal digits", text)
	}
	*id = ID(n)
	return nil
}

// ParseEntry reads one JSON line.
func ParseEntry(line []byte) (*Entry, error) {
	e := new(Entry)
	if err := json.Unmarshal(line, e); err != nil {
		return nil, err
	}
	if e.Type == "" {
		return nil, errNoType
	}
	return e, nil
}

var errNoType = errors.New("it has no type")

// A Reader reads JSON lines.
type Reader struct {
	in *bufio.Reader
	n  int
}

// NewReader makes a Reader of what has JSON lines.
func NewReader(from io.Reader) *Reader { return &Reader{in: bufio.NewReader(from)} }

// A LineError is a line that is no entry, as a killed kanmon may leave one. The next one may be read.
type LineError struct {
	Number int // in what is read, from 1
	Line   []byte
	Err    error
}

func (e *LineError) Error() string {
	const most = 200
	return fmt.Sprintf("line %d is no record of kanmon's: %v: %.*q", e.Number, e.Err, most, e.Line)
}

// Unwrap returns what is wrong with the line.
func (e *LineError) Unwrap() error { return e.Err }

// Next returns the next entry. The error is a [*LineError], or what reading has come to: at the end io.EOF.
func (r *Reader) Next() (*Entry, error) {
	line, err := r.in.ReadBytes('\n')
	if len(line) == 0 && err != nil {
		return nil, err
	}
	r.n++
	e, err := ParseEntry(line)
	if err != nil {
		return nil, &LineError{r.n, bytes.TrimSuffix(line, []byte("\n")), err}
	}
	return e, nil
}

// All returns all entries, and each line that is none as an error. An error of reading is the last.
func (r *Reader) All() iter.Seq2[*Entry, error] {
	return func(yield func(*Entry, error) bool) {
		for {
			e, err := r.Next()
			if errors.Is(err, io.EOF) || !yield(e, err) {
				return
			}
			var bad *LineError
			if err != nil && !errors.As(err, &bad) {
				return
			}
		}
	}
}
