package session_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/session"
	"kanmon/internal/smtp/smtptest"
	"kanmon/internal/who/mailbox"
	"kanmon/internal/who/whose"
)

// hearsOwners notes whose the mail is that it is asked about.
type hearsOwners struct{ heard []string }

func (h *hearsOwners) note(step string, owner *whose.Owner) {
	h.heard = append(h.heard, step+" "+owner.Name())
}

func (h *hearsOwners) MayStay(req session.DialRequest, _ netip.Addr) bool {
	h.note("stay", req.Owner)
	return true
}

func (h *hearsOwners) Judge(r session.MXRefusal) session.Judgement {
	h.note("judge", r.Owner)
	return session.Judgement{}
}

func (*hearsOwners) Accepted(netip.Addr) {}

// Whose a session is, and a mail, the gate says once; whoever dials, moves and judges hears it. What it said of one mail is not said of the
// next, before the gate is asked about that.
//
// law: I11
func TestOwnerReachesWhoDecidesAboutTheIP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, h := newMoving(), &hearsOwners{}
		r.engine.Mover, r.engine.Judge = h, h
		r.choose = func(req session.DialRequest) netip.Addr {
			h.note("dial", req.Owner)
			return sendingIPs[0]
		}
		owners := map[string]*whose.Owner{"a.example": {Tenant: "acme"}, "b.example": {Tenant: "blue"}}
		r.engine.Gate = &script{decide: func(q session.Question) (d session.Decision) {
			switch q.Step {
			case event.StepConnect:
				d.Owner = &whose.Owner{Tenant: "whole"}
			case event.StepMail:
				d.Owner = owners[mailbox.DomainOf(q.Sender)]
			}
			return d
		}}
		r.mx.Reply = func(verb string, n int) string {
			if verb == "RCPT" && n == 2 {
				return "550 5.1.1 no such user\r\n"
			}
			return smtptest.Default
		}
		msa := r.msa(t)
		for _, from := range []string{"x@a.example", "x@b.example"} {
			msa.Deliver(from, []string{"c@example.net"}, []byte("text\r\n"), true)
		}
		_ = msa.Quit()
		synctest.Wait()
		if h.heard = slices.Compact(h.heard); !slices.Equal(h.heard, []string{"dial whole", "stay acme", "stay blue", "judge blue"}) {
			t.Errorf("heard %q", h.heard)
		}
	})
}

// A registrar notes whose mail each record of a transaction is of.
type registrar struct{ tenants []string }

func (g *registrar) Record(r *event.Record) {
	if r.Transaction != nil {
		g.tenants = append(g.tenants, r.Tenant)
	}
	r.Release()
}

// Whose mail it was, the gate has said, and all who hear of the mail hear that: also where lines of it have gone before its end.
func TestARecordIsOfWhomTheGateHasNamed(t *testing.T) {
	for _, wait := range []string{"", smtptest.Delay(10 * time.Second)} {
		synctest.Test(t, func(t *testing.T) {
			var g registrar
			r := newManyIPs(2)
			r.engine.Recorder = &g
			r.engine.Gate = &script{decide: func(q session.Question) (d session.Decision) {
				if q.Step == event.StepMail {
					d.Whose, d.Sender = strings.TrimSuffix(mailbox.DomainOf(q.Sender), ".example"), q.Sender
				}
				return d
			}}
			r.mx.Reply = refuseAt("RCPT", 1, wait+smtptest.Default)
			msa := r.hello(t)
			msa.Pipeline("MAIL FROM:<a@blue.example>", "RCPT TO:<r@x>")
			msa.Command("RSET")
			finishSession(msa)
			synctest.Wait()
			if len(g.tenants) != 1 || g.tenants[0] != "blue" {
				t.Errorf("waited %q: of %q, want blue", wait, g.tenants)
			}
		})
	}
}
