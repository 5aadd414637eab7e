package story

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
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
	text := fmt.Sprintf("[notify]\nzone = \"UTC\"\ndigest = \"off\"\n[[notify_webhook]]\nname = \"hook\"\nurl = %q\nformat = %q\n", receiver.URL, format)
	if format == "standard" {
		text += fmt.Sprintf("secret_file = %q\n", secret)
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
		if slices.ContainsFunc(h.got(), func(body []byte) bool { return bytes.Contains(body, []byte(last)) }) {
			return h.got()
		}
	}
	t.Fatalf("nobody is told of %s, but of %d others: %.3000s", last, len(h.got()), bytes.Join(h.got(), []byte("\n")))
	return nil
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
