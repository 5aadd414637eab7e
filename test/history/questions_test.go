package history

import (
	"context"
	"slices"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kanmon/internal/view/history"
)

// A question is one that people ask, with something else each time.
type question struct {
	about string
	ask   func(ctx context.Context, n int) (rows int, err error)
}

// asked are the eight questions of an operator, and what leads from one to the next.
func asked(s history.Store, known []history.Attempt) []question {
	now := began.AddDate(0, 0, daysKept)
	page := history.Page{Limit: 50}
	one := func(n int) history.Attempt { return known[n*7919%len(known)] }
	attempts := func(ctx context.Context, of history.Filter) (int, error) {
		all, _, err := s.Attempts(ctx, of, page)
		return len(all), err
	}
	mails := func(ctx context.Context, of history.Filter) (int, error) {
		all, _, err := s.Mails(ctx, of, page)
		return len(all), err
	}
	counts := func(ctx context.Context, of history.CountsOf) (int, error) {
		all, err := s.Counts(ctx, of)
		return len(all), err
	}
	shapes := func(ctx context.Context, of history.Filter) (int, error) {
		all, _, err := s.Shapes(ctx, of, page)
		return len(all), err
	}
	last := func(d time.Duration) history.Filter { return history.Filter{From: now.Add(-d), To: now} }
	with := func(f history.Filter, set func(*history.Filter)) history.Filter {
		set(&f)
		return f
	}
	day := 24 * time.Hour
	provider := func(n int) string { return providerName(n % providers) }
	return []question{
		{"1 where is the mail to this recipient", func(ctx context.Context, n int) (int, error) {
			return mails(ctx, history.Filter{Recipient: one(n).Recipients[0].Address})
		}},
		{"1 the mail of this sender", func(ctx context.Context, n int) (int, error) {
			return mails(ctx, history.Filter{Sender: one(n).Sender})
		}},
		{"1 the mail with this id", func(ctx context.Context, n int) (int, error) { return mails(ctx, history.Filter{ID: one(n).MessageID}) }},
		{"1 the mail to this domain", func(ctx context.Context, n int) (int, error) {
			return mails(ctx, history.Filter{Recipient: "@" + provider(n) + ".example"})
		}},
		{"1 all mail, newest first", func(ctx context.Context, _ int) (int, error) { return mails(ctx, history.Filter{}) }},
		{"2 who sends there from this IP, an hour", func(ctx context.Context, n int) (int, error) {
			of := with(last(time.Hour), func(f *history.Filter) { f.Provider, f.SendingIP = provider(n), sendingIP(n%ips) })
			return counts(ctx, history.CountsOf{Filter: of, By: []string{history.ByTenant}})
		}},
		{"2 a day", func(ctx context.Context, n int) (int, error) {
			of := with(last(day), func(f *history.Filter) { f.Provider, f.SendingIP = provider(n), sendingIP(n%ips) })
			return counts(ctx, history.CountsOf{Filter: of, By: []string{history.ByTenant, history.ByOutcome}})
		}},
		{"2 14 days", func(ctx context.Context, n int) (int, error) {
			of := with(last(daysKept*day), func(f *history.Filter) { f.Provider, f.SendingIP = provider(n), sendingIP(n%ips) })
			return counts(ctx, history.CountsOf{Filter: of, By: []string{history.ByTenant, history.ByOutcome}})
		}},
		{"2 which attempts", func(ctx context.Context, n int) (int, error) {
			return attempts(ctx, with(last(day), func(f *history.Filter) { f.Provider, f.SendingIP = provider(n), sendingIP(n%ips) }))
		}},
		{"2 of this tenant there", func(ctx context.Context, n int) (int, error) {
			return attempts(ctx, history.Filter{Provider: provider(n), Tenant: "tenant" + strconv.Itoa(n*13%tenants)})
		}},
		{"3 why was it deferred", func(ctx context.Context, n int) (int, error) {
			_, e, err := s.Attempt(ctx, one(n).Key)
			if err != nil {
				return 0, err
			}
			all, err := s.Session(ctx, e.Session)
			return len(all), err
		}},
		{"4 first refusal of this kind", func(ctx context.Context, n int) (int, error) {
			return shapes(ctx, history.Filter{Class: refusals[n%len(refusals)].class})
		}},
		{"4 attempts of this kind", func(ctx context.Context, n int) (int, error) {
			return attempts(ctx, history.Filter{Class: refusals[n%len(refusals)].class, Provider: provider(n)})
		}},
		{"5 one tenant or many, 14 days", func(ctx context.Context, _ int) (int, error) { return shapes(ctx, last(daysKept*day)) }},
		{"5 of a provider, 6 hours", func(ctx context.Context, n int) (int, error) {
			return shapes(ctx, with(last(6*time.Hour), func(f *history.Filter) { f.Provider = provider(n) }))
		}},
		{"6 a tenant's month, by day", func(ctx context.Context, n int) (int, error) {
			of := with(last(30*day), func(f *history.Filter) { f.Tenant = "tenant" + strconv.Itoa(n%tenants) })
			return counts(ctx, history.CountsOf{Filter: of, Step: day, By: []string{history.ByOutcome}})
		}},
		{"6 by day in Japan", func(ctx context.Context, n int) (int, error) {
			of := history.Filter{From: now.Add(-30*day - 9*time.Hour), To: now.Add(-9 * time.Hour), Tenant: "tenant" + strconv.Itoa(n%tenants)}
			return counts(ctx, history.CountsOf{Filter: of, Step: day, By: []string{history.ByOutcome, history.ByProvider}})
		}},
		{"6 its accounts", func(ctx context.Context, n int) (int, error) {
			of := with(last(30*day), func(f *history.Filter) { f.Tenant = "tenant" + strconv.Itoa(n%tenants) })
			return counts(ctx, history.CountsOf{Filter: of, By: []string{history.ByAccount, history.ByOutcome}})
		}},
		{"7 what waits, how long", func(ctx context.Context, _ int) (int, error) {
			all, err := s.Waiting(ctx, history.Filter{}, now)
			return len(all), err
		}},
		{"8 what changed before it began", func(ctx context.Context, n int) (int, error) {
			all, _, err := s.Events(ctx, history.EventsOf{From: now.Add(-time.Duration(n) * day / 4), To: now}, page)
			return len(all), err
		}},
		{"8 at a provider", func(ctx context.Context, n int) (int, error) {
			all, _, err := s.Events(ctx, history.EventsOf{Types: []string{"changed"}, Provider: provider(n)}, page)
			return len(all), err
		}},
		{"now: rates of a day in 5 minutes", func(ctx context.Context, _ int) (int, error) {
			return counts(ctx, history.CountsOf{Filter: last(day), Step: 5 * time.Minute, By: []string{history.ByOutcome}})
		}},
		{"IPs x providers, 14 days", func(ctx context.Context, _ int) (int, error) {
			return counts(ctx, history.CountsOf{Filter: last(daysKept * day), By: []string{history.ByProvider, history.BySending, history.ByOutcome}})
		}},
		{"a provider by hour, 14 days", func(ctx context.Context, n int) (int, error) {
			of := with(last(daysKept*day), func(f *history.Filter) { f.Provider = provider(n) })
			return counts(ctx, history.CountsOf{Filter: of, Step: time.Hour, By: []string{history.BySending, history.ByOutcome}})
		}},
		{"times of a provider, 14 days by hour and IP", func(ctx context.Context, n int) (int, error) {
			all, err := s.Times(ctx, history.TimesOf{From: now.Add(-daysKept * day), To: now, Provider: provider(n), Phase: "rcpt", Step: time.Hour, ByIP: true})
			return len(all), err
		}},
		{"a session", func(ctx context.Context, n int) (int, error) {
			all, err := s.Session(ctx, one(n).Session)
			return len(all), err
		}},
		{"status", func(ctx context.Context, _ int) (int, error) {
			_, err := s.Status(ctx)
			return 1, err
		}},
	}
}

