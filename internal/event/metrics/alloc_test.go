//go:build !race

package metrics

import (
	"testing"

	"kanmon/internal/event"
)

// To count a mail and the end of its session allocates nothing once each of its labels has been seen.
func TestCountingAllocatesNothing(t *testing.T) {
	m := newMetrics(t, nil)
	sent, ended := mail(leg("docomo", out10), nil), over("quit", opened())
	deferred := mail(leg("docomo", out10), func(t *event.Transaction) { t.Recipients[0].Reply, t.Outcome = reply(450, 0), event.OutcomeDeferred })
	deferred.Decisions = []event.Decided{{Note: event.Note{Did: "would_defer", Rule: "limit hour"}}}
	sent.Transaction.Recipients[0].Trust = &event.Trust{Policy: event.TrustSTS, Verdict: event.TrustPassed, Waited: 1000}
	all := func() {
		m.Hear(sent)
		m.Hear(deferred)
		m.Hear(ended)
	}
	all()
	m.makeDue()
	if n := testing.AllocsPerRun(200, all); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
