package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"

	"kanmon/internal/admin"
)

// given notes what is ordered.
type given struct {
	did  []string
	fail error
}

func (g *given) Carry(_ context.Context, of admin.Subject, o admin.Order) (admin.SenderDetail, error) {
	g.did = append(g.did, fmt.Sprintf("%s %s/%s for %s: %s", o.Do, of.Tenant, of.Account, time.Until(o.Until).Round(time.Minute), o.Reason))
	return admin.SenderDetail{}, g.fail
}

func (g *given) Suspend(_ context.Context, ip netip.Addr, provider string, d time.Duration, reason string) ([]admin.Standing, error) {
	g.did = append(g.did, fmt.Sprintf("suspend %s at %s for %s: %s", ip, provider, d, reason))
	return nil, g.fail
}

func (g *given) Sender(_ context.Context, of admin.Subject) (admin.SenderDetail, error) {
	return admin.SenderDetail{Sender: admin.Sender{Subject: of, Level: "slow", InForce: "slow", Would: "slow", Why: "18 % unknown\x1b[2J"}, Known: true}, g.fail
}

// run does what a key has begun, and takes what comes of it.
func (r *topRig) run(cmd tea.Cmd) {
	r.t.Helper()
	if cmd == nil {
		r.t.Fatal("nothing is done")
	}
	r.Update(cmd())
}

// An order is given behind a question and with a reason; without one, or with Esc, nothing is done, and what was done says how it is undone.
func TestTopGivesOrders(t *testing.T) {
	g := &given{}
	r := newTopRig(t, twoHeld())
	r.orders = g
	r.press("b")
	r.shows("choose a held session first")
	r.press("down", "b")
	r.shows("block account news@acme.example of acme for 2h")
	if cmd := r.press("enter"); cmd != nil || len(g.did) > 0 {
		t.Error("an order without a reason")
	}
	r.press("q", "x", "backspace", "esc")
	r.shows("nothing was done")
	r.press("b", "s", "p", "a", "m")
	r.run(r.press("enter"))
	r.shows("blocked; undo: kanmon account unblock news@acme.example --tenant acme")
	r.press("enter", "i", "c", "a", "s", "e")
	r.shows("suspend 203.0.113.10 at docomo for 2h")
	r.run(r.press("enter"))
	r.shows("suspended; undo: kanmon ip resume 203.0.113.10 --provider docomo")
	if got, want := strings.Join(g.did, "; "), "block acme/news@acme.example for 2h0m0s: spam; suspend 203.0.113.10 at docomo for 2h0m0s: case"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	g.fail = errors.New("no\x1b[2J disk")
	r.press("esc", "b", "x")
	r.run(r.press("enter"))
	r.shows("not done: no")
	if strings.Contains(r.View().Content, "\x1b[2J") {
		t.Error("an error writes to the terminal")
	}
}

// Why a sender is treated so is shown in sentences.
func TestTopExplainsASender(t *testing.T) {
	g := &given{}
	r := newTopRig(t, twoHeld())
	r.orders = g
	r.press("down")
	r.run(r.press("e"))
	r.shows("WHY news@acme.example is treated so", "slowed", "Any key goes back")
	if strings.Contains(r.View().Content, "\x1b[2J") {
		t.Error("a text writes to the terminal")
	}
	r.press("x")
	r.shows("HELD")
	if len(g.did) > 0 {
		t.Errorf("done: %q", g.did)
	}
	r.press("up", "up", "down", "down") // whose account is not known
	r.run(r.press("e"))
	r.shows("is treated so")
}
