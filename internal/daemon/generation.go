package daemon

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"kanmon/internal/journal"
	"kanmon/internal/outlet"
	"kanmon/internal/session"
)

// A generation is what one configuration was made into: an engine, and the journal it records to. Sessions stay in the
// generation they began in; it ends when it is retired and its last session has gone.
type generation struct {
	engine  *session.Engine
	journal *sharedJournal // nil: nothing is recorded

	out        *outlet.Outlet
	sendingIPs []netip.Addr

	running int // connections in it; guarded by Daemon.mu, as is retired
	retired bool
	over    chan struct{} // closed once it is retired and nothing runs in it
}

// A sharedJournal is used by generations that follow each other and record to the same files in the same way. Others write to the same
// files through [Daemon.files].
type sharedJournal struct {
	*journal.Journal
	options journal.Options
	users   int // generations; guarded by Daemon.mu
}

// install makes a generation the one that new sessions begin in, and gives the one before.
func (d *Daemon) install(next *generation) (previous *generation) {
	d.mu.Lock()
	defer d.mu.Unlock()
	previous, d.current = d.current, next
	d.recent = append(d.recent, next)
	return previous
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
		if err := d.forget(g); err != nil {
			d.log.Error("journal not closed cleanly", "error", err)
		}
	})
}

// discard drops a generation that was never installed.
func (d *Daemon) discard(g *generation) {
	g.out.Close()
	if err := d.release(g.journal); err != nil {
		d.log.Error("journal not closed cleanly", "error", err)
	}
}

func (d *Daemon) forget(g *generation) error {
	d.mu.Lock()
	d.recent = slices.DeleteFunc(d.recent, func(other *generation) bool { return other == g })
	d.mu.Unlock()
	g.out.Close()
	return d.release(g.journal)
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

// openJournal gives a journal with these options: the one in use if it is the same, else a new one.
func (d *Daemon) openJournal(o journal.Options, inUse *sharedJournal) (*sharedJournal, error) {
	if o.SessionLog == "" && o.JSON == "" {
		return nil, nil
	}
	if d.share(inUse, o) {
		return inUse, nil
	}
	j, err := journal.New(o)
	if err != nil {
		return nil, err
	}
	return &sharedJournal{Journal: j, options: o, users: 1}, nil
}

// share counts one more user of a journal, if it has these options.
func (d *Daemon) share(j *sharedJournal, o journal.Options) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if j == nil || j.users == 0 || !j.options.Equal(o) {
		return false
	}
	j.users++
	return true
}

// release gives a journal back. The last one to do so writes it out.
func (d *Daemon) release(j *sharedJournal) error {
	if j == nil {
		return nil
	}
	d.mu.Lock()
	j.users--
	last := j.users == 0
	d.mu.Unlock()
	if !last {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), flushTimeout)
	defer cancel()
	return j.Close(ctx)
}

// journalInUse is the journal of the current generation.
func (d *Daemon) journalInUse() *sharedJournal {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.current.journal
}

// journals are those that sessions still record to.
func (d *Daemon) journals() []*sharedJournal {
	d.mu.Lock()
	defer d.mu.Unlock()
	var list []*sharedJournal
	for _, g := range d.recent {
		if g.journal != nil && !slices.Contains(list, g.journal) {
			list = append(list, g.journal)
		}
	}
	return list
}
