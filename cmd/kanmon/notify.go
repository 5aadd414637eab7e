package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"kanmon/internal/config"
	"kanmon/internal/event"
	"kanmon/internal/view"
	"kanmon/internal/view/notify"
)

type notifyCommands struct {
	Test   notifyTestCommand   `cmd:"" help:"Send a test to each channel of [[notify_webhook]] and [[notify_mail]], and say what each answers."`
	Digest notifyDigestCommand `cmd:"" help:"Print the summary of a day, as it is sent each day."`
}

type notifyDigestCommand struct {
	viewFlag
	Date     string          `help:"The day, as 2026-11-30; default: yesterday." placeholder:"DATE"`
	Language config.Language `help:"en or ja; default: that of [notify]." placeholder:"LANGUAGE"`
}

// Help says what it shows.
func (*notifyDigestCommand) Help() string {
	return `It prints what channels are sent each day at the time that digest of [notify] says, for any day that there is history of, and sends nothing. What is not normal is that of now.`
}

// Run prints the summary of a day.
func (k *notifyDigestCommand) Run(c *console) error {
	cfg, err := k.loadHistory()
	if err != nil {
		return err
	}
	day := time.Now().In(cfg.Notify.Location()).AddDate(0, 0, -1)
	if k.Date != "" {
		if day, err = time.Parse(time.DateOnly, k.Date); err != nil {
			return fmt.Errorf("--date %q is no day: want one such as %s", k.Date, time.Now().Format(time.DateOnly))
		}
	}
	if k.Language != "" {
		if !slices.Contains(k.Language.Words(), string(k.Language)) {
			return fmt.Errorf("--language %q: want %s", k.Language, strings.Join(k.Language.Words(), " or "))
		}
		cfg.Notify.Language = k.Language
	}
	past, err := view.ReadHistory(cfg)
	if err != nil {
		return err
	}
	defer past.Close()
	text, err := notify.Digest(context.Background(), cfg, view.Tells(cfg, past), day)
	if err != nil {
		return err
	}
	_, err = fmt.Fprint(c.stdout, text)
	return err
}

type notifyTestCommand struct {
	configFlag
	Channel string `arg:"" optional:"" help:"The channel, by its name; default: each."`
}

// Help says what the exit code means.
func (*notifyTestCommand) Help() string {
	return `The exit code is 1 if a channel did not take the test. It works while kanmon-history or kanmon-view runs, and also while neither does.`
}

// Run sends a test to each channel.
func (k *notifyTestCommand) Run(c *console) error {
	cfg, err := k.load()
	if err != nil {
		return err
	}
	if !cfg.Notifies() {
		return fmt.Errorf("nobody is told of anything: %s has neither [[notify_mail]] nor [[notify_webhook]]", cfg.File())
	}
	tried, failed := 0, 0
	err = notify.Test(context.Background(), cfg, k.Channel, func(t notify.Tried) {
		tried++
		result := t.Answer
		if t.Err != nil {
			failed++
			result = "NOT taken: " + t.Err.Error()
		}
		const most = 600
		fmt.Fprintf(c.stdout, "%s %s (%s), %v: %s\n", t.Kind, t.Channel, t.Target, t.Took.Round(time.Millisecond), event.Printable(result, most))
	})
	switch {
	case err != nil:
		return err
	case tried == 0:
		return fmt.Errorf("there is no channel %q in %s", k.Channel, cfg.File())
	case failed > 0:
		return errShown
	}
	return nil
}
