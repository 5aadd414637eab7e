package main

import (
	"io"
	"sync"
	"time"
)

// A logWriter writes what kanmon logs in a goroutine of its own. Whoever logs is in the middle of something, a session or a lock that all
// sessions need, and must not wait for who reads the log (docs/engine.md, I14): a terminal that is stopped, a full pipe, a journald
// that hangs. What does not fit is dropped, counted, and told of where it is missing.
type logWriter struct {
	out  io.Writer
	gap  func(lost int) []byte // a line that tells of lines that were dropped
	wake chan struct{}
	done chan struct{}

	mu      sync.Mutex
	waiting []byte // whole lines
	lost    int    // lines since the last gap
	closing bool
}

const (
	// maxWaitingLog bounds the lines that wait for their reader, in octets.
	maxWaitingLog = 1 << 20
	// logPatience is how long the last lines may take at the end of the program.
	logPatience = 2 * time.Second
)

func newLogWriter(out io.Writer, gap func(lost int) []byte) *logWriter {
	w := &logWriter{out: out, gap: gap, wake: make(chan struct{}, 1), done: make(chan struct{})}
	go w.run()
	return w
}

// Write takes one line. It never waits, and never fails.
func (w *logWriter) Write(line []byte) (int, error) {
	w.mu.Lock()
	if w.lost > 0 || len(w.waiting)+len(line) > maxWaitingLog {
		w.lost++
	} else {
		w.waiting = append(w.waiting, line...)
	}
	w.mu.Unlock()
	w.signal()
	return len(line), nil
}

func (w *logWriter) signal() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (w *logWriter) run() {
	defer close(w.done)
	for {
		w.mu.Lock()
		text, lost, closing := w.waiting, w.lost, w.closing
		w.waiting, w.lost = nil, 0
		w.mu.Unlock()
		if lost > 0 {
			text = append(text, w.gap(lost)...)
		}
		switch {
		case len(text) > 0:
			_, _ = w.out.Write(text) // nobody is left to tell
		case closing:
			return
		default:
			<-w.wake
		}
	}
}

// close writes what is waiting, if that does not take long.
func (w *logWriter) close() {
	w.mu.Lock()
	w.closing = true
	w.mu.Unlock()
	w.signal()
	select {
	case <-w.done:
	case <-time.After(logPatience):
	}
}
