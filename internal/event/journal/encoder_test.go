package journal

import (
	"bytes"
	"path/filepath"
	"testing"
	"time"

	"kanmon/internal/event"
)

// An encoder's lines are those that a journal writes of the same records, whatever is hidden in them; what only repeats itself is counted in
// the time of the records.
func TestEncoderWritesWhatAJournalWrites(t *testing.T) {
	for _, mode := range []AddressMode{AddressesClear, AddressesHashed, AddressesDomain} {
		o := Options{Gateway: "gw1", Run: start, Identify: true, Addresses: mode, HashKey: testKey, JSON: filepath.Join(t.TempDir(), "json")}
		j, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		e, err := NewEncoder(o)
		if err != nil {
			t.Fatal(err)
		}
		var got []byte
		for _, record := range []func() *event.Record{
			func() *event.Record { return transactionRecord("alice@b.example", "carol@d.example") },
			func() *event.Record { return observed(0) },
			func() *event.Record { return observed(time.Minute) },
		} {
			j.Record(record())
			got = e.Append(got, record())
		}
		got = e.Due(got, start.Add(time.Hour), true)
		closeNow(t, j)
		if want := readFile(t, o.JSON); string(got) != want || e.Lines() != 3 {
			t.Errorf("%s: %d lines:\n%s\nwant\n%s", mode, e.Lines(), got, want)
		}
	}
}

// observed gives the record of a limit that would have deferred a mail.
func observed(after time.Duration) *event.Record {
	r := newRecord()
	r.At = r.At.Add(after)
	r.Decisions = append(r.Decisions, event.Decided{At: after, Step: event.StepMail, Note: event.Note{Did: "would_defer", Tenant: "acme", Account: "news@acme.example", Rule: "limit hour"}})
	return r
}

func TestEncoderCountsInTheTimeOfTheRecords(t *testing.T) {
	e, err := NewEncoder(Options{Gateway: "gw1", Run: start})
	if err != nil {
		t.Fatal(err)
	}
	var got []byte
	for _, after := range []time.Duration{0, time.Minute, 5 * time.Minute, 11 * time.Minute, 12 * time.Minute} {
		got = e.Append(got, observed(after))
	}
	got = e.Due(got, start.Add(time.Hour), true)
	var counts []int
	for line, err := range event.NewReader(bytes.NewReader(got)).All() {
		if err != nil {
			t.Fatal(err)
		}
		counts = append(counts, max(line.Count, 1))
	}
	if len(counts) != 3 || counts[0] != 1 || counts[1] != 3 || counts[2] != 1 {
		t.Errorf("lines stand for %v, want 1, 3 and 1", counts)
	}
}
