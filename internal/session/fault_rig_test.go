package session_test

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"

	"kanmon/internal/event"
	"kanmon/internal/session"
	"kanmon/internal/smtp/smtptest"
)

// newTLSServer is the TLS configuration of an MX.
func newTLSServer(cert tls.Certificate) *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{cert}}
}

// inFull says that every fault is to be injected, not the sample that fits in a test run: `make faults` asks for it.
func inFull() bool { return os.Getenv("KANMON_FAULTS") == "full" }

// A rig is kanmon between an MX of smtptest and the MSAs that call connect. Use it inside a bubble of testing/synctest.
type rig struct {
	engine testEngine
	mx     smtptest.MX
	live   session.Live
	log    recorder

	// wire is called with both ends of each connection to the MX before it is used; n is 1 for the first. May be nil.
	wire func(n int, proxy, mx *smtptest.Conn)

	mu      sync.Mutex
	dialled int
}

// newRig gives a rig in observe mode: the MSA's own name goes to the MX, so both legs carry the same octets.
func newRig() *rig {
	r := new(rig)
	r.engine.Engine = session.Engine{Live: &r.live, Recorder: &r.log, TLSToMX: session.ClientTLS(), Log: slog.New(slog.DiscardHandler)}
	r.engine.leaves(dialFunc(r.dial))
	r.engine.Judge, r.engine.Mover = indifferent{}, indifferent{} // as kanmon runs with sending IPs
	return r
}

// indifferent has nothing against any sending IP.
type indifferent struct{}

func (indifferent) Judge(session.MXRefusal) session.Judgement {
	return session.Judgement{Class: event.PolicyUnspecified}
}
func (indifferent) Accepted(netip.Addr)                          {}
func (indifferent) MayStay(session.DialRequest, netip.Addr) bool { return true }

// dialOnceTo connects to what take does with the other end.
func dialOnceTo(take func(proxy, mx *smtptest.Conn)) dialFunc {
	return func(context.Context, session.DialRequest) (session.Outbound, error) {
		proxy, mx := smtptest.Pair(proxyAddr, mxAddr)
		take(proxy, mx)
		return session.Outbound{Conn: proxy}, nil
	}
}

func (r *rig) dial(context.Context, session.DialRequest) (session.Outbound, error) {
	r.mu.Lock()
	r.dialled++
	n := r.dialled
	r.mu.Unlock()
	proxy, mx := smtptest.Pair(proxyAddr, mxAddr)
	if r.wire != nil {
		r.wire(n, proxy, mx)
	}
	go r.mx.ServeConn(mx)
	return session.Outbound{Conn: proxy}, nil
}

var proxyAddr = netip.MustParseAddrPort("203.0.113.10:50000")

// dials is how many connections to the MX were opened.
func (r *rig) dials() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.dialled
}

// connect starts a session and gives the MSA's end of it, and kanmon's. ended is closed when the session has ended.
func (r *rig) connect() (msa, proxy *smtptest.Conn, ended <-chan struct{}) {
	msa, proxy = smtptest.Pair(msaAddr, mxAddr)
	return msa, proxy, r.serve(proxy)
}

// serve starts a session on kanmon's end of a connection.
func (r *rig) serve(proxy net.Conn) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.engine.Serve(proxy, session.Origin{Source: msaAddr, Destination: mxAddr})
	}()
	return done
}

// msa gives an MSA on a new session.
func (r *rig) msa(t testing.TB) *smtptest.MSA {
	conn, _, _ := r.connect()
	return smtptest.NewMSA(t, conn)
}

// A recorder keeps how transactions and sessions ended.
type recorder struct {
	mu       sync.Mutex
	outcomes []event.Outcome
	ends     []string
	causes   []string
}

// Record implements session.Recorder.
func (r *recorder) Record(rec *event.Record) {
	defer rec.Release()
	r.mu.Lock()
	defer r.mu.Unlock()
	if rec.Transaction != nil {
		r.outcomes = append(r.outcomes, rec.Transaction.Outcome)
	}
	if rec.End != nil {
		r.ends = append(r.ends, rec.End.Reason)
		r.causes = append(r.causes, rec.End.Cause)
	}
}

// count is how many transactions had an outcome.
func (r *recorder) count(o event.Outcome) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, got := range r.outcomes {
		if got == o {
			n++
		}
	}
	return n
}

// lastEnd is why the last session that has ended did so.
func (r *recorder) lastEnd() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.ends) == 0 {
		return ""
	}
	return r.ends[len(r.ends)-1]
}

// panics are the causes of sessions that ended in a panic.
func (r *recorder) panics() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var found []string
	for _, c := range r.causes {
		if strings.HasPrefix(c, "panic:") {
			found = append(found, c)
		}
	}
	return found
}

// readAll reads what comes on a connection until it ends.
func readAll(c net.Conn) string {
	b, _ := io.ReadAll(c) // a reset ends it, too
	return string(b)
}
