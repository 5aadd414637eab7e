package daemon

import (
	"maps"
	"runtime"
	"slices"
	"testing"

	"kanmon/internal/admin"
	"kanmon/internal/event"
	"kanmon/internal/smtp/smtptest"
)

// What was dropped stays told when a reload has ended the journal that dropped it, and what is dropped behind its end is told, too.
func TestStatusForgetsNoDroppedRecord(t *testing.T) {
	tables := func(mode string) string {
		return "[journal]\nrecords = 'DIR/records.jsonl'\naddresses = '" + mode + "'\n"
	}
	w := newWorld(t, listenTable+tables("clear"))
	w.start()
	first := w.daemon.journalInUse()
	drop := func() {
		r := event.NewRecord()
		r.Lines = make([]event.Line, 1<<19) // more than there is room for
		r.Tenant = "acme"
		first.Record(r)
	}
	drop()
	if err := w.daemon.Reload(t.Context(), w.with(tables("domain"))); err != nil {
		t.Fatal(err)
	}
	drop()
	got := (&operator{w.daemon}).Status()
	if got.RecordsDropped != 2 || !maps.Equal(got.RecordsDroppedOf, map[string]uint64{"acme": 2}) {
		t.Errorf("%d dropped, of %v", got.RecordsDropped, got.RecordsDroppedOf)
	}
	w.stop()
}

// What an operator is shown of kanmon itself is what is: a running session is counted, and one that has ended is not.
func TestStatusIsWhatIs(t *testing.T) {
	w := newWorld(t, listenTable+"[journal]\nrecords = 'DIR/records.jsonl'\n")
	w.start()
	o := &operator{w.daemon}
	msa := w.session()
	if d := msa.Deliver("a@example.com", []string{"b@example.net"}, []byte("Subject: hello\r\n\r\n"), true); !d.All(smtptest.Accepted) {
		t.Fatalf("delivery: %+v", d)
	}
	runtime.GC()
	got := o.Status()
	if got.Sessions != 1 || got.Goroutines < 3 || got.HeapLive == 0 || got.Mapped < got.HeapLive || got.RecordsDropped != 0 || got.Started.IsZero() ||
		!slices.Equal(got.Holders, []admin.Holder{{Source: "127.0.0.1", Sessions: 1}}) {
		t.Errorf("with a session: %+v", got)
	}
	if err := msa.Quit(); err != nil {
		t.Error(err)
	}
	w.stop()
	if got := o.Status(); got.Sessions != 0 {
		t.Errorf("behind the session: %+v", got)
	}
}
