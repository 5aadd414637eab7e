package notify

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"kanmon/internal/config"
	"kanmon/internal/event"
	"kanmon/internal/store"
	"kanmon/internal/view/history"
)

// A Notifier tells people what has happened. Hear and Run may go on at once.
type Notifier struct {
	cfg   config.Notify
	zone  *time.Location
	log   *slog.Logger
	file  *store.File
	lock  *os.File
	past  history.Store
	host  Host
	ended *prometheus.CounterVec

	channels []*channel
	most     int           // events of one name in an hour
	settle   time.Duration // for how long an event waits for what stands around it
	keeper   chan struct{} // wakes the keeper

	ordered sync.Mutex              // one Hear at a time: lines come in order. It guards what follows
	heard   map[run]uint64          // the last line of each run
	unsaved map[run]uint64          // those that were not kept yet
	lines   map[string]*event.Entry // the last of each gateway, likewise
	saved   time.Time               // when that was done last
	ear                             // what they say

	digester *digester
	digested string // the day that has had its digest last

	looked time.Time // when the keeper has looked at history last
	forgot time.Time // when it has removed what is old last

	held func() bool // as of [Options]
	deaf bool        // it was when it was asked last
}

// A run is one process of a gateway.
type run struct{ gateway, name string }

// Options are what a Notifier needs beside its configuration.
type Options struct {
	Folder  string        // for its own state
	History history.Store // who keeps the lines that it hears
	Notes   string        // path of the file of notes and acknowledgements; it need not be there
	Held    func() bool   // reports whether nothing is heard because history cannot keep what was heard; nil: it never is
	Host    Host          // what is looked at beside the records
	Log     *slog.Logger  // of the process
}

// FileName is that of the state inside the folder.
const FileName = "notify.db"

// patience is for another process that has the file locked.
const patience = 10 * time.Second

var schema = store.Schema{Part: "notify", Steps: []string{`
CREATE TABLE notify_heard (gateway TEXT NOT NULL, run TEXT NOT NULL, line INTEGER NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (gateway, run)) WITHOUT ROWID;
CREATE TABLE notify_gateways (gateway TEXT PRIMARY KEY, state TEXT NOT NULL, line_at INTEGER NOT NULL, heard INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE notify_subjects (
	key TEXT PRIMARY KEY, state TEXT NOT NULL, told TEXT NOT NULL, at INTEGER NOT NULL, since INTEGER NOT NULL, times TEXT NOT NULL,
	held INTEGER NOT NULL, due INTEGER NOT NULL, last TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX notify_subjects_due ON notify_subjects (due) WHERE due > 0;
CREATE INDEX notify_subjects_at ON notify_subjects (at);
CREATE TABLE notify_counts (key TEXT NOT NULL, at INTEGER NOT NULL);
CREATE INDEX notify_counts_key ON notify_counts (key, at);
CREATE TABLE notify_events (number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, made INTEGER NOT NULL, ready INTEGER NOT NULL, event TEXT NOT NULL);
CREATE TABLE notify_outbox (
	number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL, channel TEXT NOT NULL, tries INTEGER NOT NULL, due INTEGER NOT NULL, UNIQUE (channel, id));
CREATE INDEX notify_outbox_due ON notify_outbox (channel, due);
CREATE INDEX notify_outbox_id ON notify_outbox (id);
CREATE TABLE notify_channels (name TEXT PRIMARY KEY, target TEXT NOT NULL, gone INTEGER NOT NULL, dropped INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE notify_digests (day TEXT PRIMARY KEY) WITHOUT ROWID;
`}}

// Open makes a Notifier. Another process may not have its state open.
func Open(cfg *config.Config, o Options) (*Notifier, error) {
	n := &Notifier{
		cfg: cfg.Notify, zone: cfg.Notify.Location(), log: o.Log, past: o.History, held: o.Held, host: o.Host, ended: newCounter(), most: mostOfAKind, settle: settle, keeper: make(chan struct{}, 1),
		heard: map[run]uint64{}, unsaved: map[run]uint64{}, lines: map[string]*event.Entry{}, ear: *newEar(),
	}
	n.digester = &digester{past: o.History, words: wordsOf(&cfg.Notify), notes: o.Notes, open: n.open}
	var err error
	if n.channels, err = channelsOf(cfg); err != nil {
		return nil, err
	}
	for _, c := range n.channels {
		for _, result := range results {
			n.ended.WithLabelValues(c.name, result)
		}
	}
	path := filepath.Join(o.Folder, FileName)
	err = n.openFile(path)
	if !errors.Is(err, store.ErrDamaged) {
		return n, err
	}
	// Who keeps history does not stop for it: what people have not been told is worth less than what is on record meanwhile.
	where, e := store.SetAside(path)
	if e != nil {
		return nil, errors.Join(err, fmt.Errorf("move %s away: %w", path, e))
	}
	n.log.Error("notifications begin anew: what waited to be sent is lost, and who was told that something began is not told that it ended", "moved_to", where, "error", err)
	return n, n.openFile(path)
}

