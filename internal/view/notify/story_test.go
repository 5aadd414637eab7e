package notify

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kanmon/internal/config"
	"kanmon/internal/event"
	"kanmon/internal/event/journal"
	"kanmon/internal/view/history"
	"kanmon/internal/view/history/days"
	"kanmon/internal/view/history/historytest"
	"kanmon/test/story"
)

// What people are told of days on which everything happens shows nobody whom the records hide: by no channel, in no summary, in no file. Where
// nobody is hidden they are shown.
func TestStoriesAreToldAndNobodyWhoIsHidden(t *testing.T) {
	keepOne(t)
	for _, mode := range []journal.AddressMode{journal.AddressesHashed, journal.AddressesDomain, journal.AddressesClear} {
		t.Run(mode.String(), func(t *testing.T) { inTime(t, func(r *rig) { tellStories(r, mode) }) })
	}
}

// keepOne has a history keep a line and give it back. What packages make once for all, as that which packs lines, must not be made in the time
// of one test.
func keepOne(t *testing.T) {
	t.Helper()
	store, err := days.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	line := historytest.NewFeed("gw1", time.Now()).Attempt(historytest.Mail{At: time.Now(), Tenant: "acme", Sender: "a@acme.example"})
	if err := store.Add(t.Context(), []history.Line{line}, "one", history.Mark{File: "one"}); err != nil {
		t.Fatal(err)
	}
	if got, _, err := store.Attempts(t.Context(), history.Filter{}, history.Page{}); err != nil || len(got) != 1 {
		t.Fatalf("%v, %v", got, err)
	}
	if _, err := store.Session(t.Context(), line.Entry.Session); err != nil {
		t.Fatal(err)
	}
}

func tellStories(r *rig, mode journal.AddressMode) {
	store, err := days.Open(filepath.Join(r.folder, "history"))
	if err != nil {
		r.t.Fatal(err)
	}
	defer store.Close()
	r.n.past, r.n.digester.past, r.n.most = store, store, 1000
	var lines []history.Line
	flush := func() {
		if len(lines) == 0 {
			return
		}
		if wait := time.Until(lines[len(lines)-1].Entry.At); wait > 0 {
			time.Sleep(wait)
		}
		r.n.Hear(r.t.Context(), lines)
		if err := store.Add(r.t.Context(), lines, "story", history.Mark{File: "story"}); err != nil {
			r.t.Fatal(err)
		}
		lines = nil
	}
	o := story.Options{First: time.Now().UTC().Truncate(time.Minute).Add(-storyBefore), Days: storyDays, Addresses: mode, HashKey: []byte("a key of canaries")}
	if _, err := story.Tell(o, func(_ string, line []byte) error {
		raw := bytes.Clone(bytes.TrimSuffix(line, []byte("\n")))
		e, err := event.ParseEntry(raw)
		if err != nil {
			return err
		}
		if old := time.Until(e.At) < 0; len(lines) > 0 && !old && e.At.Sub(lines[0].Entry.At) > 90*time.Second || len(lines) == 5000 {
			flush()
		}
		lines = append(lines, history.Line{Raw: raw, Entry: e})
		return nil
	}); err != nil {
		r.t.Fatal(err)
	}
	flush()
	r.n.settle = 0
	time.Sleep(20 * time.Second)
	kinds := map[config.NotifyEvent]int{}
	var shown strings.Builder
	for i := range r.got {
		e := &r.got[i]
		kinds[e.Type]++
		for _, l := range languages {
			w := &words{language: l, zone: time.UTC, page: "https://page.example"}
			title, text := w.mail(e)
			body, err := json.Marshal(e)
			if err != nil {
				r.t.Fatal(err)
			}
			shown.WriteString(title + text + w.slack(e) + string(body))
		}
	}
	for day := range storyDays {
		text, err := r.n.digester.make(r.t.Context(), o.First.AddDate(0, 0, day))
		if err != nil {
			r.t.Fatal(err)
		}
		shown.WriteString(r.n.digester.words.digest(text))
	}
	for _, suffix := range []string{"", "-wal"} {
		file, err := os.ReadFile(filepath.Join(r.folder, FileName+suffix))
		if err != nil {
			r.t.Fatal(err)
		}
		shown.Write(file)
	}
	at := strings.Index(strings.ToLower(shown.String()), story.CanaryPrefix)
	switch hides := mode != journal.AddressesClear; {
	case hides && at >= 0:
		r.t.Errorf("…%q…", shown.String()[max(0, at-200):at+50])
	case !hides && at < 0:
		r.t.Error("nobody is shown where nobody is hidden: this test cannot fail")
	}
	if len(kinds) < 4 || kinds["account.contained"] == 0 {
		r.t.Errorf("told %v", kinds)
	}
}

// So many days of the stories are told, and behind so much of them somebody begins to listen.
const (
	storyDays   = 13
	storyBefore = 12*24*time.Hour + 8*time.Hour
)
