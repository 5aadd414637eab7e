package session_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/session"
	"kanmon/internal/smtp/smtptest"
)

// kept keeps what a session recorded.
type kept struct {
	mu       sync.Mutex
	actions  []string
	outcomes []event.Outcome
	end      event.Session
}

func (k *kept) Record(r *event.Record) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, a := range r.Actions {
		k.actions = append(k.actions, fmt.Sprintf("%s %s %d", a.Did, a.Phase, a.Code))
	}
	if r.Transaction != nil {
		k.outcomes = append(k.outcomes, r.Transaction.Outcome)
	}
	k.end = r.Session
	r.Release()
}

func recordedRescue(t *testing.T, set func(r *manyIPs)) (k *kept, got smtptest.Delivery) {
	k = new(kept)
	synctest.Test(t, func(t *testing.T) {
		r := newManyIPs(2)
		r.engine.Recorder = k
		r.mxs[0].Reply = always("RCPT", listed)
		set(r)
		msa := r.msa(t)
		got = msa.Deliver("a@example.com", []string{"b@example.net"}, []byte("text\r\n"), true)
		_ = msa.Quit()
		time.Sleep(3 * time.Hour)
	})
	return k, got
}

// docs/ref/record.md: tls_mx, phases and outcome say what the session at hand had.
func TestRescueRecord(t *testing.T) {
	cert := smtptest.Certificate(t, smtptest.CertificateOptions{})
	k, _ := recordedRescue(t, func(r *manyIPs) {
		for i, mx := range r.mxs {
			mx.TLS = newTLSServer(cert)
			mx.Reply = func(verb string, n int) string {
				switch {
				case verb == "STARTTLS":
					return "454 4.7.0 not now\r\n"
				case verb == "RCPT" && i == 0:
					return listed
				}
				return smtptest.Default
			}
		}
	})
	if k.end.MX.State != event.TLSDowngraded {
		t.Errorf("tls_mx is %s: offered, failed, plain text", k.end.MX.State)
	}
	k, _ = recordedRescue(t, func(r *manyIPs) {
		r.mxs[0].TLS = newTLSServer(cert)
		r.mxs[0].Reply = func(verb string, _ int) string {
			switch verb {
			case "EHLO":
				return smtptest.Delay(time.Second) + smtptest.Default
			case "RCPT":
				return listed
			}
			return smtptest.Default
		}
	})
	if k.end.MX.State == event.TLSNone && k.end.Phases[event.PhaseEHLOTLS] > 0 {
		t.Error("no TLS, and a time for EHLO inside it")
	}
	k, got := recordedRescue(t, func(r *manyIPs) { r.judge.Rescue = false })
	if got.Replies[0].Class() == 4 && k.outcomes[0] != event.OutcomeDeferred {
		t.Errorf("the MSA was told %s; outcome %s (of a softened dot it is deferred)", got.Replies[0], k.outcomes[0])
	}
}

// docs/ref/record.md: softened means that the MSA was given a 4xx in place of the 5xx.
func TestRescueNothingWasSoftened(t *testing.T) {
	cert := smtptest.Certificate(t, smtptest.CertificateOptions{})
	k, _ := recordedRescue(t, func(r *manyIPs) {
		r.mxs[0].TLS = newTLSServer(cert)
		r.mxs[0].Reply = always("STARTTLS", "554 5.7.1 no TLS today\r\n")
		dial, dials := r.engine.Dialer, 0
		r.engine.Dialer = dialFunc(func(ctx context.Context, req session.DialRequest) (session.Outbound, error) {
			switch dials++; dials {
			case 1:
				return dial.Dial(ctx, req)
			case 2:
				return session.Outbound{SendingIP: sendingIPs[0]}, syscall.ECONNREFUSED
			default:
				return session.Outbound{}, session.ErrNoOtherIP
			}
		})
	})
	if slices.Contains(k.actions, "softened dial 554") {
		t.Errorf("recorded %q: the 554 was to STARTTLS, and kept from the MSA", k.actions)
	}
}

// docs/ref/record.md: at is when something was done about a refusal, in the order in which lines stand: an IP that was tried in vain before the
// one that goes on.
func TestWhatIsDoneAboutRefusalsIsInOrder(t *testing.T) {
	c := recorded(t, func(r *manyIPs) {
		r.mxs = append(r.mxs, new(smtptest.MX))
		r.mxs[0].Reply, r.mxs[1].Reply = always("RCPT", listed), always("BANNER", smtptest.Delay(time.Second)+listed)
	}, func(msa *smtptest.MSA) { sayMail(msa, "r@x") })
	var did []event.Deed
	last := time.Duration(0)
	for _, a := range c.actions {
		did = append(did, a.Did)
		if a.Done < last || a.Done < a.At+a.Took {
			t.Errorf("%s at %s, came at %s and took %s, behind one at %s", a.Did, a.Done, a.At, a.Took, last)
		}
		last = a.Done
	}
	if want := []event.Deed{event.AlsoRefused, event.Rescued}; !slices.Equal(did, want) {
		t.Errorf("%v, want %v", did, want)
	}
}

