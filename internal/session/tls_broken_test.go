package session_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/session"
	"kanmon/internal/smtp/smtptest"
)

// A brokenMX is an MX whose TLS has a fault of its kind. In plain text it is an MX like any other.
type brokenMX struct {
	smtptest.MX
	sawHello func(c *smtptest.Conn, hello []byte) error // an error ends the connection; nil: hellos are not looked at
	gentle   bool                                       // no reset destroys its alert
}

// A helloConn shows the first record behind the 220 to STARTTLS before anybody reads it.
type helloConn struct {
	*smtptest.Conn
	saw   func(c *smtptest.Conn, hello []byte) error
	armed bool
	rest  []byte
}

func (c *helloConn) Write(p []byte) (int, error) {
	if bytes.HasPrefix(p, []byte("220 2.0.0 Ready")) {
		c.armed = true
	}
	return c.Conn.Write(p)
}

func (c *helloConn) Read(p []byte) (int, error) {
	if c.armed {
		c.armed = false
		head := make([]byte, 5)
		if _, err := io.ReadFull(c.Conn, head); err != nil {
			return 0, err
		}
		c.rest = append(head, make([]byte, int(head[3])<<8|int(head[4]))...)
		if _, err := io.ReadFull(c.Conn, c.rest[5:]); err != nil {
			return 0, err
		}
		if err := c.saw(c.Conn, c.rest); err != nil {
			return 0, err
		}
	}
	if len(c.rest) > 0 {
		n := copy(p, c.rest)
		c.rest = c.rest[n:]
		return n, nil
	}
	return c.Conn.Read(p)
}

// What an MX does with a hello that it cannot bear.
func hang(c *smtptest.Conn) error {
	_, _ = io.Copy(io.Discard, c)
	return io.EOF
}

func resets(c *smtptest.Conn) error {
	c.Reset()
	return io.ErrClosedPipe
}

func ifLarge(do func(*smtptest.Conn) error) func(*smtptest.Conn, []byte) error {
	return func(c *smtptest.Conn, hello []byte) error {
		if len(hello) > 1400 {
			return do(c)
		}
		return nil
	}
}

func everyHello(do func(*smtptest.Conn) error) func(*smtptest.Conn, []byte) error {
	return func(c *smtptest.Conn, _ []byte) error { return do(c) }
}

var errUnbearable = errors.New("an alert for you")

// alertIf makes an MX answer some hellos with an alert.
func alertIf(fits func(*tls.ClientHelloInfo) bool) func(*testing.T) *brokenMX {
	return func(t *testing.T) *brokenMX {
		mx := soundMX(t)
		mx.TLS.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			if fits(hello) {
				return nil, errUnbearable
			}
			return nil, nil
		}
		return mx
	}
}

func soundMX(t *testing.T) *brokenMX {
	mx := &brokenMX{}
	mx.TLS = newTLSServer(smtptest.Certificate(t, smtptest.CertificateOptions{}))
	return mx
}

func sawHello(do func(*smtptest.Conn, []byte) error) func(*testing.T) *brokenMX {
	return func(t *testing.T) *brokenMX {
		mx := soundMX(t)
		mx.sawHello = do
		return mx
	}
}

// replies makes an MX whose replies inside TLS, or to STARTTLS, are its fault.
func replies(verb string, n int, reply string) func(*testing.T) *brokenMX {
	return func(t *testing.T) *brokenMX {
		mx := soundMX(t)
		mx.Reply = refuseAt(verb, n, reply)
		return mx
	}
}

func postQuantum(hello *tls.ClientHelloInfo) bool {
	return slices.Contains(hello.SupportedCurves, tls.X25519MLKEM768)
}

const preSharedKey = 41 // RFC 8446 §4.2

func withTicket(hello *tls.ClientHelloInfo) bool {
	if slices.Contains(hello.Extensions, preSharedKey) {
		_ = hello.Conn.Close()
		return true
	}
	return false
}

// handshakes picks some by their number, from 1.
func handshakes(fits func(n int) bool) func(*testing.T) *brokenMX {
	n := 0
	return alertIf(func(*tls.ClientHelloInfo) bool { n++; return fits(n) })
}

