package tally

import (
	"context"
	"math"
	"net/netip"
	"slices"
	"testing"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/view/history"
)

// canned is a history that has what a test gives it, and notes what it is asked.
type canned struct {
	history.Store
	status history.Status
	counts []history.Count
	times  []history.Times
	events []event.Entry
	asked  []history.CountsOf
}

func (c *canned) Status(context.Context) (history.Status, error) { return c.status, nil }

func (c *canned) Counts(_ context.Context, of history.CountsOf) (list []history.Count, err error) {
	c.asked = append(c.asked, of)
	for _, n := range c.counts {
		if n.Begin.Before(of.To) && !n.Begin.Before(of.From) {
			list = append(list, n)
		}
	}
	return list, nil
}

func (c *canned) Times(_ context.Context, of history.TimesOf) (list []history.Times, err error) {
	for _, n := range c.times {
		if n.Begin.Before(of.To) && !n.Begin.Before(of.From) && (of.Phase == "" || of.Phase == n.Phase) {
			list = append(list, n)
		}
	}
	return list, nil
}

func (c *canned) Shapes(context.Context, history.Filter, history.Page) ([]history.Shape, history.Next, error) {
	return nil, "", nil
}

func (c *canned) Waiting(context.Context, history.Filter, time.Time) ([]history.Waiting, error) {
	return []history.Waiting{{Provider: "other", Tenants: 9}, {Provider: "docomo", Tenants: 2}}, nil
}

func (c *canned) Events(_ context.Context, of history.EventsOf, _ history.Page) (list []event.Entry, next history.Next, err error) {
	for _, e := range slices.Backward(c.events) {
		if slices.Contains(of.Types, e.Type) && !e.At.Before(of.From) && e.At.Before(of.To) {
			list = append(list, e)
		}
	}
	return list, "", nil
}

var noon = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

// took gives durations that all lie in the bucket that ends with so many seconds.
func took(n int64, bucket float64) (counts [len(history.Buckets) + 1]int64) {
	if i := slices.Index(history.Buckets[:], bucket); i >= 0 {
		counts[i] = n
	} else {
		counts[len(history.Buckets)] = n
	}
	return counts
}

func TestWhatCameOfMailAddsUpInItsSteps(t *testing.T) {
	store := &canned{status: history.Status{Last: noon}}
	at := noon.Add(-30 * time.Minute)
	for outcome, n := range map[string]int64{"delivered": 10, "deferred": 4, "refused": 3, "ambiguous": 2, "orphan_ack": 1, "reset": 5, "aborted": 6, "withheld": 7, "none": 8} {
		store.counts = append(store.counts, history.Count{Begin: at, Outcome: outcome, Attempts: n, First: n / 2})
	}
	s, err := Over(t.Context(), store, Subject{Provider: "docomo"}, noon.Add(-6*time.Hour), noon)
	if err != nil {
		t.Fatal(err)
	}
	want := Outcomes{Attempts: 46, Delivered: 10, Deferred: 4, Refused: 3, Unclear: 3, Other: 26, First: 5 + 2 + 1 + 1 + 2 + 3 + 3 + 4, FirstDelivered: 5}
	if s.Sum != want {
		t.Errorf("the sum is\n%+v, want\n%+v", s.Sum, want)
	}
	if s.Step != 5*time.Minute || len(s.Steps) != 72 || s.Steps[66] != want {
		t.Errorf("%d steps of %v, and at half past eleven %+v", len(s.Steps), s.Step, s.Steps[66])
	}
	for _, group := range groups {
		for _, outcome := range group {
			if !slices.ContainsFunc(store.counts, func(c history.Count) bool { return c.Outcome == outcome }) {
				t.Errorf("the test lacks the outcome %s", outcome)
			}
		}
	}
}

