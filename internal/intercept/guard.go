package intercept

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"
)

const (
	// guardLook is how often a guard looks although nothing has told it of a change, and how old what it tells of itself may become.
	guardLook = 10 * time.Second

	// What is taken away again and again is put back at once a few times, and then at intervals: two programs that undo each other must
	// not keep a host busy.
	guardTimes    = 5
	guardWithin   = 10 * time.Minute
	guardInterval = time.Minute
	guardPause    = time.Second // behind a try that failed

	// guardTimeout bounds one look or repair.
	guardTimeout = 30 * time.Second
)

// A Guard keeps rules in force: what another program takes away it puts back, and tells how long mail could leave directly. It never
// acts against a person's `rules remove`.
type Guard struct {
	Keeper *Keeper
	Log    *slog.Logger
	Report *Report // where it tells how it is; nil: nowhere

	// What reaches the kernel; tests replace them.
	watch  func(context.Context, string) (<-chan change, error)
	losses func(context.Context, Kept) ([]Loss, error)
	put    func(context.Context, Kept) error
	found  func(context.Context) (Kept, error)

	state   Guarding
	memory  *Kept     // what was read last, or found in the kernel
	anew    time.Time // of the rules that were last put in force anew because it was not known how the kernel had them
	by      string    // who has made the last change
	from    time.Time // since when what is found now may be so
	ailing  []Loss
	since   time.Time // of the losses
	tried   []time.Time
	next    time.Time // of the next try; zero: none is due
	alarmed bool
	missing []string // interfaces
	quiet   string   // why nothing is guarded, when that was logged
}

// Run guards until ctx ends. The function is called once the guard has looked for the first time.
func (g *Guard) Run(ctx context.Context, ready func()) error {
	g.useKernel()
	changes, err := g.watch(ctx, Rules{}.table())
	if err != nil {
		return err
	}
	g.state.Since = time.Now()
	g.from = g.Report.lastSeen()
	g.look(ctx)
	ready()
	tick := time.NewTicker(guardLook)
	defer tick.Stop()
	for {
		var retry <-chan time.Time
		if !g.next.IsZero() {
			retry = time.After(time.Until(g.next))
		}
		select {
		case <-ctx.Done():
			g.state.Ended = time.Now()
			g.tell()
			return nil
		case c := <-changes:
			if c.links {
				g.lookAtInterfaces()
				continue
			}
			g.by, g.from = c.by, time.Now()
		case <-tick.C:
			g.by, g.from = "", g.state.Seen
		case <-retry:
		}
		g.look(ctx)
	}
}

func (g *Guard) useKernel() {
	if g.watch == nil {
		g.watch = watch
	}
	if g.losses == nil {
		g.losses = func(_ context.Context, k Kept) ([]Loss, error) { return k.Losses() }
	}
	if g.put == nil {
		g.put = g.Keeper.put
	}
	if g.found == nil {
		g.found = asFound
	}
}

// look sees whether the rules are in force, and puts them back if they are not and it is time for it.
func (g *Guard) look(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, guardTimeout)
	defer cancel()
	unlock, err := g.Keeper.lock(ctx)
	if err != nil {
		g.Log.Error("firewall rules not looked at", "error", err)
		return
	}
	defer unlock()
	defer g.tell()
	kept, err := g.remember(ctx)
	if why := unguarded(kept, err); why != "" {
		g.rest(why)
		return
	}
	g.quiet = ""
	g.lookForInterfaces(kept.Rules)
	losses, err := g.losses(ctx, kept)
	if err != nil {
		g.Log.Error("firewall rules not looked at", "error", err)
		return
	}
	if len(losses) == 0 {
		g.whole()
		g.makeComparable(ctx, kept)
		return
	}
	g.lost(losses)
	g.repair(ctx, kept)
}

// remember returns what is kept. Where that is damaged, it is what the guard knows itself: the way stays closed unless a person opens it.
func (g *Guard) remember(ctx context.Context) (Kept, error) {
	kept, err := g.Keeper.read()
	if !errors.Is(err, ErrDamaged) {
		g.state.Damaged, g.memory = "", nil
		if err == nil {
			g.memory = &kept
			if g.Keeper.isAside() && g.Keeper.write(kept) == nil {
				g.Log.Info("the firewall rules in force are kept on the disk again")
			}
		}
		return kept, err
	}
	told := g.state.Damaged == err.Error()
	g.state.Damaged = err.Error()
	if g.memory == nil {
		found, none := g.found(ctx)
		if none != nil {
			return Kept{}, fmt.Errorf("%w; and %w", err, none)
		}
		g.memory = &found
	}
	if !told {
		g.Log.Error("what is remembered of the firewall rules is damaged: they are guarded as they are in force", "error", err, "cure", "kanmon rules apply")
	}
	if g.memory.found != "" {
		return *g.memory, nil
	}
	if e := g.Keeper.write(*g.memory); e != nil && !errors.Is(e, ErrKeptAside) {
		if !told {
			g.Log.Error("it cannot be written anew: a boot with a broken configuration would open the way", "error", e)
		}
		return *g.memory, nil
	}
	g.Log.Warn("what is remembered of the firewall rules is written anew")
	g.state.Damaged = ""
	return *g.memory, nil
}

// makeComparable puts rules in force anew where it is not known how the kernel had them: once, for it may be that nothing can be kept.
func (g *Guard) makeComparable(ctx context.Context, kept Kept) {
	if kept.comparable() || g.anew.Equal(kept.Applied) {
		return
	}
	g.anew = kept.Applied
	err := g.put(ctx, kept)
	if err != nil {
		g.Log.Error("firewall rules not put in force anew, and it is not known whether they are as they were", "error", err)
		return
	}
	g.Log.Info("firewall rules put in force anew: it was not known how the kernel had them")
}

