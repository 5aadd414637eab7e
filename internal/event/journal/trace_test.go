package journal

import (
	"bytes"
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/event"
)

// traced is a record of a tenant's session with one line.
func traced(tenant string, id event.ID, text string) *event.Record {
	r := newRecord()
	r.Tenant, r.Session.ID = tenant, id
	addLine(r, time.Millisecond, event.MarkFromMX, text)
	return r
}

func mustTrace(t *testing.T, f *Files, tenant string, wants func(*event.Record) bool) *Trace {
	t.Helper()
	trace, err := f.Trace(tenant, wants)
	if err != nil {
		t.Fatal(err)
	}
	return trace
}

func everyRecord(*event.Record) bool { return true }

// A trace shows the lines of what it was asked for as the session log has them, of one tenant not a word of another, and nothing behind its end.
func TestATraceShowsWhatItIsAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		files := new(Files)
		j := mustStart(t, Options{Files: files})
		all := mustTrace(t, files, "", everyRecord)
		acme := mustTrace(t, files, "acme", everyRecord)
		second := mustTrace(t, files, "", func(r *event.Record) bool { return r.Session.ID == 2 })
		j.Record(traced("acme", 1, "250 one"))
		j.Record(traced("beta", 2, "250 two\x1b[31m\u202e"))
		j.Record(event.NewRecord())
		time.Sleep(time.Second)
		synctest.Wait()
		second.Close()
		j.Record(traced("acme", 2, "250 three"))
		time.Sleep(time.Second)
		synctest.Wait()
		for name, want := range map[string]struct {
			trace *Trace
			lines string
		}{
			"all": {all, `|< 250 one;|< 250 two\x1b[31m\u{202e};|< 250 three;`}, "acme": {acme, "|< 250 one;|< 250 three;"}, "second": {second, `|< 250 two\x1b[31m\u{202e};`},
		} {
			var got strings.Builder
			for line := range bytes.Lines(want.trace.take()) {
				got.WriteString(strings.ReplaceAll(string(line[bytes.Index(line, []byte("|<")):]), "\n", ";"))
			}
			if got.String() != want.lines {
				t.Errorf("%s: %q, want %q", name, got.String(), want.lines)
			}
		}
		all.Close()
		acme.Close()
		if files.Traced() {
			t.Error("traced behind the end of the last trace")
		}
		closeNow(t, j)
	})
}

// Whoever does not read loses lines of the trace and of nothing else, and is told how many where they are missing; what comes then is whole again.
func TestASlowReaderOfATraceIsToldWhatIsMissing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		files := new(Files)
		log := newPipeFile()
		j := mustStart(t, Options{Files: files}, to(sessionLogSheet, log))
		trace := mustTrace(t, files, "", everyRecord)
		const lines = 5000
		tell := func(n int) {
			for i := range n {
				j.Record(traced("acme", event.ID(i+1), "250 "+strings.Repeat("x", 100)))
			}
			time.Sleep(time.Second)
			synctest.Wait()
		}
		tell(lines)
		text, err := trace.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		shown := bytes.Count(text, newline) - 1
		left := "trace left out " + strconv.Itoa(lines-shown) + " lines here"
		if last := text[bytes.LastIndexByte(text[:len(text)-1], '\n')+1:]; shown < 1000 || len(text) > maxTraced+200 || !bytes.Contains(last, []byte(left)) {
			t.Errorf("%d of %d lines are shown, and then %q, want %q", shown, lines, last, left)
		}
		tell(1)
		if text, err = trace.Next(t.Context()); err != nil || bytes.Count(text, newline) != 1 || bytes.Contains(text, []byte("left out")) {
			t.Errorf("behind the gap: %v: %q", err, text)
		}
		trace.Close()
		closeNow(t, j)
		if n := strings.Count(log.String(), "\n"); n != lines+1 || j.Dropped() > 0 {
			t.Errorf("the session log has %d lines, %d are lost", n, j.Dropped())
		}
	})
}

// What was lost before it could be formatted is told in a trace, too: to whom it concerns.
func TestATraceTellsOfLostRecords(t *testing.T) {
	files := new(Files)
	all, other := mustTrace(t, files, "", everyRecord), mustTrace(t, files, "beta", everyRecord)
	files.traces.skip(losses{owner{tenant: "acme"}: 3})
	if text := all.take(); !bytes.HasSuffix(text, []byte("journal lost 3 records of acme here\n")) {
		t.Errorf("told %q", text)
	}
	if text := other.take(); len(text) > 0 {
		t.Errorf("another tenant's trace tells %q", text)
	}
}

// Whom the journal hides, a trace hides: also in words of an MX that are of a record of their own.
func TestATraceHidesWhomTheJournalHides(t *testing.T) {
	for mode, hides := range map[AddressMode]string{AddressesHashed: hashed("canary"), AddressesDomain: "*"} {
		synctest.Test(t, func(t *testing.T) {
			files := new(Files)
			j := mustStart(t, Options{Files: files, Addresses: mode, HashKey: testKey})
			named := newRecord()
			named.Names = append(named.Names, named.Add([]byte("canary@example.jp")))
			j.Record(named)
			trace := mustTrace(t, files, "", everyRecord)
			j.Record(traced("acme", named.Session.ID, "550 5.1.1 user canary is not here"))
			r := traced("acme", 7, "250 ok")
			addLine(r, 0, event.MarkToMX, "RCPT TO:<canary@example.net>")
			j.Record(r)
			time.Sleep(time.Second)
			synctest.Wait()
			text := string(trace.take())
			if strings.Contains(text, "canary") || !strings.Contains(text, hides+"@example.net") || !strings.Contains(text, "is not here") {
				t.Errorf("%s: %s", mode, text)
			}
			closeNow(t, j)
		})
	}
}

// There are so many traces at once and no more; a reader that waits ends with its context.
func TestTracesAreFew(t *testing.T) {
	files := new(Files)
	var all []*Trace
	for range MostTraces {
		all = append(all, mustTrace(t, files, "", everyRecord))
	}
	if _, err := files.Trace("", everyRecord); !errors.Is(err, ErrTraces) {
		t.Errorf("one more: %v", err)
	}
	all[0].Close()
	mustTrace(t, files, "", everyRecord)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if text, err := all[1].Next(ctx); !errors.Is(err, context.Canceled) || len(text) > 0 {
		t.Errorf("%q, %v", text, err)
	}
}
