package setup

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// A Fault is what makes a file no configuration: the key, what is wrong with it, and what would be right ("" if that says it).
type Fault struct{ Key, Problem, Want string }

// String says it without the key, of which who answers knows nothing.
func (f Fault) String() string {
	if f.Want == "" {
		return f.Problem
	}
	return f.Problem + ": " + f.Want
}

// topics are what is asked and what flags say, by the keys that come of it.
var topics = []struct {
	topic
	keys []string
}{
	{sources, []string{"intercept.sources", "intercept.local"}},
	{addresses, []string{"sending_ip", "sending_ip.address"}},
	{names, []string{"sending_ip.ehlo"}},
	{tenants, []string{"tenant", "tenant.name", "tenant.sources"}},
	{shown, []string{"journal.addresses"}},
}

// A topic is what one question is about; its text is the flag that says the same.
type topic string

const (
	sources   topic = "--sources"
	addresses topic = "--sending-ip ADDRESS"
	names     topic = "--sending-ip ADDRESS=NAME"
	tenants   topic = "--tenant"
	shown     topic = "--addresses"
)

var index = regexp.MustCompile(`\[\d+\]`)

// topicOf says what a fault comes of; "" if of nothing that was said.
func topicOf(f Fault) topic {
	key := index.ReplaceAllString(f.Key, "")
	for _, t := range topics {
		if slices.Contains(t.keys, key) {
			return t.topic
		}
	}
	return ""
}

// wrongIn returns what is wrong with the answer to one question, or nil.
func (a *Answers) wrongIn(of topic, faults func(text string) []Fault) error {
	if of == "" || faults == nil {
		return nil
	}
	for _, f := range faults(a.Text()) {
		if topicOf(f) == of {
			return fmt.Errorf("%s", f)
		}
	}
	return nil
}

// Wrong says what makes the answers no configuration, in the words of the flags; nil if they are one.
func (a *Answers) Wrong(faults func(text string) []Fault) error {
	var lines []string
	for _, f := range faults(a.Text()) {
		where := string(topicOf(f))
		if where == "" {
			where = f.Key
		}
		lines = append(lines, fmt.Sprintf("  %s: %s", where, f))
	}
	if len(lines) == 0 {
		return nil
	}
	return fmt.Errorf("what was said makes no configuration, and nothing is written:\n%s", strings.Join(lines, "\n"))
}
