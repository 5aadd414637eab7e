package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"time"

	"kanmon/test/guide"
	"kanmon/test/steady"
)

// What a person who follows the page of the installation may need at most.
const (
	mostCommands = 6
	mostTime     = 5 * time.Minute
)

// guideSteps are what the pages for operators have a person type, word by word, on a machine that begins without kanmon.
func (r *rig) guideSteps() ([]step, error) {
	docs := filepath.Join(r.source, "docs")
	pages, err := guide.Pages(docs)
	if err != nil {
		return nil, err
	}
	// kanmon observes at first: mail leaves from an address of the host's own, as it does without kanmon.
	all := []step{{name: "boot, without kanmon", do: boot, person: true, behind: steady.Directly}}
	for _, page := range pages {
		commands, err := guide.Read(docs, page)
		if err != nil {
			return nil, err
		}
		if first := guide.FirstMail(commands); len(first) > 0 {
			all = append(all, step{name: "from the package to the first mail", do: firstMail(first), person: true, behind: steady.Directly})
			commands = commands[len(first):]
		}
		if len(commands) > 0 {
			all = append(all, step{name: "docs/" + page, do: follow(commands), person: true})
		}
	}
	return all, nil
}

// firstMail follows the page of the installation, on a machine that has the package and nothing of kanmon, and no answer but Enter.
func firstMail(commands []guide.Command) func(*rig) error {
	return func(r *rig) error {
		if len(commands) > mostCommands {
			return fmt.Errorf("the page has %d commands, want %d at most", len(commands), mostCommands)
		}
		for _, version := range []string{older, newer} { // what a person has downloaded
			if _, err := r.deb(version); err != nil {
				return err
			}
		}
		began := time.Now()
		last := len(commands) - 1
		for _, c := range commands[:last] {
			if _, err := r.types(c); err != nil {
				return err
			}
		}
		if err := r.firstRecord(); err != nil {
			return err
		}
		shown, err := r.types(commands[last])
		if err != nil || !strings.Contains(shown, "<- 250 ") {
			return errors.Join(err, fmt.Errorf("%s: it does not show a mail: %s", commands[last], shown))
		}
		took := time.Since(began)
		fmt.Printf("from the package to the first mail on record: %d commands, %.1f s\n", len(commands), took.Seconds())
		if took > mostTime {
			return fmt.Errorf("that took %v, want %v at most", took, mostTime)
		}
		return nil
	}
}

// firstRecord waits until a mail that was delivered is on record.
func (r *rig) firstRecord() error {
	for end := time.Now().Add(settleTimeout); ; time.Sleep(100 * time.Millisecond) {
		records, _ := r.machine.run("cat", "/var/log/kanmon/records.jsonl")
		if strings.Contains(records, `"outcome":"delivered"`) {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("no mail is on record within %v", settleTimeout)
		}
	}
}

// follow types what a page has, in its order. Each section begins with a kanmon that runs, as its page wants it before.
func follow(commands []guide.Command) func(*rig) error {
	return func(r *rig) error {
		section := ""
		for _, c := range commands {
			if guide.Excepted(c) != "" {
				continue
			}
			if c.Section != section {
				if err := r.asBefore(); err != nil {
					return fmt.Errorf("before docs/%s, %q: %w", c.Page, c.Section, err)
				}
				section = c.Section
			}
			if _, err := r.types(c); err != nil { // what comes behind it is worth a try
				r.errs = append(r.errs, err)
			}
		}
		return errors.Join(r.asBefore(), r.works())
	}
}

// fails are commands that a page shows because they fail there: behind which other one.
var fails = map[string]string{
	"howto/monitor.md: kanmon status": "systemctl stop kanmon", // to see the alarm
}

// shows is what some commands must print, here as on their pages.
var shows = map[string]string{
	"jq -r --arg who":       `sender@msa1.example\s+user@\S+\s+delivered\s+250 `,
	"grep ":                 `<- 250 `,
	"kanmon rules status":   `in force, and guarded`,
	"kanmon backup ":        `good, \d files`,
	"kanmon account block ": `block`,
	"kanmon explain ":       `pool +`,
}

