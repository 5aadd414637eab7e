package monitoring

import (
	"context"
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"kanmon/internal/config"
	"kanmon/internal/event"
	"kanmon/internal/event/metrics"
	"kanmon/internal/session"
	"kanmon/internal/view/follow"
	"kanmon/internal/view/history"
	"kanmon/internal/view/history/days"
	"kanmon/internal/view/history/historytest"
	"kanmon/internal/view/notify"
)

// exposed is what a kanmon answers to which everything has happened that is counted.
var exposed = sync.OnceValue(func() string {
	out10, yes := netip.MustParseAddr("203.0.113.10"), true
	m := metrics.New(metrics.Options{Version: "1.2.3", Revision: "0", EndReasons: session.EndReasons(), Ask: func() metrics.State {
		return metrics.State{
			Sessions: map[string]int{"idle": 1}, SessionsMost: 10, Held: []metrics.Held{{Provider: "docomo", Waited: time.Minute}}, KeptBytes: 1,
			Standings: []metrics.Standing{{IP: out10, Provider: "docomo", State: "slowed", Share: 0.5}}, Listed: []metrics.Listed{{IP: out10, List: "spamhaus-zen"}},
			Lists: []metrics.List{{Name: "spamhaus-zen", Believed: true}}, Named: []metrics.Named{{IP: out10, Right: true}},
			Pools: []metrics.Pool{{Name: "default", Family: "ipv4", Usable: 1}}, Senders: []metrics.Senders{{Scope: "account", Level: "stop", Count: 1}},
			TenantLevels: map[string]int{"acme": 1}, TenantLimits: []metrics.Limit{{Name: "hour", Tenant: "acme", Used: 1}},
			IPLimits: []metrics.Limit{{Name: "messages", IP: out10, Provider: "docomo", Used: 1}}, StoreErrors: map[string]uint64{"senders": 0},
			ListQueries: map[[2]string]uint64{{"spamhaus-zen", "no"}: 1}, Probes: map[[2]string]uint64{{"docomo", "accepted"}: 1},
			Scanners: []metrics.Scanner{{Name: "rspamd", Taken: 1}}, ScanBytes: 1,
			RulesApplied: &yes, Certificate: time.Now(), TLSPolicies: &metrics.TLSPolicies{
				Domains: map[string]int{"kept": 1}, Fetches: map[string]uint64{"fetched": 1}, Answers: map[[2]string]uint64{{"MX", "found"}: 1},
				Resolver: map[string]bool{"answering": true}, Redials: map[string]uint64{"name": 1}, Reports: map[string]uint64{"sent": 1},
			},
		}
	}})
	m.Configure(metrics.Labels{SendingIPs: []netip.Addr{out10}, Providers: []string{"docomo"}, Tenants: []string{"acme"}, ByTenant: true})
	defer m.Close()
	everything(m, out10)
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	m.Handler().ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/metrics", nil))
	return w.Body.String() + exposedByHistory()
})

