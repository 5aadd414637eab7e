package notify

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"kanmon/internal/config"
	"kanmon/internal/event"
)

// webhookTime is what a receiver is given to answer.
const webhookTime = 20 * time.Second

// A webhook sends events by HTTP, as Standard Webhooks 1.0 has it: https://www.standardwebhooks.com.
type webhook struct {
	url     string
	format  config.WebhookFormat
	secrets [][]byte // that sign; while one is changed, both
	words   *words
	client  *http.Client
}

func newWebhook(w *config.NotifyWebhook, words *words) (func(context.Context, *Event) (string, error), error) {
	hook := &webhook{url: w.URL, format: w.Format, words: words, client: &http.Client{
		Timeout:       webhookTime,
		Transport:     &http.Transport{Proxy: nil, MaxIdleConns: 1, IdleConnTimeout: time.Minute, ForceAttemptHTTP2: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // it goes where the configuration says, and nowhere else
	}}
	if w.SecretFile == "" {
		return hook.send, nil
	}
	lines, err := secretsIn(w.SecretFile)
	if err != nil {
		return nil, err
	}
	const most = 2
	if len(lines) == 0 || len(lines) > most {
		return nil, fmt.Errorf("%s has %d lines; want one with the secret, or two while it is changed", w.SecretFile, len(lines))
	}
	for i, line := range lines {
		secret, err := parseSecret(line)
		if err != nil {
			return nil, fmt.Errorf("%s: line %d %w", w.SecretFile, i+1, err)
		}
		hook.secrets = append(hook.secrets, secret)
	}
	return hook.send, nil
}

// parseSecret reads a secret in the form that the standard has.
func parseSecret(text string) ([]byte, error) {
	const least, most = 24, 64
	secret, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(text, "whsec_"))
	switch {
	case err != nil:
		return nil, errors.New(`is no secret; want "whsec_" and base64, as "echo whsec_$(openssl rand -base64 32)" makes it`)
	case len(secret) < least || len(secret) > most:
		return nil, fmt.Errorf("has a secret of %d octets; want %d to %d, as \"echo whsec_$(openssl rand -base64 32)\" makes it", len(secret), least, most)
	}
	return secret, nil
}

// sign gives the signatures of a message, that of the newest secret first.
func (w *webhook) sign(id string, at time.Time, body []byte) string {
	signatures := make([]string, len(w.secrets))
	for i, secret := range w.secrets {
		mac := hmac.New(sha256.New, secret)
		fmt.Fprintf(mac, "%s.%d.", id, at.Unix())
		mac.Write(body)
		signatures[i] = "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	}
	return strings.Join(signatures, " ")
}

func (w *webhook) send(ctx context.Context, e *Event) (answer string, err error) {
	body, err := w.body(e)
	if err != nil {
		return "", err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url, bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	now := time.Now()
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "kanmon")
	req.Header["webhook-id"] = []string{e.ID} // in the standard's own letters; HTTP does not mind
	req.Header["webhook-timestamp"] = []string{strconv.FormatInt(now.Unix(), 10)}
	if len(w.secrets) > 0 {
		req.Header["webhook-signature"] = []string{w.sign(e.ID, now, body)}
	}
	resp, err := w.client.Do(req)
	if err != nil {
		var wrapped *url.Error
		if errors.As(err, &wrapped) { // its text has the whole URL, which may hold a key
			err = wrapped.Err
		}
		return "", fmt.Errorf("%s: %w", shownURL(w.url), err)
	}
	defer resp.Body.Close()
	const most = 300
	said, _ := io.ReadAll(io.LimitReader(resp.Body, most)) // what it says does not matter but to people
	answer = strings.TrimSpace(resp.Status + " " + event.Printable(string(said), most))
	switch {
	case resp.StatusCode >= 200 && resp.StatusCode <= 299:
		return answer, nil
	case resp.StatusCode >= 300 && resp.StatusCode <= 399:
		return answer, &refusedError{what: "the receiver answers " + answer + ", and redirects are not followed: put the new place into url"}
	}
	return answer, &refusedError{what: "the receiver answers " + answer, gone: resp.StatusCode == http.StatusGone, after: retryAfter(resp.Header.Get("Retry-After"), now)}
}

// retryAfter reads when a receiver wants to be asked again (RFC 9110 section 10.2.3).
func retryAfter(text string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second //nolint:gosec // of 31 bits
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}

func (w *webhook) body(e *Event) ([]byte, error) {
	if w.format == config.FormatSlack {
		return json.Marshal(map[string]string{"text": w.words.slack(e)})
	}
	worded := *e
	w.words.fill(&worded)
	var body bytes.Buffer
	out := json.NewEncoder(&body)
	out.SetEscapeHTML(false)
	if err := out.Encode(&worded); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(body.Bytes(), []byte("\n")), nil
}

// shownURL is where a webhook leads, without what may be a key.
func shownURL(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return "?"
	}
	return u.Scheme + "://" + u.Host + "/…"
}
