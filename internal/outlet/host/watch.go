package host

import (
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// A Kernel tells of addresses. The zero value is this host's; tests have others.
type Kernel struct {
	Look   func([]netip.Addr) (map[netip.Addr]State, error) // nil: Look
	Listen func() (Changes, error)                          // nil: rtnetlink(7)
}

// Changes tell when something about addresses or interfaces has changed.
type Changes interface {
	// Wait returns when something has. An error ends the Changes, Close does so, too.
	Wait() error
	Close()
}

// A Watch keeps what is known of some addresses up to date.
type Watch struct {
	kernel Kernel
	log    *slog.Logger
	seen   func(map[netip.Addr]State)

	mu        sync.Mutex // held while seen is called: what it hears of is in order
	addresses []netip.Addr
	failing   bool // the kernel does not answer, and that was logged

	poke  chan struct{}
	stop  chan struct{}
	tasks sync.WaitGroup
}

const (
	// lookEvery is for what no message tells of: local routes, and messages that did not fit.
	lookEvery = 5 * time.Second
	// lookPause is the time between two looks. Changes come in bursts, and the first one is looked at at once.
	lookPause = 50 * time.Millisecond
	// listenAgain is the time until the kernel is asked for its messages again.
	listenAgain = time.Second
)

// NewWatch begins to watch no address. Whatever is looked at is told to seen, which must not call the Watch.
func NewWatch(kernel Kernel, log *slog.Logger, seen func(map[netip.Addr]State)) *Watch {
	if kernel.Look == nil {
		kernel.Look = Look
	}
	if kernel.Listen == nil {
		kernel.Listen = listen
	}
	w := &Watch{kernel: kernel, log: log, seen: seen, poke: make(chan struct{}, 1), stop: make(chan struct{})}
	w.tasks.Go(w.lookAgain)
	w.tasks.Go(w.hear)
	return w
}

// Of says which addresses are to be watched from now on, and looks at them.
func (w *Watch) Of(addresses []netip.Addr) {
	w.mu.Lock()
	w.addresses = slices.Clone(addresses)
	w.mu.Unlock()
	w.look()
}

// Look has the addresses looked at soon. It waits for nothing.
func (w *Watch) Look() {
	select {
	case w.poke <- struct{}{}:
	default:
	}
}

// Close ends the watch. Nothing is told after it.
func (w *Watch) Close() {
	close(w.stop)
	w.tasks.Wait()
}

func (w *Watch) look() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.addresses) == 0 {
		w.seen(nil)
		return
	}
	states, err := w.kernel.Look(w.addresses)
	switch {
	case err == nil:
		w.failing = false
		w.seen(states)
	case !w.failing: // what was seen last holds: who dials finds out
		w.failing = true
		w.log.Warn("which addresses this host has is not known", "error", err)
	}
}

// lookAgain looks when something may have changed.
func (w *Watch) lookAgain() {
	again := time.NewTicker(lookEvery)
	defer again.Stop()
	for {
		select {
		case <-w.poke:
		case <-again.C:
		case <-w.stop:
			return
		}
		w.look()
		if !w.pause(lookPause) {
			return
		}
	}
}

func (w *Watch) pause(d time.Duration) (goOn bool) {
	select {
	case <-time.After(d):
		return true
	case <-w.stop:
		return false
	}
}

// hear waits for the kernel's messages. What they say is looked at anew: they may come late, and not all.
func (w *Watch) hear() {
	told := false
	for {
		changes, err := w.kernel.Listen()
		switch {
		case err == nil:
			w.Look() // what happened before is not told
			w.hearAll(changes)
		case !told:
			told = true
			w.log.Warn("the kernel does not tell when addresses change: they are looked at now and then", "every", lookEvery, "error", err)
		}
		if !w.pause(listenAgain) {
			return
		}
	}
}

func (w *Watch) hearAll(changes Changes) {
	ended := make(chan struct{})
	var closing sync.WaitGroup
	closing.Go(func() {
		select {
		case <-w.stop:
		case <-ended:
		}
		changes.Close()
	})
	defer closing.Wait()
	defer close(ended)
	for changes.Wait() == nil {
		w.Look()
	}
}

// listen asks the kernel for its messages about addresses and interfaces.
func listen() (Changes, error) {
	s, err := nl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR)
	if err != nil {
		return nil, err
	}
	return &messages{s}, nil
}

type messages struct{ socket *nl.NetlinkSocket }

func (m *messages) Wait() error {
	_, _, err := m.socket.Receive()
	if errors.Is(err, unix.ENOBUFS) {
		return nil // some were lost: something has changed
	}
	return err
}

func (m *messages) Close() { m.socket.Close() }
