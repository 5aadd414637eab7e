package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/event"
)

func mustStart(t *testing.T, o Options, sinks ...unopened) *Journal {
	t.Helper()
	if o.Log == nil {
		o.Log = quiet
	}
	j, err := open(o, sinks)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func TestEveryRecordReachesBothSinks(t *testing.T) {
	dir := t.TempDir()
	logPath, jsonPath := filepath.Join(dir, "session.log"), filepath.Join(dir, "record.jsonl")
	j, err := New(Options{SessionLog: logPath, JSON: jsonPath, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	const sessions, each = 8, 200
	var wg sync.WaitGroup
	for s := range sessions {
		wg.Go(func() {
			for range each {
				r := transactionRecord("a@b.example", "c@d.example")
				r.Session.ID = event.ID(s)
				addLine(r, time.Millisecond, event.MarkToMX, "DATA")
				j.Record(r)
			}
		})
	}
	wg.Wait()
	closeNow(t, j)
	for _, path := range []string{logPath, jsonPath} {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if n := bytes.Count(text, newline); n != sessions*each {
			t.Errorf("%s: %d lines, want %d", filepath.Base(path), n, sessions*each)
		}
		fi, _ := os.Stat(path)
		if fi.Mode().Perm()&^0o640 != 0 {
			t.Errorf("%s: mode %v", filepath.Base(path), fi.Mode())
		}
	}
	if n := j.Dropped(); n != 0 {
		t.Errorf("dropped %d", n)
	}
}

func TestBlockedSinkCostsOnlyItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		blocked, live := newPipeFile(), newPipeFile()
		blocked.gate = make(chan struct{})
		j := mustStart(t, Options{QueueBytes: 1 << 12}, to(sessionLogSheet, blocked), to(jsonSheet, live))
		const records = 500
		for range records {
			r := transactionRecord("a@b.example", "c@d.example")
			addLine(r, 0, event.MarkNote, "connected")
			j.Record(r)
			synctest.Wait() // the queue itself loses nothing
		}
		if n := strings.Count(live.String(), "\n"); n != records {
			t.Errorf("JSON has %d lines, want %d", n, records)
		}
		lost := j.Dropped()
		if lost == 0 || lost >= records {
			t.Fatalf("dropped %d of %d", lost, records)
		}
		close(blocked.gate)
		synctest.Wait()
		lines := strings.Split(strings.TrimSuffix(blocked.String(), "\n"), "\n")
		gap := fmt.Sprintf("---------------- %*s -- journal lost %d records of 192.168.30.40 here", elapsedWidth, "-", lost)
		if last := lines[len(lines)-1]; !strings.HasSuffix(last, gap) {
			t.Errorf("last line %q, want …%q", last, gap)
		}
		if written := uint64(len(lines) - 1); written+lost != records {
			t.Errorf("%d written + %d lost != %d", written, lost, records)
		}
		closeNow(t, j)
	})
}

func TestDroppedIsExact(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, g := newPipeFile(), newPipeFile()
		f.gate = make(chan struct{})
		g.gate = f.gate
		j := mustStart(t, Options{QueueRecords: 7, QueueBytes: 1 << 13}, to(jsonSheet, f), to(sessionLogSheet, g))
		const records = 1000
		for i := range records {
			r := transactionRecord("a@b.example")
			addLine(r, 0, event.MarkNote, "connected")
			j.Record(r)
			if i%50 == 0 {
				time.Sleep(time.Millisecond)
			}
		}
		synctest.Wait()
		close(f.gate)
		closeNow(t, j)
		j.Record(noteRecord("too late"))
		stood := strings.Count(f.String(), `"type":"transaction"`)
		inLog := strings.Count(g.String(), "connected")
		told := toldLost(f.String())
		if uint64(stood)+told != records {
			t.Errorf("JSON: %d records + %d told lost != %d", stood, told, records)
		}
		// The session log's lines are shorter, so what it lost the JSON lost as well.
		if inLog < stood || uint64(stood)+j.Dropped() != records+1 {
			t.Errorf("%d in JSON, %d in the log, Dropped %d, of %d and one after Close", stood, inLog, j.Dropped(), records)
		}
	})
}

func TestLossesAreLoggedOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var warned bytes.Buffer
		f := newPipeFile()
		f.gate = make(chan struct{})
		j := mustStart(t, Options{QueueBytes: 1, Log: slog.New(slog.NewTextHandler(&warned, nil))}, to(jsonSheet, f))
		for range 150 {
			j.Record(transactionRecord("a@b.example"))
			time.Sleep(time.Second)
		}
		synctest.Wait()
		if n := strings.Count(warned.String(), "journal dropped records"); n != 3 {
			t.Errorf("logged %d times in 150 s, want 3:\n%s", n, &warned)
		}
		if j.Dropped() != 150 {
			t.Errorf("dropped %d, want 150", j.Dropped())
		}
		close(f.gate)
		closeNow(t, j)
	})
}

// Under a load that never lets the queue run empty, losses are told all the same, and what was only counted is written.
func TestNothingIsHeldBackUnderLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var warned bytes.Buffer
		var j *Journal
		began := time.Now()
		busy := jsonSheet
		busy.append = func(f *formatter, r *event.Record) []byte {
			if time.Since(began) < 15*time.Minute {
				j.Record(noteRecord("more"))
				large := newRecord() // does not fit
				for range 1000 {
					addLine(large, 0, event.MarkNote, "much")
				}
				j.Record(large)
				time.Sleep(time.Second)
			}
			return jsonSheet.append(f, r)
		}
		f := newPipeFile()
		j = mustStart(t, Options{QueueBytes: 1 << 15, Log: slog.New(slog.NewTextHandler(&warned, nil))}, to(busy, f))
		for range 3 {
			j.Record(decisionRecord("acme", "busy", "would_delay", "again"))
		}
		time.Sleep(14 * time.Minute)
		if got := f.String(); !strings.Contains(got, `"count":2`) {
			t.Errorf("what was counted is not written: %q", got)
		}
		time.Sleep(2 * time.Minute)
		closeNow(t, j)
		synctest.Wait()
		if n := strings.Count(warned.String(), "journal dropped records"); n < 14 || n > 16 {
			t.Errorf("logged %d times in 15 minutes:\n%s", n, &warned)
		}
	})
}

func TestCloseKeepsItsBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, g := newPipeFile(), newPipeFile()
		f.gate = make(chan struct{})
		g.fail(syscall.EIO)
		var warned bytes.Buffer
		j := mustStart(t, Options{Log: slog.New(slog.NewTextHandler(&warned, nil))}, to(jsonSheet, f), to(sessionLogSheet, g))
		for range 3 {
			r := transactionRecord("a@b.example")
			addLine(r, 0, event.MarkNote, "connected")
			j.Record(r)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		defer cancel()
		began := time.Now()
		err := j.Close(ctx)
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, syscall.EIO) {
			t.Errorf("Close: %v", err)
		}
		if took := time.Since(began); took > 3*time.Second+2*abortGrace {
			t.Errorf("Close took %v", took)
		}
		if n := j.Dropped(); n != 3 {
			t.Errorf("dropped %d, want 3: what both sinks lost counts once", n)
		}
		if of := j.files.DroppedOf(); !maps.Equal(of, map[string]uint64{"192.168.30.40": 3}) {
			t.Errorf("dropped of %v", of)
		}
		synctest.Wait()
		if !strings.Contains(warned.String(), `dropped=3 of="192.168.30.40: 3" dropped_total=3`) {
			t.Error(&warned)
		}
	})
}

func TestARecordIsLostOnlyOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// The JSON of a record does not fit, its line in the session log does and is left over at the end.
		f, g := newPipeFile(), newPipeFile()
		f.gate, g.gate = make(chan struct{}), make(chan struct{})
		j := mustStart(t, Options{QueueBytes: 600, QueueRecords: 1}, to(sessionLogSheet, f), to(jsonSheet, g))
		j.queue.limit = 1 << 20
		for range 2 {
			r := transactionRecord("a@b.example")
			addLine(r, 0, event.MarkNote, "connected")
			j.Record(r)
			synctest.Wait()
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := j.Close(ctx); !errors.Is(err, errLeftOver) {
			t.Errorf("Close: %v", err)
		}
		if n := j.Dropped(); n != 2 {
			t.Errorf("dropped %d, want 2", n)
		}
	})
}

func TestFailingSinkDoesNotHoldUpClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newPipeFile()
		f.fail(syscall.ENOSPC)
		j := mustStart(t, Options{}, to(jsonSheet, f))
		j.Record(transactionRecord("a@b.example"))
		ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
		defer cancel()
		began := time.Now()
		if err := j.Close(ctx); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("Close: %v", err)
		}
		if took := time.Since(began); took > retryAfter {
			t.Errorf("Close took %v", took)
		}
		if j.Dropped() != 1 {
			t.Errorf("dropped %d, want 1", j.Dropped())
		}
	})
}

// waitingHandler is a log that nobody reads.
type waitingHandler struct {
	slog.Handler
	until chan struct{}
}

func (h waitingHandler) Handle(context.Context, slog.Record) error {
	<-h.until
	return nil
}

func TestBlockedLogHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := waitingHandler{quiet.Handler(), make(chan struct{})}
		j := mustStart(t, Options{QueueRecords: 2, QueueBytes: 1, Log: slog.New(h)}, to(jsonSheet, newPipeFile()))
		for range 10 {
			j.Record(transactionRecord("a@b.example"))
			synctest.Wait()
		}
		if j.Dropped() != 10 {
			t.Errorf("dropped %d, want 10", j.Dropped())
		}
		close(h.until)
		closeNow(t, j)
	})
}

func TestNewFails(t *testing.T) {
	if _, err := New(Options{Addresses: AddressesHashed, HashKey: make([]byte, 15)}); !errors.Is(err, ErrHashKey) {
		t.Errorf("short key: %v", err)
	}
	dir := t.TempDir()
	_, err := New(Options{SessionLog: filepath.Join(dir, "ok"), JSON: filepath.Join(dir, "missing", "x")})
	if !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "open json") {
		t.Errorf("missing folder: %v", err)
	}
}

// toldLost adds up what the stream itself says is missing.
func toldLost(stream string) (sum uint64) {
	for gap, err := range event.NewReader(strings.NewReader(stream)).All() {
		if err == nil && gap.Type == "dropped" {
			sum += gap.Records
		}
	}
	return sum
}

// A defect in formatting costs the record, not the program.
func TestUnformattableRecordIsDropped(t *testing.T) {
	dir := t.TempDir()
	j, err := New(Options{JSON: filepath.Join(dir, "record.jsonl"), Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	bad := transactionRecord("a@b.example", "c@d.example")
	bad.Transaction.Outcome = 99
	j.Record(bad)
	j.Record(transactionRecord("a@b.example", "c@d.example"))
	closeNow(t, j)
	if text, err := os.ReadFile(filepath.Join(dir, "record.jsonl")); err != nil || bytes.Count(text, newline) != 1 || j.Dropped() != 1 {
		t.Errorf("%d dropped, %v, wrote %q", j.Dropped(), err, text)
	}
}
