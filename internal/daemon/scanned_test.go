package daemon

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"kanmon/internal/event"
	"kanmon/internal/policy/contain"
	"kanmon/internal/smtp/smtptest"
)

// An aRspamd answers as one, by the subject: "subject: reject", "add header", "virus"; else it finds nothing.
type aRspamd struct {
	*httptest.Server
	mu   sync.Mutex
	seen []http.Header
	got  [][]byte
}

func newRspamd(t *testing.T) *aRspamd {
	r := &aRspamd{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		if req.URL.Path == "/ping" {
			fmt.Fprint(w, "pong\r\n")
			return
		}
		r.mu.Lock()
		r.seen, r.got = append(r.seen, req.Header), append(r.got, body)
		r.mu.Unlock()
		answer := `{"is_skipped":false,"score":1.0,"required_score":15.0,"action":"no action","symbols":{},"time_real":0.01}`
		for _, action := range []string{"reject", "add header"} {
			if bytes.Contains(body, []byte("Subject: "+action)) {
				answer = fmt.Sprintf(`{"score":16.5,"required_score":15.0,"action":%q,"symbols":{"URIBL_X":{"name":"URIBL_X","score":16.5,"options":["evil.example"]}},"time_real":0.01}`, action)
			}
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, answer)
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *aRspamd) asked() (headers []http.Header, bodies [][]byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.seen, r.got
}

const scannedTables = listenTable + recordsTable + `
[[tenant]]
name        = 'acme'
sources     = ['127.0.0.0/8']
scan        = 'all'
unavailable = 'defer'
prepend     = 'Feedback-ID: acme:kanmon'
[[scanner]]
name = 'rspamd'
type = 'rspamd'
url  = 'URL'
[containment]
pool = 'risk'
[content]
enforce        = true
verdict_within = '5s'
`

// One account's way: ordinary, its spam passes and counts, then it is held, and refused or diverted; others are not touched.
func TestContentIsJudgedOnItsWay(t *testing.T) {
	scanner := newRspamd(t)
	w := newWorld(t, twoPools("risk")+strings.ReplaceAll(scannedTables, "URL", scanner.URL))
	w.start()
	message := func(subject string) []byte {
		return []byte("From: bob@acme.example\r\nSubject: " + subject + "\r\n\r\n.a dot\r\n..two\r\nhello\r\n")
	}
	bob := contain.Subject{Tenant: "acme", Account: "bob@acme.example"}
	msa := w.session()
	send := func(from, subject string) smtptest.Delivery {
		return msa.Deliver(from, []string{"eve@example.net"}, message(subject), false)
	}
	if d := send("bob@acme.example", "hello 1"); !d.All(smtptest.Accepted) {
		t.Fatalf("an ordinary mail: %+v", d)
	}
	waitUntil(t, "the copy is scanned", func() bool { _, bodies := scanner.asked(); return len(bodies) == 1 })
	headers, bodies := scanner.asked()
	if h := headers[0]; h.Get("User") != "bob@acme.example" || h.Get("From") != "bob@acme.example" || h.Get("Rcpt") != "eve@example.net" || h.Get("Ip") != "127.0.0.1" {
		t.Errorf("asked with %v", h)
	}
	if !bytes.Equal(bodies[0], message("hello 1")) {
		t.Errorf("asked about %q", bodies[0])
	}
	// Its first spams pass: what is found in each makes the next one more doubtful, until they are held.
	passed := 0
	for ; ; passed++ {
		subject := fmt.Sprintf("reject %d", passed)
		d := send("bob@acme.example", subject)
		if d.All(smtptest.Accepted) {
			waitUntil(t, "the copy is scanned", func() bool { _, bodies := scanner.asked(); return len(bodies) == passed+2 })
			waitUntil(t, "it counts", func() bool { return w.daemon.policy.Explain(bob).Known })
			if passed < 8 {
				continue
			}
		}
		if text := d.Replies[0].String(); !strings.HasPrefix(text, "550 5.7.1 kanmon: this message was judged to be spam; reference ") || w.mx.Mailbox.Count(message(subject)) != 0 {
			t.Fatalf("behind %d spams: %s", passed, text)
		}
		break
	}
	if d := send("bob@acme.example", "add header"); !d.All(smtptest.Accepted) {
		t.Errorf("a doubtful one: %+v", d)
	}
	if d := send("bob@acme.example", "hello 2"); !d.All(smtptest.Accepted) {
		t.Errorf("a good one of his: %+v", d)
	}
	if d := send("carol@acme.example", "hello 3"); !d.All(smtptest.Accepted) {
		t.Errorf("somebody else's: %+v", d)
	}
	const tag = "Feedback-ID: acme:kanmon\r\n"
	for subject, want := range map[string]string{"hello 1": "", "add header": tag, "hello 2": tag, "hello 3": ""} {
		if n := w.mx.Mailbox.Count(append([]byte(want), message(subject)...)); n != 1 {
			t.Errorf("%s: the MX has it %d times", subject, n)
		}
	}
	for _, one := range w.mx.Mailbox.Transactions() {
		risk := bytes.Contains(one.Body, []byte("Subject: add header"))
		if from := one.Peer.String(); strings.HasPrefix(from, "127.0.0.2:") != risk {
			t.Errorf("%.40q came from %s", one.Body, from)
		}
	}
	scanner.CloseClientConnections()
	scanner.Close()
	if d := send("bob@acme.example", "hello 4"); !strings.HasPrefix(d.Replies[0].String(), "451 4.7.1 kanmon: this message could not be checked") {
		t.Errorf("with the scanner away: %+v", d)
	}
	_ = msa.Quit()
	w.stop()
	wantJudged(t, w, passed+2)
}

// wantJudged looks that the records tell how each mail was judged.
func wantJudged(t *testing.T, w *world, wantBehind int) {
	t.Helper()
	lanes, behind := map[string]int{}, 0
	for record, err := range event.NewReader(strings.NewReader(w.records())).All() {
		if err != nil {
			t.Fatal(err)
		}
		switch c := record.Content; {
		case c == nil:
		case record.Type == "judged":
			behind++
			if record.Account == "" || len(c.Scans) != 1 || c.Done != "accept" {
				t.Errorf("judged behind: %+v", record.Content)
			}
		default:
			lanes[c.Lane+" "+c.Done]++
			if c.Done == "refuse" && (c.Reference == "" || c.Scans[0].Symbols[0].Name != "URIBL_X" || c.Rule != "on_reject") {
				t.Errorf("refused: %+v", c)
			}
		}
	}
	if strings.Contains(w.records(), "evil.example") {
		t.Error("the records quote the message")
	}
	if behind != wantBehind || lanes["hold refuse"] != 1 || lanes["hold divert"] != 1 || lanes["hold accept"] != 1 || lanes["hold defer"] != 1 {
		t.Errorf("%d behind, %v", behind, lanes)
	}
}
