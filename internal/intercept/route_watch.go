package intercept

import (
	"context"
	"log/slog"
	"time"
)

const (
	// routeGrace is what a guard has to put back what is missing, before it is told of.
	routeGrace = time.Second
	// routeLook is how often somebody looks although nothing has told of a change.
	routeLook = 10 * time.Second
)

// A RouteWatch tells when the policy routes of rules go, and when they are back. It changes nothing and needs no privilege.
type RouteWatch struct {
	Rules func() Rules // those of now: a reload changes them
	Log   *slog.Logger

	// What reaches the kernel; tests replace them.
	watch  func(context.Context) (<-chan change, error)
	losses func() ([]Loss, error)

	said  string
	since time.Time
}

// Run watches until ctx ends. Rules that need no policy route need no watch.
func (w *RouteWatch) Run(ctx context.Context) error {
	if w.watch == nil {
		w.watch = watchRoutes
	}
	if w.losses == nil {
		w.losses = func() ([]Loss, error) { return w.Rules().routeLosses() }
	}
	changes, err := w.watch(ctx)
	if err != nil {
		return err
	}
	tick := time.NewTicker(routeLook)
	defer tick.Stop()
	for {
		w.look()
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-changes:
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(routeGrace):
			}
		}
	}
}

func (w *RouteWatch) look() {
	losses, err := w.losses()
	if err != nil {
		w.Log.Error("policy routes not looked at", "error", err)
		return
	}
	now := texts(losses)
	switch now {
	case w.said:
	case "":
		w.Log.Warn("policy routes are back", "were", w.said, "for", time.Since(w.since).Round(time.Second))
	default:
		if w.said == "" {
			w.since = time.Now()
		}
		w.Log.Error("policy routes are missing: mail waits in the MSAs", "missing", now, "cure", "kanmon rules apply")
	}
	w.said = now
}
