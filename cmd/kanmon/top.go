package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	tea "charm.land/bubbletea/v2"

	"kanmon/internal/admin"
)

type topCommand struct {
	adminFlag
	sessionFlags
	Once  bool          `help:"Print it once, as text, and end; it looks for one interval."`
	Every time.Duration `help:"Interval between two looks; default: ${default}." default:"1s" placeholder:"DURATION"`
}

// topListed is how many held sessions are asked for: more than there are lines on a screen.
const topListed = 200

// Run shows what happens, again and again.
func (k *topCommand) Run(c *console) error {
	const shortest = 100 * time.Millisecond
	if k.Every < shortest {
		return fmt.Errorf("--every %s: want %s or longer", k.Every, shortest)
	}
	client, unread, err := k.client()
	if err != nil {
		return err
	}
	q := k.query()
	q.Most = topListed
	look := func() (admin.Top, error) { return client.Top(context.Background(), q) }
	first, err := look()
	if err != nil {
		return unheard(err, unread)
	}
	if k.Once || k.JSON {
		time.Sleep(k.Every)
		second, err := look()
		if err != nil {
			return unheard(err, unread)
		}
		return k.printOnce(c.stdout, &second, &first)
	}
	out, isFile := c.stdout.(*os.File)
	if !isFile || !isTerminal(out) {
		return errors.New("standard output is no terminal: --once prints what there is as text, --json as JSON")
	}
	follow := func(ctx context.Context, session string, to io.Writer) error {
		return client.Trace(ctx, admin.SessionQuery{Session: session}, to)
	}
	_, err = tea.NewProgram(&topModel{look: look, follow: follow, orders: client, every: k.Every, now: first, width: 80, height: 24}, tea.WithInput(c.stdin), tea.WithOutput(out)).Run()
	return err
}

func (k *topCommand) printOnce(w io.Writer, now, before *admin.Top) error {
	if k.JSON {
		out := json.NewEncoder(w)
		out.SetIndent("", "  ")
		return out.Encode(now)
	}
	const width = 120
	_, err := fmt.Fprintln(w, drawTop(&screen{width: width}, now, before, shows{}))
	return err
}

// A topModel is what is on the screen.
type topModel struct {
	look          func() (admin.Top, error)
	follow        func(ctx context.Context, session string, to io.Writer) error // what is said in a session
	orders        orders                                                        // who carries out what is ordered
	every         time.Duration
	now           admin.Top
	before        *admin.Top
	err           error // of the last look; nil: what is shown is of now
	width, height int

	shows
	paused    bool
	help      bool
	typing    bool           // of the filter
	wasFilter string         // when typing began
	shown     *admin.Session // in place of all; nil: all
	trace     *tracing       // of it; nil: none
	asked     *question      // that stands before an order; nil: none
	reasons   *answered      // in place of all; nil: all
	said      string         // what came of the last order
}

// A looked is what a look has given.
type looked struct {
	top admin.Top
	err error
}

type lookAgain struct{}

// Init begins to look.
func (m *topModel) Init() tea.Cmd { return m.later() }

func (m *topModel) later() tea.Cmd {
	return tea.Tick(m.every, func(time.Time) tea.Msg { return lookAgain{} })
}

// Update takes what has happened.
func (m *topModel) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
	case lookAgain:
		if m.paused {
			return m, m.later()
		}
		return m, func() tea.Msg {
			top, err := m.look()
			return looked{top, err}
		}
	case looked:
		if m.err = msg.err; m.err == nil && !m.paused {
			was := m.now
			m.now, m.before = msg.top, &was
		}
		return m, m.later()
	case traced:
		return m, m.heard(msg)
	case answered:
		m.came(msg)
	case tea.KeyPressMsg:
		return m, m.key(msg.String(), msg.Text)
	}
	return m, nil
}

