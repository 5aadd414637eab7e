package session

import (
	"fmt"
	"net/netip"
	"sync"
	"time"
)

// Recorder takes what sessions saw. It must never block: a session calls it between two replies.
// The recorder owns the record from the call on and must call [Record.Release] when done with it.
type Recorder interface {
	Record(*Record)
}

// ID names a session in every log line. It is unique within one run of kanmon and, through its
// time part, for all practical purposes across runs.
type ID uint64

// String gives the ID as 16 hexadecimal digits.
func (id ID) String() string { return fmt.Sprintf("%016x", uint64(id)) }

// A Mark says where a line of the session log came from and where it went. The five marks are those
// of the paper's Fig. 6.
type Mark uint8

// The marks. MarkNote is for lines that were not on any wire ("tls connected").
const (
	MarkNote      Mark = iota
	MarkToMSA          // <- sent to the MSA, possibly modified
	MarkToMX           // -> sent to the MX, possibly modified
	MarkFromMX         // |< came from the MX and ended at kanmon
	MarkMadeForMX      // |> made by kanmon for the MX
	MarkFromMSA        // >| came from the MSA and was held, or ended, at kanmon
)

// String gives the mark as the paper prints it; a note has none.
func (m Mark) String() string {
	return [...]string{"", "<-", "->", "|<", "|>", ">|"}[m]
}

// A Line is one line, or one whole multi-line reply (lines separated by '\n'), of the session log.
type Line struct {
	Mark  Mark
	Text  Span          // as it was on the wire, without the final CRLF: not sanitised
	At    time.Duration // since the session began
	First time.Duration // for a reply of the MX: command written → first octet of the reply
	Took  time.Duration // for a reply of the MX: command written → last octet of the reply
}

// A ReplyRecord is a reply of the MX (or, if Local, of kanmon) with its times.
type ReplyRecord struct {
	Code     int  // 0: no reply came
	Local    bool // made by kanmon, not by the MX
	Softened bool // the MSA was given a 4xx in its place
	Text     Span // whole reply with its codes, lines separated by '\n': not sanitised
	First    time.Duration
	Took     time.Duration
}

// class is the first digit of what the MSA was told.
func (r *ReplyRecord) class() int {
	if r.Softened {
		return 4
	}
	return r.Code / 100
}

// An OpeningReply is the MX's reply to a step of opening its leg: banner, EHLO, STARTTLS, EHLO after TLS.
type OpeningReply struct {
	Phase Phase
	Reply ReplyRecord
}

// A Recipient is one RCPT of a transaction.
type Recipient struct {
	Address Span // as inside the angle brackets: not sanitised
	Reply   ReplyRecord
}

// Outcome says how a transaction ended, for the MSA and for the MX.
type Outcome uint8

// The outcomes of a transaction.
const (
	OutcomeNone      Outcome = iota
	OutcomeDelivered         // the MX answered the dot with 2xx and the MSA was told
	OutcomeRefused           // the MX refused for good (5xx) at MAIL, at every RCPT, at DATA or at the dot
	OutcomeDeferred          // the MX refused for now (4xx), or was lost before the dot was sent
	OutcomeReset             // the MSA gave it up itself: RSET, EHLO, QUIT
	OutcomeAborted           // kanmon cut it before the dot: MSA lost, bad body, limit, refused account, drain
	OutcomeWithheld          // the MSA was gone when its dot arrived; the dot was not sent to the MX
	OutcomeAmbiguous         // the dot was sent and no reply came: only the MX knows
	OutcomeOrphanAck         // the MX answered 2xx, but the MSA was gone and could not be told
)

// String gives the outcome as it stands in the records.
func (o Outcome) String() string {
	return [...]string{"none", "delivered", "refused", "deferred", "reset", "aborted", "withheld", "ambiguous", "orphan_ack"}[o]
}

// An Action is what kanmon did about a refusal of the MX, or would have done.
type Action struct {
	At          time.Duration // when the refusal came, since the session began
	Transaction int           // number of the transaction it belongs to; 0: none
	Phase       Phase
	SendingIP   netip.Addr // that was refused
	Code        int        // of the refusal; 0: the connection was refused, not answered or reset
	Reply       Span       // whole refusal: not sanitised
	Class, Rule string     // as judged
	Did         Deed
	To          netip.Addr    // with Rescued: the sending IP that goes on
	Took        time.Duration // with Rescued and RescueFailed
	Why         string        // with RescueFailed: what came of the last attempt; else why there was none; not sanitised
}

// A Deed is what was done about a refusal.
type Deed uint8

// The deeds.
const (
	Rescued      Deed = iota // the transaction went on through another sending IP
	RescueFailed             // no other sending IP could take over
	Softened                 // the MSA was given a 4xx in place of the 5xx
	WouldRescue              // as Rescued, but only observing
	WouldSoften              // as Softened, but only observing
	NotRescued               // our sending IP may be the cause, and no other was spent on it; the reply went on as it was
)

// String gives the deed as it stands in the records.
func (d Deed) String() string {
	return [...]string{"rescued", "rescue_failed", "softened", "would_rescue", "would_soften", "not_rescued"}[d]
}

// Decided is what the [Gate] has decided about a mail, or would have.
type Decided struct {
	At          time.Duration // since the session began
	Transaction int           // number of the transaction that went on then; 0: none
	Step        Step
	Note
}

