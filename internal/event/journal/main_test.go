package journal

import (
	"context"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"kanmon/internal/event"
)

// stdoutChild makes the test binary write one record to a standard output that nobody reads any more.
const stdoutChild = "KANMON_JOURNAL_STDOUT_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(stdoutChild) != "" {
		os.Exit(writeToBrokenStdout())
	}
	goleak.VerifyTestMain(m)
}

var (
	jst   = time.FixedZone("JST", 9*3600)
	start = func() time.Time { return time.Date(2026, 7, 1, 9, 30, 0, 12_345_678, jst) }()
)

const testID event.ID = 0x17f3a9c2b4d5e6f0

// newRecord gives a record with a session that left through a sending IP.
func newRecord() *event.Record {
	r := event.NewRecord()
	r.At = start.Add(time.Minute)
	r.Session = event.Session{
		Arrival: event.Arrival{
			ID:          testID,
			Start:       start,
			Source:      netip.MustParseAddrPort("192.168.30.40:57493"),
			Destination: netip.MustParseAddrPort("192.168.30.50:25"),
			HeloMSA:     "sender",
		},
		Leg: event.Leg{
			Local:     netip.MustParseAddrPort("203.0.113.10:40001"),
			SendingIP: netip.MustParseAddr("203.0.113.10"),
			HeloMX:    "out10.example.jp",
		},
	}
	return r
}

func addLine(r *event.Record, at time.Duration, m event.Mark, text string, times ...time.Duration) {
	l := event.Line{Mark: m, Text: r.Add([]byte(text)), At: at}
	if len(times) == 2 {
		l.First, l.Took = times[0], times[1]
	}
	r.Lines = append(r.Lines, l)
}

func reply(r *event.Record, code int, text string, first, took time.Duration) event.Reply {
	return event.Reply{Code: code, Text: r.Add([]byte(text)), First: event.MicrosOf(first), Took: event.MicrosOf(took)}
}

// dripped is reply for one that came octet by octet.
func dripped(r *event.Record, code int, text string, first, took time.Duration) event.Reply {
	p := reply(r, code, text, first, took)
	p.Pieces = uint8(len(text) + len("\r\n"))
	return p
}

// noteRecord gives a record with one note and no transaction.
func noteRecord(text string) *event.Record {
	r := newRecord()
	addLine(r, 0, event.MarkNote, text)
	return r
}

func transactionRecord(sender string, recipients ...string) *event.Record {
	r := newRecord()
	t := &event.Transaction{Number: 1, Sender: r.Add([]byte(sender)), Outcome: event.OutcomeDelivered}
	for _, a := range recipients {
		t.Recipients = append(t.Recipients, event.Recipient{Address: r.Add([]byte(a))})
	}
	r.Transaction = t
	return r
}

// begin is beginOf for a record of no tenant's.
func (f *formatter) begin(r *event.Record) { f.beginOf(ownerOf(r), r) }

func closeNow(t *testing.T, j *Journal) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := j.Close(ctx); err != nil {
		t.Errorf("Close: %v", err)
	}
}

func writeToBrokenStdout() int {
	j, err := New(Options{JSON: "-"})
	if err != nil {
		return 3
	}
	j.Record(transactionRecord("a@b.example", "c@d.example"))
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := j.Close(ctx); err == nil || !strings.Contains(err.Error(), "broken pipe") {
		return 4
	}
	if j.Dropped() != 1 {
		return 5
	}
	return 0
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
