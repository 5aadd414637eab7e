package notify

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"kanmon/internal/config"
	"kanmon/internal/event"
	"kanmon/internal/view/history"
	"kanmon/internal/view/notes"
)

// A digest is what happened on a day.
type digest struct {
	from, to time.Time
	counts   tally
	now      []standingNow // what is not normal when it is made, the oldest first
	changed  [groups][]Event
	refusals []trend // by meaning, the most first
	tenants  []trend // that have grown
	waiting  []history.Waiting
	gaps     int64 // records that are missing
	status   history.Status
}

// A standingNow is a condition that holds.
type standingNow struct {
	Event
	note string // who has acknowledged it, and until when
}

// A tally is attempts by what came of them.
type tally struct{ all, delivered, deferred, refused, others, rescued int64 }

// A trend is how often something was, and how often on a day of the week before.
type trend struct {
	name   string
	count  int64
	before float64
}

// much says whether there was more than twice as much of it, or less than half.
func (t *trend) much() bool {
	return float64(t.count) > 2*t.before || 2*float64(t.count) < t.before
}

// Groups of what has changed on a day.
const (
	ofSenders = iota
	ofIPs
	ofProviders
	ofOrders
	ofGateways
	groups
)

// A digester makes digests.
type digester struct {
	past  history.Store
	words *words
	notes string                                       // path of the file with notes; it need not be there
	open  func(context.Context) ([]standingNow, error) // what is not normal now
}

// digestTime is what history is given to answer. Nobody waits.
const digestTime = 2 * time.Minute

// make looks at a day, which begins at a moment of the operator's zone.
func (g *digester) make(ctx context.Context, day time.Time) (*digest, error) {
	ctx, cancel := context.WithTimeout(ctx, digestTime)
	defer cancel()
	d := &digest{from: day, to: day.AddDate(0, 0, 1)}
	for _, part := range []func(context.Context, *digest) error{g.standing, g.counted, g.news, g.refused, g.grown, g.late} {
		if err := part(ctx, d); err != nil {
			return nil, err
		}
	}
	return d, nil
}

func (g *digester) standing(ctx context.Context, d *digest) (err error) {
	if d.now, err = g.open(ctx); err != nil {
		return err
	}
	if _, err := os.Stat(g.notes); g.notes == "" || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	book, err := notes.Open(g.notes)
	if err != nil {
		return err
	}
	defer book.Close()
	acknowledged, err := book.Acknowledged(ctx, time.Now())
	for i := range d.now {
		if n, is := notes.Acknowledges(acknowledged, alarmOf(&d.now[i].Event)); is {
			d.now[i].note = g.words.acknowledged(&n)
		}
	}
	return err
}

// alarms are what the first page calls the conditions that events tell of.
var alarms = map[config.NotifyEvent]string{
	"ip.suspended": "suspended", "ip.listed": "listed", "ip.names_wrong": "names", "list.not_believed": "list", "provider.slow": "slow", "tenant.contained": "stopped",
}

// alarmOf is what an acknowledgement of a condition is about.
func alarmOf(e *Event) notes.Subject {
	return notes.Subject{Alarm: alarms[e.Type], SendingIP: addr(e.Data.SendingIP), Provider: e.Data.Provider, Tenant: e.Data.Tenant, Of: e.Data.List}
}

func (g *digester) counted(ctx context.Context, d *digest) error {
	counts, err := g.past.Counts(ctx, history.CountsOf{Filter: history.Filter{From: d.from, To: d.to}, By: []string{history.ByOutcome}})
	for i := range counts {
		c, t := &counts[i], &d.counts
		t.all += c.Attempts
		t.rescued += c.Rescued
		switch c.Outcome {
		case "delivered":
			t.delivered += c.Attempts
		case "deferred":
			t.deferred += c.Attempts
		case "refused":
			t.refused += c.Attempts
		default:
			t.others += c.Attempts
		}
	}
	return err
}

// mostNews bounds how many lines of a day are looked at.
const mostNews = 20_000

