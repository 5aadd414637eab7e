package session

import (
	"crypto/tls"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/event/word"
	"kanmon/internal/smtp/replies"
)

// An Engine runs sessions. Its fields are set before the first call of Serve and never after: a reload makes
// a new Engine, and running sessions keep theirs. Only Ways and Live must be set.
type Engine struct {
	Ways        Ways
	Observe     bool // there are no sending IPs to choose from, and nobody hears of refusals: a session's way only dials
	Live        *Live
	Recorder    Recorder                         // nil: nothing is recorded
	Destination func(netip.Addr) Destination     // nil: every destination is the zero Destination
	Unreachable func(Origin) Unreachable         // nil: UnreachableSilence for everybody
	Tenant      func(Origin) string              // whose MSA it is, as far as its address and port tell; nil, or "": not known
	Hostname    string                           // kanmon's own name, in the replies it makes before an MX is known; "" : "kanmon"
	TLSToMX     *tls.Config                      // nil: ClientTLS()
	Certificate func() (*tls.Certificate, error) // certificate for STARTTLS toward the MSA; nil: not offered
	Timeouts    Timeouts                         // zero entries: the phase's default
	Limits      Limits                           // zero entries: the default
	Gate        Gate                             // nil: everybody may send what they like
	Trust       Trust                            // nil: no MX has to prove anything
	Rescue      Rescue                           // zero entries: the default
	Log         *slog.Logger                     // nil: slog.Default()

	toMSA struct {
		once   sync.Once
		config *tls.Config
	}
	toMX tlsForms
}

// Timeouts bounds each wait in a phase. A zero entry means the phase's default.
type Timeouts [event.PhaseCount]time.Duration

// Limits bounds what one session, one source and all sessions together may take. Zero entries mean the default.
type Limits struct {
	Sessions          int   // sessions at once, in all; default 10,000
	SessionsPerSource int   // sessions at once from one source: an IPv4 address, or a /64; default 1,000
	SessionsReserve   int   // of Sessions, those that only tenants get who have less than is free; default none
	Recipients        int   // recipients of one transaction; default 1,000
	BadCommands       int   // unknown or malformed commands in a session; default 20
	IdleCommands      int   // NOOP, RSET, VRFY, … since the last accepted MAIL; default 100
	Transactions      int   // transactions of one session; default unlimited
	BodyBytes         int64 // octets of one body; default unlimited: the MX's SIZE rules
}

// Recorder takes what sessions saw. It must never block: a session calls it between two replies.
// The recorder owns the record from the call on and must call [event.Record.Release] when done with it.
type Recorder interface {
	Record(*event.Record)
}

// A Listener is a [Recorder] that does not always want what is said. From any other a session gets the dialogue, too.
type Listener interface {
	Recorder
	// Dialogue reports whether it is wanted now.
	Dialogue() bool
	// Identity reports whether how others name a message is wanted now: from no other Recorder it is.
	Identity() bool
	// Listeners changes whenever others listen than did before.
	Listeners() uint16
}

// A Destination is what the operator has said about an MX's address.
type Destination struct {
	TLS         TLSRule
	Passthrough bool     // relay octets, look at nothing
	Names       []string // with TLSVerify: of which the MX must prove one
}

// A rule is what a session keeps of a [Destination]; trusting has the names, which few have.
type rule struct {
	TLS         TLSRule
	Passthrough bool
}

// TLSRule says what TLS toward a destination must be.
type TLSRule uint8

// The TLS rules.
const (
	TLSOpportunistic TLSRule = iota // use it where offered; plain text on a fresh connection after a failed handshake
	TLSRequire                      // no mail without TLS: 451 4.7.5 otherwise. The certificate is not checked.
	TLSOff                          // do not use it
	TLSVerify                       // as TLSRequire, and the certificate must be for one of [Destination.Names]; [Engine.Trust] sees to that
)

var tlsRules = word.List[TLSRule]("TLS rule", "opportunistic", "require", "off", "verify")

// must reports whether there is no mail without TLS.
func (r TLSRule) must() bool { return r == TLSRequire || r == TLSVerify }

// String returns the rule as the configuration has it.
func (r TLSRule) String() string { return tlsRules.Text(r) }

// UnmarshalText reads a rule.
func (r *TLSRule) UnmarshalText(text []byte) error { return tlsRules.Read(text, r) }

// Words returns the rules.
func (TLSRule) Words() []string { return tlsRules.Words() }

// An Origin is what interception knows of a connection.
type Origin struct {
	Source      netip.AddrPort // the MSA
	Destination netip.AddrPort // where it wanted to go
	Port        uint16         // of the listener that took it; 0: not known
	Session     event.ID       // as the records name it; 0: it has no name yet
}

// Serve runs one session on an intercepted connection and returns when both legs are closed.
func (e *Engine) Serve(conn net.Conn, origin Origin) {
	if s := e.admit(conn, origin); s != nil {
		defer e.Live.leave(s)
		s.run()
	}
}

// Start is Serve on a goroutine of its own, which calls over at its end: nothing but the session lies on that stack.
func (e *Engine) Start(conn net.Conn, origin Origin, over func()) {
	s := e.admit(conn, origin)
	if s == nil {
		over()
		return
	}
	go func() {
		defer over()
		defer e.Live.leave(s)
		s.run()
	}()
}

// admit makes a session of a connection; nil if it was refused.
func (e *Engine) admit(conn net.Conn, origin Origin) *session {
	s := e.newSession(conn, origin)
	if why, full := e.Live.enter(s); full {
		e.refuse(s, why)
		return nil
	}
	if e.Live.stopping() {
		e.refuse(s, RefuseDrain)
		e.Live.leave(s)
		return nil
	}
	return s
}

