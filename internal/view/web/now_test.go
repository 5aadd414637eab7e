package web

import (
	"net/netip"
	"strings"
	"testing"

	"kanmon/internal/admin"
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