func (m *topModel) key(name, text string) tea.Cmd {
	if m.asked == nil {
		m.said = ""
	}
	switch {
	case name == "ctrl+c":
		return tea.Quit
	case m.asked != nil:
		return m.answers(name, text)
	case m.reasons != nil:
		m.reasons = nil
	case m.typing:
		m.types(name, text)
	case m.help:
		m.help = false
	case name == "q":
		m.closeSession()
		return tea.Quit
	case name == "t":
		return m.beginTrace()
	case name == "b", name == "i", name == "e":
		return m.keyOfOrder(name)
	case m.shown != nil:
		if name == "esc" || name == "enter" {
			m.closeSession()
		}
	case name == "esc" && m.filter == "" && m.chosen == "":
		return tea.Quit
	default:
		m.keyOfAll(name)
	}
	return nil
}

// keyOfAll is a key where all that happens is shown.
func (m *topModel) keyOfAll(name string) {
	switch name {
	case "esc":
		m.filter, m.chosen = "", ""
	case "p":
		m.paused = !m.paused
	case "s":
		m.order = (m.order + 1) % orderCount
	case "/":
		m.typing, m.wasFilter = true, m.filter
	case "?", "h":
		m.help = true
	case "down", "j":
		m.choose(1)
	case "up", "k":
		m.choose(-1)
	case "enter":
		m.open()
	}
}

// types changes the filter.
func (m *topModel) types(name, text string) {
	const most = 60
	switch name {
	case "enter":
		m.typing = false
	case "esc":
		m.typing, m.filter = false, m.wasFilter
	case "backspace":
		if runes := []rune(m.filter); len(runes) > 0 {
			m.filter = string(runes[:len(runes)-1])
		}
	default:
		if len(m.filter)+len(text) <= most {
			m.filter += text
		}
	}
}

// View draws it.
func (m *topModel) View() tea.View {
	s := &screen{width: m.width, height: max(m.height-1, 1), bold: os.Getenv("NO_COLOR") == ""}
	text := topHelp
	if !m.help {
		switch {
		case m.reasons != nil:
			text = m.drawReasons(s)
		case m.shown != nil:
			text = m.drawSession(s)
		default:
			text = drawTop(s, &m.now, m.before, m.shows)
		}
		for len(s.lines) < s.height {
			s.lines = append(s.lines, "")
			text += "\n"
		}
	}
	v := tea.NewView(text + "\n" + pad(m.foot(), m.width, false))
	v.AltScreen = true
	return v
}

func (m *topModel) foot() string {
	switch {
	case m.asked != nil:
		return m.asking()
	case m.typing:
		return "/" + printable(m.filter) + "_"
	case m.said != "":
		return printable(m.said)
	case m.err != nil:
		return "no answer since then: " + printable(m.err.Error())
	case m.paused:
		return "paused; p goes on"
	case m.shown != nil:
		return "esc back  t trace  e explain  b block  i suspend IP  q quit"
	case m.filter != "":
		return "only rows with " + printable(m.filter) + "; esc: all"
	default:
		return "q quit  p pause  / filter  s by " + m.order.String() + "  enter session  t trace  ? help"
	}
}

const topHelp = `kanmon top shows what happens now, and changes only what you give a reason for.

  q, Ctrl-C   end
  p           stop the picture, and go on
  /           show only rows with a text: type it, Enter; Esc takes it back
  s           sort: by what is held, by how many, by name
  up, down    choose a held session; Enter shows all of it, Esc goes back
  t           show what is said in it from now on
  e           why the sender of the chosen session is treated as it is
  b           block its account for two hours: a question, and a reason
  i           suspend its sending IP at the provider for two hours, likewise
  ?           this

HELD         sessions whose MSA waits, what lasts longest first: for how long, for whom and in
             which step, tenant, provider, sending IP, MX, session
PROVIDERS, SENDING IPS, TENANTS
             sessions, those that are held, and for how long the longest is
REFUSALS     what MXs said no to since somebody began to look: how often, provider, code, meaning
LOG          what else has happened since then: standing, levels, orders, reloads, lists

More of a sending IP: kanmon ip show.
`
