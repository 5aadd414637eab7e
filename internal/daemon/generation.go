package daemon

import (
	"context"
	"fmt"
	"net"
	"net/netip"

	"kanmon/internal/event"
	"kanmon/internal/event/journal"
	"kanmon/internal/outlet"
	"kanmon/internal/outlet/classify"
	"kanmon/internal/session"
)

// A generation is what one configuration was made into: an engine, and the journal that it wants. Sessions stay in the
// generation they began in; it ends when it is retired and its last session has gone. What they tell goes to the journal of the
// newest one: whatever it asks for holds at once.
type generation struct {
	engine  *session.Engine
	journal *openedJournal // nil: nothing is written down

	out        *outlet.Outlet
	rules      *classify.Rules
	trust      *trustInUse // nil: nothing is asked of MXs
	judge      *judgeInUse // nil: nobody looks at content
	sendingIPs []netip.Addr

	running int // connections in it; guarded by Daemon.mu, as is retired
	retired bool
	over    chan struct{} // closed once it is retired and nothing runs in it
}

// An openedJournal is used by generations that follow each other and want the same.
type openedJournal struct {
	*journal.Journal
	options journal.Options
}

// install makes a generation the one that new sessions begin in, and gives the one before.
func (d *Daemon) install(next *generation) (previous *generation) {
	d.mu.Lock()
	previous, d.current = d.current, next
	d.mu.Unlock()
	d.trusting.lead(next.trust)
	d.judging.lead(next.judge)
	d.exchangeJournal(next.journal)
	return previous
}

// later is the journal as the stream knows it.
func (j *openedJournal) later() event.Later {
	if j == nil {
		return nil
	}
	return j.Journal
}

// enter counts a connection into the current generation; nil if kanmon has stopped.
func (d *Daemon) enter() *generation {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.current != nil {
		d.current.running++
	}
	return d.current
}

func (d *Daemon) leave(g *generation) {
	d.mu.Lock()
	defer d.mu.Unlock()
	g.running--
	g.closeIfOver()
}

// closeIfOver is called with Daemon.mu held, once for each change that may have ended the generation.
func (g *generation) closeIfOver() {
	if g.retired && g.running == 0 {
		close(g.over)
	}
}

// handle serves an intercepted connection.
func (d *Daemon) handle(conn *net.TCPConn, origin session.Origin) {
	g := d.enter()
	if g == nil {
		_ = conn.Close()
		return
	}
	g.engine.Start(conn, origin, func() { d.leave(g) })
}

// refuse answers a connection that gets no session.
func (d *Daemon) refuse(conn *net.TCPConn, origin session.Origin, why session.Refusal) {
	g := d.enter()
	if g == nil {
		_ = conn.Close()
		return
	}
	defer d.leave(g)
	g.engine.Refuse(conn, origin, why)
}

// retire lets a generation, which is no longer the current one, end in its own time.
func (d *Daemon) retire(g *generation) {
	d.mu.Lock()
	defer d.mu.Unlock()
	g.retired = true
	g.closeIfOver()
	d.ended.Go(func() {
		<-g.over
		d.endGeneration(g)
	})
}

// discard drops a generation that was never installed.
func (d *Daemon) discard(g *generation) {
	d.endGeneration(g)
	if g.journal != d.journalInUse() {
		d.closeJournal(g.journal)
	}
}

// endGeneration gives back what only a generation has.
func (d *Daemon) endGeneration(g *generation) {
	g.out.Close()
	g.judge.close(&d.judging)
	if err := g.trust.close(&d.trusting); err != nil {
		d.log.Error("what MXs must prove is not kept", "error", err)
	}
}

// endGenerations retires the last generation and waits until all have ended and their records are written.
func (d *Daemon) endGenerations(ctx context.Context) error {
	d.mu.Lock()
	last := d.current
	d.current = nil
	d.mu.Unlock()
	if last != nil {
		d.retire(last)
	}
	done := make(chan struct{})
	go func() {
		d.ended.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("connections did not end: %w", ctx.Err())
	}
}

// openJournal returns a journal with these options: the one in use if it is the same, else a new one, which writes
// nothing before that one has written all it has; nil where nothing is to be written, and nobody traces.
func (d *Daemon) openJournal(o journal.Options, inUse *openedJournal) (*openedJournal, error) {
	if !writes(o) && !d.files.Traced() {
		return nil, nil
	}
	if inUse != nil && inUse.options.Equal(o) {
		return inUse, nil
	}
	next := &openedJournal{options: o}
	if inUse != nil {
		o.Behind = inUse.Journal
	}
	var err error
	next.Journal, err = journal.New(o)
	if err != nil {
		return nil, err
	}
	return next, nil
}

// closeJournal writes out a journal that nothing comes to any more; nil is none.
func (d *Daemon) closeJournal(j *openedJournal) {
	if j == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), flushTimeout)
	defer cancel()
	if err := j.Close(ctx); err != nil {
		d.log.Error("journal not closed cleanly", "error", err)
	}
}

// journalInUse is the journal of the newest generation.
func (d *Daemon) journalInUse() *openedJournal {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.journal
}

// endJournal tells that this is the end, and writes out the journal.
func (d *Daemon) endJournal() error {
	d.tellStep(event.Stopped, nil)
	j := d.journalInUse()
	if j == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), flushTimeout)
	defer cancel()
	return j.Close(ctx)
}