func wantsCertificate(version uint16) func(*testing.T) *brokenMX {
	return func(t *testing.T) *brokenMX {
		mx := soundMX(t)
		mx.TLS.ClientAuth, mx.TLS.MaxVersion = tls.RequireAnyClientCert, version
		mx.gentle = true
		return mx
	}
}

func onlyTLS10(t *testing.T) *brokenMX {
	mx := soundMX(t)
	mx.TLS.MinVersion, mx.TLS.MaxVersion = tls.VersionTLS10, tls.VersionTLS10
	return mx
}

func garbageForHello(c *smtptest.Conn) error {
	_, _ = io.WriteString(c, "500 5.5.1 Command unrecognized\r\n")
	return io.EOF
}

// A brokenSite is kanmon in front of one broken MX. Use it inside a bubble of testing/synctest.
type brokenSite struct {
	engine testEngine
	live   session.Live
	record records
	judge  lockedJudge
	mx     *brokenMX
	dialed func(n int) error // may refuse a connection; nil: none is
	rule   session.TLSRule

	mu      sync.Mutex
	dialled int
}

// A lockedJudge may be asked by many sessions at once.
type lockedJudge struct {
	mu sync.Mutex
	listingJudge
}

func (j *lockedJudge) Judge(r session.MXRefusal) session.Judgement {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.listingJudge.Judge(r)
}

func (j *lockedJudge) Accepted(ip netip.Addr) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.listingJudge.Accepted(ip)
}

func newBrokenSite(mx *brokenMX) *brokenSite {
	s := &brokenSite{mx: mx}
	s.engine.Engine = session.Engine{
		Live: &s.live, Recorder: &s.record, TLSToMX: session.ClientTLS(), Log: slog.New(slog.DiscardHandler),
		Destination: func(netip.Addr) session.Destination { return session.Destination{TLS: s.rule} },
	}
	s.engine.leaves(dialFunc(s.dial))
	s.engine.Judge = &s.judge
	return s
}

func (s *brokenSite) dial(context.Context, session.DialRequest) (session.Outbound, error) {
	s.mu.Lock()
	s.dialled++
	n := s.dialled
	s.mu.Unlock()
	if s.dialed != nil {
		if err := s.dialed(n); err != nil {
			return session.Outbound{SendingIP: ownIP}, err
		}
	}
	near, far := smtptest.Pair(netip.AddrPortFrom(ownIP, 50000), mxAddr)
	if s.mx.gentle {
		far.CloseNeverResets()
	}
	if s.mx.sawHello != nil {
		go s.mx.ServeConn(&helloConn{Conn: far, saw: s.mx.sawHello})
	} else {
		go s.mx.ServeConn(far)
	}
	return session.Outbound{Conn: near, SendingIP: ownIP, Name: "out10.example.jp"}, nil
}

// dials is how many connections to the MX were opened.
func (s *brokenSite) dials() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dialled
}

// ended gives the TLS of the sessions that have ended, in that order.
func (s *brokenSite) ended() []event.TLS {
	s.record.mu.Lock()
	defer s.record.mu.Unlock()
	return slices.Clone(s.record.tls)
}

func (s *brokenSite) connect() *smtptest.Conn {
	msa, near := smtptest.Pair(msaAddr, mxAddr)
	go s.engine.Serve(near, session.Origin{Source: msaAddr, Destination: mxAddr})
	return msa
}

// A mailing is what one mail, in a session of its own, has come to.
type mailing struct {
	smtptest.Delivery
	connections int
	took        time.Duration
	tls         event.TLS
}

// mail sends one. It does not go on before both connections are closed.
func (s *brokenSite) mail(t *testing.T) mailing {
	t.Helper()
	dials, begun := s.dials(), time.Now()
	msa := smtptest.NewMSA(t, s.connect())
	d := msa.Deliver("a@example.com", []string{"b@example.net"}, []byte("text\r\n"), true)
	took := time.Since(begun)
	_ = msa.Quit()
	synctest.Wait()
	ended := s.ended()
	return mailing{d, s.dials() - dials, took, ended[len(ended)-1]}
}

func (m mailing) delivered() bool { return m.All(smtptest.Accepted) }
func (m mailing) inTLS() bool     { return m.tls.State == event.TLSOn }
