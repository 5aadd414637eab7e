package session_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"kanmon/internal/session"
)

// Whoever judges a refusal is told what of it may be the session's own words: names and addresses at every step, and of a refused
// message its header, however large the message and whatever is kept for a rescue.
//
// law: I20
func TestJudgeIsToldWhatWasSaid(t *testing.T) {
	const header = "Received: by mail.acme.example\r\nsubject : your IP\r\n\tis listed\r\nFrom: \"at zen.spamhaus.org\" <a@acme.example>\r\nSUBJECT:again\r\n" +
		"Message-ID: <listed@acme.example>\r\n\r\nSubject: not this\r\n"
	for name, c := range map[string]struct {
		verb       string
		size       int
		rescue     session.Rescue
		parameters string
		subject    string
		said       []string
		partial    bool
	}{
		"RCPT":                     {verb: "RCPT", size: 10},
		"DATA":                     {verb: "DATA", size: 10, said: []string{"c@example.net"}},
		"dot":                      {verb: ".", size: 10, subject: "your IP is listed\nagain", said: []string{"c@example.net", `"at zen.spamhaus.org" <a@acme.example>`, "<listed@acme.example>"}},
		"dot, larger than is kept": {verb: ".", size: 100_000, subject: "your IP is listed\nagain", rescue: session.Rescue{BodyBytes: 50_000}, partial: true},
		"dot, of a size announced": {verb: ".", size: 100_000, parameters: " SIZE=100000", subject: "your IP is listed\nagain", rescue: session.Rescue{BodyBytes: 50_000}, partial: true},
		"dot, no rescues":          {verb: ".", size: 30_000, subject: "your IP is listed\nagain", rescue: session.Rescue{Attempts: -1}, partial: true},
		"dot, no rescues, small":   {verb: ".", size: 10, subject: "your IP is listed\nagain", rescue: session.Rescue{Attempts: -1}},
		"dot, nothing is kept":     {verb: ".", size: 10, rescue: session.Rescue{BodiesBytes: -1}, partial: true},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newManyIPs(2)
			r.engine.Rescue = c.rescue
			r.mx.Reply = refuseAt(c.verb, 1, "550 5.7.1 no\r\n")
			msa := r.msa(t)
			msa.Expect(220)
			msa.Command("EHLO msa.acme.example")
			msa.Command("MAIL FROM:<a@acme.example>" + c.parameters)
			msa.Command("RCPT TO:<b@example.net>")
			msa.Command("RCPT TO:<c@example.net>")
			msa.Data([]byte(header + strings.Repeat("x\r\n", c.size/3)))
			_ = msa.Quit()
			synctest.Wait()
			if len(r.judge.asked) != 1 {
				t.Fatalf("%s: judged %d refusals", name, len(r.judge.asked))
			}
			got := r.judge.asked[0]
			if string(got.Sender) != "a@acme.example" || string(got.Recipient) != "b@example.net" || got.EHLO != [2]string{"msa.acme.example", "out0.example.jp"} {
				t.Errorf("%s: sender %q, recipient %q, EHLO %q", name, got.Sender, got.Recipient, got.EHLO)
			}
			if got.Subject != c.subject {
				t.Errorf("%s: Subject %q, want %q", name, got.Subject, c.subject)
			}
			if got.Partial != c.partial {
				t.Errorf("%s: told that the message is partly known: %t", name, got.Partial)
			}
			for _, want := range c.said {
				if !slices.Contains(got.Said, want) {
					t.Errorf("%s: said %q, without %q", name, got.Said, want)
				}
			}
			if kept := session.KeptOctets(&r.live); kept != 0 {
				t.Errorf("%s: %d octets are kept for nobody", name, kept)
			}
		})
	}
}

// A header is read as MTAs fold it, and no further than its end.
func TestFieldsOf(t *testing.T) {
	for header, want := range map[string]string{
		"Subject: a\r\n b\r\n\tc\r\nTo: x\r\n":  "a b c",
		"To: x\r\n subject: no\r\n":             "",
		"Subject:\r\n a\r\n":                    " a",
		"Subjects: a\r\nsubject\t: b\r\n":       "b",
		"subject: a\r\nSubject: b\r\n":          "a\nb",
		"no field\r\nsubject: a":                "a",
		"subject: " + strings.Repeat("x", 5000): strings.Repeat("x", 1024),
	} {
		if got := session.FieldsOf([]byte(header), "subject"); !bytes.Equal(got, []byte(want)) {
			t.Errorf("%.60q: %q", header, got)
		}
	}
}
