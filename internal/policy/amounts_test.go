package policy

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	"kanmon/internal/event"
	"kanmon/internal/policy/contain"
	"kanmon/internal/policy/limit"
	"kanmon/internal/session"
)

// An amount set by hand holds at once, also for sessions that are there, survives a restart, and can be taken back.
func TestLimitByHand(t *testing.T) {
	store := &memory{}
	set := settingsWith(rule("hour", limit.PerAccount, 2))
	r := newRig(t, set, store)
	v, _ := r.enter("10.0.1.1", mx)
	acme := contain.Subject{Tenant: "acme"}
	if err := r.SetLimit(acme, "hour", 4, "alice", "newsletter"); err != nil {
		t.Fatal(err)
	}
	if n := passing(v, 10); n != 4 {
		t.Errorf("%d pass, want 4", n)
	}
	v.Close()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	again := newRig(t, set, store)
	again.Pass(r.Now().Sub(again.Now()) + time.Hour)
	v, _ = again.enter("10.0.1.1", mx)
	if n := passing(v, 10); n != 4 {
		t.Errorf("%d pass after the restart, want 4", n)
	}
	if err := again.SetLimit(acme, "hour", 0, "alice", ""); err != nil {
		t.Fatal(err)
	}
	again.Pass(10 * time.Hour)
	if n := passing(v, 10); n != 2 {
		t.Errorf("%d pass as configured, want 2", n)
	}
	for name, err := range map[string]error{
		"tenant": again.SetLimit(contain.Subject{Tenant: "acne"}, "hour", 1, "", ""),
		"limit":  again.SetLimit(acme, "our", 1, "", ""), "amount": again.SetLimit(acme, "hour", -1, "", ""),
	} {
		if err == nil {
			t.Errorf("wrong %s: no error", name)
		}
	}
	v.Close()
}

// People see what counts a sender alone: at each provider what is counted there, and the rate of who is contained.
func TestUsages(t *testing.T) {
	docomo := rule("docomo", limit.PerTenant, 7)
	docomo.Providers = []string{"docomo"}
	s := enforcing(settingsWith(rule("hour", limit.PerAccount, 500), rule("at", limit.PerTenantProvider, 400), docomo))
	r := newRig(t, s, nil)
	abuse(r, "bad@acme.example", 60)
	names := func(of contain.Subject) (all []string) {
		for _, u := range r.Usages(of) {
			all = append(all, fmt.Sprintf("%s %s/%s of %d", u.Rule.Name, u.Subject.Of, u.Subject.To, u.Max))
		}
		return all
	}
	if got := names(contain.Subject{Tenant: "acme", Account: "bad@acme.example"}); !slices.Equal(got, []string{"hour bad@acme.example/acme of 500", "contained bad@acme.example/acme of 1"}) {
		t.Errorf("of the account: %q", got)
	}
	got := names(contain.Subject{Tenant: "acme"})
	if len(got) < 2 || got[len(got)-1] != "docomo acme/ of 7" || !strings.HasPrefix(got[0], "at acme/") {
		t.Errorf("of the tenant: %q", got)
	}
	if got := names(contain.Subject{Tenant: "blue"}); !slices.Equal(got, []string{"docomo blue/ of 7"}) {
		t.Errorf("of one that has sent nothing: %q", got)
	}
}

func passing(v *visit, of int) (n int) {
	for range of {
		if v.send("a@acme.example", rcpt, nil).refused.Refuse == session.RefuseNot {
			n++
		}
	}
	return n
}

// The numbers of containment that a reload brings hold for sessions under way, too.
func TestSlowRateHoldsForSessionsUnderWay(t *testing.T) {
	s := enforcing(settingsWith())
	s.Containment.Policy.Enforce.Divert = false
	r := newRig(t, s, nil)
	abuse(r, "bad@acme.example", 200)
	v, _ := r.enter("10.0.1.1", mx)
	defer v.Close()
	hour := func() (passed int) {
		for range 360 {
			r.Pass(10 * time.Second)
			if d := v.Ask(session.Question{Step: event.StepMail, Sender: "bad@acme.example"}); d.Refuse == session.RefuseNot && !d.Again {
				v.Tell(session.News{Step: event.StepMail, Code: 250})
				v.Tell(session.News{Step: event.StepMessage, Code: 250, Octets: 10, Recipients: 1})
				passed++
			}
			v.Tell(session.News{Step: event.StepGivenUp})
		}
		return passed
	}
	if n := hour(); n < 50 || n > 61 {
		t.Errorf("%d mails in an hour, want 60", n)
	}
	s.Containment.SlowRate = 360
	if err := r.Configure(s); err != nil {
		t.Fatal(err)
	}
	if n := hour(); n < 300 {
		t.Errorf("%d mails in an hour behind the reload, want 360", n)
	}
}

// What a session holds of its gate stays within its size class.
func TestAPassIsSmall(t *testing.T) {
	if size := unsafe.Sizeof(pass{}); size > 896 {
		t.Errorf("a pass has %d octets", size)
	}
}