func (e *Engine) newSession(conn net.Conn, origin Origin) *session {
	now := time.Now()
	s := &session{e: e, msa: newLeg(conn)}
	s.info = event.Arrival{ID: e.Live.newID(now), Start: now, Source: origin.Source, Destination: origin.Destination, Port: origin.Port}
	if e.Destination != nil {
		dest := e.Destination(origin.Destination.Addr())
		s.dest = rule{dest.TLS, dest.Passthrough}
		if len(dest.Names) > 0 {
			s.trusts().names = dest.Names
		}
	}
	s.log = trace{of: s}
	if e.Recorder != nil {
		s.log.own = new(lasting)
	}
	if probe, isTCP := s.msa.probe.(*tcpProbe); isTCP {
		_ = probe.raw.Control(func(fd uintptr) { s.msaDescriptor = int32(fd) }) // a closed one has none
	}
	return s
}

// A Refusal is why a connection gets no session.
type Refusal uint8

// The refusals. Each is answered with 421.
const (
	RefuseNotIntercepted Refusal = iota // it came to the listener itself, not through the redirect
	RefuseLoop                          // it is kanmon's own
	RefuseLimit                         // too many sessions, in all
	RefuseSource                        // too many from this address, or its /64
	RefuseTenant                        // too many of this tenant: what is left is for the others
	RefuseDrain                         // kanmon is stopping
)

// Refuse answers an accepted connection with 421, closes it, and records it. It returns within a few seconds.
func (e *Engine) Refuse(conn net.Conn, origin Origin, why Refusal) {
	e.refuse(e.newSession(conn, origin), why)
}

func (e *Engine) refuse(s *session, why Refusal) {
	defer s.survivePanic()
	row := refusals[why]
	reply := row.said.Say().Reply(e.Hostname)
	s.log.notef("connection from %s refused: %s", s.info.Source, row.reason)
	s.msa.out = reply.AppendWire(s.msa.buffer(), false)
	s.log.sentToMSA(s.msa.out)
	flushed := s.msa.flush(time.Second) == nil
	end := event.End{Duration: s.log.over(), Phase: event.PhaseDial, Reason: refusedPrefix + row.reason}
	if whose := s.sharer(); flushed && e.Live.waits(whose) {
		s.msa.closeGently(refuseLinger)
		e.Live.waited(whose)
	}
	s.msa.close()
	s.log.end(s, end)
	e.tellRefused(s, why)
}

// tellRefused tells an operator what keeps mail out: whose connections, why, and how many of them.
func (e *Engine) tellRefused(s *session, why Refusal) {
	if why == RefuseDrain {
		return
	}
	whose := s.holder()
	if why == RefuseLimit || why == RefuseSource || why == RefuseTenant {
		e.Live.turnedAway(whose)
	}
	whom := refusals[why].reason
	if why != RefuseLimit {
		whom += " " + whose.text()
	}
	if line, tell := e.Live.odd.notices.happened(noticeRefused, whom, time.Now()); tell {
		e.logger().Warn("connections refused", "reason", refusals[why].reason, "tenant", whose.tenant, "count", line.times, "session", s.info.ID.String(),
			"source", s.info.Source.String(), "destination", s.info.Destination.String(), "left_out", line.left)
	}
}

// refuseLinger lets a refused MSA read its 421, and no longer.
const refuseLinger = 2 * time.Second

const refusedPrefix = "refused_"

var refusals = [...]struct {
	reason string
	said   *replies.Entry
}{
	RefuseNotIntercepted: {"not_intercepted", replies.NotIntercepted},
	RefuseLoop:           {"loop", replies.Loop},
	RefuseLimit:          {"limit", replies.Full},
	RefuseSource:         {"source_limit", replies.FullOfSource},
	RefuseTenant:         {"tenant_limit", replies.FullOfTenant},
	RefuseDrain:          {"stopping", replies.Stopping},
}

func (e *Engine) timeout(p event.Phase) time.Duration {
	if t := e.Timeouts[p]; t > 0 {
		return t
	}
	return p.DefaultTimeout()
}

// name is what kanmon calls itself where no MX has given a name.
func (e *Engine) name() string {
	if e.Hostname != "" {
		return e.Hostname
	}
	return "kanmon"
}

func (e *Engine) logger() *slog.Logger {
	if e.Log != nil {
		return e.Log
	}
	return slog.Default()
}

// Defaults of Limits.
const (
	DefaultSessions          = 10_000
	DefaultSessionsPerSource = 1_000
	DefaultRecipients        = 1_000
	DefaultBadCommands       = 20
	DefaultIdleCommands      = 100
)

func (l Limits) withDefaults() Limits {
	l.Sessions, l.SessionsPerSource = l.sessions(), l.sessionsPerSource()
	l.Recipients, l.BadCommands, l.IdleCommands = l.recipients(), l.badCommands(), l.idleCommands()
	return l
}

func (l *Limits) sessions() int { return orDefault(l.Sessions, DefaultSessions) }
func (l *Limits) sessionsPerSource() int {
	return orDefault(l.SessionsPerSource, DefaultSessionsPerSource)
}
func (l *Limits) recipients() int   { return orDefault(l.Recipients, DefaultRecipients) }
func (l *Limits) badCommands() int  { return orDefault(l.BadCommands, DefaultBadCommands) }
func (l *Limits) idleCommands() int { return orDefault(l.IdleCommands, DefaultIdleCommands) }

func orDefault(n, def int) int {
	if n > 0 {
		return n
	}
	return def
}
