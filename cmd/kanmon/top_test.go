package main

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"kanmon/internal/admin"
)

// Top is what happens to the four sessions.
func (c *customers) Top(q admin.SessionQuery) (admin.Top, error) {
	all, err := c.Sessions(q)
	looks := c.looks.Add(1)
	return admin.Top{
		At: at("12:00").Add(time.Duration(looks) * time.Second), Status: c.Status(), Sessions: all,
		Providers:  []admin.TopGroup{{Name: "docomo", Sessions: 2, Held: 1, Longest: 252}, {Sessions: 1, Held: 1, Longest: 12}, {Name: "google", Sessions: 1}},
		SendingIPs: []admin.TopGroup{{Name: "203.0.113.10", Sessions: 3, Held: 1, Longest: 252}, {Sessions: 1, Held: 1, Longest: 12}},
		Tenants:    []admin.TopGroup{{Name: "acme", Sessions: 3, Held: 2, Longest: 252}, {Sessions: 1}},
		Flow:       admin.Flow{Since: at("11:59"), Mails: 10 * uint64(looks), Delivered: 95, Deferred: 4, Refused: 1},
		Refusals: []admin.TopRefusal{
			{Provider: "docomo", Code: 450, Class: "throttled", Count: 4, Last: at("12:00")}, {Provider: "google", Code: 550, Class: "recipient_invalid", Count: 1},
		},
		News: []admin.TopNews{{At: at("11:59"), Type: "order", Tenant: "acme", Account: "news@acme.example", What: "block", Was: "normal", By: "alice", Why: "spam"}},
	}, err
}

// busy is a gateway with more of everything than a screen has lines, and names that strangers have chosen.
func busy() *admin.Top {
	const evil = "\x1b]0;owned\x07\x1b[31m\u202e日本語の名前日本語の名前\n"
	top := &admin.Top{At: at("12:00"), Status: admin.Status{Problems: []admin.Problem{{What: evil}, {What: evil}}}, Flow: admin.Flow{Since: at("11:59")}}
	for i := range 60 {
		top.Sessions.Sessions = append(top.Sessions.Sessions, admin.Session{
			Session: fmt.Sprintf("64d9a07b2e1c%04x", i), Held: true, State: "mx", Step: "rcpt", For: float64(1000 - i), Tenant: evil, Provider: evil, MX: netip.MustParseAddrPort("192.0.2.25:25"),
		})
		group := admin.TopGroup{Name: fmt.Sprint(i, evil), Sessions: 100000, Held: 90000, Longest: 36000}
		top.Providers, top.SendingIPs, top.Tenants = append(top.Providers, group), append(top.SendingIPs, group), append(top.Tenants, group)
		top.News = append(top.News, admin.TopNews{At: at("12:00"), Type: evil, Provider: evil, Tenant: evil, Account: evil, What: evil, By: evil, Why: evil})
		top.Refusals = append(top.Refusals, admin.TopRefusal{Provider: evil, Class: evil, Code: 550, Count: 1 << 40})
	}
	return top
}

// Whatever there is fits the screen, all panes are on it, and nothing that strangers have chosen reaches the terminal as it is.
func TestTopFitsTheScreen(t *testing.T) {
	for _, size := range [][2]int{{80, 24}, {120, 50}, {40, 12}, {20, 5}, {300, 200}} {
		s := &screen{width: size[0], height: size[1]}
		text := drawTop(s, busy(), nil, shows{})
		if n := strings.Count(text, "\n") + 1; n > size[1] {
			t.Errorf("%v: %d lines", size, n)
		}
		for line := range strings.Lines(text) {
			if w := ansi.StringWidth(strings.TrimSuffix(line, "\n")); w > size[0] {
				t.Errorf("%v: a line is %d wide: %q", size, w, line)
			}
		}
		if strings.ContainsAny(text, "\x1b\x07\u202e") {
			t.Errorf("%v: a stranger writes to the terminal: %q", size, text)
		}
		for _, title := range []string{"HELD", "PROVIDERS", "SENDING IPS", "TENANTS", "REFUSALS", "LOG", "64d9a07b2e1c0000", "more", "NOT normal"} {
			if size[0] >= 80 && !strings.Contains(text, title) {
				t.Errorf("%v: no %s:\n%s", size, title, text)
			}
		}
	}
}

