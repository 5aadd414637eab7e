package notify

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/view/history"
)

// silentFor is three heartbeats, and some.
const silentFor = 200 * time.Second

// alive notes that a gateway was heard.
func (b *batch) alive(name string, e *event.Entry) error {
	state := "runs"
	if e.Type == "gateway" && (e.Action == "stop" || e.Action == "leave") {
		state = "stopped"
	}
	_, err := b.tx.ExecContext(b.ctx, "INSERT OR REPLACE INTO notify_gateways (gateway, state, line_at, heard) VALUES (?, ?, ?, ?)", name, state, millis(e.At), b.now.UnixMilli())
	if err != nil || b.now.Sub(e.At) > tooOld {
		return err
	}
	d := Data{Gateway: name}
	return b.happened(happening{key: key("silent", name), event: newEvent("gateway.heard", e.At, d)})
}

// began gives gateways the time to be heard: who was not there has heard nobody.
func (n *Notifier) began(ctx context.Context) {
	err := n.within(ctx, func(b *batch) error {
		_, err := b.tx.ExecContext(b.ctx, "UPDATE notify_gateways SET heard = ?", b.now.UnixMilli())
		return err
	})
	if err != nil && ctx.Err() == nil {
		n.log.Error("notifications wait", "error", err)
	}
}

// lookEvery is how often history is asked for what no single line says.
const lookEvery = 5 * time.Minute

// look finds gateways that are silent, providers that defer, refusals that nobody has seen before, and what no line says.
func (n *Notifier) look(ctx context.Context) (time.Duration, error) {
	err := n.listen(ctx)
	if time.Since(n.looked) < lookEvery {
		return 0, err
	}
	n.looked = time.Now()
	deferring, between, more := n.deferring(ctx, n.looked)
	kinds, evenMore := n.newKinds(ctx, n.looked)
	kinds = append(kinds, n.atHost(ctx, n.looked)...)
	err = errors.Join(err, more, evenMore)
	return 0, errors.Join(err, n.within(ctx, func(b *batch) error {
		for _, h := range append(deferring, kinds...) {
			if err := b.happenedOrEnded(h); err != nil {
				return err
			}
		}
		if err := b.stays(between, n.looked); err != nil {
			return err
		}
		return b.dealtWith(deferring)
	}))
}

// listen finds gateways that are silent, unless it is history that holds up what they say: behind that they have the time to be heard.
func (n *Notifier) listen(ctx context.Context) error {
	was := n.deaf
	switch n.deaf = n.held != nil && n.held(); {
	case n.deaf:
		return nil
	case was:
		n.began(ctx)
		return nil
	}
	return n.within(ctx, (*batch).silent)
}

// happenedOrEnded is happened for what is found again and again: that something is as it should be is no news of what nobody remembers.
func (b *batch) happenedOrEnded(h happening) error {
	if h.state == "" && !h.moment {
		if s, err := b.subject(h.key); err != nil || s.at.IsZero() {
			return err
		}
	}
	return b.happened(h)
}

// silent finds gateways that run, and of which no line has come.
func (b *batch) silent() error {
	rows, err := b.tx.QueryContext(b.ctx, "SELECT gateway, line_at, heard FROM notify_gateways WHERE state = 'runs' AND heard < ?", b.now.Add(-silentFor).UnixMilli())
	if err != nil {
		return err
	}
	found, err := silences(rows, b.now)
	if err != nil {
		return err
	}
	for _, h := range found {
		if err := b.happened(h); err != nil {
			return err
		}
	}
	return nil
}

func silences(rows *sql.Rows, now time.Time) (found []happening, err error) {
	defer rows.Close()
	for rows.Next() {
		var name string
		var last, heard int64
		if err := rows.Scan(&name, &last, &heard); err != nil {
			return nil, err
		}
		d := Data{Gateway: name, Numbers: []Number{{Name: "silent_seconds", Value: now.Sub(timeOf(heard)).Round(time.Second).Seconds(), Threshold: silentFor.Seconds()}}}
		h := happening{key: key("silent", name), state: "silent", event: newEvent("gateway.silent", now, d)}
		found = append(found, h)
	}
	return found, rows.Err()
}

// From when on a provider defers much mail. The numbers are those of the alert that is shipped (docs/howto/alerts.md).
const (
	deferWindow = 15 * time.Minute
	deferLeast  = 50 // mails in the window
	deferMuch   = .2
	deferTimes  = 3 // as much as a week ago
	deferMost   = .5
	deferNormal = .1 // it is over
)

