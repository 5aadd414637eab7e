package session_test

import (
	"context"
	"net/netip"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/session"
	"kanmon/internal/smtp/smtptest"
)

// ratherMoves would have mail leave from the second sending IP, and lets it go where there is no way there.
type ratherMoves struct {
	at    string // the command that finds it out
	stuck int
}

func (m *ratherMoves) MayStay(req session.DialRequest, ip netip.Addr) (stay session.Stay) {
	if ip != sendingIPs[0] || (req.Recipient == "") != (m.at == "MAIL") {
		return stay
	}
	if req.Stuck {
		m.stuck++
		stay.Notes = []event.Note{{Did: "beyond", Rule: "test"}}
		return stay
	}
	return session.Stay{Moves: true, Rather: true}
}

func (*ratherMoves) MayAdd(netip.Addr) (stay session.Stay) { return stay }

func TestAMailThatWouldRatherMoveIsNotPutOffWhereThereIsNoWayThere(t *testing.T) {
	for name, refuse := range map[string]func(string, int) string{
		"the MX refuses to connect": nil,
		"at the banner":             always("BANNER", "554 5.7.1 not you\r\n"),
		"at EHLO":                   always("EHLO", "421 4.3.2 not now\r\n"),
		"at MAIL said again":        always("MAIL", "451 4.3.2 not now\r\n"),
	} {
		for _, at := range []string{"MAIL", "RCPT"} {
			if name == "at MAIL said again" && at == "MAIL" {
				continue // it has moved then: the MX's word about the mail
			}
			synctest.Test(t, func(t *testing.T) {
				r, m, log := newManyIPs(2), &ratherMoves{at: at}, new(records)
				r.engine.Room, r.engine.Mover, r.engine.Judge, r.engine.Recorder = m, nil, nil, log
				r.choose = func(req session.DialRequest) netip.Addr {
					if req.SenderKnown {
						return sendingIPs[1]
					}
					return sendingIPs[0]
				}
				if r.mxs[1].Reply = refuse; refuse == nil {
					r.engine.Dialer = dialFunc(func(ctx context.Context, req session.DialRequest) (session.Outbound, error) {
						if req.SenderKnown {
							return session.Outbound{}, syscall.ECONNREFUSED
						}
						return r.dial(ctx, req)
					})
				}
				msa := r.msa(t)
				for range 2 { // the next mail finds the session as it was
					if got := msa.Deliver("a@example.com", []string{"c@example.net", "d@example.net"}, []byte("text\r\n"), false); !got.All(smtptest.Accepted) {
						t.Errorf("%s, %s: %v %v", name, at, got.Verdicts, got.Replies)
					}
				}
				_ = msa.Quit()
				time.Sleep(time.Hour)
				if first, second := len(r.mx.Mailbox.Transactions()), len(r.mxs[1].Mailbox.Transactions()); first != 2 || second != 0 || m.stuck != 2 {
					t.Errorf("%s, %s: %d messages from the first sending IP, %d from the second; asked %d times behind an attempt", name, at, first, second, m.stuck)
				}
			})
		}
	}
}
