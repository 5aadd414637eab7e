package journal

import (
	"strings"
	"testing"
	"time"

	"kanmon/internal/event"
)

// What speaks against a mail stands in its line with every part, and is read back as it was told; a mail that nobody asked about says nothing.
func TestSuspicionInItsLine(t *testing.T) {
	all := &event.Suspicion{Score: 0.512, Capped: true}
	for g := range event.GroundCount {
		all.Parts = append(all.Parts, event.Suspect{Ground: g, P: float64(100+int(g)) / 1000, N: float64(g) + 0.25, Of: 100})
	}
	for _, s := range []*event.Suspicion{nil, {}, {Score: 0.31, Parts: []event.Suspect{{Ground: event.GroundUnknown, P: 0.31, N: 9, Of: 60}}}, all} {
		r := event.NewRecord()
		r.Session.Start, r.At = time.Unix(1_700_000_000, 0), time.Unix(1_700_000_001, 0)
		r.Transaction = &event.Transaction{Number: 1, Sender: r.Add([]byte("a@acme.example")), Outcome: event.OutcomeDelivered, Suspicion: s}
		e, err := NewEncoder(Options{Gateway: "gw"})
		if err != nil {
			t.Fatal(err)
		}
		line := e.Append(nil, r)
		entry, err := event.ParseEntry([]byte(strings.TrimSpace(string(line))))
		switch {
		case err != nil:
			t.Fatalf("%v: %s", err, line)
		case s == nil && (entry.Suspicion != nil || strings.Contains(string(line), "suspicion")):
			t.Errorf("nobody asked: %s", line)
		case s != nil && (entry.Suspicion == nil || entry.Suspicion.Says() != s.Says()):
			t.Errorf("want %s\n%s", s.Says(), line)
		}
	}
}
