package web

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"kanmon/internal/view/viewtest"
)

// pages are those that there are without a history.
var pages = []string{
	"/", "/sessions", "/sessions?held=1m", "/sessions/" + viewtest.Held, "/ips", "/ips/192.0.2.1", "/ips/192.0.2.1?provider=docomo", "/ips/192.0.2.2", "/tenants", "/tenants?would=1",
	"/tenants/acme", "/tenants/acme/a/bob@acme.example", "/about", "/try", "/try?to=198.51.100.25", "/tries/" + viewtest.Tried, "/nowhere",
}

var unsafe = regexp.MustCompile(`[^a-z0-9]+`)

// Each page loads without an error and without anything that its policy has to stop; it has nothing that keeps people out, and fits a
// telephone.
func TestEachPageIsFitForAll(t *testing.T) {
	w := serve(t, "").open("act")
	w.quiet("login")
	for _, path := range pages {
		name := strings.Trim("page"+unsafe.ReplaceAllString(path, "-"), "-")
		w.do(chromedp.EmulateViewport(1280, 900))
		w.goTo(path)
		if told := slices.DeleteFunc(w.told(), func(s string) bool { return path == "/nowhere" && strings.Contains(s, "404") }); len(told) > 0 {
			t.Errorf("%s: the browser tells %q", path, told)
		}
		w.shot(name)
		for _, found := range w.barriers() {
			t.Errorf("%s keeps people out: %s", path, found)
		}
		w.told()
		w.do(chromedp.EmulateViewport(360, 740))
		if wide := ask[int](w, `document.documentElement.scrollWidth`); wide > 360 {
			t.Errorf("%s is %d wide on a telephone: %s", path, wide, ask[string](w, `[...document.querySelectorAll("body *")].filter((e) => e.getBoundingClientRect().right > 361 && !e.closest(".wide")).map((e) => e.outerHTML.slice(0, 120)).slice(0, 3).join(" | ")`))
		}
		w.shot(name + "-360")
	}
}

// Pictures of Japanese texts show them: each character looks another, and not as one that no font has.
func TestJapaneseIsDrawn(t *testing.T) {
	w := serve(t, "").open("look")
	w.goTo("/")
	const draw = `[..."受信者\u{10FFFD}"].map((c) => { const p = document.createElement("canvas").getContext("2d"); p.font = "40px sans-serif"; p.fillText(c, 10, 60); return p.canvas.toDataURL(); })`
	drawn := ask[[]string](w, draw)
	slices.Sort(drawn)
	if n := len(slices.Compact(drawn)); n != 4 {
		t.Errorf("of 4 characters %d look different", n)
	}
}

// In the dark, contrast holds, too.
func TestPagesInTheDark(t *testing.T) {
	w := serve(t, "").open("act")
	tell(w, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}}})
	w.do(chromedp.EmulateViewport(1280, 900))
	for _, path := range []string{"/", "/ips", "/tenants/acme"} {
		w.goTo(path)
		for _, found := range w.barriers() {
			t.Errorf("%s keeps people out: %s", path, found)
		}
		w.shot("dark" + unsafe.ReplaceAllString(path, "-"))
	}
}

// Without scripts all is there, and can be done.
func TestPagesWithoutScripts(t *testing.T) {
	s := serve(t, "")
	w := s.open("")
	tell(w, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	w.goTo("/login")
	w.do(chromedp.SendKeys("#name", "act"), chromedp.SendKeys("#password", password+"\r"), chromedp.WaitVisible(".who"))
	for _, path := range pages {
		w.goTo(path)
		if text := get(w, chromedp.Text("main")); len(text) < 20 {
			t.Errorf("%s shows %q", path, text)
		}
	}
	w.goTo("/ips/192.0.2.1?provider=docomo")
	w.do(chromedp.SendKeys("#suspend-reason", "asked by phone\r"), chromedp.WaitVisible(".said"))
	if got := s.kanmon.Orders(); len(got) != 1 || !strings.Contains(got[0], "because asked by phone, by act (web)") {
		t.Errorf("ordered %q", got)
	}
}

// Who may look is offered nothing that would be refused, and shown no address.
func TestWhoMayLookIsOfferedNothingElse(t *testing.T) {
	w := serve(t, "").open("look")
	for _, path := range pages {
		if strings.Contains(path, "/a/") {
			continue
		}
		w.goTo(path)
		if forms := ask[[]string](w, `[...document.querySelectorAll('form[method="post"]')].map((f) => f.getAttribute("action"))`); !slices.Equal(forms, []string{"/logout"}) {
			t.Errorf("%s offers %q", path, forms)
		}
		if text := ask[string](w, `document.documentElement.outerHTML`); strings.Contains(text, "canary") {
			t.Errorf("%s shows an address", path)
		}
	}
}

// What a stranger has written is read as it was written, and is nothing but text: it is not the policy that keeps it from being more.
func TestStrangersTextsAreRead(t *testing.T) {
	w := serve(t, "").open("act")
	for _, path := range []string{"/", "/ips", "/ips/192.0.2.1", "/tenants/acme", "/tenants/acme/a/bob@acme.example"} {
		w.goTo(path)
		text := ask[string](w, `document.querySelector("main").textContent`)
		if !strings.Contains(text, viewtest.Strange) {
			t.Errorf("%s does not show it as it is", path)
		}
		if n := ask[int](w, `document.querySelectorAll("main script, main img, main iframe, main style").length`); n > 0 {
			t.Errorf("%s has %d elements that a stranger has made", path, n)
		}
		w.quiet(path)
	}
}

// What happens is shown without asking again, and what somebody is typing stays.
func TestWhatHappensIsShown(t *testing.T) {
	s := serve(t, "")
	w := s.open("act")
	w.goTo("/")
	w.do(chromedp.WaitVisible(`//*[@id="fresh" and contains(text(), "live")]`), chromedp.Focus(`nav a[href="/sessions"]`))
	s.kanmon.Set(func(a *viewtest.Answers) { a.Status.Problems = nil })
	w.do(chromedp.WaitVisible(`//*[@id="state"]//*[contains(text(), "All is normal.")]`))
	if at := ask[string](w, `document.activeElement.textContent`); at != "Sessions" {
		t.Errorf("the focus is on %q", at)
	}
	w.goTo("/sessions/" + viewtest.Held)
	w.do(chromedp.WaitVisible(`//*[@id="trace" and contains(text(), "<script>")]`))
	w.quiet("live")
}

// All can be reached by keys: the first of them skips the menu, g and a letter go to a page.
func TestPagesByKeys(t *testing.T) {
	w := serve(t, "").open("look")
	w.goTo("/")
	w.do(chromedp.KeyEvent("\t"))
	if at := ask[string](w, `document.activeElement.textContent`); at != "Skip to the content" {
		t.Errorf("the first key leads to %q", at)
	}
	w.do(chromedp.KeyEvent("gi"), chromedp.WaitVisible("#matrix"))
	w.quiet("keys")
}
