package web

import (
	"cmp"
	"slices"
	"strings"
	"testing"

	"kanmon/internal/view/viewtest"
)

// Tenants, and accounts that are treated otherwise, are listed with why; a page of each has the numbers and what they are compared with.
func TestSendersAreExplained(t *testing.T) {
	g := newFilledRig(t)
	g.as(Search).get("/tenants").want(t, 200, `href="/tenants/acme"`, "normal, would be slowed", `href="/tenants/acme/a/bob@acme.example"`)
	g.as(Look).get("/tenants").want(t, 200, "want the role “search”")
	g.as(Look).get("/tenants/acme").want(t, 200, "By evidence it would be slowed", "unknown_recipients", "37", "18 %", "13 %", "12 %", "Limit hour of the tenant is close to its end", "450")
	g.as(Search).get("/tenants/acme/a/bob@acme.example").want(t, 200, "Account bob@acme.example of acme", "Blocked by alice (web)")
	if to := g.as(Search).get("/accounts?tenant=acme&account=bob@acme.example").header.Get("Location"); to != "/tenants/acme/a/bob@acme.example" {
		t.Errorf("it leads to %q", to)
	}
	would := g.as(Look).get("/tenants?would=1").want(t, 200, "Those alone that would be treated otherwise")
	if !strings.Contains(would.body, `href="/tenants/acme"`) {
		t.Error("one that would be slowed is left out")
	}
}

// What is done to a sender says what will happen and how it is undone; kanmon hears who wants it and why.
func TestSendersAreBlockedAndExempted(t *testing.T) {
	g := newFilledRig(t)
	b := g.as(Act)
	b.get("/tenants/acme").want(t, 200, "all mail of acme waits in the tenant&#39;s own mail server", "Undone by “Unblock”")
	b.post("/tenants/acme/block").want(t, 400, "A reason is wanted")
	b.post("/tenants/acme/shoot", "reason", "x").want(t, 404, "cannot be done here")
	b.post("/tenants/acme/limit", "limit", "hour", "amount", "many", "reason", "x").want(t, 400, "is no amount")
	b.post("/tenants/acme/block", "reason", "unpaid", "for", "2h").want(t, 303)
	b.post("/tenants/acme/a/bob@acme.example/exempt", "reason", "wanted", "for", "24h").want(t, 303)
	b.post("/tenants/acme/limit", "limit", "hour", "amount", "900", "reason", "sale").want(t, 303)
	b.get("/tenants/acme").want(t, 200, "The limit is set.")
	want := []string{
		"block acme/ for a time 0, because unpaid, by act (web)", "exempt acme/bob@acme.example for a time 0, because wanted, by act (web)", "limit acme/ hour900, because sale, by act (web)",
	}
	if got := g.kanmon.Orders(); !slices.Equal(got, want) {
		t.Errorf("ordered %q, want %q", got, want)
	}
}

// A site without tenants and without an audit has its pages all the same, and what history alone knows of is found there.
func TestWhatIsNotConfiguredIsSaidOnThePage(t *testing.T) {
	g := newFilledRig(t)
	g.kanmon.Set(func(a *viewtest.Answers) { a.Absent = "nothing is kept <b>" })
	g.as(Look).get("/tenants").want(t, 200, "No tenant is configured")
	g.as(Act).get("/ips/192.0.2.1").want(t, 200, "nothing is kept &lt;b&gt;", "Suspend")
	g.as(Look).get("/tenants/elsewhere").want(t, 404, "there is no tenant")
	past := newRig(t, func(o *Options) { o.History = empty{} })
	past.as(Look).get("/tenants/else%2Fwhere").want(t, 404, "there is no tenant", `href="/tenants/else%2Fwhere/history"`)
}

// Who may not see accounts can ask no page for one: whether there is mail of it would be told by what is shown.
func TestNobodyGuessesAccounts(t *testing.T) {
	g := newRig(t, func(o *Options) { o.History = empty{} })
	for _, to := range routes() {
		method, path, _ := strings.Cut(to.path, " ")
		if method != "GET" || to.role == Nobody || to.byItself {
			continue
		}
		path = cmp.Or(examples[to.path].path, strings.TrimSuffix(path, "{$}"))
		g.as(Look).get(path+"?account=bob%40acme.example").want(t, 403)
	}
}
