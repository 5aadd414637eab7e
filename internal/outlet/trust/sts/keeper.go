package sts

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/who/share"
)

// ErrBusy is seen where too much is under way, of a tenant or of all, to look a domain up now: nobody knows whether it has a policy.
var ErrBusy = errors.New("too many lookups of MTA-STS policies are under way")

// ErrNoRoom is seen for a policy that there is no room for: the tenant, or all, have too many.
var ErrNoRoom = errors.New("there is no room for another MTA-STS policy")

// ErrNotKept is seen where a person's order holds, and the store does not take it.
var ErrNotKept = errors.New("the change is active but not saved; a restart may lose it")

// Options make a [Keeper]. Resolver must be set.
type Options struct {
	Resolver     Resolver
	Store        Store            // nil: nothing survives the process
	Roots        *x509.CertPool   // for policy hosts; nil: the system's
	AllowPrivate bool             // policy hosts may have addresses that are not of the public Internet
	Dial         Dialer           // to policy hosts; nil: a net.Dialer, which connects nowhere inside without AllowPrivate
	Clock        func() time.Time // nil: time.Now
	Log          *slog.Logger     // nil: silence
}

// A Keeper knows which policies domains have. It is safe for concurrent use.
type Keeper struct {
	o       Options
	fetcher fetcher

	ctx    context.Context // of all lookups
	cancel context.CancelFunc
	tasks  sync.WaitGroup

	disk sync.Mutex    // held while the store is used, and taken before mu
	seen time.Time     // what time the store has; guarded by disk
	wake chan struct{} // there is something to be written that should not wait

	mu      sync.Mutex
	closed  bool
	passage passage
	shelf   shelf                             // domains with a policy that has a place
	passing *share.Map[string, *entry]        // all others
	flights map[string]*flight                // by domain
	waited  share.Places[string]              // of flights that a session waits for
	behind  share.Places[string]              // of those that nobody waits for
	fetches share.Places[string]              // of flights that are at the policy host
	queue   []*flight                         // that wait for such a place
	dirty   map[string]bool                   // domains whose rows are to be written, or removed; true: the store has one
	saving  int                               // rows that the store has not taken yet
	lines   map[event.TrustReason]share.Lines // of the log, by what went wrong
	fetched [event.TrustReasonCount]uint64    // policies, by why not
	refused uint64                            // fetches for which there was no place in time
}

// Bounds. A fetch takes up to fetchTime, so of fetches a tenant has few.
const (
	mostPassing = 32_768 // domains without a policy that has a place
	mostFlights = 1024
	mostBehind  = 64
	mostFetches = 64
	ownBehind   = 4
	ownFetches  = 8
)

var (
	flightBounds = share.Bounds{Most: mostFlights, Reserve: mostFlights}
	behindBounds = share.Bounds{Most: mostBehind, Reserve: mostBehind, Each: ownBehind}
	fetchBounds  = share.Bounds{Most: mostFetches, Reserve: mostFetches, Each: ownFetches}
)

// Found is what is known of a domain.
type Found struct {
	Policy *Policy // nil: none. One with mode None is as none
	Known  bool    // false: nobody knows
	// Why a policy is not there, or not the one that the record announces: a fetch has failed, or DNS gave no answer (then a domain may have one).
	Why event.TrustReason
	Err error // for people; nil where it is usual that there is none
}

// New makes a Keeper and reads what the store has.
func New(o Options) (*Keeper, error) {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	k := &Keeper{
		o: o, fetcher: newFetcher(&o), wake: make(chan struct{}, 1),
		shelf: newShelf(), passing: share.NewMap[string, *entry](mostPassing),
		flights: map[string]*flight{}, dirty: map[string]bool{}, lines: map[event.TrustReason]share.Lines{},
	}
	k.ctx, k.cancel = context.WithCancel(context.Background())
	if o.Store != nil {
		if err := k.load(); err != nil {
			return nil, err
		}
		k.tasks.Go(k.saveLoop)
	}
	k.tasks.Go(k.tendLoop)
	return k, nil
}

