package web

import (
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"kanmon/internal/view/viewtest"
)

// What keeps people out is found: else that nothing is found says nothing.
func TestWhatKeepsPeopleOutIsFound(t *testing.T) {
	w := serve(t, "").open("look")
	w.goTo("/")
	ask[bool](w, `document.querySelector("main").append(document.createElement("img"), document.createElement("input")), true`)
	found := strings.Join(w.barriers(), "\n")
	for _, want := range []string{"image-alt", "label"} {
		if !strings.Contains(found, want) {
			t.Errorf("%s is not found: %s", want, found)
		}
	}
}

// A clicker counts clicks.
type clicker struct {
	*window
	clicks int
}

func (c *clicker) click(selector, then string) {
	c.t.Helper()
	c.clicks++
	c.do(chromedp.Click(selector), chromedp.WaitVisible(then))
}

// An account sends what is wanted, and is slowed: from the first page to its exemption are few clicks and one form, and how it is undone is said.
func TestAnAccountIsExempted(t *testing.T) {
	s := serve(t, "")
	w := &clicker{window: s.open("act")}
	w.goTo("/")
	w.click(`#cards a[href="/tenants/acme"]`, `a[href="/tenants/acme/a/bob@acme.example"]`)
	w.click(`a[href="/tenants/acme/a/bob@acme.example"]`, `//summary[contains(text(), "Exempt")]`)
	w.click(`//summary[contains(text(), "Exempt")]`, `#exempt-reason`)
	w.do(chromedp.SendKeys("#exempt-reason", "known sender"))
	w.click(`form[action$="/exempt"] button`, `.said`)
	if w.clicks > 4 {
		t.Errorf("%d clicks, want 4 at most", w.clicks)
	}
	if said := get(w.window, chromedp.Text(".said")); !strings.Contains(said, "“End the exemption” undoes it") {
		t.Errorf("it says %q", said)
	}
	if got := s.kanmon.Orders(); !slices.Equal(got, []string{"exempt acme/bob@acme.example for a time 0, because known sender, by act (web)"}) {
		t.Errorf("ordered %q", got)
	}
	w.quiet("exempt")
}

// A sending IP is listed: from the first page to why, and by a form to what is known.
func TestASuspendedSendingIPIsAcknowledged(t *testing.T) {
	s := serve(t, "")
	w := &clicker{window: s.open("act")}
	w.goTo("/")
	w.click(`#cards a[href="/ips/192.0.2.1"]`, `main .card`)
	if text := get(w.window, chromedp.Text("main")); !strings.Contains(text, "zen.example") || !strings.Contains(text, "to mail of 2 tenants") {
		t.Errorf("it does not say why: %s", text)
	}
	w.goTo("/")
	w.click(`//article[.//h2[text()="suspended"]]//summary`, `//article[.//h2[text()="suspended"]]//input[@name="text"]`)
	w.do(chromedp.SendKeys(`//article[.//h2[text()="suspended"]]//input[@name="text"]`, "the form is sent"))
	w.click(`//article[.//h2[text()="suspended"]]//button`, `.said`)
	if state := get(w.window, chromedp.Text("#state")); strings.Contains(state, "suspended") || !strings.Contains(state, "2 things") {
		t.Errorf("the first page says %q", state)
	}
	if w.clicks > 3 {
		t.Errorf("%d clicks, want 3 at most", w.clicks)
	}
}

// A session is held: from the first page it is ended with a reason, and what has come of that is said.
func TestASessionIsEnded(t *testing.T) {
	s := serve(t, "")
	w := &clicker{window: s.open("act")}
	w.goTo("/sessions")
	w.click(`a[href="/sessions/`+viewtest.Held+`"]`, `#end-reason`)
	w.do(chromedp.SendKeys("#end-reason", "it hangs"))
	w.click(`form[action$="/end"] button`, `.said`)
	if said := get(w.window, chromedp.Text(".said")); said != "It has ended." {
		t.Errorf("it says %q", said)
	}
	if got := s.kanmon.Orders(); !slices.Equal(got, []string{"end session " + viewtest.Held + ", because it hangs, by act (web)"}) {
		t.Errorf("ordered %q", got)
	}
	w.quiet("end")
}

// A try is ordered by a form, runs before one's eyes, and shows the dialogues side by side.
func TestATryIsFollowed(t *testing.T) {
	s := serve(t, "")
	s.kanmon.Set(func(a *viewtest.Answers) { a.Try.Over = false })
	w := &clicker{window: s.open("act")}
	w.goTo("/ips")
	w.click(`a[href="/try"]`, `#to`)
	w.do(chromedp.SendKeys("#to", "docomo.example"), chromedp.SendKeys("#sender", "a@acme.example"))
	w.click(`form[action="/try"] button`, `[data-again]`)
	s.kanmon.Set(func(a *viewtest.Answers) { a.Try.Over = true })
	w.do(chromedp.WaitNotPresent(`[data-again]`))
	if text := get(w.window, chromedp.Text("#state")); !strings.Contains(text, "All have answered, or will not.") {
		t.Errorf("it says %q", text)
	}
	if text := get(w.window, chromedp.Text("#beside")); !strings.Contains(text, viewtest.Strange) {
		t.Errorf("what a stranger has said is not in %q", text)
	}
	w.quiet("try")
}
