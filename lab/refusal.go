package main

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"kanmon/internal/event"
)

// A refusal is how, and from when on, an MX refuses the sending IP that it has listed.
type refusal struct {
	Verb  string // what it refuses: "BANNER" or a command
	Reply string
	At    time.Duration
}

// mainVerb is the form of the refusal that is drawn.
const mainVerb = "RCPT"

// refusals are the forms that differ to an MTA: Postfix keeps a mail when it is refused at the banner, and gives it back at RCPT.
func refusals(at time.Duration) []refusal {
	return []refusal{
		{Verb: mainVerb, Reply: "550 5.7.1 Service unavailable; your IP address is listed on our block list", At: at},
		{Verb: "BANNER", Reply: "554 5.7.1 Service unavailable; your IP address is listed on our block list", At: at},
	}
}

// A list is that of an MX, and what the MX sees of the listed IP once it is on it. Times are when a connection or command reached the MX.
type list struct {
	refusal
	now func() time.Duration

	mu      sync.Mutex
	opened  []time.Duration // connections
	refused []time.Duration
}

// refuse gives the reply for a client, "" if it is not refused.
func (l *list) refuse(client net.Addr, command string) string {
	now := l.now()
	verb, _, _ := strings.Cut(command, " ")
	if addressOf(client) != listedIP || now < l.At {
		return ""
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if verb == "BANNER" {
		l.opened = append(l.opened, now)
	}
	if verb != l.Verb {
		return ""
	}
	l.refused = append(l.refused, now)
	return l.Reply
}

// A sighting is what an MX saw of the listed IP. Durations are counted from when the first refusal left the MX.
type sighting struct {
	Refused     int
	LastRefused time.Duration // when the last refusal left the MX
	Opened      int           // connections since
	LastOpened  time.Duration // the last of these; 0 if there was none
}

// sighting reads the MX's list. Each reply leaves the MX so long after what it answers has come.
func (l *list) sighting(delay time.Duration) (s sighting) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.refused) == 0 {
		return s
	}
	first := slices.Min(l.refused)
	s.Refused, s.LastRefused = len(l.refused), slices.Max(l.refused)-first
	for _, at := range l.opened {
		if since := at - (first + delay); since > 0 {
			s.Opened++
			s.LastOpened = max(s.LastOpened, since)
		}
	}
	return s
}

// A rescues is what kanmon's records say of the refusals it met.
type rescues struct {
	Rescued, Other int           // refusals after which another sending IP went on, and those after which none did
	Longest        time.Duration // until another one went on
}

func readRescues(records string) (r rescues, err error) {
	for record, err := range event.NewReader(strings.NewReader(records)).All() {
		if err != nil {
			return r, fmt.Errorf("kanmon's records: %w", err)
		}
		switch {
		case record.Type == "dropped":
			return r, fmt.Errorf("kanmon's records are not complete: %d are missing", record.Records)
		case record.Type == "refusal" && record.Action == event.Rescued.String():
			r.Rescued++
			r.Longest = max(r.Longest, record.Took.Duration())
		case record.Type == "refusal":
			r.Other++
		}
	}
	return r, nil
}
