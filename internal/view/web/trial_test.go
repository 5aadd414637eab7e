package web

import (
	"net/http"
	"strings"
	"testing"

	"kanmon/internal/admin"
	"kanmon/internal/view/viewtest"
)

// A try is ordered in the name of the person, and shown side by side; what strangers wrote is text.
func TestTryIsShownSideBySide(t *testing.T) {
	g := newFilledRig(t)
	b := g.as(Act)
	b.get("/try?to=198.51.100.25").want(t, 200, `value="198.51.100.25"`, "never a message", "one try a minute")
	got := b.post("/try", "to", "198.51.100.25", "sender", "a@example.com", "recipient", "b@example.net", "from", "default", "reason", "they refuse one")
	if got.status != http.StatusSeeOther || got.header.Get("Location") != "/tries/"+viewtest.Tried {
		t.Errorf("status %d, to %q", got.status, got.header.Get("Location"))
	}
	b.post("/try", "to", "docomo.example")
	orders := strings.Join(g.kanmon.Orders(), "\n")
	for _, want := range []string{
		`try 198.51.100.25 from "default" as "a@example.com" to "b@example.net", because they refuse one, by act (web)`, `try invalid IPdocomo.example from ""`,
	} {
		if !strings.Contains(orders, want) {
			t.Errorf("there is no %q in\n%s", want, orders)
		}
	}
	shown := b.get("/tries/"+viewtest.Tried).want(t, 200, "All have answered, or will not.", "<strong>550</strong>", "suspended until", "It ended early:", "i/o timeout", "2001:db8::1 was not tried", "canary.eve@victim.example")
	if strings.Contains(shown.body, "<script>alert") || strings.Contains(shown.body, "data-again") {
		t.Errorf("shown is\n%s", shown.body)
	}
	g.kanmon.Set(func(a *viewtest.Answers) { a.Try.Over = false })
	b.get("/tries/"+viewtest.Tried).want(t, 200, "data-again", "Load again")
	b.get("/tries/none").want(t, 404, "no such try")
	b.post("/try").want(t, 400, "Whom to ask is wanted")
	for _, role := range []Role{Look, Search} {
		g.as(role).get("/ips").want(t, 200)
		if body := g.as(role).get("/ips").body; strings.Contains(body, `href="/try"`) {
			t.Errorf("%s is offered a try", role)
		}
	}
}

// A session is ended by who may act, with a reason, and what came of it is said.
func TestSessionIsEndedByThePage(t *testing.T) {
	g := newFilledRig(t)
	b := g.as(Act)
	b.get("/sessions/"+held64).want(t, 200, "End this session", "421")
	b.post("/sessions/"+held64+"/end").want(t, 400, "A reason is wanted")
	g.kanmon.Set(func(a *viewtest.Answers) { a.Ends = admin.SessionWaits })
	got := b.post("/sessions/"+held64+"/end", "reason", "it hangs")
	if got.status != http.StatusSeeOther {
		t.Errorf("status %d: %s", got.status, got.body)
	}
	b.get(got.header.Get("Location")).want(t, 200, "It waits for the reply of the MX")
	if orders := g.kanmon.Orders(); len(orders) != 1 || orders[0] != "end session "+held64+", because it hangs, by act (web)" {
		t.Errorf("ordered was %q", orders)
	}
	b.post("/sessions/0000000000000001/end", "reason", "x").want(t, 404, "does not run, or no more")
	if body := g.as(Search).get("/sessions/" + held64).body; strings.Contains(body, "End this session") {
		t.Error("who may search is offered to end it")
	}
}
