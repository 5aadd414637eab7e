package follow

import (
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"kanmon/internal/view/history"
)

// A Keeper keeps history: it follows files of records, takes away what is old, takes in what is imported meanwhile, and says how it goes.
type Keeper struct {
	Store    history.Store
	Dir      string   // of the store: whose disk it may fill, and where its socket is
	Remote   bool     // the store fills no disk of this host
	Records  []string // files that are followed
	Gateways []string // as of [Options]
	Keep     history.Keep
	Hear     func(context.Context, []history.Line) // as of [Options]; of what is imported nobody hears
	Log      *slog.Logger                          // nil: slog.Default()

	Metrics    netip.AddrPort         // where Prometheus is answered; the zero AddrPort: nowhere
	Collectors []prometheus.Collector // what else it is told

	followers []*Follower
	held      atomic.Int32 // as of [Options]
}

// Held reports whether lines wait to be kept: nothing newer is read of their file until then.
func (k *Keeper) Held() bool { return k.held.Load() > 0 }

const (
	pruneEvery = time.Hour
	pruneAgain = time.Minute // where it has failed
)

// Run keeps history until ctx ends.
func (k *Keeper) Run(ctx context.Context) {
	if k.Log == nil {
		k.Log = slog.Default()
	}
	for _, path := range k.Records {
		k.followers = append(k.followers, New(Options{Path: path, Store: k.Store, Room: k.room, Gateways: k.Gateways, Hear: k.Hear, Held: &k.held, Log: k.Log}))
	}
	var all sync.WaitGroup
	for _, f := range k.followers {
		all.Go(func() { f.Run(ctx) })
	}
	all.Go(func() { k.serve(ctx) })
	if k.Metrics.IsValid() {
		all.Go(func() { k.answer(ctx) })
	}
	k.tidy(ctx)
	all.Wait()
}

// tidy takes away what is old each hour.
func (k *Keeper) tidy(ctx context.Context) {
	for {
		next := pruneEvery
		if _, err := k.Prune(ctx); err != nil && ctx.Err() == nil {
			k.Log.Error("history is not pruned; it is tried again", "error", err)
			next = pruneAgain
		}
		sleep(ctx, next)
		if ctx.Err() != nil {
			return
		}
	}
}

// Prune takes away what is older than is to be kept, or more.
func (k *Keeper) Prune(ctx context.Context) (history.Pruned, error) {
	p, err := k.Store.Prune(ctx, time.Now(), k.Keep)
	if p.Detail+p.Trouble+p.Counts > 0 {
		k.Log.Info("history is pruned", "days_of_detail", p.Detail, "days_of_trouble", p.Trouble, "days_of_counts", p.Counts, "for_size", p.ForSize)
	}
	return p, err
}

// room says why nothing more may be written to the disk; nil: something may.
func (k *Keeper) room() error {
	if k.Remote {
		return nil
	}
	return Room(k.Dir)
}

// Lag is that of the file that history is furthest behind.
func (k *Keeper) Lag() (worst Lag) {
	for i, f := range k.followers {
		if l := f.Lag(); i == 0 || l.Behind > worst.Behind {
			worst = l
		}
	}
	return worst
}
