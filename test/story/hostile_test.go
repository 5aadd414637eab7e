package story

import (
	"bytes"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"kanmon/internal/event"
	"kanmon/internal/event/journal"
)

// hostileMail is a text in all places of a record that a stranger writes.
func hostileMail(text string, n int) *event.Record {
	r := event.NewRecord()
	r.At, r.Tenant = monday.Add(time.Duration(n)*time.Second), "acme"
	r.Session.ID, r.Session.Start, r.Session.HeloMSA = event.ID(n+1), r.At, text
	r.Session.Way = &event.Way{Tenant: "acme", Pool: "main", Provider: "google"}
	r.Session.MX = event.TLS{Err: text}
	x := r.OwnTransaction()
	said := func(text string) event.Reply {
		return event.Reply{Code: 550, Told: 550, Text: r.Add([]byte("550 5.7.1 " + text)), Meaning: x.Means(event.Meaning{Class: event.ContentRejected, Scope: event.ScopeMessage, Rule: "spam"}), Pieces: 1, Took: 1000}
	}
	yes := event.Reply{Code: 250, Told: 250, Text: r.Add([]byte("250 Ok")), Pieces: 1, Took: 1000}
	*x = event.Transaction{Number: 1, Sender: r.Add([]byte(text)), Tenant: r.Add([]byte("acme")), Account: r.Add([]byte(text + "@acme.example")), Mail: yes, Data: event.Reply{Code: 354, Text: r.Add([]byte("354 go on")), Pieces: 1}, Outcome: event.OutcomeRefused, Cause: text}
	x.Recipients = append(x.Recipients, event.Recipient{Address: r.Add([]byte(text + "@hostile.example")), Reply: yes})
	x.Dot = said(text)
	x.Identity = &event.Identity{MessageID: r.Add([]byte(text)), QueueID: r.Add([]byte(text)), Received: r.At}
	r.Transaction = x
	return r
}

// acts reports whether a text acts on a terminal: it has anything but characters that are shown, and ends of lines.
func acts(text []byte) (at int, is bool) {
	for i := 0; i < len(text); {
		c, size := utf8.DecodeRune(text[i:])
		switch {
		case c == '\n':
		case c == utf8.RuneError && size == 1, !unicode.IsGraphic(c), unicode.Is(unicode.Cf, c), unicode.Is(unicode.Variation_Selector, c), unicode.Is(unicode.Other_Default_Ignorable_Code_Point, c):
			return i, true
		}
		i += size
	}
	return 0, false
}

var escaped = regexp.MustCompile(`\\(\\|x[0-9a-f]{2}|u\{[0-9a-f]+\})`)

// readBack undoes what a record does to a text, as docs/ref/record.md has it.
func readBack(text string) string {
	return escaped.ReplaceAllStringFunc(text, func(e string) string {
		switch e[1] {
		case 'x':
			n, _ := strconv.ParseUint(e[2:], 16, 8)
			return string([]byte{byte(n)})
		case 'u':
			n, _ := strconv.ParseUint(e[3:len(e)-1], 16, 32)
			return string(rune(n)) //nolint:gosec // it has at most six digits
		}
		return `\`
	})
}

// Hostile texts are on record as they were, and no octet of the record acts on whoever shows it.
func TestHostileTextsAreOnRecordAndDoNotAct(t *testing.T) {
	e, err := journal.NewEncoder(journal.Options{Gateway: "gw1", Run: monday, Identify: true})
	if err != nil {
		t.Fatal(err)
	}
	const cut = 2000 // texts that are so long may be
	for n, text := range Hostile(1, 10_000) {
		line := e.Append(nil, hostileMail(text, n))
		if at, is := acts(line); is {
			t.Fatalf("%q acts, at %q", line, line[at:])
		}
		if bytes.Count(line, []byte("\n")) != 1 {
			t.Fatalf("%q is not one line", line)
		}
		got, err := event.ParseEntry(line)
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if len(text) > cut {
			continue
		}
		if back := readBack(strings.TrimPrefix(got.Dot.Text, "550 5.7.1 ")); back != text || readBack(got.Recipients[0].Address) != text+"@hostile.example" || readBack(got.MessageID) != text || readBack(got.EHLOMSA) != text {
			t.Fatalf("%q is on record as %q", text, got.Dot.Text)
		}
	}
}
