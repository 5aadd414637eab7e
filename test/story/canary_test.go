package story

import (
	"bytes"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kanmon/internal/event/journal"
	"kanmon/internal/view/follow"
	"kanmon/internal/view/history"
	"kanmon/internal/view/history/days"
)

var canaryKey = []byte("a key of canaries")

// hiding are the modes in which people are hidden.
var hiding = []journal.AddressMode{journal.AddressesHashed, journal.AddressesDomain}

// shows gives the place around a canary, in whatever letters; "": there is none.
func shows(text []byte) string {
	at := bytes.Index(bytes.ToLower(text), []byte(CanaryPrefix))
	if at < 0 {
		return ""
	}
	return string(text[max(0, at-300):min(len(text), at+100)])
}

// Where addresses are hidden, none of the canaries is on record; where they are not, all of them are, so that this could fail.
func TestNoCanaryIsOnRecord(t *testing.T) {
	for _, mode := range append(hiding, journal.AddressesClear) {
		t.Run(mode.String(), func(t *testing.T) {
			seen := 0
			if _, err := Tell(Options{Addresses: mode, HashKey: canaryKey}, func(_ string, line []byte) error {
				if place := shows(line); place != "" {
					if seen++; mode != journal.AddressesClear {
						t.Errorf("…%s…", place)
					}
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			if mode == journal.AddressesClear && seen < 20 {
				t.Errorf("%d lines show canaries where nothing is hidden", seen)
			}
		})
	}
}

// Where addresses are hidden, no canary is in history, not in the octets of its files, nor on a page, nor in a table; who knows an address finds its
// mail where names are hashed, and what was looked for is noted hashed as well.
func TestNoCanaryIsSeenBehindTheRecords(t *testing.T) {
	for _, mode := range hiding {
		t.Run(mode.String(), func(t *testing.T) {
			all, dir := new(lines), t.TempDir()
			l, err := Tell(Options{Addresses: mode, HashKey: canaryKey}, all.take)
			if err != nil {
				t.Fatal(err)
			}
			store, err := days.Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = store.Close() }()
			if err := store.Add(t.Context(), all.list, "story", history.Mark{File: "story"}); err != nil {
				t.Fatal(err)
			}
			s := l.Story("canaries")
			p := newPage(t, store, journal.Mask{Mode: mode, Key: canaryKey}, s.End.Add(time.Minute))
			in := "from=" + url.QueryEscape(stamp(s.Begin)) + "&to=" + url.QueryEscape(stamp(s.End.Add(time.Second)))
			for _, path := range []string{
				"/", "/attempts?" + in, "/refusals?" + in, "/timeline?" + in, "/tenants/hinode/history?" + in, "/would?" + in, "/audit?" + in, "/about",
				"/attempts.csv?" + in, "/refusals.csv?" + in, "/audit.csv?" + in, "/would.csv?" + in, "/timeline.txt?" + in,
			} {
				text := p.get(t, http.MethodGet, path)
				if place := shows([]byte(text)); place != "" {
					t.Errorf("%s: …%s…", path, place)
				}
			}
			told := httptest.NewRecorder()
			keeper := &follow.Keeper{Store: store, Dir: dir, Log: slog.New(slog.DiscardHandler)}
			keeper.Handler(s.Begin).ServeHTTP(told, httptest.NewRequest(http.MethodGet, "/metrics", http.NoBody))
			if text := told.Body.Bytes(); !bytes.Contains(text, []byte("kanmon_first_attempts_total{")) || shows(text) != "" {
				t.Errorf("metrics: …%s… in\n%s", shows(text), text)
			}
			if mode == journal.AddressesHashed {
				text := p.get(t, http.MethodPost, "/find?term="+url.QueryEscape(s.Mails[0].Recipients[0]))
				if !strings.Contains(text, "Recipient address rejected") {
					t.Errorf("whoever knows the address does not find its mail:\n%s", text)
				}
			}
			noCanaryIn(t, dir)
		})
	}
}

// noCanaryIn looks into the octets of all files of a folder.
func noCanaryIn(t *testing.T, dir string) {
	t.Helper()
	files := 0
	if err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files++
		text, err := os.ReadFile(path)
		if place := shows(text); place != "" {
			t.Errorf("%s: …%q…", path, place)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if files < 10 {
		t.Errorf("%d files", files)
	}
}