// unguarded says why there is nothing to guard, or "".
func unguarded(kept Kept, err error) string {
	switch {
	case errors.Is(err, ErrNothingKept):
		return err.Error()
	case err != nil:
		return "it is not known what was in force: " + err.Error()
	case kept.Removed != nil:
		return "a person has removed the rules at " + kept.Removed.At.UTC().Format(time.RFC3339)
	}
	return ""
}

func (g *Guard) rest(why string) {
	if g.quiet != why {
		g.Log.Warn("firewall rules not guarded: mail may leave directly", "why", why)
	}
	g.quiet, g.ailing, g.next, g.alarmed = why, nil, time.Time{}, false
	g.state.Unguarded, g.state.Lost, g.state.Seen = why, nil, time.Time{}
}

// whole notes that all is in force.
func (g *Guard) whole() {
	if len(g.ailing) > 0 {
		g.Log.Warn("firewall rules in force again, not by the guard", "were", texts(g.ailing), "by", g.by, "for", g.elapsed())
		g.healed()
	}
	g.next, g.alarmed = time.Time{}, false
	g.state.Unguarded, g.state.Lost, g.state.Seen = "", nil, time.Now()
}

// lost notes what is not in force, and says so once.
func (g *Guard) lost(losses []Loss) {
	if len(g.ailing) == 0 {
		g.since = g.from
		if g.since.IsZero() {
			g.since = time.Now()
		}
	}
	if !slices.Equal(g.ailing, losses) {
		attributes := []any{"lost", texts(losses), "mail", effect(losses)}
		if g.by != "" {
			attributes = append(attributes, "by", g.by)
		}
		g.Log.Error("firewall rules lost", attributes...)
	}
	g.ailing = losses
	g.state.Unguarded, g.state.Lost = "", names(losses)
}

// repair puts the rules back, if it is time.
func (g *Guard) repair(ctx context.Context, kept Kept) {
	now := time.Now()
	if g.next = g.due(now); now.Before(g.next) {
		if !g.alarmed {
			g.alarmed = true
			g.Log.Error("firewall rules are taken away again and again: find out by whom; they are put back once a minute", "times", len(g.tried), "by", g.by,
				"mail", effect(g.ailing), "next", g.next.Sub(now).Round(time.Second))
		}
		return
	}
	g.tried = append(g.tried, now)
	err := g.put(ctx, kept)
	if err != nil && !errors.Is(err, ErrNotKept) {
		now := time.Now()
		if g.next = g.due(now); g.next.Before(now.Add(guardPause)) {
			g.next = now.Add(guardPause)
		}
		g.Log.Error("firewall rules not put back", "error", err, "lost", texts(g.ailing), "mail", effect(g.ailing), "next_try", time.Until(g.next).Round(time.Second))
		return
	}
	if err != nil {
		g.Log.Error("firewall rules put back, and not kept", "error", err)
	}
	g.Log.Error("firewall rules put back", "were", texts(g.ailing), "by", g.by, "for", g.elapsed(), "mail", past(g.ailing))
	if kept.found != "" { // the kernel may have it in other words now
		if again, err := g.found(ctx); err == nil {
			g.memory = &again
		}
	}
	g.healed()
	g.state.Lost, g.state.Seen = nil, time.Now()
	g.next = time.Time{}
}

// due is when the next try may be.
func (g *Guard) due(now time.Time) time.Time {
	g.tried = slices.DeleteFunc(g.tried, func(t time.Time) bool { return now.Sub(t) >= guardWithin })
	if len(g.tried) < guardTimes {
		return now
	}
	return g.tried[len(g.tried)-1].Add(guardInterval)
}

func (g *Guard) elapsed() time.Duration { return time.Since(g.since).Round(time.Millisecond) }

func (g *Guard) healed() {
	e := Episode{At: g.since, For: time.Since(g.since), Lost: names(g.ailing), By: g.by, Open: open(g.ailing)}
	g.state.Episodes++
	if e.Open {
		g.state.Open += e.For
	}
	g.state.Last = &e
	g.ailing, g.alarmed = nil, false
}

// lookAtInterfaces looks at nothing else: interfaces of containers come and go all the time.
func (g *Guard) lookAtInterfaces() {
	if kept, err := g.Keeper.read(); unguarded(kept, err) == "" {
		g.lookForInterfaces(kept.Rules)
	}
}

func (g *Guard) lookForInterfaces(r Rules) {
	missing := r.MissingInterfaces()
	if !slices.Equal(missing, g.missing) {
		switch {
		case len(missing) > 0:
			g.Log.Error("interfaces of the firewall rules are gone: no mail comes in by them", "interfaces", missing)
		default:
			g.Log.Info("interfaces of the firewall rules are back", "interfaces", g.missing)
		}
	}
	g.missing, g.state.MissingInterfaces = missing, missing
}

func (g *Guard) tell() {
	g.state.Told = time.Now()
	if err := g.Report.write(g.state); err != nil && g.state.Told.Sub(g.state.Since) < guardLook {
		g.Log.Warn("nobody can be told how the firewall rules are", "error", err)
	}
}

// effect says what becomes of mail meanwhile.
func effect(losses []Loss) string {
	if open(losses) {
		return "leaves directly"
	}
	return "waits in the MSAs"
}

func past(losses []Loss) string {
	if open(losses) {
		return "left directly"
	}
	return "waited in the MSAs"
}

func names(losses []Loss) (list []string) {
	for _, l := range losses {
		list = append(list, l.What)
	}
	return list
}
