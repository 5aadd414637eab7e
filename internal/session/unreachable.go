package session

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"

	"kanmon/internal/event"
	"kanmon/internal/event/word"
)

// Unreachable says what an MSA gets whose MX cannot be reached, as long as it has not been greeted.
type Unreachable uint8

// What there is to choose from.
const (
	// UnreachableSilence gives no greeting: a RST where the MX refused the dial or there is no way to it, else the connection's end.
	// Every MSA then does what it would do directly: Courier, Haraka and sendmail take a 421 for the end of this attempt, and do not
	// go to the next MX, or to the other family of this one.
	UnreachableSilence Unreachable = iota
	// UnreachableReply gives 421 and its reason as greeting.
	UnreachableReply
)

var unreachables = word.List[Unreachable]("answer", "close", "421")

// String returns what the MSA gets as the configuration has it.
func (u Unreachable) String() string { return unreachables.Text(u) }

// UnmarshalText reads what the MSA gets.
func (u *Unreachable) UnmarshalText(text []byte) error { return unreachables.Read(text, u) }

// Words returns what there is to choose from.
func (Unreachable) Words() []string { return unreachables.Words() }

// ErrNoSendingIP is what [Way.Dial] returns where no sending IP is of the MX's address family: to its MSA that is as if this host had
// no way there.
var ErrNoSendingIP = errors.New("no sending IP of the destination's address family")

// ErrNotYet is an ErrNoSendingIP before the sender of any mail is known, where there may be a mail that has one: the MSA is greeted, and the MX is
// connected to with that mail. A stream that is passed through has no mail: there it is what it was.
var ErrNotYet = fmt.Errorf("%w, unless a mail's sender has one", ErrNoSendingIP)

// A parting is how a session leaves an MSA that a failure has ended it for: in silence, or by a reset, only one that has not been greeted.
type parting uint8

const (
	partInWords     parting = iota // with a reply
	partInSilence                  // closed without one
	partByReset                    // reset without one
	partInTheMiddle                // of a stream that nobody has looked at: whatever is said there would be taken for its own
)

// partings name the parting in records.
var partings = [...]string{"", "closed", "reset"}

// ungreeted decides how an MSA is left that has not been greeted, because its MX leg failed to open.
func (s *session) ungreeted(err error) error {
	var f *failure
	if !errors.As(err, &f) {
		return err
	}
	how := f.ofTheMX()
	if how == partInWords || s.e.Unreachable != nil && s.e.Unreachable(s.origin()) == UnreachableReply {
		return err
	}
	silent := *f
	silent.parting = how
	return &silent
}

func (s *session) origin() Origin {
	return Origin{s.info.Source, s.info.Destination, s.info.Port, s.info.ID}
}

// ofTheMX says how an MSA is to be left that would have met this failure directly. Where the cause is kanmon's own, it must be told:
// another MX would fare no better, and nobody could find out why.
func (f *failure) ofTheMX() parting {
	switch {
	case f.trouble == mxUnreachable && (RefusedDial(f.cause) || errors.Is(f.cause, ErrNoSendingIP)):
		return partByReset
	case f.trouble == mxUnreachable && UnansweredDial(f.cause):
		return partInSilence
	case (f.trouble == mxLost || f.trouble == mxSilent) && f.phase == event.PhaseBanner:
		return partInSilence
	default:
		return partInWords
	}
}

// RefusedDial reports whether a dial was refused, by the MX or by what lies before it: with a RST, or with one of the ICMP errors that
// connect(2) ends with (icmp(7); ICMPv6's "administratively prohibited" comes as EACCES).
func RefusedDial(cause error) bool {
	for _, errno := range []syscall.Errno{
		syscall.ECONNREFUSED, syscall.ECONNRESET, syscall.EHOSTUNREACH, syscall.ENETUNREACH, syscall.ENOPROTOOPT, syscall.EPROTO,
	} {
		if errors.Is(cause, errno) {
			return true
		}
	}
	call := (*os.SyscallError)(nil) // EACCES of another call is the host's own
	return errors.Is(cause, syscall.EACCES) && errors.As(cause, &call) && call.Syscall == "connect"
}

// UnansweredDial reports whether a dial ended because nobody answered it.
func UnansweredDial(cause error) bool {
	return errors.Is(cause, context.DeadlineExceeded) || errors.Is(cause, os.ErrDeadlineExceeded) || errors.Is(cause, syscall.ETIMEDOUT)
}
