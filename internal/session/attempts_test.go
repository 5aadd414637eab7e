package session_test

import (
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"

	"kanmon/internal/event"
	"kanmon/internal/session"
)

// fewAttempts is a judge that spends another sending IP wherever the session can still use one.
type fewAttempts struct{}

func (fewAttempts) Judge(r session.MXRefusal) session.Judgement {
	return session.Judgement{Rescue: !r.Stuck, SoftenTo: 450, Class: event.IPBlocklisted, Rule: "test"}
}

func (fewAttempts) Accepted(netip.Addr) {}

// movesAside has the mail of b@x leave from the fourth sending IP or the fifth, and all other from the first three.
type movesAside struct{}

func (movesAside) of(req session.DialRequest) []netip.Addr {
	if req.Sender == "b@x" {
		return []netip.Addr{legIP(3), legIP(4)}
	}
	return []netip.Addr{legIP(0), legIP(1), legIP(2)}
}

func (m movesAside) MayStay(req session.DialRequest, ip netip.Addr) bool {
	return slices.Contains(m.of(req), ip)
}

func (m movesAside) choose(req session.DialRequest) (ip netip.Addr) {
	for _, ip = range m.of(req) {
		if !slices.Contains(req.Avoid, ip) {
			break
		}
	}
	return ip
}

// What has been tried for one mail does not count for the next: that has all the attempts of its own.
func TestTheNextMailHasItsOwnAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newManyIPs(5)
		r.engine.Judge = fewAttempts{}
		r.engine.Mover = movesAside{}
		r.choose = movesAside{}.choose
		r.mx.Reply, r.mxs[1].Reply = refuseAt("RCPT", 1, listed), refuseAt("RCPT", 1, listed)
		r.mxs[3].Reply = refuseAt("EHLO", 1, listed)
		msa := r.hello(t)
		for _, group := range [][]string{{"MAIL FROM:<a@x>", "RCPT TO:<r@x>"}, {"RSET"}, {"MAIL FROM:<b@x>", "RCPT TO:<r@x>"}} {
			for i, reply := range msa.Pipeline(group...) {
				if reply.Code != 250 {
					t.Errorf("%s: %v", group[i], reply)
				}
			}
		}
		if last := r.dialed[len(r.dialed)-1]; last != legIP(4) {
			t.Errorf("dialled %v", r.dialed)
		}
		finishSession(msa)
	})
}
