package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"os/user"
	"time"

	"kanmon/internal/config"
	"kanmon/internal/event"
	"kanmon/internal/event/journal"
	"kanmon/internal/outlet/classify"
	"kanmon/internal/view/find"
	"kanmon/internal/view/history"
)

// Commands about what has happened.
type pastCommands struct {
	Mail     mailCommands    `cmd:"" help:"Find mails, and say what became of them: where a mail is, what was answered, what that means."`
	Refusals refusalsCommand `cmd:"" help:"Show what receivers refuse, grouped by what it means and in which words."`
	Timeline timelineCommand `cmd:"" help:"Show what came of mail in steps of time, with what happened between."`
	Waiting  waitingCommand  `cmd:"" help:"Show for which providers mail waits in the queues of MSAs, and how old it is."`
	Would    wouldCommand    `cmd:"" help:"Show what limits and containment that only observe would have done, to whom, and what came of their mail."`
	Report   reportCommands  `cmd:"" help:"Reports of what history has: to a tenant about its mail, and about suspicion."`
}

// A pastFlag is that of a command about what has happened, which kanmon history or kanmon view has kept.
type pastFlag struct {
	viewFlag
	JSON bool `name:"json" help:"Print JSON."`
}

// Which time a command is about.
type spanFlags struct {
	Since string `help:"From so long ago, as 30m, 24h or 7d, or from such a time, until now." placeholder:"TIME"`
	From  string `help:"From this time: 2026-07-01, 2026-07-01 14:30, 09:00 or how long ago." placeholder:"TIME"`
	To    string `help:"To this time; default: now." placeholder:"TIME"`
}

// between gives the time that is meant, or the last of so long.
func (k *spanFlags) between(usual time.Duration) (from, to time.Time, err error) {
	return find.Between(k.Since, k.From, k.To, usual, time.Now(), time.Local)
}

// Whose mail a command is about.
type aboutFlags struct {
	Provider string     `help:"Only mail to this provider." placeholder:"NAME"`
	Tenant   string     `help:"Only mail of this tenant." placeholder:"NAME"`
	IP       netip.Addr `name:"ip" help:"Only mail that left from this sending IP." placeholder:"ADDRESS"`
}

func (k *aboutFlags) filter() history.Filter {
	return history.Filter{Provider: k.Provider, Tenant: k.Tenant, SendingIP: k.IP.Unmap()}
}

// A past is an open history, and what it is read with.
type past struct {
	history.Store
	cfg    *config.Config
	rules  *classify.Rules
	shown  journal.Mask
	keyErr error // why there is no key by which the records have hashed names
	status history.Status
	who    string // asks
}

// open opens the history of the configuration. What is wrong with it says what there is to do.
func (k *pastFlag) open(ctx context.Context) (*past, error) {
	cfg, err := k.loadHistory()
	if err != nil {
		return nil, err
	}
	// All that the one who asks may read, and the owner of the history perhaps not, is read before it is opened.
	p := &past{cfg: cfg, shown: journal.Mask{Mode: cfg.Journal.Addresses}, who: whoAsks()}
	if p.rules, err = rulesOf(cfg); err != nil {
		return nil, err
	}
	if p.shown.Mode == journal.AddressesHashed {
		p.shown.Key, p.keyErr = os.ReadFile(cfg.Journal.HashKeyFile)
	}
	dir := placeOf(cfg)
	const begin = "\"systemctl enable --now kanmon-view\" has it kept from now on, \"kanmon history import FILE\" takes in older records"
	p.Store, err = openHistory(cfg)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("history is empty: there is nothing in %s yet. %s", dir, begin)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("%w: run this as root, or as a member of the group that the folder is of", err)
	case err != nil:
		return nil, err
	}
	if p.status, err = p.Status(ctx); err == nil && p.status.Last.IsZero() {
		err = fmt.Errorf("history is empty: nothing is kept in %s yet. %s", dir, begin)
	}
	if err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

// finder is who finds mail in it. Where the records show names in another form, it is needed in which.
func (p *past) finder() (*find.Finder, error) {
	if p.keyErr != nil {
		return nil, fmt.Errorf("addresses are hashed in the records, and without the key none can be looked for: %w", p.keyErr)
	}
	return &find.Finder{Store: p.Store, Rules: p.rules, Shown: p.shown}, nil
}

// searched notes who looks for whom. Who may read a history and not write there is told that it is not noted.
func (p *past) searched(ctx context.Context, c *console, why string, what ...string) {
	for _, one := range what {
		err := p.Searched(ctx, history.Search{At: time.Now(), By: p.who, What: event.Printable(one, find.MaxNoted), Why: event.Printable(why, find.MaxNoted)})
		if err != nil {
			fmt.Fprintf(c.stderr, "kanmon: this search is not noted: %v\n", err)
			return
		}
	}
}

// whoAsks is the person at the keyboard, also behind sudo.
func whoAsks() string {
	name := fmt.Sprintf("user %d", os.Getuid())
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	if behind := os.Getenv("SUDO_USER"); behind != "" && os.Getuid() == 0 {
		name = behind + " as " + name
	}
	return name
}

// rulesOf gives what refusals mean to this site.
func rulesOf(cfg *config.Config) (*classify.Rules, error) {
	if cfg.Classification.Rules == "" {
		return classify.Builtin()
	}
	data, err := os.ReadFile(cfg.Classification.Rules)
	if err != nil {
		return nil, err
	}
	return classify.Parse(cfg.Classification.Rules, data)
}

// kept says of which time there is something, for whoever has found nothing.
func (p *past) kept() string {
	day := func(t time.Time) string { return t.Format("2006-01-02") }
	if p.status.Detail[0].IsZero() {
		return "no day of attempts is kept"
	}
	text := fmt.Sprintf("attempts are kept since %s", day(p.status.Detail[0]))
	if t := p.status.Trouble[0]; !t.IsZero() && t.Before(p.status.Detail[0]) {
		text += fmt.Sprintf(", those that were not delivered since %s", day(t))
	}
	return text + fmt.Sprintf("; the newest line is of %s", when(p.status.Last))
}

// errNothing ends a command that has found nothing and has said so in JSON.
var errNothing = exitStatus(exitError)

func printJSON(w io.Writer, v any) error {
	out := json.NewEncoder(w)
	out.SetIndent("", "  ")
	return out.Encode(v)
}
