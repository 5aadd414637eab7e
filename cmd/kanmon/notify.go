package main

import (
	"context"
	"fmt"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/view/notify"
)

type notifyCommands struct {
	Test notifyTestCommand `cmd:"" help:"Send a test to each channel of [[notify_webhook]] and [[notify_mail]], and say what each answers."`
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
