package event

import (
	"fmt"
	"net/netip"
	"time"
)

// ID names a session in every log line. It is unique within one run of kanmon and, through its
// time part, for all practical purposes across runs.
type ID uint64

// String returns the ID as 16 hexadecimal digits.
func (id ID) String() string { return fmt.Sprintf("%016x", uint64(id)) }

// TLS is what is known of the TLS of one leg.
type TLS struct {
	State       TLSState
	Cause       TLSCause     // of the failure that Err tells last, where there is no TLS; with TLS whether it was resumed
	Version     uint16       // crypto/tls version; 0 without TLS
	Cipher      uint16       // crypto/tls cipher suite; 0 without TLS
	Curve       uint16       // crypto/tls CurveID; 0 without TLS
	Certificate *Certificate // the peer's; nil: none was seen
	Err         string       // why there is no TLS although it was offered
}

// A Certificate is what is known of one. It is the same for all sessions that see it, and never changes.
type Certificate struct {
	Names    []string // subject common name and DNS names: not sanitised
	NotAfter time.Time
	Verified bool // it chains to a system root (the name is not checked: the MX name is unknown)
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

// String returns the state as it stands in the records.
func (s TLSState) String() string {
	return [...]string{"none", "tls", "downgraded", "passthrough"}[s]
}

// Session is what is known of a session at the time its record is handed over.
type Session struct {
	Arrival
	Leg
}

// Arrival is what is known of a session but for its MX leg.
type Arrival struct {
	ID          ID
	Start       time.Time
	Source      netip.AddrPort // the MSA
	Destination netip.AddrPort // the MX it wanted, and got
	Port        uint16         // of the listener that took it
	HeloMSA     string         // name the MSA gave in EHLO or HELO: not sanitised
	MSA         *TLS           // nil: there is none
}

// Leg is what is known of the MX leg: the last one, if there were several.
type Leg struct {
	Number    uint16         // 1 for the first connection of the session that was tried; 0: none was
	Failed    Failing        // how its opening failed
	SYNs      uint8          // that were sent again until it was there
	At        Hundredths     // when it was begun, since the session began
	Opened    Hundredths     // when the last step of its opening was over; 0: none was
	RTT       Micros         // a round trip, as the kernel had it at its end; 0: not known
	Stalled   Micros         // between At and Opened this process stood still
	Resent    uint16         // segments that were sent again in it, without those SYNs; so many or more
	Mails     uint8          // transactions that have ended on it, the one at hand among them; so many or more
	From      Phase          // the step of its first mail from which on that was said here, and before on another connection; [PhaseDial]: all of it was
	Local     netip.AddrPort // address kanmon dialled the MX from
	Way       *Way           // nil: not known
	SendingIP netip.Addr     // configured sending IP; invalid in observe mode
	HeloMX    string         // name kanmon gave to the MX: not sanitised
	MX        TLS
	Phases    [PhaseIdle]Micros // time the phases of opening took: dial, banner, EHLO, STARTTLS, handshake, EHLO after TLS
}

// Opening is how long the phases of opening it took.
func (l *Leg) Opening() (sum time.Duration) {
	for _, took := range l.Phases {
		sum += took.Duration()
	}
	return sum
}

// Hundredths are a time of a session in hundredths of seconds.
type Hundredths uint32

// HundredthsOf returns a time, rounded down.
func HundredthsOf(d time.Duration) Hundredths { return Hundredths(d / (10 * time.Millisecond)) }

// Duration gives it back.
func (h Hundredths) Duration() time.Duration { return time.Duration(h) * 10 * time.Millisecond }

// Failing is how the opening of a connection to an MX has failed.
type Failing uint8

// The ways to fail.
const (
	FailedNot      Failing = iota
	DialRefused            // with a RST
	DialUnanswered         // in the time that there was
	DialBarred             // there is no way to it, or it is forbidden: somebody on the way, or this host's kernel, says so
	DialNot                // it was not dialled: there was no sending IP to dial from
	OpeningLost            // it was there, and was closed or reset
	OpeningSilent          // it was there, and did not answer in time
	OpeningRefused         // it said 4xx or 5xx
	OpeningGarbled         // it said what is no reply, or none that can follow
	OpeningTLS             // TLS failed: the next connection is tried in another way, or is in plain text
	OpeningLeft            // kanmon gave it up: the MSA had gone, or kanmon stopped
)

// String returns the way to fail as it stands in the records.
func (f Failing) String() string {
	return [...]string{"", "refused", "unanswered", "barred", "not_dialled", "lost", "silent", "turned_away", "garbled", "tls", "left"}[f]
}

// A Way is why a connection left from where it did, as far as that was known when it was made.
type Way struct {
	Tenant   string
	Pool     string
	Route    string
	Provider string     // whose MX it is known to be
	Instead  netip.Addr // the sending IP that it would have left from, which has only a share of the sessions there by its times
}

// An End is set on the last record of a session.
type End struct {
	Duration     time.Duration
	Transactions int
	Delivered    int
	BadCommands  int       // malformed, unknown or out of place
	Opening      []Opening // in order; a second banner stands for a second connection
	FromMSA      int64     // octets
	ToMSA        int64     // octets
	FromMX       int64     // octets, inside TLS
	ToMX         int64     // octets, inside TLS
	Phase        Phase     // phase the session ended in
	Legs         []Leg     // connections to the MX that were tried, in order
	MoreLegs     int       // beyond these
	Spent        Spent     // what the Duration went to
	Reason       string    // one of those in docs/ref/record.md
	Cause        string    // error text behind it; "" if none: not sanitised
	Ungreeted    string    // how the MSA was left without a greeting, since its MX could not be reached: "reset" or "closed"; "" if it was not
}
