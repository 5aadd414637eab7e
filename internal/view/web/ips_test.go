package web

import (
	"regexp"
	"slices"
	"testing"
)

// The matrix has a row for each sending IP and says how it stands where, by shape, letter and word; each cell leads to why.
func TestTheMatrixSaysHowEachStands(t *testing.T) {
	g := newFilledRig(t)
	g.as(Look).get("/ips").want(t, 200, `<span aria-hidden="true">✕ x</span><span class="unseen">suspended</span>`, "◐ s", "25 %", "▲ w", "warming up",
		`href="/ips/192.0.2.1?provider=docomo"`, "default")
	g.as(Look).get("/ips/192.0.2.1?provider=docomo").want(t, 200, "suspended at <bdi>docomo", "2 replies to mail of 2 tenants at 1 destination", "2 and 3 are enough for a refusal",
		"docomo-550", "zen.example", "then it is probed", "41 s here, 400 ms from other sending IPs", "out1.example", "connections")
	untilFirst := regexp.MustCompile(`<tr><td><span class="mark bad">.*suspended</span><br><span class="dim">until <time`)
	if page := g.as(Look).get("/ips"); !untilFirst.MatchString(page.body) {
		t.Error("until when it is out of use does not stand with the state, but where a small screen ends")
	}
	g.as(Look).get("/ips/192.0.2.2").want(t, 200, "step 4 of 30", "3 mails of 50")
	g.as(Look).get("/ips/x").want(t, 404, "is no IP address")
}

// A sending IP is suspended and resumed with a reason, and kanmon hears who wants it.
func TestASendingIPIsSuspendedWithAReason(t *testing.T) {
	g := newFilledRig(t)
	b := g.as(Act)
	b.get("/ips/192.0.2.1?provider=docomo").want(t, 200, "No mail leaves from 192.0.2.1 to <bdi>docomo")
	b.post("/ips/192.0.2.1/suspend", "provider", "docomo").want(t, 400, "A reason is wanted")
	b.post("/ips/192.0.2.1/suspend", "provider", "docomo", "reason", "x", "for", "long").want(t, 400, "is no duration")
	come := b.post("/ips/192.0.2.1/suspend", "provider", "docomo", "reason", "asked by phone", "for", "2h").want(t, 303)
	if to := come.header.Get("Location"); to != "/ips/192.0.2.1?provider=docomo" {
		t.Errorf("it leads to %q", to)
	}
	b.get("/ips/192.0.2.1").want(t, 200, "It is out of use. “Resume” undoes it.")
	b.post("/ips/192.0.2.1/resume", "reason", "mended").want(t, 303)
	want := []string{`suspend 192.0.2.1 at "docomo" for a time, because asked by phone, by act (web)`, `resume 192.0.2.1 at "", because mended, by act (web)`}
	if got := g.kanmon.Orders(); !slices.Equal(got, want) {
		t.Errorf("ordered %q, want %q", got, want)
	}
}

// What is known is acknowledged, and is no alarm until then; notes stay.
func TestWhatIsKnownIsAcknowledged(t *testing.T) {
	g := newFilledRig(t)
	b := g.as(Act)
	b.post("/notes", "alarm", "suspended", "sending_ip", "192.0.2.1", "provider", "docomo", "text", "form is sent <b>", "for", "12h").want(t, 303)
	b.post("/notes", "alarm", "stopped", "tenant", "acme", "text", "they know", "for", "1h").want(t, 303)
	b.get("/").want(t, 200, "One thing is not normal: 7 records were dropped.", "Acknowledged by <bdi>act</bdi>", "form is sent &lt;b&gt;")
	b.get("/ips").want(t, 200, "acknowledged")
	b.post("/notes/1/end").want(t, 303)
	b.get("/").want(t, 200, "2 things are not normal, first of all: sending IP 192.0.2.1")
	b.post("/notes", "sending_ip", "192.0.2.1", "text", "bought in May", "back", "/ips/192.0.2.1").want(t, 303)
	g.as(Look).get("/ips/192.0.2.1").want(t, 200, "bought in May")
	b.post("/notes", "sending_ip", "192.0.2.1", "text", "").want(t, 400, "wants a text")
	b.post("/notes", "text", "about nothing").want(t, 400, "a note is about")
	b.post("/notes", "tenant", "acme", "text", "x", "for", "9999h").want(t, 400, "90 days at most")
	if to := b.post("/notes", "tenant", "acme", "text", "x", "back", "//evil.example").header.Get("Location"); to != "/" {
		t.Errorf("it leads to %q", to)
	}
}