func TestAStepIsOneThatHistoryHasOfTheSubject(t *testing.T) {
	const hour = time.Hour
	for _, c := range []struct {
		of     Subject
		whole  time.Duration
		detail time.Time
		want   time.Duration
	}{
		{Subject{}, 6 * hour, noon.Add(-99 * hour), 5 * time.Minute},
		{Subject{Tenant: "acme"}, 6 * hour, noon.Add(-99 * hour), hour},
		{Subject{Tenant: "acme", Account: "news@acme.example"}, 6 * hour, noon.Add(-99 * hour), day},
		{Subject{}, 6 * hour, noon.Add(-5 * hour), hour},
		{Subject{}, 24 * hour, noon.Add(-999 * hour), 10 * time.Minute},
		{Subject{}, 14 * day, noon.Add(-999 * hour), 2 * hour},
		{Subject{}, 90 * day, noon.Add(-30 * day), day},
		{Subject{}, 5000 * day, noon.Add(-30 * day), 7 * day},
	} {
		store := &canned{status: history.Status{Last: noon, Detail: [2]time.Time{c.detail, noon}}}
		s, err := Over(t.Context(), store, c.of, noon.Add(-c.whole), noon)
		if err != nil {
			t.Fatal(err)
		}
		if s.Step != c.want || store.asked[0].Step != c.want || !s.From.Equal(noon.Add(-c.whole).Truncate(c.want)) {
			t.Errorf("%+v over %v: steps of %v from %v, want %v", c.of, c.whole, s.Step, s.From, c.want)
		}
	}
}

func TestAGapIsShownAsAGap(t *testing.T) {
	at := func(minutes int) time.Time { return noon.Add(time.Duration(minutes-60) * time.Minute) }
	entry := func(minutes int, kind, action string) event.Entry {
		return event.Entry{Type: kind, Gateway: "gw1", Action: action, At: at(minutes)}
	}
	killed := entry(20, "gateway", "start")
	killed.Unclean, killed.LastAt = true, at(19)
	lost := entry(30, "dropped", "")
	lost.Records = 7
	store := &canned{status: history.Status{Last: at(50)}, events: []event.Entry{
		{Type: "gateway", Gateway: "gw2", Action: "start", At: at(0)}, // when the time begins: there is no gap before it
		entry(5, "gateway", "start"), entry(10, "gateway", "stop"), entry(12, "gateway", "start"), killed, lost, entry(45, "gateway", "stop"),
	}}
	s, err := Over(t.Context(), store, Subject{}, at(0), noon)
	if err != nil {
		t.Fatal(err)
	}
	want := []Gap{
		{at(0), at(5), "gw1 was stopped, or was not there yet"},
		{at(10), at(12), "gw1 was stopped"},
		{at(19), at(20), "gw1 was killed: its last records may be missing"},
		{at(30), at(30), "gw1: 7 records lost"},
		{at(45), noon, "gw1 is stopped"},
		{at(50), noon, "history has nothing from here on"},
	}
	if !slices.Equal(s.Gaps, want) {
		t.Errorf("the gaps are\n%v, want\n%v", s.Gaps, want)
	}
}

func TestTheMiddleAndTheWorstTenthLieInTheirBuckets(t *testing.T) {
	counts := took(60, 0.05)
	for i, n := range took(40, 60) {
		counts[i] += n
	}
	s := spansOf(&counts)
	if s.Count != 100 || s.P50 < 0.01 || s.P50 > 0.05 || s.P90 < 30 || s.P90 > 60 {
		t.Errorf("of 60 in 50 ms and 40 in a minute the middle is %v, the worst tenth %v", s.P50, s.P90)
	}
	none := took(0, 1)
	if s := spansOf(&none); s.Known() || !math.IsNaN(s.P50) {
		t.Errorf("of none the middle is %v", s.P50)
	}
	long := took(3, math.Inf(1))
	if s := spansOf(&long); !math.IsInf(s.P90, 1) {
		t.Errorf("what is longer than history tells apart is %v", s.P90)
	}
}