// exposedByHistory is what a process answers that keeps history, of what is its own.
func exposedByHistory() string {
	dir, err := os.MkdirTemp("", "kanmon-monitoring-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	s, err := days.Open(filepath.Join(dir, "history"))
	if err != nil {
		panic(err)
	}
	defer s.Close()
	now := time.Now()
	line := historytest.NewFeed("gw1", now).Attempt(historytest.Mail{At: now, Provider: "docomo", Sender: "a@acme.example", To: []string{"b@docomo.example"}})
	if err := s.Add(context.Background(), []history.Line{line}, "", history.Mark{}); err != nil {
		panic(err)
	}
	told, err := notify.Open(&config.Config{
		Notify: config.Notify{Language: config.English}, NotifyWebhooks: []config.NotifyWebhook{{Name: "ops", URL: "http://127.0.0.1:1/", Format: config.FormatSlack}},
	}, notify.Options{Folder: dir, History: s})
	if err != nil {
		panic(err)
	}
	defer told.Close()
	w := httptest.NewRecorder()
	k := &follow.Keeper{Store: s, Dir: dir, Collectors: []prometheus.Collector{told.Collector()}}
	k.Handler(now).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	var own strings.Builder
	for l := range strings.Lines(w.Body.String()) {
		if strings.HasPrefix(strings.TrimPrefix(strings.TrimPrefix(l, "# HELP "), "# TYPE "), "kanmon_") {
			own.WriteString(l)
		}
	}
	return own.String()
}

// everything has all happen once.
func everything(m *metrics.Metrics, from netip.Addr) {
	const took = event.Micros(300_000)
	leg := event.Leg{Number: 1, Mails: 1, SendingIP: from, Way: &event.Way{Provider: "docomo"}, MX: event.TLS{State: event.TLSOn, Version: tls.VersionTLS13}}
	for p := event.PhaseDial; p < event.PhaseIdle; p++ {
		leg.Phases[p] = took
	}
	said := func(code int) event.Reply { return event.Reply{Code: code, Took: took} }
	t := &event.Transaction{
		Number: 1, Leg: 1, Mail: said(250), Data: said(354), Dot: said(250), BodyBytes: 1, Outcome: event.OutcomeDelivered,
		Recipients: []event.Recipient{
			{Reply: said(250), Trust: &event.Trust{Policy: event.TrustSTS, Verdict: event.TrustPassed, Waited: took}}, {Reply: said(550)},
		}, Identity: &event.Identity{Received: time.Now().Add(-time.Minute)},
		Content: &event.Content{Lane: event.LaneHold, Done: event.HandleAccept, Scans: []event.Scan{{Scanner: "rspamd", State: event.Scanned, Action: "no action", Took: took}}},
	}
	failed := leg
	failed.Failed = event.DialRefused
	plain := leg
	plain.MX = event.TLS{State: event.TLSDowngraded, Cause: event.TLSSilent}
	of := &event.Session{Leg: leg}
	for _, f := range []*event.Facts{
		{
			Session: of, Transaction: t, Results: t.Results(), Tenant: "acme", Decisions: []event.Decided{{Note: event.Note{Did: "delayed", Rule: "limit hour"}}},
			Actions: []event.Action{{Did: event.Softened, SendingIP: from, Code: 550}},
		},
		{Session: of, End: &event.End{Reason: "quit", Legs: []event.Leg{failed, plain, leg}}},
		{News: event.Changed{IP: from, Provider: "docomo", State: "suspended"}},
		{News: event.Gateway{Did: event.Started}},
	} {
		m.Hear(f)
	}
}

// A metric is what kanmon answers of one.
type metric struct {
	kind   string
	labels []string
}

var (
	typeLine   = regexp.MustCompile(`(?m)^# TYPE (\S+) (\S+)$`)
	sampleLine = regexp.MustCompile(`(?m)^([a-z_0-9]+)(?:\{(.*)\})? \S+$`)
	labelName  = regexp.MustCompile(`([a-z_]+)="`)
)

// answered are all metrics that kanmon has, with their labels.
func answered(t *testing.T) map[string]*metric {
	t.Helper()
	all := map[string]*metric{}
	for _, m := range typeLine.FindAllStringSubmatch(exposed(), -1) {
		all[m[1]] = &metric{kind: m[2]}
	}
	for _, m := range sampleLine.FindAllStringSubmatch(exposed(), -1) {
		name := m[1]
		for _, end := range []string{"_bucket", "_count", "_sum"} {
			if short := strings.TrimSuffix(name, end); all[short] != nil && all[short].kind != "gauge" {
				name = short
			}
		}
		of := all[name]
		if of == nil {
			t.Fatalf("%s has no type", m[1])
		}
		for _, label := range labelName.FindAllStringSubmatch(m[2], -1) {
			if label[1] != "le" && label[1] != "quantile" && !slices.Contains(of.labels, label[1]) {
				of.labels = append(of.labels, label[1])
			}
		}
	}
	return all
}

var pageRow = regexp.MustCompile("(?m)^\\| `(kanmon_[a-z_]+)` \\| (\\w+) \\|(.*?)\\|")

// The page of metrics has those that there are, each with its type and its labels.
func TestThePageHasAllMetrics(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "ref", "metrics.md"))
	if err != nil {
		t.Fatal(err)
	}
	all := answered(t)
	for _, row := range pageRow.FindAllStringSubmatch(string(page), -1) {
		of := all[row[1]]
		if of == nil {
			t.Errorf("there is no %s", row[1])
			continue
		}
		var labels []string
		if cell := strings.Trim(row[3], " `"); cell != "" {
			labels = strings.Split(cell, "`, `")
		}
		slices.Sort(labels)
		slices.Sort(of.labels)
		if row[2] != of.kind || !slices.Equal(labels, of.labels) {
			t.Errorf("%s is said to be a %s by %q, and is a %s by %q", row[1], row[2], labels, of.kind, of.labels)
		}
		delete(all, row[1])
	}
	for name := range all {
		if strings.HasPrefix(name, "kanmon_") {
			t.Errorf("%s has no row in docs/ref/metrics.md", name)
		}
	}
}
