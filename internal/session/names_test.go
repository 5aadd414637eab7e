package session_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/event/journal"
	"kanmon/internal/session"
	"kanmon/internal/smtp/smtptest"
)

// journalAt opens a journal of JSON lines, and beside them perhaps a session log.
func journalAt(t *testing.T, path string, mode journal.AddressMode, log bool) *journal.Journal {
	t.Helper()
	o := journal.Options{JSON: path, Addresses: mode}
	if log {
		o.SessionLog = path + ".log"
	}
	j, err := journal.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// An MX that names a person in a refusal does not bring that name into the JSON lines, however long before the end of the mail the refusal is
// written, and whether a session log is written beside them or not.
func TestARefusalWrittenBeforeItsMailEndsHidesWhomItNames(t *testing.T) {
	for _, tc := range []struct {
		name, rcpt, says string
		before           int // recipients before that one
		log              bool
	}{
		{"with a session log", "RCPT TO:<joe.bloggs@example.net>", "joe.bloggs", 0, true},
		{"JSON alone", "RCPT TO:<joe.bloggs@example.net>", "joe.bloggs", 0, false},
		{"the sender", "RCPT TO:<b@example.net>", "ann.sender", 0, false},
		{"the original recipient", "RCPT TO:<b@example.net> ORCPT=rfc822;joe.bloggs@example.org", "joe.bloggs", 0, false},
		{"after others were told of", "RCPT TO:<joe.bloggs@example.net>", "joe.bloggs", 3, false},
		{"beyond those that are recorded", "RCPT TO:<joe.bloggs@example.net>", "joe.bloggs", 1000, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "records.jsonl")
				j := journalAt(t, path, journal.AddressesDomain, tc.log)
				r := newManyIPs(2)
				r.judge.Judgement = session.Judgement{SoftenTo: 450, Class: event.IPBlocklisted, Rule: "test"}
				var stream event.Stream
				stream.Replace(j)
				r.engine.Recorder = &stream
				r.engine.Limits.Recipients = 2000
				r.mx.Keywords = []string{"PIPELINING", "DSN"}
				r.mx.Reply = func(verb string, n int) string {
					if verb == "RCPT" && n == tc.before+1 {
						return "550 5.7.1 " + tc.says + ": 203.0.113.10 is listed\r\n"
					}
					return smtptest.Default
				}
				msa := r.msa(t)
				msa.Expect(220)
				msa.Command("EHLO msa.example.com")
				msa.Command("MAIL FROM:<ann.sender@example.com>")
				for i := range tc.before {
					msa.Command(fmt.Sprintf("RCPT TO:<other%d@example.net>", i))
				}
				time.Sleep(time.Minute)
				msa.Command(tc.rcpt)
				time.Sleep(time.Minute)
				synctest.Wait()
				written, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				if text := string(written); !strings.Contains(text, "203.0.113.10 is listed") || strings.Contains(text, tc.says) {
					t.Errorf("before the mail has ended: %s", text)
				}
				_ = msa.Conn().Close()
				time.Sleep(time.Hour)
				synctest.Wait()
				if err := j.Close(t.Context()); err != nil {
					t.Error(err)
				}
				if written, _ = os.ReadFile(path); strings.Contains(string(written), tc.says) {
					t.Errorf("%s", written)
				}
			})
		})
	}
}

// A reload that hides people hides those whom a session under way has named before, too.
func TestWhoIsHiddenFromNowOnWasNamedBefore(t *testing.T) {
	for _, dialogue := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			dir := t.TempDir()
			r := newManyIPs(2)
			r.judge.Judgement = session.Judgement{SoftenTo: 450, Class: event.IPBlocklisted, Rule: "test"}
			var stream event.Stream
			before := journalAt(t, filepath.Join(dir, "before.jsonl"), journal.AddressesClear, dialogue)
			stream.Replace(before)
			r.engine.Recorder = &stream
			r.mx.Reply = func(verb string, n int) string {
				if verb == "RCPT" && n == 2 {
					return "550 5.7.1 joe.bloggs: 203.0.113.10 is listed\r\n"
				}
				return smtptest.Default
			}
			msa := r.msa(t)
			msa.Expect(220)
			msa.Command("EHLO msa.example.com")
			msa.Command("MAIL FROM:<a@example.com>")
			msa.Command("RCPT TO:<joe.bloggs@example.net>")
			time.Sleep(time.Minute)
			behind := journalAt(t, filepath.Join(dir, "behind.jsonl"), journal.AddressesDomain, dialogue)
			stream.Replace(behind)
			if err := before.Close(t.Context()); err != nil {
				t.Error(err)
			}
			msa.Command("RCPT TO:<other@example.net>")
			time.Sleep(time.Minute)
			_ = msa.Conn().Close()
			time.Sleep(time.Hour)
			synctest.Wait()
			if err := behind.Close(t.Context()); err != nil {
				t.Error(err)
			}
			written, err := filepath.Glob(filepath.Join(dir, "behind.*"))
			if err != nil || len(written) == 0 {
				t.Fatal(written, err)
			}
			for _, path := range written {
				text, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				if !strings.Contains(string(text), "is listed") || strings.Contains(string(text), "joe.bloggs") {
					t.Errorf("%s: %s", filepath.Base(path), text)
				}
			}
		})
	}
}
