package admin

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// What is asked on the command line arrives as it was asked, and comes back.
func TestSessionsAreAskedFor(t *testing.T) {
	path, _ := serve(t, &fakeIPs{}, nil)
	q := SessionQuery{
		Session: "64d9a07b2e1c8f35", Tenant: "a & b", Account: "x+y@example.jp", Provider: "docomo", IP: netip.MustParseAddr("203.0.113.10"),
		MX: netip.MustParseAddr("2001:db8::25"), State: "mx", Held: 90 * time.Second, Most: 7,
	}
	got, err := NewClient(path).Sessions(t.Context(), q)
	want, _ := fakeProcess{}.Sessions(q)
	if err != nil || !cmp.Equal(got, want, cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b }), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })) {
		t.Errorf("%v\n%+v, want\n%+v", err, got, want)
	}
	asked, err := sessionQuery(parsedQuery(t, q.asking()))
	if err != nil || asked != q {
		t.Errorf("%v\n%+v, want\n%+v", err, asked, q)
	}
}

// What happens now is asked for in the same way.
func TestTopIsAskedFor(t *testing.T) {
	path, _ := serve(t, &fakeIPs{}, nil)
	got, err := NewClient(path).Top(t.Context(), SessionQuery{Tenant: "acme", Most: 9})
	if err != nil || len(got.Tenants) != 1 || got.Tenants[0] != (TopGroup{Name: "acme", Sessions: 9}) || got.Flow.Mails != 3 {
		t.Errorf("%v, %+v", err, got)
	}
	if _, err := NewClient(path).Top(t.Context(), SessionQuery{Most: -1}); err == nil {
		t.Error("asked for less than nothing")
	}
}

// A question that is none is answered with what would be one, and with no sessions.
func TestWrongQuestionsAboutSessionsAreRefused(t *testing.T) {
	path, _ := serve(t, &fakeIPs{}, nil)
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}, DisableKeepAlives: true}}
	for query, want := range map[string]string{
		"?colour=red":     "nothing that sessions can be asked by: want one of",
		"?ip=here":        `"ip" is "here", want an IP address`,
		"?mx=mx.example":  `"mx" is "mx.example", want an IP address`,
		"?held=long":      `"held" is "long", want a duration such as 30s or 5m`,
		"?held=-1m":       "want a duration",
		"?most=0":         "want 1 to 10000",
		"?most=99999999":  "want 1 to 10000",
		"?state=asleep":   `"asleep" is no state`,
		"?state=asleep&x": "nothing that sessions can be asked by",
	} {
		resp, err := client.Get("http://kanmon/v1/sessions" + query)
		if err != nil {
			t.Fatal(err)
		}
		said := bodyOf(t, resp)
		if resp.StatusCode != http.StatusBadRequest || !strings.Contains(strings.ReplaceAll(said, `\"`, `"`), want) {
			t.Errorf("%s: %s %s, want %q", query, resp.Status, said, want)
		}
	}
}

// Held ones stand before the others, and what lasts longest before what has just begun.
func TestHeldSessionsComeFirst(t *testing.T) {
	all := []Session{{Session: "1", For: 9}, {Session: "2", For: 1, Held: true}, {Session: "3", For: 10}, {Session: "4", For: 5, Held: true}, {Session: "0", For: 9}}
	slices.SortFunc(all, func(a, b Session) int { return a.Before(&b) })
	var order []string
	for _, s := range all {
		order = append(order, s.Session)
	}
	if got := strings.Join(order, " "); got != "4 2 3 0 1" {
		t.Errorf("in the order %s", got)
	}
}

// A session is asked for by what it is, and only if all of that fits.
func TestSessionsMatchWhatIsAsked(t *testing.T) {
	s := Session{
		Session: "64d9a07b2e1c8f35", Tenant: "acme", Account: "bob@acme.example", Provider: "docomo", State: "mx", For: 60, Held: true,
		SendingIP: netip.MustParseAddr("203.0.113.10"), MX: netip.MustParseAddrPort("192.0.2.25:25"),
	}
	right := SessionQuery{
		Session: s.Session, Tenant: s.Tenant, Account: s.Account, Provider: s.Provider, State: s.State, IP: s.SendingIP, MX: s.MX.Addr(), Held: time.Minute,
	}
	if !right.Matches(&s) || !new(SessionQuery).Matches(&s) {
		t.Error("it is not found")
	}
	other := netip.MustParseAddr("192.0.2.26")
	for name, change := range map[string]func(*SessionQuery){
		"session": func(q *SessionQuery) { q.Session = "64d9a07b2e1c8f36" }, "tenant": func(q *SessionQuery) { q.Tenant = "beta" },
		"account": func(q *SessionQuery) { q.Account = "eve@acme.example" }, "provider": func(q *SessionQuery) { q.Provider = "google" },
		"state": func(q *SessionQuery) { q.State = "msa" }, "ip": func(q *SessionQuery) { q.IP = other }, "mx": func(q *SessionQuery) { q.MX = other },
		"held": func(q *SessionQuery) { q.Held = 61 * time.Second },
	} {
		wrong := right
		if change(&wrong); wrong.Matches(&s) {
			t.Errorf("found by another %s", name)
		}
	}
	s.Held = false
	if right.Matches(&s) {
		t.Error("found as held, and it waits for its MSA")
	}
}

func parsedQuery(t *testing.T, query string) url.Values {
	t.Helper()
	values, err := url.ParseQuery(strings.TrimPrefix(query, "?"))
	if err != nil {
		t.Fatal(err)
	}
	return values
}

func bodyOf(t *testing.T, resp *http.Response) string {
	t.Helper()
	said, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		t.Fatal(err)
	}
	return string(said)
}
