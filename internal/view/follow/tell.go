package follow

import (
	"log/slog"
	"time"
)

// A teller has the log told of what is not as it should be: when it begins, now and then while it lasts, and when it is over.
type teller struct {
	log   *slog.Logger
	since map[string]trouble
	said  map[string]int
}

type trouble struct {
	why         string
	began, told time.Time
}

// tellAgain is how often what lasts is told.
const tellAgain = 10 * time.Minute

// tell says that something fails, or, with nil, that it does no more.
func (t *teller) tell(what string, err error) {
	was, lasts := t.since[what]
	switch {
	case err == nil && lasts:
		t.log.Info("history goes on", "was", what, "for", time.Since(was.began).Round(time.Millisecond))
		delete(t.since, what)
	case err == nil:
	case lasts && was.why == err.Error() && time.Since(was.told) < tellAgain:
	default:
		if t.since == nil {
			t.since = map[string]trouble{}
		}
		if !lasts {
			was.began = time.Now()
		}
		t.log.Error("history is held up", "by", what, "error", err)
		t.since[what] = trouble{err.Error(), was.began, time.Now()}
	}
}

// mostSaid bounds how many different things of one kind are told.
const mostSaid = 8

// once says something that can come often: each kind a few times, and the last time that it is not told again.
func (t *teller) once(what, why string, args ...any) {
	if t.said == nil {
		t.said = map[string]int{}
	}
	t.said[what]++
	switch n := t.said[what]; {
	case n < mostSaid:
		t.log.Warn("not taken into history", append([]any{"what", what, "why", why}, args...)...)
	case n == mostSaid:
		t.log.Warn("not taken into history", append([]any{"what", what, "why", why, "more", "is counted, and told no more"}, args...)...)
	}
}
