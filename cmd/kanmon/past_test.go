package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/event/journal"
	"kanmon/internal/view/find"
	"kanmon/internal/view/history"
	"kanmon/internal/view/history/days"
)

// aPast makes a history of records, and gives the configuration that names it.
func aPast(t *testing.T, records, more string) (config string) {
	t.Helper()
	dir := t.TempDir()
	store, err := days.Open(filepath.Join(dir, "history"))
	if err != nil {
		t.Fatal(err)
	}
	var lines []history.Line
	for raw := range bytes.Lines([]byte(records)) {
		e, err := event.ParseEntry(raw)
		if err != nil {
			t.Fatalf("%s: %v", raw, err)
		}
		lines = append(lines, history.Line{Raw: bytes.TrimSpace(raw), Entry: e})
	}
	if len(lines) > 0 {
		err = store.Add(context.Background(), lines, "test", history.Mark{File: "test", Offset: int64(len(records)), At: time.Now()})
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	config = filepath.Join(dir, "kanmon.toml")
	text := fmt.Sprintf("[intercept]\nsources = [\"10.20.0.0/16\"]\n\n[history]\ndirectory = %q\n%s", filepath.Join(dir, "history"), more)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return config
}

func pastOfADay(t *testing.T) (config string) {
	t.Helper()
	records, err := os.ReadFile("testdata/past.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	return aPast(t, string(records), "\n[journal]\nrecords = \"/var/log/kanmon/records.jsonl\"\nidentify = true\n")
}

// says runs a command, and gives what it prints.
func says(t *testing.T, stdin string, args ...string) (code int, out, wrong string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code = run(args, &console{stdin: strings.NewReader(stdin), stdout: &stdout, stderr: &stderr})
	return code, stdout.String(), stderr.String()
}

// A timeline has how others see the sending IPs, too.
func TestATimelineHasSightings(t *testing.T) {
	config := aPast(t, `{"type":"sighting","at":"2026-07-01T00:52:00.000Z","gateway":"gw1","run":"2026-07-01T00:00:00.000Z","line":1,"sending_ip":"203.0.113.10","list":"bl.example","state":"listed","was":"clear"}`+"\n",
		"\n[journal]\nrecords = \"/var/log/kanmon/records.jsonl\"\n")
	code, out, wrong := says(t, "", "timeline", "--from", "2026-07-01T00:00:00Z", "--to", "2026-07-02T00:00:00Z", "--config", config)
	if code != exitOK || !strings.Contains(out, "203.0.113.10 is listed at bl.example") {
		t.Errorf("%d, %s%s", code, out, wrong)
	}
}

// A mail is found by whatever somebody has of it.
func TestAMailIsFoundByWhatPeopleHave(t *testing.T) {
	config := pastOfADay(t)
	bounce := "This is the mail system at host msa1.acme.example.\n\n<alice@example.net>: host mx2.example.net[198.51.100.22] said: 550 5.1.1\n    <alice@example.net>: no such user here (in reply to RCPT TO command)\n"
	for _, c := range []struct{ name, stdin, term string }{
		{"recipient", "", "alice@example.net"},
		{"in capitals", "", "Alice@Example.NET"},
		{"queue id of the MSA", "", "4jYHGY1Bkqz3Z"},
		{"Message-ID", "", "<july.2@acme.example>"},
		{"session", "", "17f3a9c2b4d5e811"},
		{"session and number", "", "17f3a9c2b4d5e811-1"},
		{"domain", "", "@example.net"},
		{"bounce", bounce, "-"},
		{"a bare domain", "", "example.net"},
	} {
		code, out, wrong := says(t, c.stdin, "mail", "find", c.term, "--config", config)
		if code != exitOK || !strings.HasPrefix(out, "refused for good at ") || !strings.Contains(out, "no such recipient") {
			t.Errorf("%s: %d\n%s%s", c.name, code, out, wrong)
		}
		if guessed := strings.Contains(out, "Probably the one that is meant"); guessed != (c.name == "bounce") {
			t.Errorf("%s: marked as a guess: %v", c.name, guessed)
		}
	}
	code, out, _ := says(t, "", "mail", "find", "7C41F2A0B9", "--config", config)
	if code != exitOK || !strings.HasPrefix(out, "delivered: ") || !strings.Contains(out, "attempt 2, 15 min 40 s after the first") {
		t.Errorf("by the queue id of the MX: %d\n%s", code, out)
	}
	if code, out, wrong := says(t, "", "mail", "find", "nobody@example.net", "--config", config); code != exitError || out != "" || !strings.Contains(wrong, "nothing found of nobody@example.net: attempts are kept since 2026-07-01") {
		t.Errorf("of nobody: %d %q %q", code, out, wrong)
	}
	if code, out, wrong := says(t, "", "mail", "find", "nobody@example.net", "--json", "--config", config); code != exitError || out != "[]\n" || wrong != "" {
		t.Errorf("of nobody, as JSON: %d %q %q", code, out, wrong)
	}
}

// Delivered twice is said, with both ids of the MX; and a rescue, with what led to it.
func TestWhatHappenedToAMailIsSaid(t *testing.T) {
	config := pastOfADay(t)
	for term, want := range map[string][]string{
		"erin@example.com":  {"Perhaps delivered twice to erin@example.com", "as 9XK2", "may have taken it"},
		"carol@example.com": {"went on through 203.0.113.11 after 1.6 s", "when 203.0.113.10 was refused", "rescue"},
		"dave@example.com":  {"block list", "https://check.spamhaus.org/", "ours: the sending IP"},
		"bob@example.org":   {"waited for the MX at rcpt for 20 s and longer", "rcpt         40.9 s  ####", "greylist"},
	} {
		code, out, wrong := says(t, "", "mail", "find", term, "--config", config)
		for _, w := range want {
			if unfolded := strings.Join(strings.Fields(out), " "); code != exitOK || !strings.Contains(unfolded, strings.Join(strings.Fields(w), " ")) && !strings.Contains(strings.ToLower(unfolded), w) {
				t.Errorf("%s: %d, not %q in\n%s%s", term, code, w, out, wrong)
			}
		}
		for line := range strings.Lines(out) { // but for what others wrote
			if find.Width(line) > columns && !strings.Contains(line, "reply ") && !strings.Contains(line, "kanmon: ") {
				t.Errorf("%s: %d columns: %s", term, len([]rune(line)), line)
			}
		}
	}
}

// A list gives a row for each of it, in its order, also for what is not found; in CSV no cell is a formula.
func TestAListGivesARowForEach(t *testing.T) {
	config := pastOfADay(t)
	list := "erin@example.com,\n\nnobody@example.net\n4jYHGY1Bkqz3Z\n=1+1@example.net\n"
	code, out, wrong := says(t, list, "mail", "find", "-", "--csv", "--config", config)
	rows := strings.Split(strings.TrimSpace(out), "\n")
	if code != exitOK || wrong != "" || len(rows) != 5 || !strings.HasPrefix(rows[1], "erin@example.com,1,") || !strings.HasPrefix(rows[2], "nobody@example.net,not found,") ||
		!strings.HasPrefix(rows[3], "4jYHGY1Bkqz3Z,1,") || !strings.HasPrefix(rows[4], "'=1+1@example.net,not found,") {
		t.Errorf("%d\n%s%s", code, out, wrong)
	}
	if code, out, _ = says(t, "nobody@example.net\nno-one@example.net\n", "mail", "find", "-", "--config", config); code != exitError || strings.Count(out, "not found") != 2 {
		t.Errorf("of a list of nobody: %d\n%s", code, out)
	}
	if code, _, wrong = says(t, strings.Repeat("a@example.net\n", 501), "mail", "find", "-", "--config", config); code != exitError || !strings.Contains(wrong, "at most 500") {
		t.Errorf("of too long a list: %d %s", code, wrong)
	}
}

// Letters are printed as they are; of several mails none is chosen.
func TestSomebodyIsWrittenToAboutOneMail(t *testing.T) {
	config := pastOfADay(t)
	for args, want := range map[string]string{
		"alice@example.net --for customer": "About your message to alice@example.net\n", "alice@example.net --for customer --lang ja": "alice@example.net 宛てのメールについて\n",
	} {
		if code, out, wrong := says(t, "", append(strings.Fields("mail find "+args), "--config", config)...); code != exitOK || !strings.HasPrefix(out, want) {
			t.Errorf("%s: %d\n%s%s", args, code, out, wrong)
		}
	}
	code, out, wrong := says(t, "", "mail", "find", "news@acme.example", "--for", "customer", "--config", config)
	if code != exitError || out != "" || !strings.Contains(wrong, "3 mails are found: choose one") {
		t.Errorf("of three mails: %d\n%s%s", code, out, wrong)
	}
	code, out, _ = says(t, "", "mail", "find", "news@acme.example", "--config", config)
	if lines := strings.Split(out, "\n"); code != exitOK || len(lines) != 6 || !strings.HasPrefix(lines[0], "MAIL ") {
		t.Fatalf("a list of three mails: %d\n%s", code, out)
	}
	id, _, _ := strings.Cut(strings.Split(out, "\n")[1], " ")
	code, out, _ = says(t, "", "mail", "show", id, "--json", "--config", config)
	var told struct {
		ID       string
		Attempts []struct{ Session string }
	}
	if err := json.Unmarshal([]byte(out), &told); err != nil || code != exitOK || told.ID != id || len(told.Attempts) == 0 {
		t.Errorf("mail show %s: %d, %v\n%s", id, code, err, out)
	}
}

// What was refused, what happened and how a provider answers is told of the time that is asked about.
func TestTheLastHoursAreTold(t *testing.T) {
	config := pastOfADay(t)
	span := []string{"--from", "2026-07-01T00:00:00Z", "--to", "2026-07-02T00:00:00Z", "--config", config}
	for args, want := range map[string][]string{
		"refusals":                   {"ip_blocklisted: the sending IP", "NEW", "recipient_invalid", "https://check.spamhaus.org/", "microsoft"},
		"refusals --new --lang ja":   {"ブロックリスト"},
		"timeline":                   {"hana: suspend 203.0.113.10 at microsoft", "docomo is slow to answer 203.0.113.10", "in all: 7 attempts, 3 delivered"},
		"timeline --provider docomo": {"in all: 2 attempts, 1 delivered, 1 deferred"},
		"provider show docomo":       {"docomo, ", "2 attempts: delivered 50.0 %", "PHASE", "203.0.113.10", "acme", "greylisted", "the IP keeps half"},
	} {
		code, out, wrong := says(t, "", append(strings.Fields(args), span...)...)
		for _, w := range want {
			if code != exitOK || !strings.Contains(out, w) {
				t.Errorf("%s: %d, not %q in\n%s%s", args, code, w, out, wrong)
			}
		}
		code, out, _ = says(t, "", append(append(strings.Fields(args), span...), "--json")...)
		if code != exitOK || !json.Valid([]byte(out)) {
			t.Errorf("%s --json: %d\n%s", args, code, out)
		}
	}
	for _, args := range []string{"refusals", "timeline", "would", "waiting --provider nobody", "provider show nobody"} {
		if code, _, wrong := says(t, "", append(strings.Fields(args), "--config", config)...); code != exitError || !strings.Contains(wrong, "since 2026-07-01") {
			t.Errorf("%s, where there is nothing: %d %s", args, code, wrong)
		}
	}
}

// Without history, and where it is empty, each command says what there is to do.
func TestWithoutHistoryItIsSaidWhatToDo(t *testing.T) {
	none := filepath.Join(t.TempDir(), "kanmon.toml")
	if err := os.WriteFile(none, []byte("[intercept]\nsources = [\"10.20.0.0/16\"]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	missing := filepath.Join(t.TempDir(), "kanmon.toml")
	if err := os.WriteFile(missing, []byte("[intercept]\nsources = [\"10.20.0.0/16\"]\n[history]\ndirectory = \"/nonexistent\"\n[journal]\nrecords = \"/var/log/kanmon/records.jsonl\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	empty := aPast(t, "", "\n[journal]\nrecords = \"/var/log/kanmon/records.jsonl\"\n")
	for config, want := range map[string]string{none: "there is no [history] in " + none, missing: "history is empty", empty: "history is empty"} {
		for _, args := range []string{"mail find a@example.net", "mail show 1", "refusals", "timeline", "waiting", "provider show google"} {
			if code, out, wrong := says(t, "", append(strings.Fields(args), "--config", config)...); code != exitError || out != "" || !strings.Contains(wrong, want) || config != none && !strings.Contains(wrong, "kanmon-view") {
				t.Errorf("%s with %s: %d %s%s", args, config, code, out, wrong)
			}
		}
	}
}

// Where addresses are hashed a mail is found by its address in plain text, and nothing that is printed has it; without local parts all of its
// domain is shown, and that is said.
func TestAMailIsFoundAlsoWhereAddressesAreHidden(t *testing.T) {
	records, err := os.ReadFile("testdata/past.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	key := filepath.Join(t.TempDir(), "hash.key")
	if err := os.WriteFile(key, []byte("0123456789abcdef"), 0o600); err != nil {
		t.Fatal(err)
	}
	hashed := strings.ReplaceAll(string(records), "alice@", journal.Mask{Mode: journal.AddressesHashed, Key: []byte("0123456789abcdef")}.Address("Alice@example.net")[:13])
	config := aPast(t, hashed, fmt.Sprintf("\n[journal]\nrecords = \"/var/log/kanmon/records.jsonl\"\naddresses = \"hashed\"\nhash_key_file = %q\n", key))
	code, out, wrong := says(t, "", "mail", "find", "ALICE@example.net", "--config", config)
	if code != exitOK || !strings.HasPrefix(out, "refused for good") || strings.Contains(strings.ToLower(out), "alice") {
		t.Errorf("hashed: %d\n%s%s", code, out, wrong)
	}
	store, err := days.Read(filepath.Join(filepath.Dir(config), "history"))
	if err != nil {
		t.Fatal(err)
	}
	noted, _, err := store.Searches(t.Context(), history.Page{})
	if err != nil || len(noted) != 1 || noted[0].By == "" || strings.Contains(strings.ToLower(noted[0].What), "alice") || !strings.HasSuffix(noted[0].What, "@example.net") {
		t.Errorf("noted is %+v (%v)", noted, err)
	}
	if err := errors.Join(store.Close(), os.Remove(key)); err != nil {
		t.Fatal(err)
	}
	if code, _, wrong = says(t, "", "mail", "find", "alice@example.net", "--config", config); code != exitError || !strings.Contains(wrong, "without the key none can be looked for") {
		t.Errorf("without the key: %d %s", code, wrong)
	}

	config = aPast(t, strings.ReplaceAll(string(records), "alice@", "*@"), "\n[journal]\nrecords = \"/var/log/kanmon/records.jsonl\"\naddresses = \"domain\"\n")
	code, out, wrong = says(t, "", "mail", "find", "alice@example.net", "--config", config)
	if code != exitOK || !strings.HasPrefix(out, "refused for good") || !strings.Contains(wrong, "all mail of @example.net is looked for") {
		t.Errorf("without local parts: %d\n%s%s", code, out, wrong)
	}
}

var timeInRecords = regexp.MustCompile(`2026-07-0[12]T[0-9:.]+Z`)

// What waits now is counted by provider and age, and a mail that waits says when it was tried last and until when most MSAs try.
func TestWhatWaitsIsTold(t *testing.T) {
	records, err := os.ReadFile("testdata/past.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	then := time.Date(2026, 7, 1, 3, 0, 0, 0, time.UTC)
	shift := time.Since(then).Truncate(time.Second)
	now := timeInRecords.ReplaceAllStringFunc(string(records), func(at string) string {
		was, err := time.Parse(time.RFC3339, at)
		if err != nil {
			t.Fatal(err)
		}
		return was.Add(shift).Format("2006-01-02T15:04:05.000Z")
	})
	config := aPast(t, now, "\n[journal]\nrecords = \"/var/log/kanmon/records.jsonl\"\n")
	code, out, wrong := says(t, "", "waiting", "--config", config)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if code != exitOK || len(lines) != 2 || !strings.HasPrefix(lines[1], "microsoft") || strings.Join(strings.Fields(lines[1])[1:3], " ") != "1 1" {
		t.Errorf("%d\n%s%s", code, out, wrong)
	}
	until := then.Add(shift - 110*time.Minute + 5*24*time.Hour).Local().Format("2006-01-02")
	code, out, wrong = says(t, "", "mail", "find", "dave@example.com", "--config", config)
	if code != exitOK || !strings.HasPrefix(out, "waiting: 1 attempt") || !strings.Contains(strings.Join(strings.Fields(out), " "), "give up after 5 days, about "+until) {
		t.Errorf("%d, want until %s\n%s%s", code, until, out, wrong)
	}
	code, out, wrong = says(t, "", "waiting", "--json", "--tenant", "acme", "--config", config)
	if code != exitError || out != "[]\n" {
		t.Errorf("of a tenant that has none: %d\n%s%s", code, out, wrong)
	}
}