// A Transaction is MAIL … end of data.
type Transaction struct {
	Number     int           // 1 for the first of the session
	At         time.Duration // MAIL, since the session began
	Sender     Span          // as inside the angle brackets: not sanitised
	Mail       ReplyRecord
	Recipients []Recipient
	MoreRcpts  int           // recipients beyond the recorded ones
	Data       ReplyRecord   // reply to DATA
	Body       time.Duration // 354 relayed → dot read from the MSA
	BodyBytes  int64         // octets of the body as the MSA sent it, dot-stuffing and stripped fields included, dot excluded
	Dot        ReplyRecord   // reply to the dot
	Outcome    Outcome
	octets     uint32 // of its texts, as far as they are kept
	Cause      string // why, where the replies do not say it; "" otherwise
}

// TLSRecord is what is known of the TLS of one leg.
type TLSRecord struct {
	State    TLSState
	Version  uint16   // crypto/tls version; 0 without TLS
	Cipher   uint16   // crypto/tls cipher suite; 0 without TLS
	Curve    uint16   // crypto/tls CurveID; 0 without TLS
	Resumed  bool     // the handshake resumed an earlier session
	Names    []string // subject common name and DNS names of the peer's certificate: not sanitised
	NotAfter time.Time
	Verified bool   // the certificate chains to a system root (the name is not checked: the MX name is unknown)
	Err      string // why there is no TLS although it was offered
}

// TLSState says whether a leg is encrypted.
type TLSState uint8

// The TLS states of a leg.
const (
	TLSNone        TLSState = iota // not offered, or not yet
	TLSOn                          // encrypted
	TLSDowngraded                  // offered, the handshake failed, plain text on a fresh connection
	TLSPassthrough                 // not seen: the destination is passed through
)

// String gives the state as it stands in the records.
func (s TLSState) String() string {
	return [...]string{"none", "tls", "downgraded", "passthrough"}[s]
}

// SessionInfo is what is known of a session at the time its record is handed over.
type SessionInfo struct {
	ID          ID
	Start       time.Time
	Source      netip.AddrPort // the MSA
	Destination netip.AddrPort // the MX it wanted, and got
	Port        uint16         // of the listener that took it
	HeloMSA     string         // name the MSA gave in EHLO or HELO: not sanitised
	MSA         TLSRecord
	LegInfo
}

// LegInfo is what is known of the MX leg: the last one, if there were several.
type LegInfo struct {
	Local     netip.AddrPort // address kanmon dialled the MX from
	SendingIP netip.Addr     // configured sending IP; invalid in observe mode
	HeloMX    string         // name kanmon gave to the MX: not sanitised
	MX        TLSRecord
	Phases    [PhaseIdle]time.Duration // time the phases of opening took: dial, banner, EHLO, STARTTLS, handshake, EHLO after TLS
}

// SessionEnd is set on the last record of a session.
type SessionEnd struct {
	Duration     time.Duration
	Transactions int
	Delivered    int
	Opening      []OpeningReply // in order; a second banner stands for a second connection
	FromMSA      int64          // octets
	ToMSA        int64          // octets
	FromMX       int64          // octets, inside TLS
	ToMX         int64          // octets, inside TLS
	Phase        Phase          // phase the session ended in
	Reason       string         // one of [EndReasons]
	Cause        string         // error text behind it; "" if none: not sanitised
	Ungreeted    string         // how the MSA was left without a greeting, since its MX could not be reached: "reset" or "closed"; "" if it was not
}

// A Record is what a session hands to its [Recorder]: when a transaction ended, when the session ended,
// or, with neither, when the session waits long and its log lines should be seen now.
type Record struct {
	Session     SessionInfo
	Lines       []Line       // in order; each line of a session is in exactly one record
	Actions     []Action     // in order; each action of a session is in exactly one record
	Decisions   []Decided    // in order; each decision of a session is in exactly one record
	Transaction *Transaction // nil if none ended
	End         *SessionEnd  // nil if the session goes on

	texts texts
	trans Transaction
	end   SessionEnd
}

// Text gives the octets of a span of this record. They are valid until Release.
func (r *Record) Text(s Span) []byte { return r.texts.of(s) }

// Add copies text into the record, as far as it is kept, and gives its span.
func (r *Record) Add(text []byte) Span { return r.texts.add(text, maxText) }

// Octets is how many octets of text are in the record.
func (r *Record) Octets() int { return len(r.texts) }

// NewRecord gives an empty record.
func NewRecord() *Record { return recordPool.Get().(*Record) }

// Release gives the record back for reuse. Nothing of it may be touched afterwards.
func (r *Record) Release() {
	if cap(r.texts) > maxPooledText || cap(r.Lines) > maxPooledLines || cap(r.trans.Recipients) > maxPooledRcpts {
		return
	}
	rcpts, opening := r.trans.Recipients[:0], r.end.Opening[:0]
	*r = Record{Lines: r.Lines[:0], Actions: r.Actions[:0], Decisions: r.Decisions[:0], texts: r.texts[:0]}
	r.trans.Recipients, r.end.Opening = rcpts, opening
	recordPool.Put(r)
}

// These keep records swollen by long replies and many recipients from staying in memory.
const (
	maxPooledText  = 16 << 10
	maxPooledLines = 512
	maxPooledRcpts = 128
)

var recordPool = sync.Pool{New: func() any { return new(Record) }}
