package session_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/session"
)

// An identifier is a Recorder that wants to know how others name a message; wants says so, and may change its mind.
type identifier struct {
	wants func() bool
	found []string
}

func (*identifier) Dialogue() bool    { return false }
func (i *identifier) Identity() bool  { return i.wants() }
func (*identifier) Listeners() uint16 { return 0 }

func (i *identifier) Record(r *event.Record) {
	if t := r.Transaction; t != nil {
		line := string(r.Text(t.Sender))
		if id := t.Identity; id != nil {
			line += fmt.Sprintf(" %s %s", r.Text(id.MessageID), r.Text(id.QueueID))
			if !id.Received.IsZero() {
				line += " " + id.Received.UTC().Format(time.RFC3339)
			}
		}
		i.found = append(i.found, line)
	}
	r.Release()
}

const (
	receivedField = "Received: from x (y [192.0.2.1])\r\n\tby mail.example (Postfix) with ESMTP id 4jYHGY1Bkqz3Z\r\n\tfor <b@example.net>; Mon, 30 Nov 2026 10:02:03 +0900 (JST)\r\n"
	messageField  = "Message-ID: <one@acme.example>\r\n"
)

// A message is named on record as others name it, however it comes, and reaches the MX as it was; so it is beside a field that names its account.
func TestAMessageIsNamedAsOthersNameIt(t *testing.T) {
	message := receivedField + "X-Sent-By: a@b\r\n" + messageField + "\r\ntext\r\n"
	const want = "a@example.com one@acme.example 4jYHGY1Bkqz3Z 2026-11-30T01:02:03Z"
	for _, gate := range []session.Gate{nil, naming(false, session.Decision{})} {
		for split := 0; split < len(message)+4; split += 5 {
			synctest.Test(t, func(t *testing.T) {
				r := newRig()
				rec := identifier{wants: func() bool { return true }}
				r.engine.Recorder, r.engine.Gate = &rec, gate
				msa, conn, _ := r.toBody(t)
				wire := message + ".\r\n"
				send(t, conn, wire[:split])
				time.Sleep(time.Second)
				send(t, conn, wire[split:])
				msa.Expect(250)
				_ = msa.Quit()
				synctest.Wait()
				if len(rec.found) != 1 || rec.found[0] != want {
					t.Errorf("cut at %d: %q", split, rec.found)
				}
				if got := r.mx.Mailbox.Transactions(); len(got) != 1 || string(got[0].Body) != message {
					t.Errorf("cut at %d: the MX has %+v", split, got)
				}
			})
		}
	}
}

// Nothing is looked for where nobody wants it: what is asked for holds from the next message on, in sessions under way, too.
func TestNobodyIsNamedUnasked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wanted := false
		r := newRig()
		rec := identifier{wants: func() bool { return wanted }}
		r.engine.Recorder = &rec
		msa, conn, _ := r.toBody(t)
		for i := range 4 {
			if i > 0 {
				msa.Pipeline("MAIL FROM:<a@example.com>", "RCPT TO:<b@example.net>", "DATA")
			}
			body := messageField + "\r\ntext\r\n"
			if i == 3 {
				body = "Subject: " + strings.Repeat("x", 900) + "\r\n" + strings.Repeat("To: "+strings.Repeat("y", 900)+"\r\n", 18) + body
			}
			send(t, conn, body+".\r\n")
			msa.Expect(250)
			wanted = i > 0
		}
		_ = msa.Quit()
		synctest.Wait()
		want := []string{"a@example.com", "a@example.com", "a@example.com one@acme.example ", "a@example.com"}
		if strings.Join(rec.found, "|") != strings.Join(want, "|") {
			t.Errorf("%q, want %q", rec.found, want)
		}
	})
}
