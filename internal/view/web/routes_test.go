package web

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// Each route answers those who have its role, and nobody else; a new one is in this test by being there.
func TestEachRouteAsksForItsRole(t *testing.T) {
	g := newFilledRig(t) // so that 404 means that there is no such route
	for _, to := range routes() {
		method, path, _ := strings.Cut(to.path, " ")
		of := examples[to.path]
		path = cmp.Or(of.path, strings.TrimSuffix(path, "{$}"))
		if strings.Contains(path, "{") {
			t.Errorf("%s has no example in examples_test.go", to.path)
			continue
		}
		for _, role := range []Role{Nobody, Look, Search, Act} {
			t.Run(fmt.Sprintf("%s as %s", to.path, role), func(t *testing.T) {
				b := g.as(role)
				status, header := b.status(t, method, path, of.form)
				switch {
				case to.role == Nobody && role == Nobody, role > Nobody && role >= to.role:
					if status == http.StatusForbidden || status == http.StatusNotFound || status >= 500 {
						t.Errorf("status %d", status)
					}
				case role == Nobody:
					if !strings.HasPrefix(header.Get("Location"), "/login") {
						t.Errorf("status %d, location %q, want the login", status, header.Get("Location"))
					}
				case status != http.StatusForbidden:
					t.Errorf("status %d, want 403", status)
				}
			})
		}
	}
}

// status asks, and does not wait for what has no end.
func (b *browser) status(t *testing.T, method, path string, form []string) (int, http.Header) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	values := url.Values{}
	for i := 0; i+1 < len(form); i += 2 {
		values.Add(form[i], form[i+1])
	}
	req, err := http.NewRequestWithContext(ctx, method, b.url+path, strings.NewReader(values.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := b.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	_ = resp.Body.Close()
	return resp.StatusCode, resp.Header
}

// What the process may at most bounds everybody.
func TestNobodyMayMoreThanTheProcess(t *testing.T) {
	g := newRig(t, func(o *Options) { o.May = Look })
	for _, to := range routes() {
		method, path, _ := strings.Cut(to.path, " ")
		if to.role <= Look {
			continue
		}
		status, _ := g.as(Act).status(t, method, cmp.Or(examples[to.path].path, path), examples[to.path].form)
		if status != http.StatusForbidden {
			t.Errorf("%s: status %d, want 403", to.path, status)
		}
	}
}

// A change comes by POST, from a page of this server.
func TestChangesComeFromHere(t *testing.T) {
	g := newRig(t)
	b := g.as(Act)
	for _, to := range routes() {
		method, path, _ := strings.Cut(to.path, " ")
		if to.act != nil && method != http.MethodPost {
			t.Errorf("%s changes something, want POST", to.path)
		}
		if method != http.MethodPost {
			continue
		}
		req, err := http.NewRequestWithContext(t.Context(), method, b.url+cmp.Or(examples[to.path].path, path), http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Sec-Fetch-Site", "cross-site")
		if got := b.do(req); got.status != http.StatusForbidden {
			t.Errorf("%s from another site: status %d, want 403", to.path, got.status)
		}
	}
}

// Whatever is answered, a browser is told to load nothing from elsewhere, run no script in it, and keep nothing.
func TestEachAnswerBindsTheBrowser(t *testing.T) {
	g := newRig(t)
	b := g.as(Look)
	for _, path := range []string{"/", "/login", "/static/style.css", "/nowhere"} {
		got := b.get(path)
		for name, want := range map[string]string{
			"Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store",
		} {
			if got.header.Get(name) != want {
				t.Errorf("%s: %s is %q, want %q", path, name, got.header.Get(name), want)
			}
		}
	}
	if got := b.get("/nowhere"); got.status != http.StatusNotFound {
		t.Errorf("a page that there is not: status %d", got.status)
	}
}

// What cannot be read whole is refused with why, and not answered as if less had been asked for.
func TestWhatCannotBeReadIsRefused(t *testing.T) {
	b := newRig(t, func(o *Options) { o.History = empty{} }).as(Act)
	b.post("/find", "term", strings.Repeat("a", maxRequest)).want(t, 413, "larger than 256 KiB")
	b.get("/attempts?tenant=%zz").want(t, 400, "cannot be read")
	b.get("/attempts?tenant=a;b").want(t, 400, "cannot be read")
}
