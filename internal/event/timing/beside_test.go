package timing_test

import (
	"testing"
	"time"

	"kanmon/internal/event/timing"
)

// restrict makes RCPT of the IPs at a provider 5 s longer, or refuses a third of their connections.
func (w *world) restrict(p int, refused bool, ips ...int) {
	w.trouble = func(o *timing.Observation) {
		for _, i := range ips {
			switch {
			case o.IP != ip(i) || o.Provider != provider(p):
			case !refused:
				add(o, timing.Rcpt, 5)
			case o.New && w.r.IntN(3) == 0:
				refuse(o)
			}
		}
	}
}

// until lets mail flow until an IP has had so many at a provider, and gives what was told of it there.
func (w *world) until(mails, i, p int) (of []timing.Finding) {
	for n := 0; n < mails && len(of) == 0; {
		from := len(w.told)
		o := w.next()
		if o.IP == ip(i) && o.Provider == provider(p) {
			n++
		}
		w.trouble(&o)
		w.observe(&o)
		for _, f := range here(w.told[from:]) {
			if f.IP == ip(i) && f.Provider == provider(p) {
				of = append(of, f)
			}
		}
	}
	return of
}

func TestAnIPIsFoundBesideThoseThatAreRestricted(t *testing.T) {
	for name, c := range map[string]struct {
		refused bool
		within  int
	}{"RCPT 5 s later": {false, 20}, "a third of connections refused": {true, 60}} {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(3) {
				w := newWorld(t, seed+80, 6)
				w.run(history)
				for _, i := range []int{1, 2, 3} {
					ips := []int{1, 2, 3}[:i]
					w.restrict(2, c.refused, ips...)
					if told := w.until(c.within, i, 2); len(told) == 0 {
						t.Errorf("seed %d: IP %d is not found within %d mails: the slowness of those before it was taken for the provider's", seed, i, c.within)
					} else if told[0].Others > 1 {
						t.Errorf("seed %d: others take %.1f s; those that are not restricted take less than one", seed, told[0].Others)
					}
					w.run(6 * time.Hour)
				}
				for _, f := range here(w.told) {
					if f.IP == ip(0) || f.IP == ip(4) || f.IP == ip(5) || f.Provider != provider(2) {
						t.Errorf("seed %d: %+v", seed, f)
					}
				}
			}
		})
	}
}

func TestAnIPThatIsRestrictedByThreeProvidersOfEightIsNotSlowEverywhere(t *testing.T) {
	for seed := range uint64(3) {
		w := newWorld(t, seed+84, 4)
		w.providers = 8
		w.run(2 * history)
		for p := range 3 {
			w.trouble = func(o *timing.Observation) {
				for q := range p + 1 {
					if o.IP == ip(1) && o.Provider == provider(q) {
						add(o, timing.Rcpt, 5)
					}
				}
			}
			if len(w.until(25, 1, p)) == 0 {
				t.Errorf("seed %d: provider %d is not told within 25 mails", seed, p)
			}
			w.run(3 * time.Hour)
		}
		for _, f := range w.told {
			if f.Scope == timing.ThisIPEverywhere {
				t.Errorf("seed %d: %+v", seed, f)
			}
		}
	}
}
