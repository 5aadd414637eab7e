package session

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/smtp"
)

// ClientTLS returns the TLS configuration toward MXs: opportunistic (RFC 7435), so the widest range of servers that Go
// can speak to, no certificate checked, no server name sent (as Postfix does without a policy), and sessions resumed across all
// tenants of one MX. Go cannot speak DHE-only, SSLv3 or export suites: such an MX is downgraded, and recorded so.
func ClientTLS() *tls.Config {
	return &tls.Config{
		InsecureSkipVerify:          true, // opportunistic: an unverified MX beats plain text
		MinVersion:                  tls.VersionTLS10,
		CipherSuites:                allSuites(),
		ClientSessionCache:          newTickets(),
		DynamicRecordSizingDisabled: true, // bodies go in full records
	}
}

// defaultClientTLS is made once, so that its session cache survives a reload.
var defaultClientTLS = sync.OnceValue(ClientTLS)

// tlsFailure says that this connection will not have TLS and cannot go on.
type tlsFailure struct {
	phase event.Phase
	cause error
	begun time.Time // when the step began that failed
	hung  bool      // nothing came in time
	short bool      // with hung: for lack of our own time
}

func (f *tlsFailure) Error() string { return fmt.Sprintf("TLS failed at %s: %v", f.phase, f.cause) }
func (f *tlsFailure) Unwrap() error { return f.cause }

// errRefusesTLS says that an MX that offers TLS does not begin it.
var errRefusesTLS = errors.New("STARTTLS was answered")

// errNoMail says that the destination must have TLS and its handshake failed: the session goes on without an MX.
var errNoMail = errors.New("no TLS where it must be")

// startTLS asks the MX for TLS and completes the handshake.
func (s *session) startTLS() error {
	begun := s.now()
	s.mx.out = append(s.mx.buffer(), "STARTTLS\r\n"...)
	s.log.line(event.MarkMadeForMX, []byte("STARTTLS"))
	if s.mx.pending() {
		return s.unasked(event.PhaseStartTLS)
	}
	s.mx.sent = begun
	if err := s.flushMX(); err != nil {
		return s.mxFailure(event.PhaseStartTLS, err)
	}
	s.mx.way &^= wayTicket | wayNamed
	if err := s.readStartTLSReply(begun); err != nil {
		var f *failure
		if errors.As(err, &f) && (f.trouble == mxLost || f.trouble == mxSilent) {
			return s.tlsHung(event.PhaseStartTLS, f.cause, begun, f.trouble == mxSilent)
		}
		return err
	}
	s.mx.info.Phases[event.PhaseStartTLS] = event.MicrosOf(s.now() - begun)
	s.log.reply(event.MarkFromMX, &s.mx.reply, s.mx.first, s.mx.took)
	s.log.opened(event.PhaseStartTLS, &s.mx.reply, s.mx.first, s.mx.took)
	if !s.mx.in.Empty() {
		return &failure{trouble: mxInjected, phase: event.PhaseStartTLS}
	}
	switch s.mx.reply.Code {
	case 220:
	case 421:
		return s.saidGoodbye(event.PhaseStartTLS)
	default:
		return &tlsFailure{phase: event.PhaseStartTLS, cause: fmt.Errorf("%w with %d", errRefusesTLS, s.mx.reply.Code), begun: s.at(begun)}
	}
	return s.handshake()
}

// readStartTLSReply reads it. Where an MX may hang the wait ends early, as that for a handshake.
func (s *session) readStartTLSReply(begun time.Duration) error {
	if s.mx.way&wayImpatient == 0 {
		return s.readReply(event.PhaseStartTLS)
	}
	outer := s.budget.narrow(begun + hungPatience)
	err := s.readReply(event.PhaseStartTLS)
	s.budget.widen(outer)
	var f *failure
	anyHello := s.mx.way | wayClassical // none was sent yet
	if errors.As(err, &f) && f.trouble == mxSilent && !s.mx.reply.Begun() && s.e.Live.tls.workedSince(s.info.Destination.Addr().Unmap(), anyHello, s.at(begun)) {
		return s.readReply(event.PhaseStartTLS)
	}
	return err
}

// tlsHung describes the failure of a step that got no answer, or lost the connection. A step that had less time than any MX
// deserves is no evidence of the MX.
func (s *session) tlsHung(phase event.Phase, cause error, begun time.Duration, hung bool) *tlsFailure {
	return &tlsFailure{phase: phase, cause: cause, begun: s.at(begun), hung: hung, short: hung && s.now()-begun < hungPatience}
}

