package notify

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"
	"unicode"

	"kanmon/internal/config"
	"kanmon/test/story"
)

// Thousands of hostile texts are told by webhook, in the form of chats and by mail, in each language, and none acts on whoever reads it: no escape, no line
// of its own, no markup. KANMON_HOSTILE=full takes ten thousand.
func TestThousandsOfHostileTextsAreTold(t *testing.T) {
	n := 500
	if os.Getenv("KANMON_HOSTILE") == "full" {
		n = 10_000
	}
	shown := func(r rune) bool { return r == '\n' || unicode.IsPrint(r) }
	for i, text := range story.Hostile(3, n) {
		name := config.NotifyEvents[i%len(config.NotifyEvents)]
		if name == digestEvent || text == "" { // where nothing was said there are fewer lines
			continue
		}
		for _, l := range languages {
			w := &words{language: l, zone: time.UTC}
			e := full(name, text)
			w.fill(e)
			body, err := json.Marshal(e)
			if err != nil {
				t.Fatalf("%q: %v", text, err)
			}
			var back struct {
				Data struct{ Subject, Did, ToDo string }
			}
			if err := json.Unmarshal(body, &back); err != nil {
				t.Fatalf("%q: %v", body, err)
			}
			title, mail := w.mail(full(name, text))
			chat := w.slack(full(name, text))
			for what, said := range map[string]string{"subject": back.Data.Subject, "did": back.Data.Did, "to do": back.Data.ToDo, "title": title, "mail": mail, "chat": chat} {
				if at := strings.IndexFunc(said, func(r rune) bool { return !shown(r) }); at >= 0 {
					t.Errorf("%s of %s acts at %q: %q", what, name, said[at:], said)
				}
			}
			if strings.ContainsAny(title, "\r\n") || strings.Count(mail, "\n") != strings.Count(plainMail(w, name), "\n") {
				t.Errorf("%s: a stranger has made a line of %q:\n%s", name, text, mail)
			}
			if outside := outsideCode(chat); strings.ContainsAny(outside, "<@") { // ">" begins a reply
				t.Errorf("%s: outside of code: %s", name, outside)
			}
		}
	}
}

func plainMail(w *words, name config.NotifyEvent) string {
	_, text := w.mail(full(name, "x"))
	return text
}