// A filter leaves what has its text; mail is counted between two looks, and only of one count.
func TestTopShowsWhatIsAskedFor(t *testing.T) {
	c := newCustomers()
	before, _ := c.Top(admin.SessionQuery{Most: 50})
	now, _ := c.Top(admin.SessionQuery{Most: 50})
	text := drawTop(&screen{width: 120}, &now, &before, shows{filter: "DOCOMO"})
	if !strings.Contains(text, "mail 10.0/s, delivered 95 %, deferred 4 %, refused 1 %") || strings.Contains(text, "google") || !strings.Contains(text, "throttled") {
		t.Error(text)
	}
	now.Flow.Since = at("12:00")
	if text := drawTop(&screen{width: 120}, &now, &before, shows{}); !strings.Contains(text, "mail -/s") {
		t.Errorf("counts from the beginning and from before are compared:\n%s", text)
	}
}

// On a terminal the picture follows what happens and the keys, also where kanmon does not answer for a while, and without colours where they are not wanted.
func TestTopFollowsTheKeys(t *testing.T) {
	c := newCustomers()
	first, _ := c.Top(admin.SessionQuery{Most: 50})
	m := &topModel{look: func() (admin.Top, error) { return c.Top(admin.SessionQuery{Most: 50}) }, every: time.Hour, now: first, width: 80, height: 24}
	press := func(keys ...string) {
		for _, k := range keys {
			key := tea.Key{Text: k, Code: []rune(k)[0]}
			switch k {
			case "enter":
				key = tea.Key{Code: tea.KeyEnter}
			case "esc":
				key = tea.Key{Code: tea.KeyEscape}
			case "backspace":
				key = tea.Key{Code: tea.KeyBackspace}
			}
			m.Update(tea.KeyPressMsg(key))
		}
	}
	shows := func(want string) {
		t.Helper()
		view := m.View()
		if !strings.Contains(view.Content, want) || !view.AltScreen || strings.Count(view.Content, "\n") != 23 {
			t.Errorf("no %q on %d lines:\n%s", want, strings.Count(view.Content, "\n")+1, view.Content)
		}
	}
	shows("MX: rcpt")
	shows("\x1b[1m")
	press("/", "g", "o", "x", "backspace")
	shows("/go_")
	press("enter")
	shows("only rows with go")
	press("esc")
	shows("q quit")
	m.Update(looked{err: errors.New("nobody listens\x1b[2J")})
	shows("no answer since then: nobody listens?[2J")
	top, err := m.look()
	m.Update(looked{top, err})
	shows("mail 10.0/s")
	press("p")
	m.Update(looked{admin.Top{}, nil})
	shows("paused")
	shows("mail 10.0/s")
	press("p", "?")
	if view := m.View(); !strings.Contains(view.Content, "shows what happens now, and changes only what you give a reason for") {
		t.Errorf("help:\n%s", view.Content)
	}
	press("x")
	t.Setenv("NO_COLOR", "1")
	if view := m.View(); strings.Contains(view.Content, "\x1b") {
		t.Errorf("in colours: %q", view.Content)
	}
	if cmd := m.key("q", "q"); cmd == nil || cmd() != tea.Quit() {
		t.Error("q does not end it")
	}
}

// It runs and ends, as a program.
func TestTopRuns(t *testing.T) {
	c := newCustomers()
	first, _ := c.Top(admin.SessionQuery{Most: 50})
	m := &topModel{look: func() (admin.Top, error) { return c.Top(admin.SessionQuery{Most: 50}) }, every: time.Millisecond, now: first, width: 80, height: 24}
	var out bytes.Buffer
	in, keys, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	defer keys.Close()
	program := tea.NewProgram(m, tea.WithInput(in), tea.WithOutput(&out), tea.WithWindowSize(80, 24), tea.WithoutSignals())
	go func() {
		for c.looks.Load() < 5 {
			time.Sleep(time.Millisecond)
		}
		program.Send(tea.KeyPressMsg(tea.Key{Text: "q", Code: 'q'}))
	}()
	if _, err := program.Run(); err != nil {
		t.Fatal(err)
	}
	if shown := ansi.Strip(out.String()); !strings.Contains(shown, "HELD") || !strings.Contains(shown, "docomo") {
		t.Errorf("shown: %q", shown)
	}
}