// openFile opens the state, and reads what is remembered.
func (n *Notifier) openFile(path string) (err error) {
	if n.lock, err = store.Lock(path); err != nil {
		return fmt.Errorf("open %s: %w", path, err)
	}
	if n.file, err = store.Open(path, patience, schema); err != nil {
		return errors.Join(err, n.lock.Close())
	}
	if err := n.load(); err != nil {
		return errors.Join(n.file.Misread(err), n.Close())
	}
	return nil
}

func newCounter() *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "kanmon_notifications_total", Help: "Notifications by what has come of them: sent, failed (tried again), given_up, dropped, gone.",
	}, []string{"channel", "result"})
}

// Collector gives what is counted, for Prometheus.
func (n *Notifier) Collector() prometheus.Collector { return n.ended }

func (n *Notifier) count(channel, result string) { n.ended.WithLabelValues(channel, result).Inc() }

// Close is for behind Run.
func (n *Notifier) Close() error { return errors.Join(n.file.Close(), n.lock.Close()) }

func (n *Notifier) load() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return n.within(ctx, func(b *batch) error {
		rows, err := b.tx.QueryContext(ctx, "SELECT gateway, run, line FROM notify_heard")
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var of run
			var line uint64
			if err := rows.Scan(&of.gateway, &of.name, &line); err != nil {
				return err
			}
			n.heard[of] = line
		}
		if err := rows.Err(); err != nil {
			return err
		}
		open, err := b.tx.QueryContext(ctx, "SELECT key FROM notify_subjects WHERE state <> ''")
		if err != nil {
			return err
		}
		keys, err := texts(open)
		if err != nil {
			return err
		}
		for _, k := range keys {
			switch parts := strings.Split(k, "\n"); {
			case parts[0] == "pool":
				n.pools[k] = true
			case parts[0] == "listed" && len(parts) > 2:
				n.listed[k] = true
			}
		}
		return b.targets()
	})
}

func (n *Notifier) wake(who chan struct{}) {
	select {
	case who <- struct{}{}:
	default: // it is awake already
	}
}

// Run tells people, until it is stopped. What is under way then is sent again by the next Run, under the same id.
func (n *Notifier) Run(ctx context.Context) {
	var all sync.WaitGroup
	for _, c := range n.channels {
		all.Go(func() { n.serve(ctx, c) })
	}
	all.Go(func() { n.keep(ctx) })
	all.Wait()
}

// keepEvery is how often the keeper looks at what no event wakes it for.
const keepEvery = time.Minute

// keep does what nobody waits for: it finishes events, looks at history, tells what was held back, makes the digest.
func (n *Notifier) keep(ctx context.Context) {
	n.began(ctx)
	for {
		next := n.round(ctx)
		select {
		case <-ctx.Done():
			return
		case <-n.keeper:
		case <-time.After(next):
		}
	}
}

// round does what is due, and says when to come back.
func (n *Notifier) round(ctx context.Context) time.Duration {
	next := keepEvery
	for _, step := range []func(context.Context) (time.Duration, error){n.compose, n.look, n.late, n.daily} {
		soon, err := step(ctx)
		if err != nil && ctx.Err() == nil {
			n.log.Error("notifications wait", "error", err)
		}
		if soon > 0 {
			next = min(next, soon)
		}
	}
	return next
}

// late tells what was held back until now, says when the next of it is due, and forgets what is old.
func (n *Notifier) late(ctx context.Context) (next time.Duration, err error) {
	err = n.within(ctx, func(b *batch) error {
		if err := b.overdue(); err != nil {
			return err
		}
		var due int64
		if err := b.tx.QueryRowContext(ctx, "SELECT coalesce(min(due), 0) FROM notify_subjects WHERE due > 0").Scan(&due); err != nil {
			return err
		}
		if due > 0 {
			next = max(time.Second, timeOf(due).Sub(b.now))
		}
		if b.now.Sub(n.forgot) < anHour {
			return nil
		}
		n.forgot = b.now
		return b.forget()
	})
	return next, err
}
