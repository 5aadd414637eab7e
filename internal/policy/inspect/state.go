package inspect

import (
	"slices"
	"time"
)

// A State is how a scanner is now.
type State struct {
	Scanner   string
	AtOnce    int
	Taken     int // places, by scans that nobody waits for too
	Abandoned int // of these
	Waiting   int // messages that wait for a place
	// Away is since when it is not given messages, or only one of sixteen, to see whether it is there again; zero: it is there. Of several
	// upstreams that all must be.
	Away     time.Time
	Tried    bool          // of Away: it answers pings again
	Why      string        // of Away, for people
	P50, P95 time.Duration // that the last verdicts took, without the wait for a place; 0: there were none
}

// State returns how the scanners are, in the order of Settings.
func (r *Room) State() []State {
	all := make([]State, 0, len(r.scanners))
	for _, s := range r.scanners {
		all = append(all, s.state())
	}
	return all
}

func (s *scanner) state() State {
	st := State{Scanner: s.Name, AtOnce: s.AtOnce, Abandoned: int(s.abandoned.Load())}
	st.Taken, st.Waiting = s.places.count()
	for i, up := range s.upstreams {
		state, since, why := up.breaker.show()
		if state == there {
			st.Away, st.Tried, st.Why = time.Time{}, false, ""
			break
		}
		if i == 0 || since.After(st.Away) {
			st.Away, st.Why = since, why
		}
		st.Tried = st.Tried || state == tested
	}
	s.mu.Lock()
	took := slices.Clone(s.took[:min(s.n, shown)])
	s.mu.Unlock()
	if len(took) > 0 {
		slices.Sort(took)
		st.P50, st.P95 = took[(len(took)-1)/2], took[(len(took)*95-1)/100]
	}
	return st
}
