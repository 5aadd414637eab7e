package daemon

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"kanmon/internal/admin"
	"kanmon/internal/store"
)

// Times of a takeover.
const (
	handingWithin = 10 * time.Second       // what there is to write must have been written
	handingFor    = time.Minute            // the other process is sure, or it has nothing
	handingTell   = 5 * time.Second        // it must take a line that it is told
	handingRetry  = 100 * time.Millisecond // whether a lost one has let go of the files
)

// A handing is that another process takes over: it has the files of state, this one pauses its writes. Then it confirms, or it is lost.
type handing struct {
	d     *Daemon
	id    string
	lines chan []byte   // that it is to be told; the one who writes waits
	gone  chan struct{} // closed when nobody reads them
	done  chan struct{} // closed when there are no more
	late  *time.Timer

	mu        sync.Mutex
	confirmed bool
	lost      bool
}

// TakeOver implements [admin.Process]: everything is written, and from then on the other process has the files.
func (o *operator) TakeOver(ctx context.Context, who string) (admin.Takeover, error) {
	d := o.d
	conflict := func(why string) error { return &admin.Error{Status: http.StatusConflict, Err: errors.New(why)} }
	if !d.change.TryLock() {
		return nil, conflict("kanmon is about to reload or to stop")
	}
	defer d.change.Unlock()
	switch {
	case d.handing != nil && d.handing.isConfirmed():
		return nil, &admin.Error{Status: http.StatusGone, Err: errors.New("kanmon has been taken over from already, and lets its sessions end")}
	case d.handing != nil:
		return nil, conflict("another kanmon is taking over already")
	case d.stopping.Load() || d.leaving.Load():
		return nil, conflict("kanmon is stopping, or hands over to another host")
	case !d.host.SocketsGiven:
		return nil, conflict("its listeners are its own: only those that systemd holds (kanmon.socket) can have two processes behind them")
	case d.handOver == nil:
		return nil, conflict("this kanmon cannot hand over")
	}
	ctx, cancel := context.WithTimeout(ctx, handingWithin)
	defer cancel()
	h := &handing{d: d, id: rand.Text(), lines: make(chan []byte), gone: make(chan struct{}), done: make(chan struct{})}
	if err := h.letGo(ctx); err != nil {
		return nil, conflict(err.Error())
	}
	d.handing = h
	h.late = time.AfterFunc(handingFor, h.Close)
	d.log.Info("another kanmon takes over", "who", who)
	return h, nil
}

// letGo has everything written and nothing more; then the files are free.
func (h *handing) letGo(ctx context.Context) error {
	d := h.d
	if err := errors.Join(d.book.Flush(), d.outlets.Flush(), d.policy.Flush(ctx)); err != nil {
		return fmt.Errorf("not everything could be written before: %w", err)
	}
	for i, f := range d.kept {
		if err := f.Pause(ctx); err != nil {
			resume(d.kept[:i])
			return err
		}
	}
	d.unguard()
	for _, f := range d.stateFiles {
		if err := store.Unlock(f.lock); err != nil {
			d.log.Error("a file of state is not given away", "file", f.info.Name(), "error", err)
		}
	}
	return nil
}

func resume(files []*store.File) {
	for _, f := range files {
		f.Resume()
	}
}

// ID implements [admin.Takeover].
func (h *handing) ID() string { return h.id }

func (h *handing) isConfirmed() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.confirmed
}

// Next implements [admin.Takeover].
func (h *handing) Next(ctx context.Context) ([]byte, error) {
	select {
	case line := <-h.lines:
		return line, nil
	case <-h.done:
		return nil, io.EOF
	case <-h.gone:
		return nil, io.EOF
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Close implements [admin.Takeover].
func (h *handing) Close() {
	h.mu.Lock()
	first := !h.lost
	h.lost = true
	confirmed := h.confirmed
	h.mu.Unlock()
	if !first {
		return
	}
	close(h.gone)
	h.late.Stop()
	if confirmed {
		select {
		case <-h.done:
		default:
			h.d.log.Warn("the kanmon that has taken over listens no more: what the last sessions here lead to is not kept")
		}
		return
	}
	h.d.log.Warn("the kanmon that was taking over is lost: this one goes on")
	h.d.ended.Go(h.takeBack)
}

// takeBack has the files again, as soon as the other process has let go of them.
func (h *handing) takeBack() {
	d := h.d
	for ; ; time.Sleep(handingRetry) {
		if h.tryTakeBack() {
			return
		}
		if d.stopping.Load() {
			for _, f := range d.kept {
				f.Bequeath(h.tell) // nobody: who writes need not wait
			}
			return
		}
	}
}

func (h *handing) tryTakeBack() (done bool) {
	d := h.d
	if !d.change.TryLock() {
		return false
	}
	defer d.change.Unlock()
	for _, f := range d.stateFiles {
		if err := store.Relock(f.lock); err != nil {
			return false
		}
	}
	resume(d.kept)
	d.handing = nil
	if d.cfg.Intercept.ManageRules && !d.stopping.Load() {
		d.guardManaged()
	}
	return true
}

// errNobodyListens is seen by who would write what nobody keeps any more.
var errNobodyListens = errors.New("the kanmon that has taken over does not listen")

// tell has the other process keep what would be written here.
func (h *handing) tell(part string, rows any) error {
	text, err := json.Marshal(rows)
	if err != nil {
		return err
	}
	line, err := json.Marshal(admin.Told{Part: part, Rows: text})
	if err != nil {
		return err
	}
	late := time.NewTimer(handingTell)
	defer late.Stop()
	select {
	case h.lines <- line:
		return nil
	case <-h.gone:
		return errNobodyListens
	case <-late.C:
		return fmt.Errorf("%w: not within %s", errNobodyListens, handingTell)
	}
}

// ConfirmTakeover implements [admin.Process]: the other process has everything, and this one takes nothing new.
func (o *operator) ConfirmTakeover(id string) (admin.HandedOver, error) {
	d := o.d
	d.change.Lock()
	defer d.change.Unlock()
	h := d.handing
	if h == nil || h.id != id || !h.confirm() {
		return admin.HandedOver{}, &admin.Error{Status: http.StatusConflict, Err: errors.New("there is no such takeover, or no more: it has taken too long")}
	}
	h.late.Stop()
	for _, f := range d.kept {
		f.Bequeath(h.tell)
	}
	d.leaving.Store(true)
	if err := d.closeDoors(); err != nil {
		d.log.Error("listeners not closed cleanly", "error", err)
	}
	d.meter.endServing() // the other one answers who scrapes
	drain := d.cfg.Drain
	d.handOver()
	return admin.HandedOver{Sessions: d.live.Count(), Soft: drain.Soft.Seconds(), Sockets: true}, nil
}

func (h *handing) confirm() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.confirmed = !h.lost
	return h.confirmed
}

// handedOn reports whether another process has everything.
func (d *Daemon) handedOn() bool { return d.handing != nil && d.handing.isConfirmed() }

// endHanding ends what the other process is told, behind the last of it.
func (d *Daemon) endHanding(ctx context.Context) error {
	if d.handing == nil {
		return nil
	}
	close(d.handing.done)
	if d.operators == nil {
		return nil
	}
	return d.operators.Shutdown(ctx)
}
