package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/alecthomas/kong"

	"kanmon/internal/admin/manual"
	"kanmon/internal/config"
)

type helpCommand struct {
	About []string `arg:"" optional:"" name:"command" help:"A command, such as \"ip suspend\", or a key of the configuration, such as \"rescue.mode\"."`
}

// Run shows the help of a command, or of a key.
func (h *helpCommand) Run(c *console, app *kong.Kong) error {
	if len(h.About) == 1 {
		tables, err := config.Reference()
		if err != nil {
			return err
		}
		if text, found := manual.DescribeKey(tables, h.About[0]); found && !isCommand(app, h.About[0]) {
			_, err = fmt.Fprint(c.stdout, text)
			return err
		}
	}
	if run(append(h.About[:len(h.About):len(h.About)], "--help"), c) != exitOK {
		return errShown
	}
	return nil
}

func isCommand(app *kong.Kong, name string) bool {
	for _, n := range app.Model.Children {
		if n.Name == name && !n.Hidden {
			return true
		}
	}
	return false
}

type completionCommand struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"\"bash\", \"zsh\" or \"fish\"."`
}

// Help says how a script is loaded.
func (*completionCommand) Help() string {
	return `Load it into a running shell with "source <(kanmon completion bash)", or with zsh in place of bash; for fish write it to ~/.config/fish/completions/kanmon.fish. The packages install it.`
}

// Run prints the script that a shell loads.
func (k *completionCommand) Run(c *console) error {
	script := map[string]string{"bash": manual.BashScript, "zsh": manual.ZshScript, "fish": manual.FishScript}[k.Shell]
	_, err := fmt.Fprint(c.stdout, script)
	return err
}

// A completeCommand answers the scripts.
type completeCommand struct {
	Words []string `arg:"" optional:"" passthrough:""`
}

// Run prints a word in each line, and behind a tab what it means.
func (k *completeCommand) Run(c *console, app *kong.Kong) error {
	words := k.Words
	if len(words) > 0 && words[0] == "--" {
		words = words[1:]
	}
	offered := manual.Complete(app.Model, words, func(name string) []manual.Word { return known(words, name) })
	if len(words) > 1 && words[0] == "help" {
		var err error
		if offered, err = helpWords(app, words[1:]); err != nil {
			return err
		}
	}
	var out strings.Builder
	for _, w := range offered {
		fmt.Fprintf(&out, "%s\t%s\n", w.Text, w.Help)
	}
	_, err := fmt.Fprint(c.stdout, out.String())
	return err
}

// helpWords are the commands, and the keys of the configuration, that help is there for.
func helpWords(app *kong.Kong, words []string) ([]manual.Word, error) {
	offered := manual.Complete(app.Model, words, func(string) []manual.Word { return nil })
	tables, err := config.Reference()
	if err != nil || len(words) > 1 {
		return offered, err
	}
	for _, t := range tables {
		for i := range t.Keys {
			if path := t.Keys[i].Path(); strings.HasPrefix(path, words[0]) {
				offered = append(offered, manual.Word{Text: path, Help: "key of the configuration"})
			}
		}
	}
	return offered, nil
}

// known returns what the configuration knows by a name: the one that the words name, if it can be read.
func known(words []string, name string) []manual.Word {
	file := config.DefaultPath
	for i, w := range words[:max(0, len(words)-1)] {
		if w == "--config" || w == "-c" {
			file = words[i+1]
		} else if value, found := strings.CutPrefix(w, "--config="); found {
			file = value
		}
	}
	if name == "config" {
		return nil
	}
	cfg, err := (&configFlag{Config: file}).load()
	if err != nil {
		cfg, err = config.Parse(file, nil) // what is known without it
	}
	if err != nil {
		return nil
	}
	var all []manual.Word
	switch name {
	case "tenant":
		for i := range cfg.Tenants {
			all = append(all, manual.Word{Text: cfg.Tenants[i].Name, Help: "tenant"})
		}
	case "ip":
		for _, ip := range cfg.SendingIPs {
			all = append(all, manual.Word{Text: ip.Address.String(), Help: ip.EHLO})
		}
	case "provider":
		for _, p := range cfg.Providers() {
			all = append(all, manual.Word{Text: p.Name, Help: "provider"})
		}
	case "name":
		for i := range cfg.SenderLimits {
			all = append(all, manual.Word{Text: cfg.SenderLimits[i].Name, Help: "limit"})
		}
	}
	return all
}

// A manualCommand makes the reference pages; "make docs" and "make man" call it.
type manualCommand struct {
	Page          string `arg:"" enum:"cli.md,configuration.md,kanmon.1,kanmon.toml.5"`
	Configuration string `arg:"" optional:"" help:"The page docs/ref/configuration.md."`
}

// Run prints a page.
func (k *manualCommand) Run(c *console, app *kong.Kong) error {
	text, err := k.page(app.Model)
	if err == nil {
		_, err = fmt.Fprint(c.stdout, text)
	}
	return err
}

func (k *manualCommand) page(app *kong.Application) (string, error) {
	switch k.Page {
	case "cli.md":
		return manual.Commands(app), nil
	case "kanmon.1":
		return manual.CommandsMan(app), nil
	}
	tables, err := config.Reference()
	if err != nil {
		return "", err
	}
	page, err := os.ReadFile(k.Configuration)
	if err != nil {
		return "", err
	}
	if k.Page == "configuration.md" {
		return manual.FillConfiguration(string(page), tables)
	}
	return manual.ConfigurationMan(string(page), tables)
}
