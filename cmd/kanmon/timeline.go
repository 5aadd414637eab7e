package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/view/history"
	"kanmon/internal/view/tally"
)

type timelineCommand struct {
	pastFlag
	spanFlags
	aboutFlags
	Gateway string `help:"Only what this gateway did." placeholder:"NAME"`
	Account string `help:"Only mail of this account." placeholder:"ADDRESS"`
}

// A timeline is what came of mail by and by, and what happened meanwhile.
type timeline struct {
	*tally.Series
	StepSeconds float64      `json:"step_seconds"`
	News        []tally.News `json:"news"` // the oldest first
	MoreNews    bool         `json:"more_news,omitempty"`
}

// Run shows what came of mail in steps of time, with the events between.
func (k *timelineCommand) Run(c *console) error {
	ctx := context.Background()
	p, err := k.open(ctx)
	if err != nil {
		return err
	}
	defer p.Close()
	from, to, err := k.between(aDay)
	if err != nil {
		return err
	}
	of := tally.Subject{Gateway: k.Gateway, Provider: k.Provider, SendingIP: k.IP.Unmap(), Tenant: k.Tenant, Account: k.Account}
	line, err := timelineOf(ctx, p, of, from, to)
	switch {
	case err != nil:
		return err
	case k.JSON:
		err = printJSON(c.stdout, line)
	default:
		err = printTimeline(c.stdout, line)
	}
	if line.Sum.Attempts == 0 && len(line.News) == 0 {
		return errors.Join(err, fmt.Errorf("nothing happened from %s to %s: %s", when(from), when(to), p.kept()))
	}
	return err
}

// mostNews is how many events are told of one time.
const mostNews = 500

func timelineOf(ctx context.Context, store history.Store, of tally.Subject, from, to time.Time) (*timeline, error) {
	series, err := tally.Over(ctx, store, of, from, to)
	if err != nil {
		return nil, err
	}
	line := &timeline{Series: series, StepSeconds: series.Step.Seconds(), News: []tally.News{}}
	list, next, err := store.Events(ctx, history.EventsOf{
		From: series.From, To: to, Types: tally.Told, Gateway: of.Gateway, Provider: of.Provider, SendingIP: of.SendingIP,
		Tenant: of.Tenant, Account: of.Account,
	}, history.Page{Limit: mostNews})
	if err != nil {
		return nil, err
	}
	line.MoreNews = next != ""
	for i := len(list) - 1; i >= 0; i-- {
		line.News = append(line.News, tally.NewsOf(&list[i]))
	}
	return line, nil
}

// printTimeline writes a line for each step in which something was, and between them what happened.
func printTimeline(w io.Writer, line *timeline) error {
	if line.MoreNews {
		fmt.Fprintf(w, "the newest %d events are shown: ask about a shorter time\n", mostNews)
	}
	const width = 30
	most := int64(1)
	for i := range line.Steps {
		most = max(most, line.Steps[i].Attempts)
	}
	fmt.Fprintf(w, "%-16s %8s %8s %8s %8s %8s\n", "FROM", "ATTEMPTS", "DELIVRD", "DEFERRED", "REFUSED", "UNCLEAR")
	news, skipped := line.News, false
	for i := range line.Steps {
		begin := line.From.Add(time.Duration(i) * line.Step)
		o := &line.Steps[i]
		first := len(news) > 0 && news[0].At.Before(begin.Add(line.Step))
		if o.Attempts == 0 && !first {
			if !skipped {
				fmt.Fprintln(w, "...")
			}
			skipped = true
			continue
		}
		skipped = false
		bar := strings.Repeat("#", int((o.Attempts*width+most-1)/most))
		fmt.Fprintf(w, "%-16s %8d %8d %8d %8d %8d %s\n", begin.Local().Format("2006-01-02 15:04"), o.Attempts, o.Delivered, o.Deferred, o.Refused, o.Unclear, bar)
		for len(news) > 0 && news[0].At.Before(begin.Add(line.Step)) {
			printNews(w, &news[0])
			news = news[1:]
		}
	}
	for _, g := range line.Gaps {
		fmt.Fprintf(w, "gap: %s to %s: %s\n", when(g.From), when(g.To), event.Printable(g.Why, mostOfNews))
	}
	_, err := fmt.Fprintf(w, "in all: %d attempts, %d delivered, %d deferred, %d refused, %d unclear, %d ended otherwise; times of %s\n", line.Sum.Attempts, line.Sum.Delivered,
		line.Sum.Deferred, line.Sum.Refused, line.Sum.Unclear, line.Sum.Other, time.Now().Format("-07:00"))
	return err
}

// mostOfNews is how much of one is shown.
const mostOfNews = 600

func printNews(w io.Writer, n *tally.News) {
	fmt.Fprintf(w, "  %s -- %s: %s\n", n.At.Local().Format("15:04:05"), shownName(n.Who), event.Printable(n.What, mostOfNews))
}
