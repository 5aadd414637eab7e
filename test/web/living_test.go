package web

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// serveLiving has a page with a kanmon behind it that runs, without firewall rules: no mail comes to it, and it does what it is told.
func serveLiving(t *testing.T) *site {
	t.Helper()
	users, err := usersFile()
	if err != nil {
		t.Fatal(err)
	}
	dir, at := t.TempDir(), freePort(t)
	s := &site{t: t, url: "http://" + at}
	conf := filepath.Join(dir, "kanmon.toml")
	text := fmt.Sprintf(`[intercept]
listen = ["127.83.78.1:11025"]

[admin]
socket = "DIR/admin.sock"

[standing]
file = "DIR/standing.db"

[senders]
file = "DIR/senders.db"

[[tenant]]
name    = "acme"
sources = ["10.20.1.0/24"]

[web]
listen    = %q
users     = "DIR/users"
directory = "DIR/view"
user      = "%d"

%s`, at, os.Getuid(), ways)
	for name, content := range map[string]string{conf: strings.ReplaceAll(text, "DIR", dir), filepath.Join(dir, "users"): string(users)} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.begins("run", conf, func() bool {
		c, err := net.Dial("unix", filepath.Join(dir, "admin.sock")) //nolint:noctx // it answers at once, or is not there
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
	s.begins("view", conf, func() bool {
		resp, err := http.Get(s.url + "/login") //nolint:noctx // likewise
		if err == nil {
			_ = resp.Body.Close()
		}
		return err == nil
	})
	return s
}

// The halves of the journeys that are about what a gateway does now, at one that runs: what is ordered in a form holds at once, is in the audit with the
// person's name, and is undone by another form. Clicks and fields are counted.
func TestLiveJourneys(t *testing.T) {
	s := serveLiving(t)
	for _, is := range []struct {
		name string
		walk func(*testing.T, *walker)
	}{
		{"an account is hacked: block it, and undo that", blocksAnAccount},
		{"you slow our newsletter: exempt it", exemptsAnAccount},
		{"Gmail defers everybody: suspend and resume a sending IP", resumesAnIP},
	} {
		t.Run(is.name, func(t *testing.T) {
			of := *s
			of.t = t
			is.walk(t, &walker{window: of.open("act")})
		})
	}
}

// order fills in the form of an order and sends it.
func (w *walker) order(do, forSoLong, reason string) {
	w.t.Helper()
	w.acts++ // the form is opened
	w.do(chromedp.Click(fmt.Sprintf(`//details[.//form[contains(@action, "/%s")]]/summary`, do)), chromedp.WaitVisible(fmt.Sprintf(`#%s-reason`, do)))
	if forSoLong != "" {
		w.paste(fmt.Sprintf("#%s-for", do), forSoLong)
	}
	w.paste(fmt.Sprintf("#%s-reason", do), reason)
	w.click(fmt.Sprintf(`form[action$="/%s"] button`, do))
}

func blocksAnAccount(_ *testing.T, p *walker) {
	p.goTo("/tenants/acme/a/hacked@acme.example") // as the notification has it
	p.sees("normal")
	p.order("block", "2h", "password stolen")
	p.within(4)
	p.sees("It is blocked. “Unblock” undoes it.", "act (web)", "password stolen")
	p.order("unblock", "", "password changed")
	p.within(3)
	p.sees("It passes again.", "password changed")
	p.goTo("/tenants")
	p.sees("None is slowed, stopped, blocked, exempt or marked.")
}

func exemptsAnAccount(_ *testing.T, p *walker) {
	p.goTo("/tenants/acme/a/news@acme.example")
	p.order("exempt", "", "they clean their list") // for 24 hours, as the form has it
	p.within(3)
	p.sees("It is exempt.", "they clean their list")
	p.goTo("/")
	p.click(`nav a[href="/tenants"]`)
	p.within(1)
	p.sees("news@acme.example", "exempt")
}

func resumesAnIP(_ *testing.T, p *walker) {
	p.goTo("/ips/192.0.2.1?provider=google")
	p.paste("#suspend-reason", "everybody is deferred")
	p.click(`form[action$="/suspend"] button`)
	p.within(2)
	p.sees("It is out of use.", "everybody is deferred")
	p.paste("#resume-reason", "the weights are put back")
	p.click(`form[action$="/resume"] button`)
	p.within(2)
	p.sees("It is in use again.", "the weights are put back")
}
