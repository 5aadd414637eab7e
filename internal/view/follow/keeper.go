package follow

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"net/netip"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"

	"kanmon/internal/view/history"
)

// A Keeper keeps history: it follows files of records, takes away what is old, takes in what is imported meanwhile, and says how it goes.
type Keeper struct {
	Store    history.Store
	Dir      string   // of the store: whose disk it may fill, and where its socket is
	Records  []string // files that are followed
	Gateways []string // as of [Options]
	Keep     history.Keep
	Hear     func(context.Context, []history.Line) // as of [Options]; of what is imported nobody hears
	Log      *slog.Logger                          // nil: slog.Default()

	Metrics    netip.AddrPort         // where Prometheus is answered; the zero AddrPort: nowhere
	Collectors []prometheus.Collector // what else it is told

	followers []*Follower
	pruning   sync.Mutex
	pruned    time.Time
}

const (
	pruneEvery = time.Hour
	// lookForRoom is how often the disk is asked how much of it is free.
	lookForRoom = time.Minute
	// mostReserve is what is left free on the disk, of a small one a twentieth: kanmon may have its records and its state there.
	mostReserve  = 1 << 30
	reservedPart = 20
)

// Run keeps history until ctx ends.
func (k *Keeper) Run(ctx context.Context) {
	if k.Log == nil {
		k.Log = slog.Default()
	}
	for _, path := range k.Records {
		k.followers = append(k.followers, New(Options{Path: path, Store: k.Store, Gateways: k.Gateways, Hear: k.Hear, Log: k.Log}))
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

// tidy takes away what is old each hour, and sooner where the disk gets full.
func (k *Keeper) tidy(ctx context.Context) {
	again := time.NewTicker(lookForRoom)
	defer again.Stop()
	for {
		if free, reserve, err := room(k.Dir); time.Since(k.pruned) >= pruneEvery || err == nil && free < reserve {
			if _, err := k.Prune(ctx, time.Now()); err != nil && ctx.Err() == nil {
				k.Log.Error("history is not pruned; it is tried again", "error", err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-again.C:
		}
	}
}

// Prune takes away what is older than is to be kept, or more than the disk has room for.
func (k *Keeper) Prune(ctx context.Context, now time.Time) (history.Pruned, error) {
	k.pruning.Lock()
	defer k.pruning.Unlock()
	k.pruned = time.Now()
	p, err := Prune(ctx, k.Store, k.Dir, k.Keep, now)
	if p.Detail+p.Trouble+p.Counts > 0 {
		k.Log.Info("history is pruned", "days_of_detail", p.Detail, "days_of_trouble", p.Trouble, "days_of_counts", p.Counts, "for_size", p.ForSize)
	}
	return p, err
}

// Prune takes away what is older than is to be kept, or more, or more than the disk of a folder has room for.
func Prune(ctx context.Context, s history.Store, dir string, keep history.Keep, now time.Time) (history.Pruned, error) {
	free, reserve, err := room(dir)
	if err != nil {
		return history.Pruned{}, err
	}
	st, err := s.Status(ctx)
	if err != nil {
		return history.Pruned{}, err
	}
	if keep.Octets == 0 {
		keep.Octets = math.MaxInt64
	}
	keep.Octets = max(1, min(keep.Octets, st.Octets+free-reserve))
	return s.Prune(ctx, now, keep)
}

// room is how much of a folder's disk is free, and how much of it is to stay so.
func room(dir string) (free, reserve int64, err error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return 0, 0, errors.Join(errors.New("the disk of history does not say how much of it is free"), err)
	}
	size := int64(fs.Bsize) //nolint:unconvert // on other machines it is no int64
	return int64(fs.Bavail) * size, min(mostReserve, int64(fs.Blocks)*size/reservedPart), nil
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

// Free is how much of a folder's disk is free; 0 where that is not known.
func Free(dir string) int64 {
	free, _, _ := room(dir)
	return free
}
