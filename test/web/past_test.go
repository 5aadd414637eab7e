package web

import (
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"kanmon/internal/view/history"
)

// pages are those that are made of history, each with something that is read there.
func (s *storied) pages() map[string]string {
	s.t.Helper()
	found, _, err := s.store.Mails(s.t.Context(), history.Filter{Recipient: s.story("fifth try").Mails[0].Recipients[0]}, history.Page{})
	if err != nil || len(found) != 1 {
		s.t.Fatalf("%d mails, %v", len(found), err)
	}
	at := s.story("slow provider").End.Format("2006-01-02T15:04:05Z")
	return map[string]string{
		"/providers?last=7d": "docomo", "/providers/docomo": "It is slow", "/refusals?last=7d": "What they say", "/attempts?last=7d": "Next page", "/find": "It is noted",
		"/timeline?last=14d": "What happened", "/audit": "mika (uid 1000)", "/audit/searches": "Looked for", "/tenants/acme/history?last=14d": "Its accounts",
		"/waiting": "Waits since", "/?at=" + at: "As it was", "/sessions?at=" + at: "Mails that were under way", "/ips?at=" + at: "How mail left", "/tenants?at=" + at: "as far as the records tell",
		"/ips/203.0.113.13/history": "Day by day", "/would?last=14d": "limit observed", "/about": "Newest line", "/mails/" + found[0].ID: "5. ",
	}
}

// Each page of history loads without an error and without anything that its policy has to stop; it has nothing that keeps people out, in the
// light or in the dark, fits a telephone, and is whole without scripts.
func TestEachPageOfHistoryIsFitForAll(t *testing.T) {
	s := serveStories(t)
	for path, text := range s.pages() {
		page, _, _ := strings.Cut(path, "?")
		name := strings.Trim("past"+unsafe.ReplaceAllString(page, "-"), "-")
		t.Run(name, func(t *testing.T) {
			w := s.person(t, "act")
			w.do(chromedp.EmulateViewport(1280, 900))
			w.goTo(path)
			w.sees(text)
			w.shot(name)
			if path == "/providers/docomo" {
				w.keep("picture", get(w.window, chromedp.CaptureScreenshot())) // of the README: make picture
			}
			for _, found := range w.barriers() {
				t.Errorf("it keeps people out: %s", found)
			}
			if charted := strings.HasPrefix(path, "/providers/") || strings.HasPrefix(path, "/mails/"); charted {
				tell(w.window, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}}})
				for _, found := range w.barriers() {
					t.Errorf("in the dark it keeps people out: %s", found)
				}
			}
			w.told()
			w.do(chromedp.EmulateViewport(360, 740))
			if wide := ask[int](w.window, `document.documentElement.scrollWidth`); wide > 360 {
				t.Errorf("it is %d wide on a telephone", wide)
			}
			w.shot(name + "-360")
			tell(w.window, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
			w.goTo(path)
			w.sees(text)
		})
	}
}

// A chart has a name for whoever does not see it, and no two things of a page have one id, however many charts there are.
func TestChartsHaveNamesAndNoTwoThingsHaveOneID(t *testing.T) {
	s := serveStories(t)
	w := s.person(t, "act")
	for path := range s.pages() {
		w.goTo(path)
		for what, script := range map[string]string{
			"charts without a name":    `[...document.querySelectorAll("main svg")].filter((e) => e.getAttribute("aria-hidden") !== "true" && !(e.getAttribute("role") === "img" && e.querySelector("title")?.textContent)).length`,
			"ids that stand twice":     `(() => { const all = [...document.querySelectorAll("[id]")].map((e) => e.id); return all.length - new Set(all).size; })()`,
			"tables without a caption": `[...document.querySelectorAll("main table")].filter((e) => !e.caption || !e.querySelector("thead th[scope]")).length`,
		} {
			if n := ask[int](w.window, script); n > 0 {
				t.Errorf("%s: %d %s", path, n, what)
			}
		}
	}
}
