package daemon

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/itchyny/gojq"

	"kanmon/internal/smtp/smtptest"
)

// What docs/howto/find-a-mail.md has an operator type finds, in the records of real sessions, what became of each recipient: also of one that was
// refused where another was accepted, and of those that were all refused by an MX that then says 354, and 250 to a lone dot.
//
// firstday-10
func TestTheRecipeFindsAMail(t *testing.T) {
	mx := &smtptest.MX{Reply: func(verb string, n int) string {
		switch {
		case verb == "RCPT" && n > 1:
			return "550 5.1.1 no such user\r\n"
		case verb == "DATA":
			return "354 go\r\n" + smtptest.Accept
		case verb == ".":
			return "250 2.0.0 queued as X1\r\n"
		}
		return smtptest.Default
	}}
	w := newWorldWith(t, mx, listenTable+recordsTable+"session_log = 'DIR/session.log'\n")
	w.start()
	msa := w.session()
	msa.Expect(220)
	msa.Command("EHLO msa.example.com")
	for _, mail := range [][]string{
		{"MAIL FROM:<news@acme.example>", "RCPT TO:<bob@example.net>", "RCPT TO:<Alice@example.net>", "DATA"},
		{"MAIL FROM:<other@acme.example>", "RCPT TO:<carol@example.net>", "RCPT TO:<dave@example.net>", "DATA"}, // to nobody
	} {
		msa.Pipeline(mail...)
		msa.Send(".")
		msa.Expect(250)
	}
	_ = msa.Quit()
	w.stop()

	find := recipe(t)
	for who, want := range map[string][]string{
		"alice@example.net": {"news@acme.example Alice@example.net refused 550 5.1.1 no such user"},
		"NEWS@acme.example": {"news@acme.example bob@example.net delivered 250 2.0.0 queued as X1", "news@acme.example Alice@example.net refused 550 5.1.1 no such user"},
		"carol@example.net": {"other@acme.example carol@example.net refused 550 5.1.1 no such user"},
		"nobody@example":    nil,
	} {
		if got := find(who, w.records()); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", who, got, want)
		}
	}
	session := regexp.MustCompile(`"session":"([0-9a-f]{16})"`).FindStringSubmatch(w.records())[1]
	log, err := os.ReadFile(filepath.Join(w.dir, "session.log"))
	if err != nil || !strings.Contains(string(log), session) {
		t.Errorf("%v: no line of session %s in the session log", err, session)
	}
}

// recipe gives the jq of the page: what it finds, without time and session.
func recipe(t *testing.T) func(who, records string) []string {
	t.Helper()
	page, err := os.ReadFile("../../docs/howto/find-a-mail.md")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?s)jq -r --arg who \S+ '(.*?)' /`).FindStringSubmatch(string(page))
	if m == nil {
		t.Fatal("no jq in the page")
	}
	query, err := gojq.Parse(m[1])
	if err != nil {
		t.Fatal(err)
	}
	code, err := gojq.Compile(query, gojq.WithVariables([]string{"$who"}))
	if err != nil {
		t.Fatal(err)
	}
	return func(who, records string) (found []string) {
		for line := range strings.Lines(records) {
			var record any
			if err := json.Unmarshal([]byte(line), &record); err != nil {
				t.Fatal(err)
			}
			for all := code.Run(record, who); ; {
				v, more := all.Next()
				if !more {
					break
				}
				if err, failed := v.(error); failed {
					t.Fatalf("%s: %v", line, err)
				}
				found = append(found, strings.Join(strings.Split(fmt.Sprint(v), "\t")[2:], " "))
			}
		}
		return found
	}
}