// news are what has changed, in the words of events, of those that the rule would have kept back, too.
func (g *digester) news(ctx context.Context, d *digest) error {
	of := history.EventsOf{From: d.from, To: d.to, Types: []string{"changed", "order", "finding", "sighting", "gateway", "dropped"}}
	var all []event.Entry
	for page := (history.Page{Limit: history.MaxPage}); ; {
		some, next, err := g.past.Events(ctx, of, page)
		if err != nil {
			return err
		}
		all = append(all, some...)
		if page.After = next; next == "" || len(all) >= mostNews {
			break
		}
	}
	ear, last := newEar(), map[string]string{}
	for _, e := range slices.Backward(all) { // the newest come first
		if e.Type == "dropped" {
			d.gaps += int64(e.Records) //nolint:gosec // no run has so many
			continue
		}
		for _, h := range ear.happenings(nil, &e) {
			begun, known := last[h.key]
			if last[h.key] = h.state; !h.moment && (h.state == begun && known || h.state == "" && !known && !strings.HasPrefix(h.key, "contained")) {
				continue // nothing has changed, or it ends what nobody knows to have been there
			}
			at := groupOf(h.event.Type)
			d.changed[at] = append(d.changed[at], h.event)
		}
	}
	return nil
}

func groupOf(t config.NotifyEvent) int {
	switch group(t) {
	case "ip", "list", "warmup", "pool":
		return ofIPs
	case "provider":
		return ofProviders
	case "order":
		return ofOrders
	case "gateway":
		return ofGateways
	default:
		return ofSenders
	}
}

// week is how far back a trend looks.
const week = 7

func (g *digester) refused(ctx context.Context, d *digest) (err error) {
	d.refusals, err = g.trends(ctx, d, history.ByClass)
	return err
}

// A tenant has grown if it has sent more than twice as much as usual, and not only a few.
const (
	grownTimes = 2
	grownLeast = 200
)

func (g *digester) grown(ctx context.Context, d *digest) error {
	all, err := g.trends(ctx, d, history.ByTenant)
	for _, t := range all {
		if t.count >= grownLeast && float64(t.count) > grownTimes*t.before {
			d.tenants = append(d.tenants, t)
		}
	}
	return err
}

// trends compares counts of the day with the days before it that there is history of.
func (g *digester) trends(ctx context.Context, d *digest, by string) (list []trend, err error) {
	of := history.CountsOf{Filter: history.Filter{From: d.from, To: d.to}, By: []string{by}}
	name := func(c *history.Count) string { return cmp.Or(c.Class, c.Tenant) }
	here, err := g.past.Counts(ctx, of)
	if err != nil {
		return nil, err
	}
	of.From, of.To = d.from.AddDate(0, 0, -week), d.from
	before, err := g.past.Counts(ctx, of)
	if err != nil {
		return nil, err
	}
	if d.status, err = g.past.Status(ctx); err != nil {
		return nil, err
	}
	days := float64(week)
	if began := d.status.Counts[0]; began.After(of.From) {
		days = max(1, min(week, d.from.Sub(began).Hours()/24))
	}
	usual := map[string]float64{}
	for i := range before {
		usual[name(&before[i])] += float64(before[i].Attempts) / days
	}
	sums := map[string]int64{}
	for i := range here {
		sums[name(&here[i])] += here[i].Attempts
	}
	for of, n := range sums {
		if of != "" {
			list = append(list, trend{of, n, usual[of]})
		}
	}
	slices.SortFunc(list, func(a, b trend) int { return cmp.Or(cmp.Compare(b.count, a.count), cmp.Compare(a.name, b.name)) })
	return list, nil
}

// lateAge is the index in history.Ages from which on mail has waited for long: for more than four hours.
const lateAge = 3

func (g *digester) late(ctx context.Context, d *digest) error {
	all, err := g.past.Waiting(ctx, history.Filter{}, time.Now())
	for _, w := range all {
		if lateOf(&w) > 0 {
			d.waiting = append(d.waiting, w)
		}
	}
	slices.SortFunc(d.waiting, func(a, b history.Waiting) int {
		return cmp.Or(cmp.Compare(lateOf(&b), lateOf(&a)), cmp.Compare(a.Provider, b.Provider))
	})
	return err
}

func lateOf(w *history.Waiting) (n int64) {
	for _, some := range w.Ages[lateAge+1:] {
		n += some
	}
	return n
}