// deferring compares what providers defer with what they did a week ago. Between are those that defer less than is told, and more than is normal:
// what was told of them holds.
func (n *Notifier) deferring(ctx context.Context, now time.Time) (found []happening, between []string, err error) {
	to := now.Truncate(deferWindow / 3)
	here, err := n.rates(ctx, to)
	if err != nil {
		return nil, nil, err
	}
	before, err := n.rates(ctx, to.AddDate(0, 0, -7))
	if err != nil {
		return nil, nil, err
	}
	for provider, r := range here {
		if r.all < deferLeast || provider == "" {
			continue
		}
		was := before[provider]
		d := Data{Provider: provider, Numbers: []Number{
			{Name: "deferred_ratio", Value: r.ratio(), Threshold: deferMuch}, {Name: "deferred_ratio_a_week_ago", Value: was.ratio()}, {Name: "mails", Value: float64(r.all), Threshold: deferLeast},
		}}
		h := happening{key: key("deferring", provider), event: newEvent("provider.normal", now, d)}
		switch {
		case r.ratio() > deferMost:
			d.Severity = Critical
			d.Numbers[0].Threshold = deferMost
			h.state, h.event = "most", newEvent("provider.deferring", now, d)
		case r.ratio() > deferMuch && r.ratio() > deferTimes*was.ratio():
			h.state, h.event = "much", newEvent("provider.deferring", now, d)
		case r.ratio() >= deferNormal:
			between = append(between, h.key)
			continue
		}
		found = append(found, h)
	}
	return found, between, nil
}

// stays notes that conditions hold as they were told, so that their age does not end them.
func (b *batch) stays(keys []string, now time.Time) error {
	for _, k := range keys {
		if _, err := b.tx.ExecContext(b.ctx, "UPDATE notify_subjects SET at = ? WHERE key = ? AND state <> ''", now.UnixMilli(), k); err != nil {
			return err
		}
	}
	return nil
}

type rate struct{ all, deferred int64 }

func (r rate) ratio() float64 {
	if r.all == 0 {
		return 0
	}
	return float64(r.deferred) / float64(r.all)
}

// rates are what providers defer. What kanmon defers by itself, for a limit, a sender, or want of a sending IP, they were not asked about: no reply of theirs
// has a meaning then.
func (n *Notifier) rates(ctx context.Context, to time.Time) (map[string]rate, error) {
	counts, err := n.past.Counts(ctx, history.CountsOf{
		Filter: history.Filter{From: to.Add(-deferWindow), To: to}, Step: 5 * time.Minute, By: []string{history.ByProvider, history.ByOutcome, history.ByClass},
	})
	rates := map[string]rate{}
	for i := range counts {
		c := &counts[i]
		if c.Outcome == "deferred" && c.Class == "" {
			continue
		}
		r := rates[c.Provider]
		r.all += c.Attempts
		if c.Outcome == "deferred" {
			r.deferred += c.Attempts
		}
		rates[c.Provider] = r
	}
	return rates, err
}

// dealtWith ends what was told of providers that nobody sends to any more.
func (b *batch) dealtWith(found []happening) error {
	seen := map[string]bool{}
	for _, h := range found {
		seen[h.key] = true
	}
	rows, err := b.tx.QueryContext(b.ctx, "SELECT key FROM notify_subjects WHERE state <> '' AND key LIKE 'deferring' || char(10) || '%' AND at < ?", b.now.Add(-quietFor).UnixMilli())
	if err != nil {
		return err
	}
	keys, err := texts(rows)
	if err != nil {
		return err
	}
	for _, k := range keys {
		if seen[k] {
			continue
		}
		d := Data{Provider: k[len("deferring\n"):]}
		if err := b.happened(happening{key: k, event: newEvent("provider.normal", b.now, d)}); err != nil {
			return err
		}
	}
	return nil
}

const quietFor = 6 * time.Hour

// A kind of refusal is new if nobody has seen it for a month, and as many tenants get it at once.
const (
	newTenants = 3
	newWithin  = time.Hour
	newKnown   = 3 * 24 * time.Hour // for how long there must be history: in the beginning everything is new
)

func (n *Notifier) newKinds(ctx context.Context, now time.Time) (found []happening, err error) {
	status, err := n.past.Status(ctx)
	if err != nil || status.Detail[0].IsZero() || now.Sub(status.Detail[0]) < newKnown {
		return nil, err
	}
	shapes, _, err := n.past.Shapes(ctx, history.Filter{From: now.Add(-newWithin), To: now}, history.Page{})
	if err != nil {
		return nil, err
	}
	for i := range shapes {
		s := &shapes[i]
		if s.Tenants < newTenants {
			continue
		}
		older, _, err := n.past.Shapes(ctx, history.Filter{From: now.Add(-longest), To: now.Add(-newWithin), Class: s.Class, Shape: s.Shape}, history.Page{Limit: 1})
		if err != nil {
			return nil, err
		}
		if len(older) > 0 {
			continue
		}
		d := Data{Class: s.Class, Rule: s.Rule, Since: s.First, Replies: []string{s.Text}, Numbers: []Number{
			{Name: "tenants", Value: float64(s.Tenants), Threshold: newTenants}, {Name: "replies", Value: float64(s.Count)},
		}}
		if len(s.Providers) == 1 {
			d.Provider = s.Providers[0]
		}
		found = append(found, happening{key: key("refusal", s.Class, s.Shape), moment: true, every: longest, event: newEvent("refusal.new_kind", now, d)})
	}
	return found, nil
}
