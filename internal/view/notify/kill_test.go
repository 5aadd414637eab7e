package notify

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"kanmon/internal/config"
	"kanmon/internal/event"
	"kanmon/internal/view/history"
)

// killedFolder is set for the process that TestKills kills.
const killedFolder = "KANMON_TEST_NOTIFY_FOLDER"

func TestMain(m *testing.M) {
	if folder := os.Getenv(killedFolder); folder != "" {
		if err := beKilled(folder); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// beKilled hears the lines of a folder from their beginning, as a history that was killed before it had kept any, and tells of them. It ends by
// itself once all is told.
func beKilled(folder string) error {
	cfg, err := config.Load(filepath.Join(folder, "kanmon.toml"))
	if err != nil {
		return err
	}
	n, err := Open(cfg, Options{Folder: folder, History: &past{}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	n.settle, n.most = 20*time.Millisecond, 1000
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var all sync.WaitGroup
	all.Go(func() { n.Run(ctx) })
	records, err := os.Open(filepath.Join(folder, "records.jsonl"))
	if err != nil {
		return err
	}
	const batch = 5
	var lines []history.Line
	for e, err := range event.NewReader(records).All() {
		if err != nil {
			return err
		}
		if lines = append(lines, history.Line{Entry: e}); len(lines) == batch {
			n.Hear(ctx, lines)
			lines = nil
		}
	}
	n.Hear(ctx, lines)
	for left := 1; left > 0; time.Sleep(20 * time.Millisecond) {
		if err := n.file.QueryRowContext(ctx, "SELECT count(*) FROM notify_events").Scan(&left); err != nil {
			return err
		}
	}
	stop()
	all.Wait()
	return n.Close()
}

// A process that is killed at any moment, again and again, tells everything, and nothing under a second id: a receiver that remembers ids, as the
// standard has it, acts once.
func TestKills(t *testing.T) {
	const events = 120
	folder := t.TempDir()
	var mu sync.Mutex
	ids, repeated := map[string]map[string]bool{}, 0
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var e Event
		if err != nil || json.Unmarshal(body, &e) != nil {
			return // its sender was killed
		}
		mu.Lock()
		defer mu.Unlock()
		of := ids[e.Data.Account]
		if of == nil {
			of = map[string]bool{}
			ids[e.Data.Account] = of
		}
		if of[r.Header.Get("webhook-id")] {
			repeated++
		}
		of[r.Header.Get("webhook-id")] = true
	}))
	defer receiver.Close()
	files := map[string]string{
		"secret":      newSecret,
		"kanmon.toml": fmt.Sprintf("[notify]\ndigest = \"off\"\n[[notify_webhook]]\nname = \"hook\"\nurl = %q\nsecret_file = %q\n", receiver.URL, filepath.Join(folder, "secret")),
	}
	for i := range events {
		files["records.jsonl"] += fmt.Sprintf(`{"type":"changed","at":%q,"gateway":"gw1","run":"r","line":%d,"tenant":"acme","account":"a%d@acme.example","state":"stop"}`+"\n",
			time.Now().UTC().Format(time.RFC3339Nano), i+1, i)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	kills := 0
	for ended := false; !ended; {
		if kills > 200 {
			t.Fatal("it does not get on")
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(60+12*kills+rand.IntN(120))*time.Millisecond)
		child := exec.CommandContext(ctx, os.Args[0])
		child.Env = append(os.Environ(), killedFolder+"="+folder)
		out, err := child.CombinedOutput()
		switch killed := ctx.Err() != nil; {
		case err == nil:
			ended = true
		case killed:
			kills++
		default:
			t.Fatalf("%v: %s", err, out)
		}
		cancel()
	}
	mu.Lock()
	defer mu.Unlock()
	if len(ids) != events {
		t.Errorf("%d of %d were told", len(ids), events)
	}
	for account, of := range ids {
		if len(of) != 1 {
			t.Errorf("%s was told under %d ids", account, len(of))
		}
	}
	if kills == 0 || repeated > kills {
		t.Errorf("%d kills, and %d came again under their id: want one at most for each kill", kills, repeated)
	}
	t.Logf("%d events, %d kills, %d came again under their id", events, kills, repeated)
}
