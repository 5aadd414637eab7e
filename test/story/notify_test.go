package story

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"mime/quotedprintable"
	"net/http"
	"net/http/httptest"
	"net/mail"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"kanmon/internal/config"
	"kanmon/internal/event/journal"
	"kanmon/internal/view/history"
	"kanmon/internal/view/history/days"
	"kanmon/internal/view/notify"
)

// A hook is who is told by webhook.
type hook struct {
	mu     sync.Mutex
	bodies [][]byte
}

func (h *hook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.bodies = append(h.bodies, body)
}

// A mailbox is a folder into which what stands for sendmail puts each message.
type mailbox string

// sendmail makes that program.
func (m mailbox) sendmail(t *testing.T) string {
	t.Helper()
	path := filepath.Join(string(m), "sendmail")
	script := "#!/bin/sh\nf=$(mktemp '" + string(m) + "/new.XXXXXX') && cat >\"$f\" && mv \"$f\" \"$f.mail\"\n"
	if err := os.WriteFile(path, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

// got gives the messages that have come so far, as a person reads them.
func (m mailbox) got(t *testing.T) (all [][]byte) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(string(m), "*.mail"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		read, err := mail.ReadMessage(bytes.NewReader(raw))
		if err != nil {
			t.Fatalf("%v: %s", err, raw)
		}
		body := read.Body
		switch way := strings.ToLower(read.Header.Get("Content-Transfer-Encoding")); way {
		case "quoted-printable":
			body = quotedprintable.NewReader(body)
		case "base64":
			body = base64.NewDecoder(base64.StdEncoding, body)
		case "", "7bit", "8bit":
		default:
			t.Fatalf("a message in %s", way)
		}
		text, err := io.ReadAll(body)
		if err != nil {
			t.Fatalf("%v: %s", err, raw)
		}
		subject, err := new(mime.WordDecoder).DecodeHeader(read.Header.Get("Subject"))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, bytes.ReplaceAll(slices.Concat([]byte(subject+"\n"), text, []byte("\n"), raw), []byte("\r\n"), []byte("\n")))
	}
	return all
}

// got gives what has come so far, without the form that some chats want.
func (h *hook) got() [][]byte {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.bodies)
}

// notified has a story heard that ends now, and gives what a webhook was told until somebody has been told of the last of it.
func notified(t *testing.T, o Options, story string, end time.Duration, format, last string) [][]byte {
	t.Helper()
	o.First = time.Now().UTC().Truncate(time.Minute).Add(-end)
	all, dir, h := new(lines), t.TempDir(), new(hook)
	l, err := Tell(o, all.take)
	if err != nil {
		t.Fatal(err)
	}
	store, err := days.Open(filepath.Join(dir, "history"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = store.Close() }()
	receiver := httptest.NewServer(h)
	defer receiver.Close()
	secret := filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, []byte("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), 0o600); err != nil {
		t.Fatal(err)
	}
	text, got := "[notify]\nzone = \"UTC\"\ndigest = \"off\"\n", h.got
	switch box := mailbox(t.TempDir()); format {
	case "mail":
		text += fmt.Sprintf("[[notify_mail]]\nname = \"hook\"\nfrom = \"kanmon@gw.example\"\nto = [\"oncall@gw.example\"]\nsendmail = %q\n", box.sendmail(t))
		got = func() [][]byte { return box.got(t) }
	case "standard":
		text += fmt.Sprintf("[[notify_webhook]]\nname = \"hook\"\nurl = %q\nformat = %q\nsecret_file = %q\n", receiver.URL, format, secret)
	default:
		text += fmt.Sprintf("[[notify_webhook]]\nname = \"hook\"\nurl = %q\nformat = %q\n", receiver.URL, format)
	}
	cfg, err := config.Parse("kanmon.toml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	n, err := notify.Open(cfg, notify.Options{Folder: dir, History: store, Notes: filepath.Join(dir, "notes.db"), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { n.Run(ctx) })
	defer func() {
		stop()
		running.Wait()
		_ = n.Close()
	}()
	about := l.Story(story)
	some := slices.DeleteFunc(all.list, func(line history.Line) bool {
		return line.Entry.At.Before(about.Begin) || line.Entry.At.After(about.End.Add(time.Second))
	})
	n.Hear(t.Context(), some)
	if err := store.Add(t.Context(), some, "story", history.Mark{File: "story"}); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if all := got(); slices.ContainsFunc(all, func(body []byte) bool { return bytes.Contains(body, []byte(last)) }) {
			return all
		}
	}
	t.Fatalf("nobody is told of %s, but of %d others: %.3000s", last, len(got()), bytes.Join(got(), []byte("\n")))
	return nil
}

// No mail is sent that shows a canary where addresses are hidden, and none that acts on a terminal; where they are not hidden, they are shown.
func TestNoMailTellsOfACanaryNorActs(t *testing.T) {
	const end = (12*24 + 19) * time.Hour
	for mode, hides := range map[journal.AddressMode]bool{journal.AddressesHashed: true, journal.AddressesDomain: true, journal.AddressesClear: false} {
		t.Run(mode.String(), func(t *testing.T) {
			shown := false
			for _, text := range notified(t, Options{Addresses: mode, HashKey: canaryKey}, "canaries", end, "mail", "10 of 10 refused") {
				place := shows(text)
				shown = shown || place != ""
				if hides && place != "" {
					t.Errorf("…%s…", place)
				}
				if at, is := acts(text); is {
					t.Errorf("it acts at %q: %q", text[at:min(len(text), at+20)], text)
				}
			}
			if !hides && !shown {
				t.Error("nobody is shown where nobody is hidden: this test cannot fail")
			}
		})
	}
}

// No webhook is told of a canary where addresses are hidden, and no text in it that a stranger has made acts on whoever shows it.
func TestNoWebhookTellsOfACanaryNorActs(t *testing.T) {
	for _, of := range []struct {
		story  string
		end    time.Duration // since the first day began
		last   string
		format string
		mode   journal.AddressMode
	}{
		{"hostile", (13*24+1)*time.Hour + 50*time.Minute, "Set-Cookie: x=1", "standard", journal.AddressesClear},
		{"canaries", (12*24 + 19) * time.Hour, "10 of 10 refused", "standard", journal.AddressesHashed},
		{"canaries", (12*24 + 19) * time.Hour, "10 of 10 refused", "slack", journal.AddressesDomain},
	} {
		t.Run(of.story+" "+of.format+" "+of.mode.String(), func(t *testing.T) {
			for _, body := range notified(t, Options{Addresses: of.mode, HashKey: canaryKey}, of.story, of.end, of.format, of.last) {
				if place := shows(body); place != "" {
					t.Errorf("…%s…", place)
				}
				var said any
				if err := json.Unmarshal(body, &said); err != nil {
					t.Errorf("%q: %v", body, err)
				}
				eachText(said, func(text string) {
					if at, is := acts([]byte(text)); is {
						t.Errorf("it acts at %q: %q", text[at:min(len(text), at+20)], text)
					}
				})
			}
		})
	}
}

// eachText calls a function with all texts of what JSON has.
func eachText(said any, do func(string)) {
	switch said := said.(type) {
	case string:
		do(said)
	case []any:
		for _, one := range said {
			eachText(one, do)
		}
	case map[string]any:
		for name, one := range said {
			do(name)
			eachText(one, do)
		}
	}
}