// handshake runs aside: it needs a deep stack for a moment, and the session's own should stay small.
func (s *session) handshake() error {
	begun := s.now()
	forms := s.e.tlsToMX()
	if !forms.postQuantum {
		s.mx.way |= wayClassical
	}
	config := forms.config(s.mx.way, s.info.Destination, s.showsName())
	if hasTicket(config, s.mx.base) {
		s.mx.way |= wayTicket
	}
	under := smtp.Below(s.mx.base)
	conn := tls.Client(&steady{Conn: under}, config)
	// Half of the time that is left is for the connection that may have to follow.
	_ = s.mx.base.SetDeadline(s.at(begun + min(s.e.timeout(event.PhaseHandshake), s.budget.left(begun)/2)))
	ctx, done := s.handshakePatience(s.at(begun))
	err := s.aside(event.PhaseHandshake, nil, func() { _ = s.mx.base.SetDeadline(time.Unix(1, 0)) }, func() error {
		return conn.HandshakeContext(ctx)
	})
	done()
	s.work += workOfHandshake
	s.mx.info.Phases[event.PhaseHandshake] = event.MicrosOf(s.now() - begun)
	var f *failure
	if errors.As(err, &f) {
		return f
	}
	if err != nil {
		return s.tlsHung(event.PhaseHandshake, err, begun, errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.Canceled))
	}
	_ = s.mx.base.SetDeadline(time.Time{})
	s.mx.armed, s.mx.armedW = 0, 0
	s.mx.startTLS(conn, under)
	s.mx.info.MX = s.describeTLS(conn.ConnectionState(), s.mx.info.MX.Err)
	s.mx.stage = stageTLS
	s.log.notef("tls connected, %s %s", tls.VersionName(s.mx.info.MX.Version), tls.CipherSuiteName(s.mx.info.MX.Cipher))
	return nil
}

// handshakePatience returns the context of a handshake. Where one may hang it ends early, unless another session has shown meanwhile
// that this MX can do it: then it is the MX, or this host, that is slow.
func (s *session) handshakePatience(begun time.Time) (_ context.Context, done func()) {
	if s.mx.way&wayImpatient == 0 {
		return context.Background(), func() {}
	}
	ctx, cancel := context.WithCancel(context.Background())
	memory, mx, way := &s.e.Live.tls, s.info.Destination.Addr().Unmap(), s.mx.way
	timer := time.AfterFunc(hungPatience, func() {
		if !memory.workedSince(mx, way, begun) {
			cancel()
		}
	})
	return ctx, func() { timer.Stop(); cancel() }
}

// hasTicket reports whether a hello on this connection will carry a ticket.
func hasTicket(config *tls.Config, conn net.Conn) bool {
	if config.ClientSessionCache == nil {
		return false
	}
	state, ok := config.ClientSessionCache.Get(ticketKey(config, conn))
	return ok && state != nil
}

// ticketKey is what crypto/tls keeps a client's tickets by.
func ticketKey(config *tls.Config, conn net.Conn) string {
	if config.ServerName != "" {
		return config.ServerName
	}
	return conn.RemoteAddr().String()
}

// tlsToMSA is made once, so that an MSA can resume its sessions: the keys of its tickets are in it.
func (e *Engine) tlsToMSA() *tls.Config {
	e.toMSA.once.Do(func() {
		e.toMSA.config = &tls.Config{
			MinVersion:     tls.VersionTLS10, // the alternative for an old MSA is plain text
			CipherSuites:   allSuites(),
			GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return e.Certificate() },
		}
	})
	return e.toMSA.config
}

// describeTLS makes the record of a handshake.
func (s *session) describeTLS(state tls.ConnectionState, earlier string) event.TLS {
	r := event.TLS{
		State: event.TLSOn, Version: state.Version, Cipher: state.CipherSuite, Curve: uint16(state.CurveID),
		Err: earlier,
	}
	if state.DidResume {
		r.Cause = event.TLSResumed
	}
	if len(state.PeerCertificates) > 0 {
		r.Certificate = s.e.Live.certs.describe(state.PeerCertificates, s.sharer())
	}
	return r
}

// certificates remembers what is in the certificates of MXs: the same few hundred come again with every session.
type certificates struct {
	known memo[[sha256.Size]byte, *event.Certificate]
	roots func() (*x509.CertPool, error) // nil: the system's
}

const maxCertificateNames = 32

func (c *certificates) describe(chain []*x509.Certificate, by holder) *event.Certificate {
	hash := sha256.New()
	for _, cert := range chain {
		_, _ = hash.Write(cert.Raw)
	}
	key := [sha256.Size]byte(hash.Sum(nil))
	known, ok := c.known.get(key)
	if ok {
		return known
	}
	known = &event.Certificate{Names: certificateNames(chain[0]), NotAfter: chain[0].NotAfter, Verified: c.verify(chain)}
	c.known.put(key, known, by.text())
	return known
}

