package daemon

import (
	"errors"
	"net/netip"
	"slices"
	"sync"
	"time"

	"kanmon/internal/config"
)

// Lingering listeners are those that a reload has dropped, and that the firewall may lead to still: where kanmon does
// not manage the rules, until somebody has applied them. A listener that closed before would refuse mail.

type lingering struct {
	mu    sync.Mutex
	doors []*lingeringDoor
	tasks sync.WaitGroup
}

type lingeringDoor struct {
	*door
	replacements map[*door]int64 // and what they had taken: one connection more tells that the rules are new, which change all at once
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
func (d *Daemon) linger(dropped, replacements []*door, applied bool) {
	taken := map[*door]int64{}
	for _, o := range replacements {
		taken[o] = o.taken.Load()
	}
	for _, o := range dropped {
		d.lingerOn(&lingeringDoor{door: o, replacements: taken, applied: applied})
	}
}

func (d *Daemon) lingerOn(one *lingeringDoor) {
	l := &d.lingering
	l.mu.Lock()
	defer l.mu.Unlock()
	one.over = make(chan struct{})
	l.doors = append(l.doors, one)
	l.tasks.Go(func() {
		if one.waits(d.patience) && l.remove(one) {
			d.closeDropped(one)
		}
	})
}

// waits returns when nothing comes any more; false if the listener is needed again, or kanmon stops.
func (o *lingeringDoor) waits(p patience) bool {
	look := time.NewTicker(p.look)
	defer look.Stop()
	last, quiet, newRules := o.taken.Load(), time.Now(), o.applied
	for {
		select {
		case <-o.over:
			return false
		case <-look.C:
		}
		if taken := o.taken.Load(); taken != last {
			last, quiet = taken, time.Now()
		}
		enough := p.idle
		if newRules = newRules || o.replaced(); newRules {
			enough = p.moment
		}
		if time.Since(quiet) >= enough {
			return true
		}
	}
}

// replaced reports whether mail comes to what has taken the listener's place.
func (o *lingeringDoor) replaced() bool {
	for other, had := range o.replacements {
		if other.taken.Load() > had {
			return true
		}
	}
	return false
}

func (l *lingering) remove(one *lingeringDoor) (found bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.Index(l.doors, one)
	if i >= 0 {
		l.doors = slices.Delete(l.doors, i, i+1)
	}
	return i >= 0
}

// take returns the listener of these addresses, which then lingers no more; nil: there is none.
func (l *lingering) take(addresses []netip.AddrPort) *lingeringDoor {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.IndexFunc(l.doors, func(o *lingeringDoor) bool { return slices.Equal(o.addresses, addresses) })
	if i < 0 {
		return nil
	}
	one := l.doors[i]
	l.doors = slices.Delete(l.doors, i, i+1)
	close(one.over)
	return one
}

// list returns those that linger.
func (l *lingering) list() []*lingeringDoor {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.doors)
}

func (d *Daemon) closeDropped(one *lingeringDoor) {
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
	doors := l.doors
	l.doors = nil
	l.mu.Unlock()
	var errs []error
	for _, one := range doors {
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

// toDo returns what the last reload has left.
func (d *Daemon) toDo() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.todo
}
