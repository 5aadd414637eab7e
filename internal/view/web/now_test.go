package web

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"kanmon/internal/admin"
	"kanmon/internal/view/history"
	"kanmon/internal/view/viewtest"
)

// The first page says in a sentence whether all is normal, and has cards for what is not, what matters most before the others.
func TestNowSaysWhatIsNotNormal(t *testing.T) {
	g := newRig(t)
	b := g.as(Look)
	b.get("/").want(t, 200, "All is normal.", "gw1")
	ip := netip.MustParseAddr("192.0.2.1")
	g.kanmon.Set(func(a *viewtest.Answers) {
		a.Status.Problems = []admin.Problem{
			{ID: "records", What: "7 records were dropped"},
			{ID: "suspended", What: "sending IP 192.0.2.1 is suspended at docomo: listed", IP: ip, Provider: "docomo"},
		}
	})
	page := b.get("/").want(t, 200, "2 things are not normal, first of all: sending IP 192.0.2.1 is suspended", `href="/ips/192.0.2.1"`)
	if strings.Index(page.body, "<h2>suspended") > strings.Index(page.body, "<h2>records") {
		t.Error("what is less comes first")
	}
}

// Without kanmon there is a page that says so, and what to do.
func TestNowSaysThatKanmonIsSilent(t *testing.T) {
	g := newRig(t, func(o *Options) { o.Admin = admin.NewClient(t.TempDir() + "/none.sock") })
	g.as(Look).get("/").want(t, 200, "kanmon does not answer.", "no socket", "Mail waits in the MSAs")
}

// oneMail is a history that has one mail, of this gateway.
type oneMail struct{ empty }

func (oneMail) Attempts(_ context.Context, of history.Filter, _ history.Page) ([]history.Attempt, history.Next, error) {
	if of.Gateway != "gw1" {
		return nil, "", nil
	}
	return []history.Attempt{{At: viewtest.Noon}}, "", nil
}

// Where history has mail nobody says that none has been seen yet, whenever the page was begun.
func TestAQuietMomentIsNoGatewayWithoutMail(t *testing.T) {
	const because = "no network is in sources"
	why := func(o *Options) { o.Empty = func() string { return because } }
	newRig(t, why).as(Look).get("/").want(t, 200, "No connection has been seen yet", because)
	newRig(t, why, func(o *Options) { o.History = empty{} }).as(Look).get("/").want(t, 200, "No connection has been seen yet", because)
	page := newRig(t, why, func(o *Options) { o.History = oneMail{} }).as(Look).get("/").want(t, 200, "No mail passes at this moment", viewtest.Noon.UTC().Format(time.RFC3339))
	if strings.Contains(page.body, "has been seen yet") {
		t.Error("it says that there was no mail")
	}
}

// Each key leads to one page.
func TestEachKeyLeadsToOnePage(t *testing.T) {
	of := map[string]string{}
	for _, to := range routes() {
		if was := of[to.key]; to.key != "" && was != "" {
			t.Errorf("%q leads to %s and to %s", to.key, was, to.menu)
		}
		of[to.key] = to.menu
	}
}
