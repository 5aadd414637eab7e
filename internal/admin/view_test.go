package admin

import (
	"io"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"testing"
)

// The view says for whom it asks, and the audit has that name. From others no name is taken.
func TestOnlyTheViewSpeaksForPersons(t *testing.T) {
	f, uid := &fakeIPs{}, int64(os.Getuid())
	path, _, server := serveAs(t, f, nil)
	alice := NewClient(path).As("alice")
	if _, err := alice.Suspend(t.Context(), ip, "", 0, "x"); err == nil || !strings.Contains(err.Error(), "only the user in web.user") {
		t.Errorf("with no view: %v", err)
	}
	server.SetView(uid+1, "kanmon-view", MayAct)
	if _, err := alice.Standings(t.Context(), netip.Addr{}); err == nil || !strings.Contains(err.Error(), "only the user in web.user") {
		t.Errorf("from another user: %v", err)
	}
	server.SetView(uid, "kanmon-view", MayAct)
	if _, err := alice.Suspend(t.Context(), ip, "", 0, "x"); err != nil {
		t.Error(err)
	}
	if _, err := NewClient(path).Suspend(t.Context(), ip, "", 0, "x"); err == nil || !strings.Contains(err.Error(), "want the person's name") {
		t.Errorf("without a name: %v", err)
	}
	if _, err := NewClient(path).As("eve (web), root").Suspend(t.Context(), ip, "", 0, "x"); err == nil || !strings.Contains(err.Error(), "is no name of a person") {
		t.Errorf("with a name that looks like two: %v", err)
	}
	if want := "suspend|203.0.113.10||x|alice (web)"; len(f.calls) != 1 || f.calls[0] != want {
		t.Errorf("%q, want %q alone", f.calls, want)
	}
}

// What web.may does not allow is refused by kanmon itself, for every route there is; and who may not see addresses gets none.
func TestKanmonBoundsTheView(t *testing.T) {
	wants := map[string]May{
		"GET /v1/ips": MayLook, "GET /v1/ips/203.0.113.10": MayLook, "GET /v1/warm-ups": MayLook, "GET /v1/ips/203.0.113.10/warm-up": MayLook, "GET /v1/shaping": MayLook, "GET /v1/sightings": MayLook, "GET /v1/ips/203.0.113.10/sightings": MayLook,
		"GET /v1/ips/203.0.113.10/shaping": MayLook, "GET /v1/mxs": MayLook, "GET /v1/mxs/203.0.113.10": MayLook, "GET /v1/status": MayLook, "GET /v1/ready": MayLook, "GET /v1/sessions": MayLook, "GET /v1/sessions?account=bob@acme.example": MaySearch, "GET /v1/top": MayLook,
		"GET /v1/domains/example.com/tls?destination=192.0.2.1": MaySearch, "GET /v1/tls/policies": MayLook, "GET /v1/tls/refusals": MayLook,
		"POST /v1/domains/example.com/tls/refresh": MayAct, "POST /v1/domains/example.com/tls/forget": MayAct,
		"GET /v1/tenants": MayLook, "GET /v1/tenants/acme": MayLook,
		"GET /v1/accounts": MaySearch, "GET /v1/accounts/bob@acme.example?tenant=acme": MaySearch, "GET /v1/audit": MaySearch, "GET /v1/trace?held=1m": MaySearch,
		"POST /v1/ips/203.0.113.10/suspend": MayAct, "POST /v1/ips/203.0.113.10/resume": MayAct, "POST /v1/ips/203.0.113.10/warm-up": MayAct, "POST /v1/reload": MayAct, "POST /v1/handover": MayAct, "POST /v1/takeovers": MayAct, "POST /v1/takeovers/t1/confirm": MayAct,
		"POST /v1/sessions/64d9a07b2e1c8f35/end": MayAct, "POST /v1/tries": MayAct, "GET /v1/tries/t1": MayAct,
		"POST /v1/tenants/acme/block": MayAct, "POST /v1/accounts/bob@acme.example/block?tenant=acme": MayAct,
	}
	path, _, server := serveAs(t, &fakeIPs{}, &fakeSenders{})
	for _, path := range server.doors.paths {
		tried := false
		for route := range wants {
			tried = tried || path == asPattern.Replace(strings.Split(route, "?")[0])
		}
		if !tried {
			t.Errorf("%s is not tried", path)
		}
	}
	c := NewClient(path).As("alice")
	for _, may := range []May{MayLook, MaySearch, MayAct} {
		server.SetView(int64(os.Getuid()), "kanmon-view", may)
		for route, want := range wants {
			method, at, _ := strings.Cut(route, " ")
			req, err := http.NewRequestWithContext(t.Context(), method, "http://kanmon"+at, strings.NewReader("{}"))
			if err != nil {
				t.Fatal(err)
			}
			c.sign(req)
			resp, err := c.http.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
			_ = resp.Body.Close()
			refused := resp.StatusCode == http.StatusForbidden && strings.Contains(string(body), "web.may")
			if refused != (may < want) {
				t.Errorf("%s where the view may %s: status %d, %s", route, may, resp.StatusCode, body)
			}
			if may == MayLook && strings.Contains(string(body), "bob@") {
				t.Errorf("%s shows an address: %s", route, body)
			}
		}
	}
}

var asPattern = strings.NewReplacer("64d9a07b2e1c8f35", "{session}", "tries/t1", "tries/{try}", "takeovers/t1", "takeovers/{takeover}", "203.0.113.10", "{ip}", "example.com", "{domain}", "tenants/acme/block", "tenants/{tenant}/{do}", "tenants/acme", "tenants/{tenant}", "bob@acme.example/block", "{account}/{do}", "bob@acme.example", "{account}")
