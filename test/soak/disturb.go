package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"kanmon/internal/admin"
	"kanmon/test/netlab"
)

// Disturbances of a run, as parts of its length; never more often than once a second.
const (
	reloads   = 120
	rotations = 60
	orders    = 2000

	fullFrom, fullUntil = 0.5, 0.56 // of its length the disk is full
)

func (r *rig) every(parts int) time.Duration {
	return max(r.conf.length/time.Duration(parts), time.Second)
}

// disturb reloads, rotates, gives orders and fills the disk until the context ends. At the end all is as at the beginning.
func (r *rig) disturb(ctx context.Context) error {
	reload, rotate := time.NewTicker(r.every(reloads)), time.NewTicker(r.every(rotations))
	order := time.NewTicker(max(r.conf.length/orders, 300*time.Millisecond))
	defer reload.Stop()
	defer rotate.Stop()
	defer order.Stop()
	lift := time.NewTicker(liftEvery)
	defer lift.Stop()
	fill := time.After(time.Duration(fullFrom * float64(r.conf.length)))
	var empty <-chan time.Time
	var emptyDisk func() error
	defer func() {
		if emptyDisk != nil {
			_ = emptyDisk()
		}
		r.pardon(ctx)
	}()
	for {
		var err error
		select {
		case <-ctx.Done():
			return nil
		case <-reload.C:
			err = r.reload()
		case <-rotate.C:
			if emptyDisk == nil {
				err = r.rotate()
			}
		case <-order.C:
			r.order(ctx)
		case <-lift.C:
			r.lift(ctx)
		case <-fill:
			if emptyDisk, err = r.lab.Fill(); err == nil {
				r.counts.full = time.Duration((fullUntil - fullFrom) * float64(r.conf.length))
				empty = time.After(r.counts.full)
			}
		case <-empty:
			err = emptyDisk()
			emptyDisk = nil
		}
		if err != nil {
			return err
		}
	}
}

func (r *rig) reload() error {
	n := r.counts.reloads.Add(1)
	if err := r.configure(int(n)); err != nil {
		return nil // the disk is full: what is there is loaded again
	}
	return r.kanmon.Reload()
}

// rotate moves the records away, and reads what was moved long before: nobody writes to that any more.
func (r *rig) rotate() error {
	moved, err := r.kanmon.Rotate()
	if err != nil {
		return fmt.Errorf("rotate the journal: %w", err)
	}
	r.counts.rotations.Add(1)
	r.moved = append(r.moved, moved)
	late := max(0, len(r.moved)-unread)
	before := r.moved[:late]
	r.moved = slices.Clone(r.moved[late:])
	return r.read(before)
}

// unread is how many files of records wait: a journal of an earlier configuration may write to one for some seconds more.
const unread = 12

// pawn is the tenant that orders are given about: it sends nothing.
var pawn = admin.Subject{Tenant: "pawn"}

// order gives one order or asks one question. What comes of it does not matter, but that it is answered.
func (r *rig) order(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	r.counts.orders.Add(1)
	ips := netlab.StreetSendingIPs()
	ip := ips[2] // one of several of the pool
	var err error
	switch rand.IntN(9) {
	case 0:
		_, err = r.admin.Standings(ctx, netip.Addr{})
	case 1:
		_, err = r.admin.Tenants(ctx)
	case 2:
		_, err = r.admin.Accounts(ctx, "")
	case 3:
		_, err = r.admin.Sender(ctx, admin.Subject{Tenant: "acme", Account: "user1@acme.example"})
	case 4:
		_, err = r.admin.Changes(ctx, admin.Subject{}, netip.Addr{}, 50)
	case 5:
		_, err = r.admin.Suspend(ctx, ip, "", time.Second, "soak")
	case 6:
		_, err = r.admin.Resume(ctx, ip, "", "")
	default:
		do := []string{"block", "unblock", "exempt", "unexempt"}[rand.IntN(4)]
		_, err = r.admin.Carry(ctx, pawn, admin.Order{Do: do, Reason: "soak"})
	}
	if err != nil && ctx.Err() == nil {
		r.counts.refusedOrders.Add(1)
	}
}

// liftEvery is how often what evidence has led to is lifted: the mix refuses so much that its tenants are contained within minutes, and then
// hardly any mail would flow.
const liftEvery = 2 * time.Second

// lift lets tenants and accounts that are contained begin anew.
func (r *rig) lift(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	tenants, err := r.admin.Tenants(ctx)
	if err != nil {
		return // it is asked again
	}
	for _, t := range tenants {
		accounts, _ := r.admin.Accounts(ctx, t.Tenant)
		for _, s := range append(accounts, t) {
			if s.Tenant == pawn.Tenant || s.Level == admin.LevelNormal && s.InForce == admin.LevelNormal {
				continue
			}
			if _, err := r.admin.Carry(ctx, s.Subject, admin.Order{Do: "unblock", Reason: "soak"}); err == nil {
				r.counts.lifted.Add(1)
			}
		}
	}
}

// pardon lifts what orders have left, so that the end of the run is like its beginning.
func (r *rig) pardon(ctx context.Context) {
	ctx = context.WithoutCancel(ctx)
	_, _ = r.admin.Resume(ctx, netlab.StreetSendingIPs()[2], "", "")
}