// Look returns what is known of a recipient's domain, in the form of package mailbox, and begins what is due. It never blocks. Where nothing
// is known the channel is closed when the first answer is there, whatever that is; nil: there is nothing to wait for. By is whose mail asks: a
// tenant. Look does not allocate where there is nothing to begin.
func (k *Keeper) Look(domain, by string) (Found, <-chan struct{}) {
	if !canHave(domain) {
		return Found{Known: true}, nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.now()
	e := k.find(domain)
	switch {
	case e.holds(now):
		k.use(e, now)
		if due := e.isDue(now); due || !now.Before(e.again) { // whose part it counts in may have no place for it
			k.begin(domain, by, flight{behind: true, refresh: due})
		}
		return e.found(now), nil
	case e.isFresh(by, now):
		return e.found(now), nil
	}
	f := k.begin(domain, by, flight{})
	if f == nil {
		return Found{Err: ErrBusy}, nil
	}
	return Found{}, f.done
}

// Renew has a domain's policy fetched anew, for the case that its owner has changed it, and returns a channel that is closed when
// that is done. Nil: it is not due, since that was done just now, or cannot be done now.
func (k *Keeper) Renew(domain, by string) <-chan struct{} {
	if !canHave(domain) {
		return nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.now()
	if e := k.find(domain); e != nil && now.Before(e.renewable) && k.flights[domain] == nil {
		return nil
	}
	f := k.begin(domain, by, flight{renew: true})
	if f == nil {
		return nil
	}
	return f.done
}

// Refresh has a domain looked up and its policy fetched now, because a person says so, and returns what is known then.
func (k *Keeper) Refresh(ctx context.Context, domain string) (Found, error) {
	if !canHave(domain) {
		return Found{Known: true}, nil
	}
	k.mu.Lock()
	f := k.begin(domain, "", flight{renew: true, order: true})
	k.mu.Unlock()
	if f == nil {
		return Found{}, ErrBusy
	}
	select {
	case <-f.done:
	case <-ctx.Done():
		return Found{}, fmt.Errorf("refresh the policy of %s: %w", domain, ctx.Err())
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.find(domain).found(k.now()), nil
}

// Forget forgets a domain and its policy, because a person says so, and reports whether anything was known. The next mail looks it up.
func (k *Keeper) Forget(domain string) (known bool, err error) {
	k.mu.Lock()
	if f := k.flights[domain]; f != nil {
		f.void = true
	}
	e := k.find(domain)
	if e != nil {
		k.drop(e)
	}
	k.mu.Unlock()
	if e == nil {
		return false, nil
	}
	if _, err := k.saveAll(); err != nil {
		return true, fmt.Errorf("%w: %w", ErrNotKept, err)
	}
	return true, nil
}

// Close ends all lookups and writes what has not been written. It does not close the store.
func (k *Keeper) Close() error {
	k.mu.Lock()
	k.closed = true
	k.mu.Unlock()
	k.cancel()
	k.tasks.Wait()
	if _, err := k.saveAll(); err != nil {
		return fmt.Errorf("write MTA-STS policies: %w", err)
	}
	return nil
}

// canHave reports whether there can be a policy: address literals have none (RFC 8461 section 3.4), nor what is too long for a record.
func canHave(domain string) bool {
	const mostName = 253 // octets (RFC 1035 section 2.3.4)
	return domain != "" && domain[0] != '[' && len(recordPrefix)+len(domain) <= mostName
}

// find returns what is known of a domain; nil: nothing.
func (k *Keeper) find(domain string) *entry {
	if e := k.shelf.all[domain]; e != nil {
		return e
	}
	e, _ := k.passing.Get(domain)
	return e
}

// use notes that mail goes to a domain. The store learns of it once a day.
func (k *Keeper) use(e *entry, now time.Time) {
	e.usedSince = true
	if today := dayOf(now); today != e.used {
		e.used = today
		k.markDirty(e)
	}
}

// drop forgets an entry.
func (k *Keeper) drop(e *entry) {
	k.shelf.remove(e)
	k.passing.Delete(e.domain)
	k.markDirty(e)
}

// tell has the log tell of a domain, unless it has told of many such just now.
func (k *Keeper) tell(why event.TrustReason, now time.Time) (left int, tell bool) {
	lines := k.lines[why]
	left, tell = lines.Tell(now)
	k.lines[why] = lines
	return left, tell
}

// Fetches returns how many policies were fetched, by why not where they were not, and how many were not for want of a place.
func (k *Keeper) Fetches() (by map[event.TrustReason]uint64, busy uint64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	by = map[event.TrustReason]uint64{}
	for _, why := range [...]event.TrustReason{event.TrustWhyNot, event.FetchError, event.PolicyInvalid, event.WebPKIInvalid} {
		by[why] = k.fetched[why]
	}
	return by, k.refused
}
