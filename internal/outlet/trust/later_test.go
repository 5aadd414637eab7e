package trust

import (
	"crypto/tls"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/session"
)

// S53: a domain to which somebody sends once a week is unknown at each mail. What its MX has shown is judged when it is known what is asked.
func TestObserveSeesADomainWhoseMailIsRare(t *testing.T) {
	right := selfSigned(nil)
	for name, test := range map[string]struct {
		leg  session.TrustLeg
		want event.TrustReason // TrustWhyNot: nothing would have been refused
	}{
		"wrong":      {with(at1, selfSigned([]string{mx1})), event.ValidationFailure},
		"right":      {with(at1, right), event.TrustWhyNot},
		"plain text": {plainText(at1, false, ""), event.NoStartTLS},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t).dane(record(3, 1, 1, right[0]))
				r.c.Enforce = false
				r.z.wait = make(chan struct{})
				n := r.trust().Need(question(at1))
				leg := test.leg
				if leg.TLS != nil { // a session has its own back
					lent := *leg.TLS
					leg.TLS = &lent
				}
				v := n.Judge(leg)
				if n.Ready() != nil || !v.Pass || v.Told.Verdict != event.TrustUnjudged || len(r.m.WouldRefuse(time.Now())) != 0 {
					t.Errorf("before it is known: %s", text(v))
				}
				if leg.TLS != nil {
					*leg.TLS = tls.ConnectionState{}
				}
				if v := r.the.Need(question(at1)).Judge(plainText(at2, false, "")); !v.Pass {
					t.Errorf("the second mail: %s", text(v))
				}
				close(r.z.wait)
				synctest.Wait()
				all := r.m.WouldRefuse(time.Now())
				if test.want == event.TrustWhyNot && len(all) != 0 ||
					test.want != event.TrustWhyNot && (len(all) != 1 || all[0].Domain != domain || all[0].Why != test.want || all[0].MX != at1.Addr() || all[0].Times != 1) {
					t.Errorf("%+v", all)
				}
				if r.the.passed.All() != 0 {
					t.Error("a place is not given back")
				}
				r.the.Close()
			})
		})
	}
}

// What a stop ends is not what the DNS would have said; and a leg of so many certificates is nobody's memory.
func TestWhatIsNotJudgedLater(t *testing.T) {
	many := selfSigned([]string{mx1})
	for size := 0; size <= mostChain; size += len(many[0].Raw) {
		many = append(many, many[0])
	}
	for name, leg := range map[string]session.TrustLeg{"stopped": plainText(at1, false, ""), "many certificates": with(at1, many)} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t).dane(record(3, 1, 1, selfSigned(nil)[0]))
				r.c.Enforce = false
				r.z.wait = make(chan struct{})
				r.trust().Need(question(at1)).Judge(leg)
				if name == "stopped" {
					r.the.Close()
				}
				close(r.z.wait)
				synctest.Wait()
				if all := r.m.WouldRefuse(time.Now()); len(all) != 0 || r.the.passed.All() != 0 {
					t.Errorf("%+v", all)
				}
				r.the.Close()
			})
		})
	}
}
