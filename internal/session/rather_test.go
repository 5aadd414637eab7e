package session_test

import (
	"context"
	"net/netip"
	"strings"
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
	at    string       // the command that finds it out
	then  session.Stay // what holds for a mail that could not move
	stuck int
	byMX  bool // the last one could not by what the MX did
}

func (m *ratherMoves) MayStay(req session.DialRequest, ip netip.Addr) (stay session.Stay) {
	if ip != sendingIPs[0] || (req.Recipient == "") != (m.at == "MAIL") {
		return stay
	}
	if req.Stuck {
		m.stuck++
		m.byMX = req.ByMX
		stay = m.then
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
				synctest.Wait()
				if first, second := len(r.mx.Mailbox.Transactions()), len(r.mxs[1].Mailbox.Transactions()); first != 2 || second != 0 || m.stuck != 2 || !m.byMX {
					t.Errorf("%s, %s: %d messages from the first sending IP, %d from the second; asked %d times behind an attempt, which the MX has failed: %t", name, at, first, second, m.stuck, m.byMX)
				}
			})
		}
	}
}

// dialRather makes all connections but those of the first sending IP in another way: a mail is known, or it would not
// move.
func (r *manyIPs) dialRather(elsewhere func(context.Context) error) {
	r.choose = func(session.DialRequest) netip.Addr { return sendingIPs[0] }
	r.engine.Dialer = dialFunc(func(ctx context.Context, req session.DialRequest) (session.Outbound, error) {
		if req.Beside {
			return session.Outbound{}, elsewhere(ctx)
		}
		return r.dial(ctx, req)
	})
}

// What keeps a mail from moving and is kanmon's own, or its MSA's, is not the MX's doing: whoever remembers at which
// MXs nobody can move must be told so. Where there is no room elsewhere nobody waits for it: the mail has its way.
//
// law: I11
func TestAMailThatCannotMoveForWhatIsNotTheMXsDoing(t *testing.T) {
	for name, c := range map[string]struct {
		elsewhere func(context.Context) error
		goes      bool // its MSA does, meanwhile
	}{
		"there is no room":             {elsewhere: func(context.Context) error { return full(5*time.Second, true) }},
		"the other IPs are suspended":  {elsewhere: func(context.Context) error { return session.ErrSuspended }},
		"they have no free port":       {elsewhere: func(context.Context) error { return session.ErrPortsExhausted }},
		"this host has no descriptors": {elsewhere: func(context.Context) error { return syscall.EMFILE }},
		"its MSA has gone":             {func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			r, m, log := newManyIPs(2), &ratherMoves{at: "MAIL"}, new(records)
			r.engine.Room, r.engine.Mover, r.engine.Judge, r.engine.Recorder = m, nil, nil, log
			r.dialRather(c.elsewhere)
			msa := r.msa(t)
			begun := time.Now()
			if c.goes {
				msa.Expect(220)
				msa.Command("EHLO msa.example.com")
				msa.Send("MAIL FROM:<a@example.com>")
				time.Sleep(time.Second)
				_ = msa.Conn().Close()
			} else if got := msa.Deliver("a@example.com", []string{"c@example.net"}, []byte("text\r\n"), false); !got.All(smtptest.Accepted) || time.Since(begun) > time.Second {
				t.Errorf("%s: %v behind %s", name, got.Replies, time.Since(begun))
			}
			time.Sleep(time.Hour)
			synctest.Wait()
			if m.stuck == 0 || m.byMX {
				t.Errorf("%s: asked %d times, told that it is the MX's doing: %t", name, m.stuck, m.byMX)
			}
			for _, line := range log.lines {
				if strings.Contains(line, "deferred at") || strings.Contains(line, "delayed at") {
					t.Errorf("%s: on record as %q", name, line)
				}
			}
		})
	}
}

// A mail that could not move, and finds that its connection has carried what one may, goes on in the next one from
// there.
//
// law: I11
func TestAMailThatCannotMoveGoesOnInTheNextConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, m := newManyIPs(2), &ratherMoves{at: "MAIL", then: session.Stay{Moves: true, Anew: true}}
		r.engine.Room, r.engine.Mover, r.engine.Judge = m, nil, nil
		r.dialRather(func(context.Context) error { return syscall.ECONNREFUSED })
		msa := r.msa(t)
		if got := msa.Deliver("a@example.com", []string{"c@example.net"}, []byte("text\r\n"), false); !got.All(smtptest.Accepted) {
			t.Errorf("%v %v", got.Verdicts, got.Replies)
		}
		_ = msa.Quit()
		time.Sleep(time.Hour)
		synctest.Wait()
		if len(r.dialed) != 2 || r.dialed[1] != sendingIPs[0] {
			t.Errorf("dialled %v", r.dialed)
		}
	})
}