// quiet says whether there is nothing to say but how much mail there was.
func (d *digest) quiet() bool {
	for _, of := range d.changed {
		if len(of) > 0 {
			return false
		}
	}
	return len(d.now)+len(d.tenants)+len(d.waiting) == 0 && d.gaps == 0 && !d.status.Shortened
}

// daily makes the digest of yesterday, once, at its time or as soon as history has the whole day.
func (n *Notifier) daily(ctx context.Context) (next time.Duration, err error) {
	if n.cfg.Digest == config.NoDigest {
		return 0, nil
	}
	now := time.Now().In(n.zone)
	today := time.Date(now.Year(), now.Month(), now.Day(), 0, 0, 0, 0, n.zone)
	at := n.cfg.Digest.On(today)
	day := today.AddDate(0, 0, -1)
	if now.Before(at) || n.digested == day.Format(time.DateOnly) {
		return 0, nil
	}
	status, err := n.past.Status(ctx)
	if err != nil {
		return 0, err
	}
	if status.Last.Before(today) && now.Sub(at) < anHour { // history is behind, or a gateway silent
		return 0, nil
	}
	done, err := n.sentDigest(ctx, day, now.Sub(at) >= anHour)
	if err != nil || done {
		return 0, err
	}
	d, err := n.digester.make(ctx, day)
	if err != nil {
		return 0, err
	}
	e := newEvent(digestEvent, now, Data{Text: n.digester.words.digest(d)})
	e.Data.Since, e.Data.Until = d.from.UTC(), d.to.UTC()
	err = n.within(ctx, func(b *batch) error {
		if err := b.post(e); err != nil {
			return err
		}
		_, err := b.tx.ExecContext(ctx, "INSERT INTO notify_digests (day) VALUES (?)", day.Format(time.DateOnly))
		return err
	})
	if err == nil {
		n.digested = day.Format(time.DateOnly)
	}
	return 0, err
}

// sentDigest says whether the digest of a day was made. Who begins behind its time begins with the next.
func (n *Notifier) sentDigest(ctx context.Context, day time.Time, late bool) (done bool, err error) {
	name := day.Format(time.DateOnly)
	err = n.within(ctx, func(b *batch) error {
		var all, same int
		if err := b.tx.QueryRowContext(ctx, "SELECT count(*), count(CASE WHEN day = ? THEN 1 END) FROM notify_digests", name).Scan(&all, &same); err != nil {
			return err
		}
		if done = same > 0 || all == 0 && late; !done || same > 0 {
			return nil
		}
		_, err := b.tx.ExecContext(ctx, "INSERT INTO notify_digests (day) VALUES (?)", name)
		return err
	})
	if err == nil && done {
		n.digested = name
	}
	return done, err
}

// open are the conditions that hold.
func (n *Notifier) open(ctx context.Context) ([]standingNow, error) { return openIn(ctx, n.file) }

// Digest gives the text of the digest of a day, for whoever asks. Another process may tell people meanwhile.
func Digest(ctx context.Context, cfg *config.Config, o Options, day time.Time) (string, error) {
	g := &digester{past: o.History, words: wordsOf(&cfg.Notify), notes: o.Notes, open: func(ctx context.Context) ([]standingNow, error) { return peek(ctx, o.Folder) }}
	begin := time.Date(day.Year(), day.Month(), day.Day(), 0, 0, 0, 0, cfg.Notify.Location())
	if err := g.knows(ctx, begin); err != nil {
		return "", err
	}
	d, err := g.make(ctx, begin)
	if err != nil {
		return "", err
	}
	return g.words.digest(d), nil
}

// knows reports a day of which nothing can be said: that nothing has happened would be no answer.
func (g *digester) knows(ctx context.Context, day time.Time) error {
	status, err := g.past.Status(ctx)
	name := day.Format(time.DateOnly)
	switch first := status.Counts[0]; {
	case err != nil:
		return err
	case day.After(time.Now()):
		return fmt.Errorf("%s is still to come", name)
	case first.IsZero():
		return fmt.Errorf("nothing is kept of %s: history is empty", name)
	case !day.AddDate(0, 0, 1).After(first):
		return fmt.Errorf("nothing is kept of %s: the first day of which there is something is %s", name, first.Format(time.DateOnly))
	}
	return nil
}

// newID is that of a message, as the standard shows it.
func newID() string { return "msg_" + rand.Text() }
