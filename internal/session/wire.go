package session

import (
	"errors"
	"math"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"kanmon/internal/event"
)

// What goes on record of a connection itself: how its opening failed, and what the kernel knows of the way. The kernel
// is asked once, at its end; behind a dial only where a SYN may have been lost; and once for each wait that is told of.

// wired is a [prober] that knows of the way.
type wired interface {
	// Wire gives how many segments have been sent again since the first SYN, how long a round trip takes, and whether the peer's host has
	// acknowledged everything: then nothing of that changes before something is written.
	Wire() (again uint32, roundTrip time.Duration, settled bool)
}

// Wire implements wired.
func (p *tcpProbe) Wire() (again uint32, roundTrip time.Duration, settled bool) {
	_ = p.raw.Control(func(fd uintptr) {
		if info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
			again, roundTrip = info.Total_retrans, time.Duration(info.Rtt)*time.Microsecond
			settled = info.Unacked == 0 && info.Notsent_bytes == 0
		}
	})
	return again, roundTrip, settled
}

// lostSYN is less than a dial takes of which a SYN was lost: the kernel sends the next one after a second (RFC 6298 §2).
const lostSYN = 900 * time.Millisecond

// notesSYNs is called when a connection is there.
func (l *mxLeg) notesSYNs() {
	if of, knows := l.probe.(wired); knows && l.info.Phases[event.PhaseDial].Duration() >= lostSYN {
		again, _, _ := of.Wire()
		l.info.SYNs = uint8(min(again, math.MaxUint8))
	}
}

// notesWire is called before a connection is closed.
func (l *mxLeg) notesWire() { l.info.Resent, l.info.RTT, _ = l.wire() }

// wire is what is known of the way now, and whether that is all there will be before something is written.
func (l *mxLeg) wire() (resent uint16, roundTrip event.Micros, settled bool) {
	of, knows := l.probe.(wired)
	if !knows || !l.open() {
		return 0, 0, false
	}
	again, trip, settled := of.Wire()
	again -= min(again, uint32(l.info.SYNs))
	return uint16(min(again, math.MaxUint16)), event.MicrosOf(trip), settled
}

// opens notes that a step of opening the connection is over.
func (l *mxLeg) opens(now time.Duration, err error) {
	l.info.Opened = max(event.HundredthsOf(now), 1)
	if err != nil && l.info.Failed == event.FailedNot {
		l.info.Failed = failing(err)
	}
}

// failing says how an opening has failed.
func failing(err error) event.Failing {
	var f *failure
	var inTLS *tlsFailure
	switch {
	case errors.As(err, &inTLS):
		return event.OpeningTLS
	case refusal(err) != nil:
		return event.OpeningRefused
	case !errors.As(err, &f):
		return event.OpeningLeft
	}
	switch f.trouble {
	case mxUnreachable:
		return failingDial(f.cause)
	case ipsSuspended, ipsMissing, portsExhausted:
		return event.DialNot
	case mxLost:
		return event.OpeningLost
	case mxSilent:
		return event.OpeningSilent
	case mxSaid, mxRefused:
		return event.OpeningRefused
	case mxGarbled, mxInjected:
		return event.OpeningGarbled
	default:
		return event.OpeningLeft
	}
}

func failingDial(cause error) event.Failing {
	switch {
	case errors.Is(cause, syscall.ECONNREFUSED), errors.Is(cause, syscall.ECONNRESET):
		return event.DialRefused
	case RefusedDial(cause):
		return event.DialBarred
	case UnansweredDial(cause):
		return event.DialUnanswered
	default:
		return event.DialNot
	}
}