// I2: the record of a message that was taken and told of says delivered, whatever the judge does then.
func TestRescueAcceptedPanics(t *testing.T) {
	k, got := recordedRescue(t, func(r *manyIPs) {
		judge := &fuseJudge{}
		judge.told.at = 1
		r.engine.Judge, r.mxs[0].Reply = judge, nil
	})
	if got.All(smtptest.Accepted) && !slices.Equal(k.outcomes, []event.Outcome{event.OutcomeDelivered}) {
		t.Errorf("acknowledged; outcome %v", k.outcomes)
	}
}

// A connection has on record how many mails have ended on it, and from which step on the first of them was said there: what was said before was said
// to another MX, and took it its time.
func TestWhichConnectionAMailWasSaidOn(t *testing.T) {
	type leg struct {
		mails uint8
		from  event.Phase
	}
	for verb, want := range map[string][]leg{
		"":     {{2, event.PhaseDial}},
		"MAIL": {{0, event.PhaseDial}, {2, event.PhaseDial}},
		"RCPT": {{0, event.PhaseDial}, {2, event.PhaseRcpt}},
		"DATA": {{0, event.PhaseDial}, {2, event.PhaseData}},
		".":    {{0, event.PhaseDial}, {2, event.PhaseBody}},
	} {
		t.Run(verb, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newManyIPs(2)
				var c clerk
				r.engine.Recorder = &c
				if verb != "" {
					r.mxs[0].Reply = always(verb, listed)
				}
				msa := r.msa(t)
				for range 2 {
					if got := msa.Deliver("a@example.com", []string{"b@example.net"}, []byte("text\r\n"), true); !got.All(smtptest.Accepted) {
						t.Fatalf("%v", got.Verdicts)
					}
				}
				_ = msa.Quit()
				time.Sleep(3 * time.Hour)
				synctest.Wait()
				var legs []leg
				for i := range c.end.Legs {
					legs = append(legs, leg{c.end.Legs[i].Mails, c.end.Legs[i].From})
				}
				if !slices.Equal(legs, want) {
					t.Errorf("%v, want %v", legs, want)
				}
			})
		})
	}
}

// The cause of a rescue that could not be is what kept it from being, and where that is known beforehand nothing is tried.
//
// law: I5
func TestWhyARescueCouldNotBeIsOnRecord(t *testing.T) {
	long := strings.Repeat("a", 60) + "@" + strings.Repeat("b", 60) + ".example"
	for name, test := range map[string]struct {
		recipients int
		refused    string
		set        func(*manyIPs)
		why        string
		dials      int
	}{
		"a long envelope, at the dot": {800, ".", func(*manyIPs) {}, "too long to be said again", 1},
		"a long envelope, at DATA":    {800, "DATA", func(*manyIPs) {}, "too long to be said again", 1},
		"a limit of the other IP": {1, "RCPT", func(r *manyIPs) {
			r.engine.Gate = refusing(func(q session.Question) bool { return q.Step == event.StepLeave && q.Instead }, tooMuch)
		}, "limit", 2},
		"the other offers less": {1, "RCPT", func(r *manyIPs) { r.mxs[1].Keywords = []string{"PIPELINING"} }, "offers less", 2},
	} {
		synctest.Test(t, func(t *testing.T) {
			var whys []string
			r := newManyIPs(2)
			r.engine.Recorder = recorderOf(func(rec *event.Record) {
				for _, a := range rec.Actions {
					if a.Did == event.RescueFailed {
						whys = append(whys, a.Why)
					}
				}
				rec.Release()
			})
			r.mxs[0].Reply = always(test.refused, listed)
			test.set(r)
			var to []string
			for i := range test.recipients {
				to = append(to, fmt.Sprintf("r%d.%s", i, long))
			}
			msa := r.msa(t)
			msa.Deliver("a@example.com", to, []byte("text\r\n"), true)
			_ = msa.Quit()
			time.Sleep(3 * time.Hour)
			synctest.Wait()
			if len(whys) != 1 || !strings.Contains(whys[0], test.why) || len(r.dialed) != test.dials {
				t.Errorf("%s: %q; dialled %v", name, whys, r.dialed)
			}
			if first := r.judge.asked[0]; first.Unkept != (test.dials == 1) {
				t.Errorf("%s: judged as one that cannot be said again: %t", name, first.Unkept)
			}
		})
	}
}
