package metrics

import (
	"fmt"
	"sync"
)

// A series that is not there yet is made by a goroutine of its own: to make one waits for a scrape under way, and whoever counts must not.
// What is counted meanwhile waits with it, and none of it is lost.
type aside struct {
	mu   sync.Mutex // held for an append
	due  []func()
	wake chan struct{} // has something in it where there is something due
	stop chan struct{}
	done chan struct{}

	making sync.Mutex // held by whoever makes
}

func (a *aside) begin() {
	a.wake, a.stop, a.done = make(chan struct{}, 1), make(chan struct{}), make(chan struct{})
}

// aside has something done that may wait.
func (m *Metrics) aside(do func()) {
	a := &m.later
	a.mu.Lock()
	a.due = append(a.due, do)
	a.mu.Unlock()
	select {
	case a.wake <- struct{}{}:
	default: // it is known
	}
}

// makeDue does all that is due.
func (m *Metrics) makeDue() {
	a := &m.later
	a.making.Lock()
	defer a.making.Unlock()
	for {
		a.mu.Lock()
		due := a.due
		a.due = nil
		a.mu.Unlock()
		if len(due) == 0 {
			return
		}
		for _, do := range due {
			m.guarded(do)
		}
	}
}

// guarded keeps a defect here from ending the process: mail needs none of it.
func (m *Metrics) guarded(do func()) {
	defer func() {
		if p := recover(); p != nil {
			m.log.Error("something was not counted: a defect", "panic", fmt.Sprint(p))
		}
	}()
	do()
}

func (m *Metrics) run() {
	a := &m.later
	defer close(a.done)
	for {
		select {
		case <-a.wake:
			m.makeDue()
		case <-a.stop:
			return
		}
	}
}

// Close ends what works aside. Nothing may be told any more.
func (m *Metrics) Close() {
	close(m.later.stop)
	<-m.later.done
}
