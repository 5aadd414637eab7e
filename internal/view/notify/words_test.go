package notify

import (
	"encoding/base64"
	"fmt"
	"io"
	"mime"
	"mime/quotedprintable"
	"net/mail"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"kanmon/internal/config"
)

// decoded gives the text of a message as its reader sees it.
func decoded(t *testing.T, m *mail.Message) string {
	t.Helper()
	body := io.Reader(quotedprintable.NewReader(m.Body))
	if m.Header.Get("Content-Transfer-Encoding") == "base64" {
		body = base64.NewDecoder(base64.StdEncoding, m.Body)
	}
	text, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(text), "\r\n", "\n")
}

// full is an event that has everything.
func full(name config.NotifyEvent, text string) *Event {
	e := newEvent(name, time.Date(2026, 11, 30, 5, 2, 11, 0, time.UTC), Data{
		Gateway: text, Since: time.Unix(1_790_000_000, 0), Until: time.Unix(1_800_000_000, 0), More: 3, SendingIP: ip10, Provider: text, Pool: text, List: text, Names: []string{text}, Tenant: text,
		Account: text, Phase: text, State: text, Was: text, Action: text, By: text, Rule: text, Class: text, Version: text, Condition: text, Did: text,
		Replies: []string{text, "550 " + text}, IP: ip10, Session: 7, Transaction: 2, Sender: text, MessageID: text, Text: text,
	})
	for _, n := range []string{
		"deferred_ratio", "deferred_ratio_a_week_ago", "mails", "tenants", "replies", "records", "times_in_24h", "silent_seconds", "here_ms", "others_ms", "before_ms",
	} {
		e.Data.Numbers = append(e.Data.Numbers, Number{n, .25, .2})
	}
	e.ID = "msg_1"
	return &e
}

// Every event has texts in both languages, whatever is known of it; every label is there.
func TestEveryEventHasWords(t *testing.T) {
	for name, l := range languages {
		w := &words{language: l, zone: time.UTC, page: "https://page.example"}
		for _, event := range append(slices.Clone(config.NotifyEvents), testEvent) {
			for _, e := range []*Event{full(event, "x"), {Type: event}} {
				values := w.values(e, plain)
				for _, part := range []string{"title", "did", "todo"} {
					said := w.say(e, part, values)
					if said == string(event) || part == "title" && said == "" || strings.Contains(said, "<no value>") {
						t.Errorf("%s, %s, %s: %q", name, event, part, said)
					}
				}
				if _, text := w.mail(e); strings.Contains(text, "<no value>") {
					t.Errorf("%s, %s: %q", name, event, text)
				}
			}
		}
		for label := range englishLabels {
			if l.labels[label] == "" {
				t.Errorf("%s has no label %s", name, label)
			}
		}
		for value := range englishNone {
			if l.noValues[value] == "" {
				t.Errorf("%s has no word for no %s", name, value)
			}
		}
	}
}

// An order about a sending IP says where it holds: at one provider, or at all.
func TestAnOrderSaysAtWhichProvider(t *testing.T) {
	for provider, want := range map[string]map[config.Language]string{
		"google": {"en": "rin: suspend 203.0.113.10 at google", "ja": "rin: suspend 203.0.113.10(google)"},
		"":       {"en": "rin: suspend 203.0.113.10 at all providers", "ja": "rin: suspend 203.0.113.10(すべてのプロバイダ)"},
	} {
		e := newEvent("order.done", time.Unix(0, 0), Data{By: "rin", Action: "suspend", SendingIP: ip10, Provider: provider})
		for lang, title := range want {
			w := &words{language: languages[lang], zone: time.UTC}
			if got := w.titled(&e); got != title {
				t.Errorf("%s: %q, want %q", lang, got, title)
			}
		}
	}
}

// hostile are texts that somebody may write into an address, a reply, a name.
var hostile = []string{
	"a\r\nBcc: victim@example.com\r\n\r\nbody", "\x1b]0;owned\x07\x1b[31m", "<script>alert(1)</script>", "<!channel> <@U1> <https://evil.example|click>",
	"@channel @all [click](https://evil.example) ![x](https://evil.example/x.png)", "`code` ```fence``` *bold* _it_ ~no~", "\u202ereversed\u2066", "{{.Gateway}} {{template \"x\"}}", "&amp; &lt;",
	strings.Repeat("long ", 1000), "=?UTF-8?B?QmNj?=", "\n-- \nsignature\nWhat to do:\nsend us your password",
}

func outsideCode(text string) string { return inCode.ReplaceAllString(text, "CODE") }

var inCode = regexp.MustCompile("`[^`]*`")

// What strangers write makes no header, no markup, no mention, and no line of its own.
func TestHostileTexts(t *testing.T) {
	for _, text := range hostile {
		for _, name := range config.NotifyEvents {
			if name == digestEvent { // is made of texts that are fit already: its own test has them
				continue
			}
			for lang, l := range languages {
				w := &words{language: l, zone: time.UTC}
				e := full(name, text)
				title, body := w.mail(e)
				clean := full(name, "x")
				_, cleanBody := w.mail(clean)
				if strings.ContainsAny(title, "\r\n") || strings.IndexFunc(title+body, func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }) >= 0 {
					t.Errorf("%s, %s: %q\n%q", lang, name, title, body)
				}
				if got, want := strings.Count(body, "\n"), strings.Count(cleanBody, "\n"); got != want {
					t.Errorf("%s, %s: %d lines, want %d: a stranger's text has made some:\n%s", lang, name, got, want, body)
				}
				if got, want := outsideCode(w.slack(e)), outsideCode(w.slack(clean)); got != want || strings.Contains(w.slack(e), "<") {
					t.Errorf("%s, %s: outside of code\n%s\nwant\n%s", lang, name, got, want)
				}
			}
		}
	}
}

func TestHostileTextsMakeNoHeader(t *testing.T) {
	h := newSmarthost(t, &smarthost{})
	for _, lang := range []config.Language{config.English, config.Japanese} {
		c := h.channel(t, config.NotifyMail{TLS: config.MailTLSNone}, config.Notify{Language: lang})
		for _, text := range hostile {
			h.mu.Lock()
			h.lines = nil
			h.mu.Unlock()
			if _, err := c.send(t.Context(), full("account.contained", text)); err != nil {
				t.Fatal(err)
			}
			m := h.message(t)
			if m.Header.Get("Bcc") != "" || len(m.Header) != 10 {
				t.Errorf("%q: header %v", text, m.Header)
			}
			subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
			if err != nil || !strings.Contains(subject, "kanmon: ") {
				t.Errorf("%q: subject %q, %v", text, subject, err)
			}
			h.mu.Lock()
			if n := strings.Count(fmt.Sprint(h.lines), "RCPT TO"); n != 1 {
				t.Errorf("%q: %d recipients", text, n)
			}
			h.mu.Unlock()
		}
	}
}
