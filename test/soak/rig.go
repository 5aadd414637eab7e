package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"kanmon/internal/admin"
	"kanmon/test/netlab"
	"kanmon/test/traffic"
)

// A rig is everything that a run needs, and what it has found out.
type rig struct {
	conf   config
	lab    *netlab.Lab
	street *netlab.Street
	kanmon *netlab.Kanmon
	admin  *admin.Client

	ledger  *traffic.Ledger
	records traffic.Records
	moved   []string // files of records that were not read yet

	began   time.Time
	tokens  atomic.Int64
	counts  counts
	growing sync.Mutex // guards growth
	growth  []growth
	serving sync.WaitGroup
}

// counts are what a run did besides sending mail.
type counts struct {
	left, junk, reloads, rotations, orders, refusedOrders, lifted atomic.Int64
	full                                                          time.Duration
}

func newRig(conf config) (_ *rig, err error) {
	if _, err := netlab.RaiseDescriptors(); err != nil {
		return nil, err
	}
	lab, err := netlab.New("soak")
	if err != nil {
		return nil, err
	}
	r := &rig{conf: conf, lab: lab, ledger: traffic.NewLedger()}
	defer func() {
		if err != nil {
			err = errors.Join(err, lab.Close())
		}
	}()
	if r.street, err = netlab.NewStreet(lab); err != nil {
		return nil, err
	}
	if err := r.serveNames(); err != nil {
		return nil, err
	}
	for _, mx := range mxs {
		if err := r.serveMX(mx); err != nil {
			return nil, err
		}
	}
	return r, r.startKanmon()
}

// serveNames answers for the domains of all MXs. The lab waits for what serves when it closes.
func (r *rig) serveNames() error {
	conn, err := r.street.Outside.ListenPacket(netip.AddrPortFrom(netlab.StreetDNS, 53).String())
	if err != nil {
		return err
	}
	server := traffic.Nameserver{
		MX: func(domain string) string {
			if mx := mxOf(domain); mx != nil {
				return mx.host()
			}
			return ""
		},
		Addresses: func(host string) []netip.Addr {
			for i := range mxs {
				if mxs[i].host() == host {
					return []netip.Addr{mxs[i].address}
				}
			}
			return nil
		},
	}
	r.serving.Go(func() { server.Serve(conn) })
	r.lab.Cleanup(func() error {
		err := conn.Close()
		r.serving.Wait()
		return err
	})
	return nil
}

func (r *rig) serveMX(mx mx) error {
	server, err := mx.server()
	if err != nil {
		return err
	}
	server.Took = r.ledger.Took
	listener, err := r.street.Outside.Listen(netip.AddrPortFrom(mx.address, 25).String())
	if err != nil {
		return err
	}
	r.serving.Go(func() { server.Serve(listener) })
	r.lab.Cleanup(listener.Close)
	return nil
}

func (r *rig) startKanmon() error {
	kanmon, err := netlab.NewKanmon(r.street.Gateway, "")
	if err != nil {
		return err
	}
	r.kanmon, r.admin = kanmon, admin.NewClient(kanmon.Socket())
	if err := r.configure(0); err != nil {
		return err
	}
	if _, err := kanmon.Rules("apply"); err != nil {
		return err
	}
	return kanmon.Start()
}

// operatorConfig is what an operator has written, but for what belongs to the street and to the journal.
const operatorConfig = `
[[tenant]]
name    = "acme"
sources = ["10.77.1.0/24"]

[[tenant]]
name    = "beta"
sources = ["10.77.2.0/24"]

[[tenant]]
name    = "gamma"
sources = ["10.77.3.0/24"]

[[tenant]]
name    = "rough"
sources = ["10.77.4.0/24"]

[[tenant]]
name    = "pawn"
sources = ["10.77.5.0/24"]

[[sender_limit]]
name  = "account-hour"
per   = "account"
count = "messages"
limit = %[2]d
every = "1h"

[[sender_limit]]
name   = "gamma-minute"
per    = "tenant"
tenant = "gamma"
count  = "messages"
limit  = 600
every  = "1m"
action = "delay"

[standing]
file = "%[1]s/standing.db"

[senders]
file = "%[1]s/senders.db"

[containment]
enforce = true

[admin]
socket = "%[1]s/admin.sock"
`

// configure writes the n-th form of the configuration: a limit and what the journal shows of addresses change with it.
func (r *rig) configure(n int) error {
	r.kanmon.Journal = fmt.Sprintf("addresses = %q", []string{"clear", "domain"}[n%2])
	return r.kanmon.Configure(netlab.StreetConfig() + fmt.Sprintf(operatorConfig, r.kanmon.Folder(), 100_000+n))
}

// token gives a new one.
func (r *rig) token() string { return fmt.Sprintf("T%07x", r.tokens.Add(1)) }

// soak sends mail for the run's time, lets all of it end, stops kanmon and reads what is on record.
func (r *rig) soak(ctx context.Context) error {
	fmt.Fprintln(os.Stderr, "soak: mail flows")
	r.began = time.Now()
	mailing, stop := context.WithTimeout(ctx, r.conf.length)
	defer stop()
	watching, stopWatching := context.WithCancel(ctx)
	defer stopWatching()
	failed := make(chan error, 2)
	var watch, mail sync.WaitGroup
	watch.Go(func() { failed <- r.watchGrowth(watching) })
	mail.Go(func() {
		if err := r.disturb(mailing); err != nil {
			failed <- err
			stop()
		}
	})
	for _, t := range tenants {
		mail.Go(func() { r.send(mailing, t) })
	}
	mail.Wait()
	if err := r.rest(ctx); err != nil {
		return err
	}
	stopWatching()
	watch.Wait()
	close(failed)
	var err error
	for e := range failed {
		err = errors.Join(err, e)
	}
	if err != nil {
		return err
	}
	return r.end(ctx)
}

// restTime is how long kanmon stands idle before the last row of the growth table: its memory has been given back by then.
const restTime = 12 * time.Second

func (r *rig) rest(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(min(restTime, r.conf.length/4)):
	}
	if n := r.ledger.Underway(""); n > 0 {
		return fmt.Errorf("%d mails have not ended", n)
	}
	return r.sample(ctx, "at rest")
}

// stopTime is how long kanmon may take to stop with no session left.
const stopTime = 30 * time.Second

func (r *rig) end(context.Context) error {
	if err := r.kanmon.Stop(stopTime); err != nil {
		return fmt.Errorf("stop kanmon: %w", err)
	}
	return r.read(append(r.moved, r.kanmon.RecordsFile()))
}

// read tells the ledger what is on record, and throws the files away.
func (r *rig) read(files []string) error {
	for _, file := range files {
		if err := r.records.ReadRecords(file, r.ledger); err != nil {
			return err
		}
		if err := os.Remove(file); err != nil {
			return err
		}
	}
	return nil
}

// chance is true so many times of a hundred.
func chance(percent int) bool { return rand.IntN(100) < percent }
