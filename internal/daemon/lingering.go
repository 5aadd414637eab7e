package daemon

import (
	"errors"
	"net/netip"
	"slices"
	"sync"
	"time"

	"kanmon/internal/config"
)

// Lingering listeners are those that a reload has dropped, and that the firewall may lead to still: where kanmon does not manage the rules, until
// somebody has applied them. A listener that closed before would refuse mail.

type lingering struct {
	mu    sync.Mutex
	gates []*lingeringGate
	tasks sync.WaitGroup
}

type lingeringGate struct {
	*gate
	replacements map[*gate]int64 // and what they had taken: one connection more tells that the rules are new, which change all at once
	applied      bool            // the rules are new: kanmon has applied them
	over         chan struct{}   // closed when it does not linger any more
}

// patience is how long a listener lingers.
type patience struct {
	look   time.Duration // between looks
	moment time.Duration // without a connection, where the rules lead elsewhere: what was on its way has come
	idle   time.Duration // without one, where nobody knows where they lead
}

var usualPatience = patience{look: time.Second, moment: 10 * time.Second, idle: time.Hour}

// linger closes dropped listeners in their time.
func (d *Daemon) linger(dropped, replacements []*gate, applied bool) {
	taken := map[*gate]int64{}
	for _, g := range replacements {
		taken[g] = g.taken.Load()
	}
	for _, g := range dropped {
		d.lingerOn(&lingeringGate{gate: g, replacements: taken, applied: applied})
	}
}

func (d *Daemon) lingerOn(one *lingeringGate) {
	l := &d.lingering
	l.mu.Lock()
	defer l.mu.Unlock()
	one.over = make(chan struct{})
	l.gates = append(l.gates, one)
	l.tasks.Go(func() {
		if one.waits(d.patience) && l.remove(one) {
			d.closeDropped(one)
		}
	})
}

// waits returns when nothing comes any more; false if the listener is needed again, or kanmon stops.
func (g *lingeringGate) waits(p patience) bool {
	look := time.NewTicker(p.look)
	defer look.Stop()
	last, quiet, newRules := g.taken.Load(), time.Now(), g.applied
	for {
		select {
		case <-g.over:
			return false
		case <-look.C:
		}
		if taken := g.taken.Load(); taken != last {
			last, quiet = taken, time.Now()
		}
		enough := p.idle
		if newRules = newRules || g.replaced(); newRules {
			enough = p.moment
		}
		if time.Since(quiet) >= enough {
			return true
		}
	}
}

// replaced reports whether mail comes to what has taken the listener's place.
func (g *lingeringGate) replaced() bool {
	for other, had := range g.replacements {
		if other.taken.Load() > had {
			return true
		}
	}
	return false
}

func (l *lingering) remove(one *lingeringGate) (found bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.Index(l.gates, one)
	if i >= 0 {
		l.gates = slices.Delete(l.gates, i, i+1)
	}
	return i >= 0
}

// take gives the listener of these addresses, which then lingers no more; nil: there is none.
func (l *lingering) take(addresses []netip.AddrPort) *lingeringGate {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.IndexFunc(l.gates, func(g *lingeringGate) bool { return slices.Equal(g.addresses, addresses) })
	if i < 0 {
		return nil
	}
	one := l.gates[i]
	l.gates = slices.Delete(l.gates, i, i+1)
	close(one.over)
	return one
}

// list gives those that linger.
func (l *lingering) list() []*lingeringGate {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.gates)
}

func (d *Daemon) closeDropped(one *lingeringGate) {
	err := one.close()
	if err != nil {
		d.log.Error("listener not closed cleanly", "listen", one.addresses, "error", err)
		return
	}
	d.log.Info("listener closed: it is in the configuration no more, and nothing comes to it", "listen", one.addresses)
}

// close closes all of them.
func (l *lingering) close() error {
	l.mu.Lock()
	gates := l.gates
	l.gates = nil
	l.mu.Unlock()
	var errs []error
	for _, one := range gates {
		close(one.over)
		errs = append(errs, one.close())
	}
	l.tasks.Wait()
	return errors.Join(errs...)
}

// settle makes a configuration the one that holds, and notes what the reload has left to the operator.
func (d *Daemon) settle(cfg *config.Config) (todo []string) {
	todo = d.rulesToDo(cfg)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.cfg, d.todo = cfg, todo // operators read them meanwhile
	return todo
}

// toDo gives what the last reload has left.
func (d *Daemon) toDo() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.todo
}
