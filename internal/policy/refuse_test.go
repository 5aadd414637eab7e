package policy

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/policy/contain"
	"kanmon/internal/policy/limit"
	"kanmon/internal/session"
	"kanmon/internal/smtp/replies"
)

// A limit that delays holds mail back for as long as it must and no longer; what would take too long is deferred.
func TestLimitDelays(t *testing.T) {
	l := rule("slow", limit.PerTenant, 6, func(r *limit.Rule) { r.Per, r.Burst = time.Minute, 1 })
	l.Action = limit.Delay
	r := newRig(t, settingsWith(l), nil)
	v, _ := r.enter("10.0.1.1", mx)
	begun := r.Now()
	for range 4 {
		if s := v.send("a@acme.example", rcpt, nil); s.refused.Refuse != session.RefuseNot {
			t.Fatalf("%+v", s.refused)
		}
	}
	if took := r.Now().Sub(begun); took != 30*time.Second {
		t.Errorf("4 mails at 6 a minute took %s", took)
	}
	if got := did(v.notes); got != "delayed by limit slow, delayed by limit slow, delayed by limit slow" {
		t.Errorf("told: %s", got)
	}
	if len(r.delayedNow) != 0 {
		t.Errorf("still held: %v", r.delayedNow)
	}
	hourly := rule("hourly", limit.PerTenant, 1)
	hourly.Action = limit.Delay
	r2 := newRig(t, settingsWith(hourly), nil)
	v2, _ := r2.enter("10.0.1.1", mx)
	v2.send("a@acme.example", rcpt, nil)
	if s := v2.send("a@acme.example", rcpt, nil); s.refused.Refuse != session.RefuseNow || !strings.Contains(s.refused.Say.String(), "retry in 60 minutes") {
		t.Errorf("%+v", s.refused)
	}
	v.Close()
	v2.Close()
}

// Only so many sessions of a tenant are held back at once: the others are deferred.
func TestDelaysAreBounded(t *testing.T) {
	l := rule("slow", limit.PerTenant, 6, func(r *limit.Rule) { r.Per, r.Burst = time.Minute, 1 })
	l.Action = limit.Delay
	r := newRig(t, settingsWith(l), nil)
	first, _ := r.enter("10.0.1.1", mx)
	first.send("a@acme.example", rcpt, nil)
	var held []*visit
	for range maxHeld {
		v, _ := r.enter("10.0.1.1", mx)
		if d := v.Ask(session.Question{Step: event.StepMail, Sender: "a@acme.example"}); !d.Again {
			t.Fatalf("not held: %+v", d)
		}
		held = append(held, v)
	}
	v, _ := r.enter("10.0.1.1", mx)
	if d := v.Ask(session.Question{Step: event.StepMail, Sender: "a@acme.example"}); d.Again || d.Refuse != session.RefuseNow {
		t.Errorf("one too many: %+v", d)
	}
	blue, _ := r.enter("10.0.2.1", mx)
	if d := blue.Ask(session.Question{Step: event.StepMail, Sender: "a@blue.example"}); d.Again || d.Refuse != session.RefuseNot {
		t.Errorf("another tenant: %+v", d)
	}
	for _, v := range append(held, v, blue, first) {
		v.Close()
	}
	if len(r.delayedNow) != 0 {
		t.Errorf("still held: %v", r.delayedNow)
	}
}

// A limit that diverts names the pool, and the mail passes.
func TestLimitDiverts(t *testing.T) {
	l := rule("hour", limit.PerAccount, 1)
	l.Action, l.Pool = limit.Divert, "quarantine"
	r := newRig(t, settingsWith(l), nil)
	v, _ := r.enter("10.0.1.1", mx)
	if s := v.send("a@acme.example", rcpt, nil); s.pool != "" {
		t.Errorf("diverted at once: %+v", s)
	}
	if s := v.send("a@acme.example", rcpt, nil); s.pool != "quarantine" || s.refused.Refuse != session.RefuseNot {
		t.Errorf("not diverted: %+v", s)
	}
	v.Close()
}

// A limit that blocks does so until a person lifts it, also over a restart, and the audit has it.
func TestLimitBlocks(t *testing.T) {
	l := rule("hour", limit.PerAccount, 1)
	l.Action = limit.Block
	store := &memory{}
	r := newRig(t, settingsWith(l), store)
	v, _ := r.enter("10.0.1.1", mx)
	v.send("a@acme.example", rcpt, nil)
	v.send("a@acme.example", rcpt, nil)
	r.Pass(100 * 24 * time.Hour)
	if s := v.send("a@acme.example", rcpt, nil); s.refused.Refuse != session.RefuseNow || !s.refused.Say.Of(replies.Blocked) {
		t.Errorf("not blocked: %+v", s.refused)
	}
	v.Close()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	again := newRig(t, settingsWith(l), store)
	v, _ = again.enter("10.0.1.1", mx)
	if s := v.send("a@acme.example", rcpt, nil); !s.refused.Say.Of(replies.Blocked) {
		t.Errorf("not blocked after the restart: %+v", s.refused)
	}
	account := contain.Subject{Tenant: "acme", Account: "A@acme.example"}
	if err := again.Unblock(account, "alice", "talked to them"); err != nil {
		t.Fatal(err)
	}
	if s := v.send("a@acme.example", rcpt, nil); s.refused.Refuse != session.RefuseNot {
		t.Errorf("lifted: %+v", s.refused)
	}
	v.Close()
	changes, err := again.Audit(account, netip.Addr{}, 10)
	if err != nil || len(changes) != 2 || changes[0].By != "limit hour" || changes[1].By != "alice" ||
		!strings.Contains(changes[1].Before, "blocked by limit hour") || changes[1].After != "normal" {
		t.Errorf("audit: %+v, %v", changes, err)
	}
}