func (c *certificates) verify(chain []*x509.Certificate) bool {
	roots := c.roots
	if roots == nil {
		roots = x509.SystemCertPool
	}
	pool, err := roots()
	if err != nil {
		return false
	}
	between := x509.NewCertPool()
	for _, cert := range chain[1:] {
		between.AddCert(cert)
	}
	_, err = chain[0].Verify(x509.VerifyOptions{Roots: pool, Intermediates: between})
	return err == nil
}

func certificateNames(cert *x509.Certificate) []string {
	var names []string
	if cert.Subject.CommonName != "" {
		names = append(names, cert.Subject.CommonName)
	}
	for _, n := range cert.DNSNames {
		if n != cert.Subject.CommonName && len(names) < maxCertificateNames {
			names = append(names, n)
		}
	}
	return names
}

// noTLSNow returns what the MSA's STARTTLS is told that must not be followed by a handshake; nil: it may.
func (s *session) noTLSNow(cmd smtp.Command) *smtp.Reply {
	switch {
	case s.e.Certificate == nil:
		return &replyNoTLSHere // never 5xx: an MSA that a policy has cached says STARTTLS unasked, and would return the mail
	case s.msaTLS().State == event.TLSOn:
		return &replyTLSTwice
	case len(cmd.Args) > 0:
		return &replyNoParams
	case s.mail.underWay() || s.mx.transaction || len(s.talk.slots) > 0: // it must not survive into TLS, nor may anything be under way
		return &replyNotNow
	default:
		return nil
	}
}

// startTLSToMSA completes the handshake that the MSA asked for. What it said before is forgotten (RFC 3207 §4.2):
// it must say EHLO again.
func (s *session) startTLSToMSA() error {
	if err := s.flushMSA(event.PhaseStartTLS); err != nil {
		return err
	}
	under := smtp.Below(s.msa.base)
	conn := tls.Server(under, s.e.tlsToMSA())
	_ = s.msa.base.SetDeadline(time.Now().Add(s.e.timeout(event.PhaseHandshake)))
	err := s.aside(event.PhaseHandshake, nil, func() { _ = s.msa.base.SetDeadline(time.Unix(1, 0)) }, func() error {
		return conn.HandshakeContext(context.Background())
	})
	s.work += workOfHandshake
	var f *failure
	if errors.As(err, &f) {
		s.noteMSATLS(f)
		return f
	}
	if err != nil {
		return s.noTLSWithMSA(event.PhaseHandshake, err)
	}
	_ = s.msa.base.SetDeadline(time.Time{})
	s.msa.armed, s.msa.armedW = 0, 0
	s.msa.startTLS(conn, under)
	now := s.describeTLS(conn.ConnectionState(), "")
	s.info.MSA = &now
	s.log.notef("tls with the MSA, %s", tls.VersionName(now.Version))
	s.talk.hello = smtp.VerbUnknown
	return nil
}

// msaTLS is what is known of the MSA's TLS. Records have it: it is not changed, but another takes its place.
func (s *session) msaTLS() (t event.TLS) {
	if s.info.MSA != nil {
		t = *s.info.MSA
	}
	return t
}

// noteMSATLS notes what has kept the MSA from TLS.
func (s *session) noteMSATLS(why error) {
	t := s.msaTLS()
	t.Err = why.Error()
	s.info.MSA = &t
}

// refuseAhead ends a session whose MSA has sent more behind STARTTLS: nobody knows who has, and it must not be taken for what is said inside TLS
// (CVE-2011-0411).
func (s *session) refuseAhead(sl *slot) error {
	s.toMSA(&replyAhead, event.ByKanmon)
	s.log.told(sl, replyAhead.Code)
	err := s.endAfterReply(event.PhaseStartTLS, msaTLS)
	var f *failure
	if errors.As(err, &f) && f.trouble == msaTLS {
		f.cause = errors.New("octets behind STARTTLS")
		s.noteMSATLS(f.cause)
	}
	return err
}

// noTLSWithMSA ends a session whose MSA's TLS has failed, and notes why.
func (s *session) noTLSWithMSA(phase event.Phase, why error) error {
	s.noteMSATLS(why)
	return &failure{trouble: msaTLS, phase: phase, cause: why}
}

// addrPort returns a connection's address as a value; invalid if it is no TCP address.
func addrPort(a net.Addr) (ap netip.AddrPort) {
	if t, ok := a.(*net.TCPAddr); ok {
		return t.AddrPort()
	}
	return ap
}