// types runs a command as a person would: at a terminal where it asks, with Enter for an answer, and with this machine's values in place of those of the page.
func (r *rig) types(c guide.Command) (string, error) {
	text, err := r.here(c.Text)
	if err != nil {
		return "", fmt.Errorf("%s: %w", c, err)
	}
	if strings.HasPrefix(text, "kanmon init") { // a host's first configuration
		if err := r.unconfigured(); err != nil {
			return "", err
		}
	}
	args := []string{"bash", "-c", "cd /root && " + text}
	if strings.HasPrefix(text, "apt ") || strings.HasPrefix(text, "kanmon init") {
		args = []string{"script", "--quiet", "--return", "--command", strings.Join(args[2:], ""), "/dev/null"}
	}
	out, err := r.machine.answer(strings.Repeat("\n", 10), args...)
	behind, mayFail := fails[c.Page+": "+c.Text]
	mayFail = mayFail && behind == r.typed
	r.typed = c.Text
	switch {
	case err != nil && c.Text == "kanmon status" && strings.Contains(out, "NOT normal: "):
		return out, nil // of what the page has just made so: it has been said
	case mayFail && err == nil:
		return out, fmt.Errorf("%s: it does not fail: %s", c, out)
	case mayFail:
		return out, nil
	case err != nil:
		return out, fmt.Errorf("%s: %w", c, err)
	}
	for begins, want := range shows {
		if strings.HasPrefix(c.Text, begins) && !regexp.MustCompile(want).MatchString(out) {
			return out, fmt.Errorf("%s: want %q in: %s", c, want, out)
		}
	}
	return out, nil
}

// The values of the pages that are others here.
const (
	pagesSession = "17f3a9c2b4d5e6f0"
	pagesSender  = "alice@example.net"
	pagesUntil   = "2026-07-02T09:00"
)

func (r *rig) here(text string) (string, error) {
	values := []string{"_amd64.deb", "_" + runtime.GOARCH + ".deb", pagesSender, "sender@msa1.example", pagesUntil, time.Now().Add(24 * time.Hour).Format("2006-01-02T15:04")}
	if strings.Contains(text, pagesSession) {
		last, err := r.machine.run("sh", "-c", `grep '"outcome":"delivered"' /var/log/kanmon/records.jsonl | tail --lines 1`)
		if err != nil {
			return "", err
		}
		var record struct {
			Session string `json:"session"`
		}
		if err := json.Unmarshal([]byte(last), &record); err != nil || record.Session == "" {
			return "", fmt.Errorf("no session in %s: %w", last, err)
		}
		values = append(values, pagesSession, record.Session)
	}
	return strings.NewReplacer(values...).Replace(text), nil
}

// asBefore has kanmon installed, configured for the pages' example, running and intercepting, whatever the section before has done.
func (r *rig) asBefore() error {
	if _, err := r.machine.run("sh", "-c", "command -v kanmon"); err != nil {
		if _, err := r.dpkg(older); err != nil {
			return err
		}
	}
	if err := r.machine.write(configFile, r.config()+pagesTenant, 0o644); err != nil {
		return err
	}
	_, err := r.machine.run("sh", "-euc", `
		systemctl is-enabled --quiet kanmon kanmon-rules || systemctl enable --quiet kanmon kanmon-rules
		systemctl start kanmon kanmon-rules kanmon-rules-guard
		kanmon reload
		kanmon rules apply
		systemctl start kanmon-history
		kanmon tenant unblock acme || true # nothing may be known of it yet
		kanmon ip resume 203.0.113.10`)
	return err
}

// unconfigured has kanmon installed, and nothing else.
func (r *rig) unconfigured() error {
	if _, err := r.machine.run("systemctl", "stop", "kanmon-rules", "kanmon"); err != nil {
		return err
	}
	return r.machine.unlink(configFile)
}

// pagesTenant is the tenant of the pages, the limit that they have an operator change, and that history is kept.
const pagesTenant = `
[[tenant]]
name    = "acme"
sources = ["10.20.1.0/24", "fd20:0:1::/48"]

[[sender_limit]]
name    = "account-hour"
per     = "account"
count   = "messages"
limit   = 500
every   = "1h"
enforce = false

[history]
`
