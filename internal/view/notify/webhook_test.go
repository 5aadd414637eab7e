package notify

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"kanmon/internal/config"
)

// The vector that is published with Standard Webhooks 1.0.
func TestPublishedVector(t *testing.T) {
	for _, text := range []string{"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"} {
		secret, err := parseSecret(text)
		if err != nil {
			t.Fatal(err)
		}
		w := &webhook{secrets: [][]byte{secret}}
		got := w.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`))
		if want := "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="; got != want {
			t.Errorf("%s signs %s, want %s", text, got, want)
		}
	}
}

const (
	newSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	oldSecret = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX"
)

// hook makes a webhook to a receiver.
func hook(t *testing.T, url string, format config.WebhookFormat, secrets string) (func(context.Context, *Event) (string, error), error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(secrets), 0o600); err != nil {
		t.Fatal(err)
	}
	return newWebhook(&config.NotifyWebhook{Name: "hook", URL: url, Format: format, SecretFile: file}, wordsOf(&config.Notify{Language: config.English, Zone: "UTC"}))
}

func anEvent() *Event {
	e := newEvent("account.contained", time.Date(2026, 11, 30, 5, 2, 11, 0, time.UTC), Data{Tenant: "acme", Account: "bob@acme.example", State: "stop"})
	e.ID = "msg_1"
	return &e
}

// A receiver can check both signatures while a secret is changed, and reads the type, the time of the event, and what it needs to act.
func TestReceiverChecksSignatureAndReadsEvent(t *testing.T) {
	var header http.Header
	var body []byte
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header = r.Header
		body, _ = io.ReadAll(r.Body)
		w.WriteHeader(http.StatusNoContent)
	}))
	defer receiver.Close()
	send, err := hook(t, receiver.URL, config.FormatStandard, newSecret+"\n"+oldSecret+"\n")
	if err != nil {
		t.Fatal(err)
	}
	if answer, err := send(t.Context(), anEvent()); err != nil || !strings.HasPrefix(answer, "204") {
		t.Fatalf("%q, %v", answer, err)
	}
	at, err := strconv.ParseInt(header.Get("webhook-timestamp"), 10, 64)
	if err != nil || time.Since(time.Unix(at, 0)) > time.Minute {
		t.Errorf("webhook-timestamp %q: it is that of the try, not of the event", header.Get("webhook-timestamp"))
	}
	signatures := strings.Split(header.Get("webhook-signature"), " ")
	if len(signatures) != 2 || header.Get("webhook-id") != "msg_1" || header.Get("Content-Type") != "application/json" {
		t.Fatalf("header %v", header)
	}
	for i, text := range []string{newSecret, oldSecret} {
		secret, err := parseSecret(text)
		if err != nil {
			t.Fatal(err)
		}
		if want := (&webhook{secrets: [][]byte{secret}}).sign("msg_1", time.Unix(at, 0), body); signatures[i] != want {
			t.Errorf("signature %d is %s, want %s", i+1, signatures[i], want)
		}
	}
	var got struct {
		Type, Timestamp string
		Data            map[string]any
	}
	if err := json.Unmarshal(body, &got); err != nil {
		t.Fatal(err)
	}
	if got.Type != "account.contained" || got.Timestamp != "2026-11-30T05:02:11Z" || got.Data["account"] != "bob@acme.example" || got.Data["severity"] != "warning" ||
		got.Data["subject"] != "account bob@acme.example of acme is contained: stop" {
		t.Errorf("body %s", body)
	}
}

// What a receiver answers decides: only 2xx is taken, a redirect is not followed, 410 ends, and Retry-After is heard.
func TestAnswersOfAReceiver(t *testing.T) {
	followed := false
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { followed = true }))
	defer elsewhere.Close()
	var code int
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", elsewhere.URL)
		w.Header().Set("Retry-After", "120")
		w.WriteHeader(code)
		_, _ = io.WriteString(w, "no \x1b[31mroom")
	}))
	defer receiver.Close()
	send, err := hook(t, receiver.URL+"/a-key", config.FormatStandard, newSecret)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		code  int
		taken bool
		gone  bool
	}{{code: 200, taken: true}, {code: 202, taken: true}, {code: 301}, {code: 307}, {code: 400}, {code: 404}, {code: 410, gone: true}, {code: 429}, {code: 502}, {code: 503}} {
		code = row.code
		answer, err := send(t.Context(), anEvent())
		var refused *refusedError
		if (err == nil) != row.taken || errors.As(err, &refused) && refused.gone != row.gone {
			t.Errorf("%d: %q, %v", row.code, answer, err)
		}
		if row.code == 503 && refused.after != 2*time.Minute {
			t.Errorf("Retry-After: %v", refused.after)
		}
		if strings.ContainsRune(answer, '\x1b') {
			t.Errorf("%d: %q can act on a terminal", row.code, answer)
		}
	}
	if followed {
		t.Error("a redirect was followed")
	}
	receiver.Close()
	if _, err := send(t.Context(), anEvent()); err == nil || strings.Contains(err.Error(), "a-key") {
		t.Errorf("error %v: want one that does not show the key in the URL", err)
	}
}

// A receiver that takes the connection and answers nothing costs its time and no more.
func TestReceiverThatHangs(t *testing.T) {
	release := make(chan struct{})
	receiver := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer receiver.Close()
	defer close(release)
	w := &webhook{url: receiver.URL, words: wordsOf(&config.Notify{Language: config.English}), client: &http.Client{Timeout: 50 * time.Millisecond}}
	if _, err := w.send(t.Context(), anEvent()); err == nil || !strings.Contains(err.Error(), "Timeout") {
		t.Errorf("error %v", err)
	}
}

func TestWrongSecrets(t *testing.T) {
	for text, want := range map[string]string{
		"":                               "has 0 lines",
		"a\nb\nc\n":                      "has 3 lines",
		"whsec_!!!\n":                    "line 1 is no secret",
		newSecret + "\nwhsec_c2hvcnQ=\n": "line 2 has a secret of 5 octets; want 24 to 64",
		"whsec_" + strings.Repeat("AAAA", 22) + "\n": "66 octets",
	} {
		if _, err := hook(t, "https://hook.example", config.FormatStandard, text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q", text, err, want)
		}
	}
}
