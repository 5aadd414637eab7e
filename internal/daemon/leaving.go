package daemon

import (
	"context"
	"errors"
	"net/http"
	"time"

	"kanmon/internal/admin"
	"kanmon/internal/event"
)

// Leave hands over to whoever takes what is new: another gateway that the network leads mail to, or another process behind the same
// sockets. For a notice all is as before, but that kanmon is not ready. Then it takes no new sessions, and those that there are go on until
// they end, idle, or the time for that is over, or ctx ends. Behind it the caller stops the daemon.
func (d *Daemon) Leave(ctx context.Context) {
	d.leaving.Store(true)
	d.tellStep(event.Draining, nil)
	d.change.Lock()
	drain := d.cfg.Drain
	if d.handedOn() {
		drain.Notice = 0 // another process has taken what is new since
	}
	d.change.Unlock()
	d.log.Info("handing over", "sessions", d.live.Count(), "notice", drain.Notice, "soft", drain.Soft, "idle", drain.Idle)
	select {
	case <-time.After(drain.Notice):
	case <-ctx.Done():
		return
	}
	d.change.Lock()
	err := d.closeDoors()
	d.change.Unlock()
	if err != nil {
		d.log.Error("listeners not closed cleanly", "error", err)
	}
	ctx, cancel := context.WithTimeout(ctx, drain.Soft)
	defer cancel()
	if err := d.live.Leave(ctx, drain.Idle); err != nil {
		d.log.Info("sessions go on behind the time to hand over: they may end their mail", "sessions", d.live.Count())
	}
}

// OnHandover says what calls Leave, and Stop behind it, for operators who ask on the admin socket. It is called before Start.
func (d *Daemon) OnHandover(leave func()) { d.handOver = leave }

// HandOver implements [admin.Process].
func (o *operator) HandOver(who string) (admin.HandedOver, error) {
	o.d.mu.Lock()
	drain := o.d.cfg.Drain
	o.d.mu.Unlock()
	switch {
	case o.d.handOver == nil:
		return admin.HandedOver{}, errors.New("this kanmon cannot hand over")
	case o.d.leaving.Swap(true):
		return admin.HandedOver{}, &admin.Error{Status: http.StatusConflict, Err: errors.New("kanmon is handing over already")}
	}
	o.d.log.Info("a handover was ordered", "who", who)
	o.d.handOver()
	return admin.HandedOver{Sessions: o.d.live.Count(), Notice: drain.Notice.Seconds(), Soft: drain.Soft.Seconds(), Sockets: o.d.host.SocketsGiven}, nil
}
