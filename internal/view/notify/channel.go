package notify

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"kanmon/internal/config"
)

// A channel is a way to people.
type channel struct {
	name   string
	kind   string // for people: "webhook", "mail"
	target string // where it leads, for people
	events config.Names
	gone   atomic.Bool // its receiver wants no more
	awake  chan struct{}

	// send sends an event, and gives what the receiver has said. The error may be a refusedError.
	send func(ctx context.Context, e *Event) (answer string, err error)
}

func (c *channel) wants(e config.NotifyEvent) bool { return config.Wants(c.events, e) }

// A refusedError is that a receiver did not take what it was sent.
type refusedError struct {
	what  string
	gone  bool          // it never will
	after time.Duration // when it wants to be asked again
}

func (e *refusedError) Error() string { return e.what }

// channelsOf makes the channels of a configuration, in its order.
func channelsOf(cfg *config.Config) (list []*channel, err error) {
	words := wordsOf(&cfg.Notify)
	for i := range cfg.NotifyWebhooks {
		w := &cfg.NotifyWebhooks[i]
		send, err := newWebhook(w, words)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", cfg.Where(fmt.Sprintf("notify_webhook[%d].secret_file", i)), err)
		}
		list = append(list, &channel{name: w.Name, kind: "webhook", target: shownURL(w.URL), events: w.Events, awake: make(chan struct{}, 1), send: send})
	}
	for i := range cfg.NotifyMails {
		m := &cfg.NotifyMails[i]
		send, err := newMail(m, words)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", cfg.Where(fmt.Sprintf("notify_mail[%d]", i)), err)
		}
		by := m.Smarthost
		if by == "" {
			by = m.Sendmail
		}
		list = append(list, &channel{name: m.Name, kind: "mail", target: strings.Join(m.To, ", ") + " by " + by, events: m.Events, awake: make(chan struct{}, 1), send: send})
	}
	return list, nil
}

// secretsIn reads a file with secrets, one a line.
func secretsIn(path string) ([]string, error) {
	const most = 4 << 10
	info, err := os.Stat(path)
	if err != nil {
		return nil, errors.New(config.CauseOf(err, path))
	}
	if info.Size() > most {
		return nil, fmt.Errorf("%s: it has %d octets, and a file with a secret has less than %d", path, info.Size(), most)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, errors.New(config.CauseOf(err, path))
	}
	lines := strings.Split(string(text), "\n")
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return slices.DeleteFunc(lines, func(line string) bool { return line == "" }), nil
}