// All sums about a provider are of the time that is told, which begins where the first step does.
func TestTheSumsOfAProviderAreOfOneTime(t *testing.T) {
	for asked, want := range map[time.Time]time.Time{
		noon.Add(-6*time.Hour + 7*time.Minute): noon.Add(-6*time.Hour + 5*time.Minute),
		noon.Add(-9*day + time.Hour):           noon.Add(-9 * day),
	} {
		store := &canned{status: history.Status{Last: noon, Detail: [2]time.Time{noon.Add(-99 * day), noon}}}
		store.counts = []history.Count{{Begin: want, SendingIP: netip.MustParseAddr("203.0.113.11"), Tenant: "acme", Outcome: "delivered", Attempts: 3}}
		p, err := OfProvider(t.Context(), store, "docomo", asked, noon)
		if err != nil {
			t.Fatal(err)
		}
		if !p.From.Equal(want) || p.Over.Sum.Attempts != 3 || len(p.IPs) != 1 || p.IPs[0].Outcomes.Attempts != 3 || len(p.Tenants) != 1 || p.Tenants[0].Outcomes.Attempts != 3 {
			t.Errorf("from %v: from %v, %d in all, sending IPs %+v, tenants %+v", asked, p.From, p.Over.Sum.Attempts, p.IPs, p.Tenants)
		}
	}
}

func TestAProviderIsLookedAtWhereItIsSlowerThanAWeekAgo(t *testing.T) {
	one, two := netip.MustParseAddr("203.0.113.11"), netip.MustParseAddr("203.0.113.12")
	at, before := noon.Add(-time.Hour), noon.Add(-time.Hour-7*day)
	store := &canned{
		status: history.Status{Last: noon},
		counts: []history.Count{
			{Begin: at, SendingIP: one, Tenant: "acme", Outcome: "deferred", Attempts: 20},
			{Begin: at, SendingIP: two, Tenant: "acme", Outcome: "delivered", Attempts: 90},
			{Begin: at, SendingIP: two, Tenant: "zeta", Outcome: "delivered", Attempts: 500},
		},
		times: []history.Times{
			{Begin: at, Phase: "dot", SendingIP: one, Counts: took(100, 300)},
			{Begin: before, Phase: "dot", SendingIP: one, Counts: took(100, 300)}, // as ever
			{Begin: at, Phase: "rcpt", SendingIP: one, Counts: took(100, 60)},
			{Begin: at, Phase: "rcpt", SendingIP: two, Counts: took(100, 0.1)},
			{Begin: before, Phase: "rcpt", SendingIP: one, Counts: took(200, 0.1)},
			{Begin: at, Phase: "mail", SendingIP: one, Counts: took(3, 900)}, // few
		},
	}
	p, err := OfProvider(t.Context(), store, "docomo", noon.Add(-6*time.Hour), noon)
	if err != nil {
		t.Fatal(err)
	}
	if p.Worst != "rcpt" {
		t.Errorf("it is looked at in %q: %+v", p.Worst, p.Phases)
	}
	var names []string
	for _, phase := range p.Phases {
		names = append(names, phase.Name)
	}
	if !slices.Equal(names, []string{"mail", "rcpt", "dot"}) {
		t.Errorf("the phases stand as %v", names)
	}
	if len(p.IPs) != 2 || p.IPs[0].SendingIP != one || p.IPs[0].Worst.P90 < 30 || p.IPs[1].Worst.P90 > 1 || p.IPs[0].Outcomes.Deferred != 20 {
		t.Errorf("the sending IPs are %+v", p.IPs)
	}
	if len(p.Tenants) != 2 || p.Tenants[0].Name != "acme" {
		t.Errorf("whoever has trouble does not come first: %+v", p.Tenants)
	}
	if p.Waiting.Tenants != 2 {
		t.Errorf("who waits is another provider's: %+v", p.Waiting)
	}
	if known := p.Course.Steps[slices.IndexFunc(p.Course.Steps, Spans.Known)]; known.Count != 200 {
		t.Errorf("the course of rcpt has %d", known.Count)
	}
}
