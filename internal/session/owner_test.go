package session_test

import (
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"

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
