package web

import (
	"cmp"
	"regexp"
	"strings"
	"testing"
)

// On every page there is, what strangers have written is text, kept apart from what stands around it; and who may look sees no address.
func TestStrangersTextsAreTextOnEveryPage(t *testing.T) {
	g := newFilledRig(t)
	seen := 0
	for _, to := range routes() {
		method, path, _ := strings.Cut(to.path, " ")
		if method != "GET" || to.model == nil || to.path == "GET "+loginPath {
			continue
		}
		path = cmp.Or(examples[to.path].path, strings.TrimSuffix(path, "{$}"))
		page := g.as(Act).get(path)
		if page.status != 200 && !to.history {
			t.Errorf("%s: status %d: %s", path, page.status, page.body)
		}
		for _, bad := range []string{"<script>alert", "<img src=x", "onerror=alert(2)>"} {
			if strings.Contains(page.body, bad) {
				t.Errorf("%s has %s", path, bad)
			}
		}
		seen += strings.Count(page.body, "&lt;script&gt;alert(1)")
		for _, at := range regexp.MustCompile(`\x{202e}`).FindAllStringIndex(page.body, -1) {
			if before := page.body[:at[0]]; strings.LastIndex(before, "<bdi") < strings.LastIndex(before, "</bdi>") {
				t.Errorf("%s: a text that turns the direction stands in no <bdi>: %q", path, before[max(0, len(before)-200):])
			}
		}
		if to.role > Look {
			continue
		}
		if look := g.as(Look).get(path); strings.Contains(look.body, "canary") {
			at := strings.Index(look.body, "canary")
			t.Errorf("%s shows an address to who may look: %q", path, look.body[max(0, at-100):min(len(look.body), at+60)])
		}
	}
	if seen < 8 {
		t.Errorf("strangers' texts are on %d places: the test sees nothing", seen)
	}
}
