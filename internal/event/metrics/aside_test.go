package metrics

import (
	"log/slog"
	"net/netip"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"kanmon/internal/event"
)

// Whoever counts does not wait for a scrape under way, also where something counts for the first time; and what was counted meanwhile is
// counted.
func TestCountingWaitsForNoScrape(t *testing.T) {
	m := newMetrics(t, nil)
	refused := func(t *event.Transaction) {
		t.Recipients = []event.Recipient{{Reply: reply(550, 0)}, {Reply: reply(450, 0)}}
	}
	m.Hear(mail(leg("google", out11), refused))
	m.makeDue()
	scrape := make(chan prometheus.Metric)
	go func() {
		defer close(scrape)
		m.of.refusals.Collect(scrape)
	}()
	<-scrape // there are two: the family is held until somebody reads the other
	heard := make(chan struct{})
	go func() {
		defer close(heard)
		for range 3 {
			m.Hear(mail(leg("docomo", out10), refused))
		}
	}()
	<-heard // else it hangs
	for range scrape {
	}
	counted(t, m, map[string]float64{
		`kanmon_refusals_total{class="unjudged",kind="permanent",provider="docomo",sending_ip="203.0.113.10"}`: 3,
		`kanmon_refusals_total{class="unjudged",kind="temporary",provider="docomo",sending_ip="203.0.113.10"}`: 3,
	})
}

// A defect where series are made costs what it concerns, and not the process.
func TestADefectAsideEndsNothing(t *testing.T) {
	var log lines
	m := New(Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
	t.Cleanup(m.Close)
	m.Configure(Labels{SendingIPs: []netip.Addr{out10}, Providers: []string{"docomo"}})
	m.aside(func() { panic("a defect") })
	m.Hear(mail(leg("docomo", out10), nil))
	counted(t, m, map[string]float64{`kanmon_transactions_total{by="mx",outcome="delivered",provider="docomo",sending_ip="203.0.113.10"}`: 1})
	if !strings.Contains(log.String(), "a defect") {
		t.Errorf("log: %s", log.String())
	}
}
