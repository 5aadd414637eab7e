package view

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"kanmon/internal/config"
	"kanmon/internal/store"
	"kanmon/internal/view/history"
	"kanmon/internal/view/history/historytest"
	"kanmon/internal/view/history/pgtest"
)

// Two gateways of one configured database keep its history, each from records of its own; each shows both, and one process of a host keeps it.
func TestGatewaysShareADatabase(t *testing.T) {
	url := pgtest.Start(t).Database(t)
	var read history.Store
	for _, gateway := range []string{"gw1", "gw2"} {
		dir := t.TempDir()
		records := filepath.Join(dir, "records.jsonl")
		line := historytest.NewFeed(gateway, time.Now()).Attempt(historytest.Mail{At: time.Now(), Sender: "a@acme.example", To: []string{"b@x.example"}, MessageID: gateway + "@acme.example"})
		if err := os.WriteFile(records, append(line.Raw, '\n'), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg, err := config.Parse("kanmon.toml", fmt.Appendf(nil, `[[sending_ip]]
			address = '192.0.2.1'
			ehlo = 'out1.example.jp'
			[journal]
			gateway = %q
			records = %q
			[history]
			directory = %q
			database = %q
		`, gateway, records, filepath.Join(dir, "history"), url))
		if err != nil {
			t.Fatal(err)
		}
		k, err := OpenHistory(cfg, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := KeptHistory(cfg); !errors.Is(err, store.ErrInUse) {
			t.Errorf("a second process: %v", err)
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { k.Run(ctx); close(done) }()
		t.Cleanup(func() {
			stop()
			<-done
			if err := k.Close(); err != nil {
				t.Error(err)
			}
		})
		if read, err = ReadHistory(cfg); err != nil {
			t.Fatal(err)
		}
		one := read
		t.Cleanup(func() { _ = one.Close() })
	}
	for end := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		all, _, err := read.Mails(t.Context(), history.Filter{Recipient: "b@x.example"}, history.Page{})
		if len(all) == 2 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%d mails, %v", len(all), err)
		}
	}
}
