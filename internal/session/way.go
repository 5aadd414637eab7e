package session

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime/debug"
	"sync/atomic"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/who/whose"
)

// Ways decide whence mail leaves. They are to the sending IP what a [Gate] is to the sender.
type Ways interface {
	// Enter begins a session's way to its MX; the session closes it.
	Enter(Origin) Way
}

// A Way is one session's way out: it knows who the session is, where it goes, and what was found for its mail. One goroutine at a time uses
// it. Nothing but Dial may block.
type Way interface {
	// Dial connects to the MX. The caller closes the connection. The error is shown to nobody but the operator; it wraps the cause
	// (syscall.Errno, context.DeadlineExceeded).
	Dial(ctx context.Context, req DialRequest) (Outbound, error)
	// MayStay says whether a mail may leave from the sending IP that the session has, and on the connection that it has
	// from there. MSAs reuse connections for the mail of many senders, so it is asked at every MAIL, and again at a
	// transaction's first RCPT (I11).
	MayStay(req DialRequest, sendingIP netip.Addr) Stay
	// MayAdd says the same of one more recipient of the mail at hand, before each RCPT. There is no moving then.
	MayAdd(sendingIP netip.Addr) Stay
	// Judge is told of every refusal as it comes, with the sending IP that it met, and says whose fault it is.
	Judge(MXRefusal) Judgement
	// Accepted is told when the MX has taken a message from a sending IP.
	Accepted(sendingIP netip.Addr)
	// Close is told when the session is over.
	Close()
}

// A DialRequest says for what mail a connection is wanted.
type DialRequest struct {
	Owner       *whose.Owner // whose it is, of what is known below; nil: nobody has asked
	Avoid       []netip.Addr // sending IPs that this MX has refused in this session: the last resort
	Sender      string       // envelope sender, as mailbox.Form gives it; "" is the null sender
	Recipient   string       // first recipient, likewise; "": not known yet
	SenderKnown bool
	Suspicion   *event.Suspicion // what speaks against the mail; nil: nobody has asked
	Pool        string           // that the gate wants it to leave from; "": what the routes say
	Rescue      bool             // another one was tried for this mail: none of Avoid will do
	Stuck       bool             // with MayStay: no connection could be made that should have taken the place of this one
	ByMX        bool             // with Stuck: by what the MX did; else there was no time for it, or no room, or its MSA has gone
	Further     bool             // this leg was connected before: TLS or EHLO has failed, and the MX may count connections
	Beside      bool             // another leg of the session is there meanwhile: the MX may count connections
	From        netip.Addr       // a sending IP: from that and no other, in place of a connection from there; the zero Addr: whichever is right
	Leaving     *Leaving
}

// A Leaving is where a dial leaves from while it is under way: who dials tells who waits. A nil one takes what it is
// told, and nobody waits.
type Leaving struct {
	from atomic.Pointer[netip.Addr]
	way  atomic.Pointer[event.Way]
}

// From tells the sending IP that is dialled from now.
func (l *Leaving) From(ip netip.Addr) {
	if l != nil {
		l.from.Store(&ip)
	}
}

// Why tells why it leaves from there. It must not be changed any more.
func (l *Leaving) Why(way *event.Way) {
	if l != nil {
		l.way.Store(way)
	}
}

// Whence returns what has been told.
func (l *Leaving) Whence() (from netip.Addr, way *event.Way) {
	if ip := l.from.Load(); ip != nil {
		from = *ip
	}
	return from, l.way.Load()
}

// ErrSuspended is what [Way.Dial] returns when every sending IP that the mail may leave from is suspended for this
// destination: the MX is not bothered, and the MSA is told at MAIL, with a 4xx.
var ErrSuspended = errors.New("all sending IPs are suspended for this destination")

// What [Way.Dial] returns when no sending IP that the mail may leave from can be used, and the MX has no part in it: as with
// ErrSuspended the MSA is told at MAIL, with a 4xx.
var (
	ErrNotOnHost      = errors.New("sending IP is not an address of this host")
	ErrPortsExhausted = errors.New("no free source port toward this destination")
)

// A Stay is what a [Way] says of the mail at hand on the connection that the session has. The zero Stay is that it stays there.
type Stay struct {
	Moves  bool         // another connection must take the place of this one
	Anew   bool         // with Moves: from the same sending IP, and this one must be over before
	Rather bool         // with Moves: it may stay all the same if there is no other one
	Full   *NoRoom      // it may stay, and there is no room for it now
	Notes  []event.Note // for the record
}

// A NoRoom says that a provider takes no more from a sending IP now. [Way.Dial] returns one, as an error, when none of
// the sending IPs that the mail may leave from has room: it is not that which is asked for again behind the wait, but
// the way, for whatever has room then.
type NoRoom struct {
	Provider string
	Wait     time.Duration // until there is room, if nobody else takes it
	Guess    bool          // nobody can know how long: it is asked about again and again
	Ends     bool          // no wait helps: this message, or this connection, has had all that one may have
	Note     event.Note    // for the record, but for what is done
}

func (n *NoRoom) Error() string {
	return fmt.Sprintf("%s takes no more now: %s", n.Provider, n.Note.Why)
}

// ErrNoOtherIP is what [Way.Dial] returns when the request leaves no sending IP to dial from.
var ErrNoOtherIP = errors.New("no other sending IP")

// An Outbound is an open connection to an MX and the identity it left with.
type Outbound struct {
	Conn      net.Conn
	Closed    func()     // called by the session once it has closed Conn; may be nil
	SendingIP netip.Addr // the configured sending IP; the zero Addr in observe mode
	Way       *event.Way // for the record: why it leaves from there; nil: not known
	Name      string     // EHLO name of the sending IP; "": the MSA's own name is passed on
	Notes     []event.Note
}

// leaveWay ends the session's way out.
func (s *session) leaveWay() {
	defer func() {
		if p := recover(); p != nil {
			s.e.logger().Error("session panicked", "session", s.info.ID.String(), "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
		}
	}()
	if s.way != nil { // nil: nobody gave one
		s.way.Close()
	}
}
