package metrics

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"

	"kanmon/internal/event"
)

var (
	out10 = netip.MustParseAddr("203.0.113.10")
	out11 = netip.MustParseAddr("203.0.113.11")
)

// newMetrics makes metrics for two sending IPs, two providers and a tenant.
func newMetrics(t testing.TB, stands func() State) *Metrics {
	m := New(Options{Version: "1.2.3", EndReasons: []string{"quit", "mx_lost", "mx_silent", "broken", "refused_limit", "refused_loop"}, Ask: stands})
	m.Configure(Labels{SendingIPs: []netip.Addr{out10, out11}, Providers: []string{"docomo", "google"}, Tenants: []string{"acme"}, ByTenant: true})
	t.Cleanup(m.Close)
	return m
}

// leg is a connection to a provider's MX.
func leg(provider string, from netip.Addr) event.Leg {
	return event.Leg{Number: 1, Mails: 1, SendingIP: from, Way: &event.Way{Provider: provider}}
}

func reply(code int, took time.Duration) event.Reply {
	return event.Reply{Code: code, First: event.MicrosOf(took), Took: event.MicrosOf(took)}
}

// mail is a mail of acme's that has been delivered, unless that is changed before it is told.
func mail(at event.Leg, change func(*event.Transaction)) *event.Facts {
	t := &event.Transaction{
		Number: 1, Leg: at.Number, BodyBytes: 4000, Outcome: event.OutcomeDelivered,
		Mail: reply(250, 2*time.Millisecond), Data: reply(354, time.Millisecond), Dot: reply(250, 300*time.Millisecond),
		Recipients: []event.Recipient{{Reply: reply(250, 20*time.Millisecond)}},
	}
	if change != nil {
		change(t)
	}
	return &event.Facts{Session: &event.Session{Arrival: event.Arrival{ID: 0x64d9a07b2e1c8f35}, Leg: at}, Transaction: t, Recipients: t.Recipients, Results: t.Results(), Tenant: "acme"}
}

// over is the end of a session with these connections.
func over(reason string, legs ...event.Leg) *event.Facts {
	f := &event.Facts{Session: &event.Session{Arrival: event.Arrival{ID: 1}}, End: &event.End{Reason: reason, Legs: legs}, Tenant: "acme"}
	if len(legs) > 0 {
		f.Session.Leg = legs[len(legs)-1]
	}
	return f
}

// gathered are all series with their values, those of histograms by their count.
func gathered(t testing.TB, m *Metrics) map[string]float64 {
	t.Helper()
	m.makeDue()
	families, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]float64{}
	for _, family := range families {
		for _, one := range family.GetMetric() {
			all[family.GetName()+labels(one)] = value(one)
		}
	}
	return all
}

func labels(of *dto.Metric) string {
	var list []string
	for _, l := range of.GetLabel() {
		list = append(list, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
	}
	slices.Sort(list)
	return "{" + strings.Join(list, ",") + "}"
}

func value(of *dto.Metric) float64 {
	switch {
	case of.GetCounter() != nil:
		return of.GetCounter().GetValue()
	case of.GetHistogram() != nil:
		return float64(of.GetHistogram().GetSampleCount())
	default:
		return of.GetGauge().GetValue()
	}
}

// counted checks what some series have.
func counted(t *testing.T, m *Metrics, want map[string]float64) {
	t.Helper()
	got := gathered(t, m)
	for name, n := range want {
		if has, found := got[name]; !found || has != n {
			t.Errorf("%s is %v (found: %v), want %v", name, has, found, n)
		}
	}
}

// seconds is the sum of what a histogram was told, in whole milliseconds.
func seconds(t testing.TB, m *Metrics, name string) float64 {
	t.Helper()
	m.makeDue()
	families, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, one := range family.GetMetric() {
			if family.GetName()+labels(one) == name {
				return math.Round(one.GetHistogram().GetSampleSum()*1000) / 1000
			}
		}
	}
	t.Errorf("there is no %s", name)
	return 0
}
