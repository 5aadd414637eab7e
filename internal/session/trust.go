package session

import (
	"crypto/tls"
	"net/netip"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/smtp/replies"
)

// Trust says what an MX must prove before a recipient is named to it. It is to the MX what a [Gate] is to the sender. All of it is
// safe for concurrent use, and nothing in it blocks.
type Trust interface {
	// Need returns what a recipient's domain asks of the MX, and begins what must be looked up for that.
	Need(TrustQuestion) Need
	// ServerName returns the name to show to an MX in the first handshake with it, when no recipient is known: the one
	// that was last proved there; "": none.
	ServerName(mx netip.AddrPort) string
	// Proved is told which name an MX has proved, Unknown which it could not bear.
	Proved(mx netip.AddrPort, name string)
	Unknown(mx netip.AddrPort, name string)
}

// A TrustQuestion is about the recipients in one domain of a mail to one MX.
type TrustQuestion struct {
	Domain string         // as package mailbox gives it; "": the recipient has none (<postmaster>), or it is Unreadable
	MX     netip.AddrPort // as the MSA dialled it
	Rule   Destination    // what the operator has said about the MX's address
	Source netip.Addr     // the MSA's
	Sender string         // envelope sender, as mailbox.Form gives it
	By     string         // in whose part of what is kept and asked it counts

	// Unreadable says that the recipient's domain cannot be read, or that it has none and is not <postmaster>. An MX may read one, or add its own.
	Unreadable bool
}

// A Need is what one domain asks of one MX. It never changes once it is ready. Needs are compared: two that are equal ask the same.
type Need interface {
	// Ready is closed when it is known, or when it is not to be waited for any more; nil: it is known now, or nobody waits for it.
	Ready() <-chan struct{}
	// Judge says whether a leg is what is asked: a pure function of the leg, the need and now. It may be asked before Ready
	// is closed, when no more time is left: then what is not known decides.
	Judge(TrustLeg) Verdict
}

// A TrustLeg is what a connection to an MX has shown. It is good during the call.
type TrustLeg struct {
	TLS        *tls.ConnectionState // nil: plain text. Its memory is another's behind the call
	Offered    bool                 // STARTTLS was; without TLS it has failed then
	Failed     string               // how, for people
	Cause      event.TLSCause       // likewise
	ServerName string               // that was shown to it; "": none
	MX         netip.AddrPort
	Now        time.Time
}

// A Verdict is what a [Need] says of a leg. The zero Verdict refuses.
type Verdict struct {
	Pass  bool
	Until time.Time // with Pass: it holds for this leg until then
	Name  string    // with Pass: the MX name that was proved; "": none had to be

	// Without Pass: what another connection should show, if there may be one. With neither none would do better. With Pass, of a policy that
	// is being tested: what another one would have to show for the record to be true; nobody has to make it.
	ServerName string // the name of the MX that is asked for; "": as this one
	Fresh      bool   // no ticket of an earlier session: this leg was resumed

	// Without Pass: what is known may be old. Before the recipient is refused, and before another connection is made, the Need is asked
	// for anew, waited for as any other, and judged in place of this one; nil: it would be no other.
	Anew Need

	Say  replies.Said // without Pass: the reply to the recipient, 451
	Told *event.Trust // for the record; nil: nothing is to be said
}
