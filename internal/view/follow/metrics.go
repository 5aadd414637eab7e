package follow

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"kanmon/internal/event/metrics"
	"kanmon/internal/view/history"
)

// mostProviders have a name of their own in metrics, as in kanmon's own; the others are "other".
const mostProviders = 64

var (
	lagDesc       = prometheus.NewDesc("kanmon_history_lag_seconds", "How far history is behind the records: between the newest that is written and the newest that is kept.", nil, nil)
	rowsDesc      = prometheus.NewDesc("kanmon_history_rows_total", "Records that history has taken in, of the files that it follows.", nil, nil)
	bytesDesc     = prometheus.NewDesc("kanmon_history_bytes", "What history takes on the disk.", nil, nil)
	freeDesc      = prometheus.NewDesc("kanmon_history_free_bytes", "What is free on the disk of history.", nil, nil)
	gapsDesc      = prometheus.NewDesc("kanmon_history_gap_records_total", "Records that kanmon could not write, as the records say.", nil, nil)
	badDesc       = prometheus.NewDesc("kanmon_history_bad_lines_total", "Lines that are no records.", nil, nil)
	shortenedDesc = prometheus.NewDesc("kanmon_history_shortened", "Whether history keeps less than it should, since there is no room for more.", nil, nil)
	firstDesc     = prometheus.NewDesc("kanmon_first_attempts_total", "First attempts of mails, by what came of them, of records that were written since history runs.", []string{"provider", "outcome"}, nil)
)

// A meter tells Prometheus how history goes.
type meter struct {
	k     *Keeper
	since time.Time // what is counted by attempts begins here

	mu     sync.Mutex
	asked  time.Time
	status history.Status
	names  map[string]bool     // providers that have one
	first  map[[2]string]int64 // by provider and outcome; a count never falls
}

// askEvery is how often history is asked: a scrape must not cost a look through it.
const askEvery = 30 * time.Second

// Describe implements [prometheus.Collector].
func (m *meter) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{lagDesc, rowsDesc, bytesDesc, freeDesc, gapsDesc, badDesc, shortenedDesc, firstDesc} {
		to <- d
	}
}

// Collect implements [prometheus.Collector].
func (m *meter) Collect(to chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v)
	}
	count := func(d *prometheus.Desc, n int64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
	}
	gauge(lagDesc, m.k.Lag().Behind.Seconds())
	var kept, bad, lost int64
	for _, f := range m.k.followers {
		kept += f.counts.kept.Load()
		bad += f.counts.bad.Load()
		lost += f.counts.lost.Load()
	}
	count(rowsDesc, kept)
	count(badDesc, bad)
	count(gapsDesc, lost)
	gauge(freeDesc, float64(Free(m.k.Dir)))
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ask()
	gauge(bytesDesc, float64(m.status.Octets))
	shortened := 0.
	if m.status.Shortened {
		shortened = 1
	}
	gauge(shortenedDesc, shortened)
	for of, n := range m.first {
		count(firstDesc, n, of[0], of[1])
	}
}

// ask asks history anew, once in a while. Where it does not answer, what it said last holds.
func (m *meter) ask() {
	if time.Since(m.asked) < askEvery {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if st, err := m.k.Store.Status(ctx); err == nil {
		m.status = st
	}
	counts, err := m.k.Store.Counts(ctx, history.CountsOf{
		Filter: history.Filter{From: m.since, To: time.Now().Add(24 * time.Hour)}, By: []string{history.ByProvider, history.ByOutcome},
	})
	if err != nil {
		m.k.Log.Warn("history does not say what came of first attempts", "error", err)
	}
	slices.SortStableFunc(counts, func(a, b history.Count) int { return cmp.Compare(b.Attempts, a.Attempts) }) // the largest get a name
	of := map[[2]string]int64{}
	for _, c := range counts {
		of[[2]string{m.named(c.Provider), c.Outcome}] += c.First
	}
	for key, n := range of {
		m.first[key] = max(n, m.first[key])
	}
	m.asked = time.Now()
}

// named is what a provider is called: who has a name keeps it.
func (m *meter) named(provider string) string {
	provider = cmp.Or(provider, "unknown")
	if !m.names[provider] && len(m.names) >= mostProviders {
		return "other"
	}
	m.names[provider] = true
	return provider
}

// answer answers Prometheus until ctx ends.
func (k *Keeper) answer(ctx context.Context) {
	(&metrics.Server{Address: k.Metrics, Handler: k.Handler(time.Now()), Log: k.Log}).Run(ctx)
}

// Handler answers Prometheus. First attempts are counted of records that were written since then.
func (k *Keeper) Handler(since time.Time) http.Handler {
	r := prometheus.NewRegistry()
	r.MustRegister(&meter{k: k, since: since.Truncate(time.Hour), names: map[string]bool{}, first: map[[2]string]int64{}}, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	r.MustRegister(k.Collectors...)
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: 20 * time.Second, EnableOpenMetrics: true})
}