// answer asks each question so many times, with warm caches, and wants 95 of 100 answers in time.
func answer(t *testing.T, s history.Store, times int, bound time.Duration) {
	t.Helper()
	var known []history.Attempt
	for n := range daysKept {
		some, _, err := s.Attempts(t.Context(), history.Filter{From: began.AddDate(0, 0, n), To: began.AddDate(0, 0, n+1)}, history.Page{Limit: 100})
		if err != nil {
			t.Fatal(err)
		}
		known = append(known, some...)
	}
	for _, q := range asked(s, known) {
		var took, worked []time.Duration
		rows := 0
		for n := range times + 5 {
			begin, at := time.Now(), processor(t)
			got, err := q.ask(t.Context(), n)
			if err != nil {
				t.Errorf("%s: %v", q.about, err)
				break
			}
			rows += got
			if n >= 5 { // warm
				took, worked = append(took, time.Since(begin)), append(worked, processor(t)-at)
			}
		}
		if len(took) == 0 {
			continue
		}
		slices.Sort(took)
		slices.Sort(worked)
		p95 := took[(len(took)*95-1)/100]
		t.Logf("%-45s p50 %8.1f ms  p95 %8.1f ms, of a processor %8.1f ms  %6.1f rows", q.about, ms(took[len(took)/2]), ms(p95), ms(worked[len(worked)/2]), float64(rows)/float64(times+5))
		if p95 > bound {
			t.Errorf("%s: %s, want less than %s", q.about, p95, bound)
		}
		if rows == 0 {
			t.Errorf("%s: nothing was found", q.about)
		}
	}
}

// processor is how long this process has had one: what else the machine does is not in it.
func processor(t *testing.T) time.Duration {
	t.Helper()
	var of unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &of); err != nil {
		t.Fatal(err)
	}
	return time.Duration(of.Utime.Nano() + of.Stime.Nano())
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
