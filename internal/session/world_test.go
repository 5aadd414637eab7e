package session_test

import (
	"context"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"kanmon/internal/event"
	"kanmon/internal/session"
	"kanmon/internal/smtp/smtptest"
)

// A world is a kanmon between an MSA's connection and MXs on a network. Use it inside a synctest bubble.
type world struct {
	engine testEngine
	net    smtptest.Network
	record records
	dials  int
	mx     smtptest.MX

	listener *smtptest.Listener
	done     sync.WaitGroup
}

// newWorld has one MX at mxAddr.
func newWorld(t *testing.T) *world {
	w := &world{}
	w.engine.Engine = session.Engine{Observe: true, Live: new(session.Live), Recorder: &w.record, TLSToMX: session.ClientTLS()}
	w.engine.leaves(dialFunc(w.dial))
	l, err := w.net.Listen(mxAddr)
	if err != nil {
		t.Fatal(err)
	}
	w.listener = l
	w.done.Go(func() { w.mx.Serve(l) })
	return w
}

func (w *world) dial(ctx context.Context, _ session.DialRequest) (session.Outbound, error) {
	w.dials++
	c, err := w.net.Dial(ctx, netip.AddrPortFrom(ownIP, 0), mxAddr)
	if err != nil {
		return session.Outbound{}, err
	}
	return session.Outbound{Conn: c, SendingIP: ownIP, Name: "out10.example.jp"}, nil
}

// connect begins a session and gives the MSA's end of it.
func (w *world) connect() *smtptest.Conn {
	msa, near := smtptest.Pair(msaAddr, mxAddr)
	w.done.Go(func() { w.engine.Serve(near, session.Origin{Source: msaAddr, Destination: mxAddr}) })
	return msa
}

// close waits until everything has ended.
func (w *world) close() {
	w.listener.Close()
	w.done.Wait()
}

// records keeps what sessions hand over, as text.
type records struct {
	mu       sync.Mutex
	lines    []string
	outcomes []string
	tls      []event.TLS
	ends     []string

	ungreeted string
}

func (r *records) Record(rec *event.Record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, l := range rec.Lines {
		r.lines = append(r.lines, strings.TrimSpace(l.Mark.String()+" "+string(rec.Text(l.Text))))
	}
	if rec.Transaction != nil {
		r.outcomes = append(r.outcomes, rec.Transaction.Outcome.String())
	}
	if rec.End != nil {
		r.ends = append(r.ends, rec.End.Reason)
		r.ungreeted = rec.End.Ungreeted
		r.tls = append(r.tls, rec.Session.MX)
	}
	rec.Release()
}

func (r *records) lastEnd() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.ends) == 0 {
		return ""
	}
	return r.ends[len(r.ends)-1]
}
