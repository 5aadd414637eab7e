package web

import (
	"bufio"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"kanmon/internal/admin"
	"kanmon/internal/view/viewtest"
)

const held64 = viewtest.Held

func withSessions(g *rig) {
	g.kanmon.Set(func(a *viewtest.Answers) {
		a.Sessions = []admin.Session{
			{
				Session: held64, Start: viewtest.Noon, State: "mx", Step: "rcpt", For: 754, WaitsFor: "mx", Held: true, Tenant: "acme", Account: "canary.bob@acme.example",
				Provider: "docomo", SendingIP: netip.MustParseAddr("192.0.2.1"), MX: netip.MustParseAddrPort("198.51.100.25:25"), Source: netip.MustParseAddrPort("10.0.0.5:40000"),
			},
			{Session: "64d9a07b2e1c8f36", State: "msa", Step: "idle", For: 3, WaitsFor: "msa", Tenant: "blue", MX: netip.MustParseAddrPort("198.51.100.26:25")},
		}
		a.Trace = []string{"S: 250 canary.bob@acme.example", "C: <script>alert(1)</script>"}
	})
}

// Sessions are listed with those that are held first, found by what they have, and each has a page. Addresses are for who may see them.
func TestSessionsAreListed(t *testing.T) {
	g := newRig(t)
	withSessions(g)
	all := g.as(Search).get("/sessions").want(t, 200, "2 sessions of at most 10000 run; 1 held.", "12 min 34 s", `href="/sessions/`+held64+`"`, "canary.bob@acme.example")
	if strings.Index(all.body, held64) > strings.Index(all.body, "64d9a07b2e1c8f36") {
		t.Error("what is held stands behind")
	}
	one := g.as(Search).get("/sessions?tenant=blue").want(t, 200, "1 of them asked for", "64d9a07b2e1c8f36")
	if strings.Contains(one.body, held64) {
		t.Error("another tenant's is there, too")
	}
	look := g.as(Look).get("/sessions").want(t, 200, "…@acme.example")
	if strings.Contains(look.body, "canary") {
		t.Error("who may look sees an address")
	}
	g.as(Look).get("/sessions?account=canary.bob@acme.example").want(t, 403)
	g.as(Look).get("/sessions?held=long").want(t, 400, "want one such as 30s or 5m")
	g.as(Look).get("/sessions?ip=x").want(t, 400, "is no IP address")
	g.as(Search).get("/sessions/"+held64).want(t, 200, "Its MSA has waited for 12 min 34 s", "data-trace=\"/sessions/"+held64+"/trace\"")
	g.as(Look).get("/sessions/"+held64).want(t, 200, "wants the role “search”")
	g.as(Look).get("/sessions/0000000000000001").want(t, 200, "It does not run, or no more.")
	g.as(Look).get("/sessions/none").want(t, 404, "is no session")
}

// What is said in a session is told while it happens.
func TestASessionIsHeardLive(t *testing.T) {
	g := newRig(t)
	withSessions(g)
	b := g.as(Search)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, b.url+"/sessions/"+held64+"/trace", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := b.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got := resp.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Errorf("it is %q", got)
	}
	said := ""
	for lines := bufio.NewScanner(resp.Body); !strings.Contains(said, "script") && lines.Scan(); {
		if data, is := strings.CutPrefix(lines.Text(), "data: "); is {
			said += data
		}
	}
	if !strings.Contains(said, "canary.bob@acme.example") || !strings.Contains(said, `\u003cscript\u003e`) {
		t.Errorf("heard %q", said)
	}
}

// All browsers that look at what is live share one look a second, and beyond so many none is told of changes.
func TestWhoLooksShares(t *testing.T) {
	g := newRig(t, func(o *Options) { o.Live = time.Hour })
	first, err := g.server.watch.now(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := g.server.watch.now(t.Context()); again != first {
		t.Error("kanmon is asked again within the time")
	}
	var leaves []func()
	join := func(who string) {
		t.Helper()
		leave, err := g.server.watch.join(who)
		if err != nil {
			t.Fatal(err)
		}
		leaves = append(leaves, leave)
	}
	for range maxStreamsOf {
		join(Look.String())
	}
	g.as(Look).get("/live").want(t, 503, "8 of your browsers or tabs are told of changes already")
	for n := range maxStreams - maxStreamsOf {
		join("another " + strconv.Itoa(n))
	}
	g.as(Act).get("/live").want(t, 503, "32 browsers are told of changes already")
	for _, leave := range leaves {
		leave()
	}
	if n := len(g.server.watch.streams); n > 0 {
		t.Errorf("%d persons are remembered who hear nothing", n)
	}
	join(Look.String())
	leaves[len(leaves)-1]()
}
