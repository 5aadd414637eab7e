package daemon

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/smtp/smtptest"
)

// standStill has this process stopped, and let go again behind a while.
func standStill(t *testing.T, long time.Duration) {
	t.Helper()
	other := exec.Command("sh", "-c", fmt.Sprintf("kill -STOP %d; sleep %.1f; kill -CONT %[1]d", os.Getpid(), long.Seconds()))
	if out, err := other.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// A mail during which the process stood still says for how long: what the MX seems to have taken was not the MX's. The mail behind it does not.
func TestMailDuringAStallSaysSo(t *testing.T) {
	w := newWorld(t, listenTable+"[journal]\nrecords = 'DIR/records.jsonl'\n")
	w.start()
	msa := w.session()
	deliver := func() {
		t.Helper()
		if d := msa.Deliver("a@example.com", []string{"b@example.net"}, []byte("text\r\n"), true); !d.All(smtptest.Accepted) {
			t.Fatalf("delivery: %+v", d)
		}
	}
	deliver()
	msa.Command("MAIL FROM:<a@example.com>")
	time.Sleep(2 * pulseEvery)
	standStill(t, 700*time.Millisecond)
	time.Sleep(2 * pulseEvery)
	msa.Command("RSET")
	deliver()
	if err := msa.Quit(); err != nil {
		t.Error(err)
	}
	waitUntil(t, "nothing looks any more whether the process stands still: there is no session", func() bool {
		now := time.Now()
		return w.daemon.stream.Pulse.Stood(now, now.Add(time.Hour)) == 0
	})
	w.stop()
	text, err := os.ReadFile(filepath.Join(w.dir, "records.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	var stood []time.Duration
	for e, err := range event.NewReader(bytes.NewReader(text)).All() {
		if err != nil {
			t.Fatal(err)
		}
		if e.Type == "transaction" {
			stood = append(stood, e.Stalled.Duration())
		}
	}
	if len(stood) != 3 || stood[1] < 400*time.Millisecond || stood[1] > 5*time.Second || max(stood[0], stood[2]) > stood[1]/2 {
		t.Errorf("the mails say %s, want 700 ms of the second one, less a tick", stood)
	}
}
