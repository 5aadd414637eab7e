package session_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/session"
	"kanmon/internal/smtp/smtptest"
)

// listingJudge takes every reply that says "listed" for one about our sending IP.
type listingJudge struct {
	session.Judgement
	asked    []session.MXRefusal
	accepted []netip.Addr
}

func (j *listingJudge) Judge(r session.MXRefusal) session.Judgement {
	r.Text, r.Sender, r.Recipient = bytes.Clone(r.Text), bytes.Clone(r.Sender), bytes.Clone(r.Recipient)
	j.asked = append(j.asked, r)
	if r.Code != 0 && !bytes.Contains(r.Text, []byte("listed")) {
		return session.Judgement{Class: event.PolicyUnspecified}
	}
	about := j.Judgement
	if about.SoftenTo != 0 {
		about.SoftenTo = session.Temporary(r.Code)
	}
	return about
}

func (j *listingJudge) Accepted(ip netip.Addr) { j.accepted = append(j.accepted, ip) }

// manyIPs is a rig with sending IPs, of which each meets an MX of its own. What says "listed" is judged to be about the IP.
type manyIPs struct {
	rig    // its mx is what the first meets
	judge  listingJudge
	mxs    []*smtptest.MX
	dialed []netip.Addr
	avoid  int // longest list of IPs to avoid
	closed int
	conns  []net.Conn

	choose    func(session.DialRequest) netip.Addr // nil: the first that is not to be avoided
	suspended bool
}

// sendingIPs are the first two.
var sendingIPs = []netip.Addr{legIP(0), legIP(1)}

func newManyIPs(n int) *manyIPs {
	r := &manyIPs{mxs: make([]*smtptest.MX, n)}
	for i := range r.mxs {
		r.mxs[i] = new(smtptest.MX)
	}
	r.mxs[0] = &r.mx
	r.judge.Judgement = session.Judgement{Rescue: true, SoftenTo: 450, Class: event.IPBlocklisted, Rule: "test"}
	r.engine.Engine = session.Engine{Live: &r.live, Recorder: &r.log, Log: slog.New(slog.DiscardHandler)}
	r.engine.leaves(dialFunc(r.dial))
	r.engine.Judge = &r.judge
	return r
}

func (r *manyIPs) dial(_ context.Context, req session.DialRequest) (session.Outbound, error) {
	r.avoid = max(r.avoid, len(req.Avoid))
	if r.suspended {
		return session.Outbound{}, fmt.Errorf("dial: %w", session.ErrSuspended)
	}
	for i, mx := range r.mxs {
		ip := legIP(i)
		if slices.Contains(req.Avoid, ip) || r.choose != nil && r.choose(req) != ip {
			continue
		}
		proxy, far := smtptest.Pair(netip.AddrPortFrom(ip, 50000), mxAddr)
		go mx.ServeConn(far)
		r.dialed, r.conns = append(r.dialed, ip), append(r.conns, proxy)
		return session.Outbound{Conn: proxy, SendingIP: ip, Name: fmt.Sprintf("out%d.example.jp", i), Closed: func() { r.closed++ }}, nil
	}
	return session.Outbound{}, session.ErrNoOtherIP
}

func (r *manyIPs) hello(t *testing.T) *smtptest.MSA {
	msa := r.msa(t)
	msa.Expect(220)
	msa.Command("EHLO msa.example.com")
	return msa
}

func bubble(test func(*testing.T)) func(*testing.T) {
	return func(t *testing.T) { synctest.Test(t, test) }
}

// finishSession ends a session, and what it has left can be read.
func finishSession(msa *smtptest.MSA) {
	_ = msa.Conn().Close()
	time.Sleep(3 * time.Hour)
	synctest.Wait()
}

const listed = "550 5.7.1 listed\r\n"

func always(verb, reply string) func(string, int) string {
	return func(v string, _ int) string {
		if v == verb {
			return reply
		}
		return smtptest.Default
	}
}
