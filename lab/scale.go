package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"kanmon/test/netlab"
)

// What the scale experiment is made of.
const (
	nearMX        = 20 * time.Millisecond // the normal MX's delay here: with less of its own, kanmon's shows
	scaleRate     = 1                     // normal mails a second of each tenant
	spareFiles    = 200                   // descriptors of kanmon that are not for held sessions
	spareSessions = 150                   // sessions beside the held ones; when descriptors run out before, kanmon waits with accepting
	lightTenant   = tenants + 1           // the host of the light submitters, and the first of them
	holdTimeout   = time.Minute
)

// A scaleRun is what kanmon did with and without held sessions.
type scaleRun struct {
	Tenants, Held int
	Descriptors   int           // that a process may have
	Windows       []scaleWindow // without, with, and without held sessions again
	Opened        time.Duration // how long it took to open them all
	IdleCPU       float64       // per cent of a core, all held and no mail
	Normal        audit
	quiet         time.Duration
}

// A scaleWindow is a time of normal mail.
type scaleWindow struct {
	Title    string
	Held     int
	Rate     float64 // receipts a second
	Delay    delays
	CPU      float64 // of kanmon, per cent of a core
	Resident int     // KiB, at its end
	mails    []mail
}

// Quiet is the time without mail in which IdleCPU was measured.
func (r *scaleRun) Quiet() time.Duration { return r.quiet }

// Kept is the rate with held sessions, in per cent of that without.
func (r *scaleRun) Kept() float64 {
	return 100 * r.Windows[1].Rate / ((r.Windows[0].Rate + r.Windows[2].Rate) / 2)
}

// PerSession is the resident memory of a held session, in KiB.
func (r *scaleRun) PerSession() float64 {
	return float64(r.Windows[1].Resident-r.Windows[0].Resident) / float64(r.Held)
}

func runScale(ctx context.Context, p plan) (_ *scaleRun, err error) {
	limit, err := descriptors()
	if err != nil {
		return nil, err
	}
	// With more, the ports of two sending IPs toward one tarpit would be what ends.
	files := int(min(limit.Cur, 50_000))
	run := &scaleRun{Tenants: p.scale.tenants, Descriptors: files, Held: (files - spareFiles) / 2, quiet: p.scale.quiet}
	config := func(string) string {
		return fmt.Sprintf("%s\n[limits]\nsessions = %d\n", kanmonConfig, run.Held+spareSessions)
	}
	st, err := newSite(setup{Name: "scale", Light: p.scale.tenants - tenants, MXDelay: nearMX, Config: config})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, st.lab.Close()) }()
	tarpitHost := st.world.MXs[tarpitMX-1]
	tarpitAt := netip.AddrPortFrom(netlab.MXAddr(tarpitMX, false), 25).String()
	holder, err := startRole(tarpitHost, "hold-mx", tarpitAt)
	if err != nil {
		return nil, err
	}
	if err := run.threeWindows(ctx, p, st, holder, tarpitAt); err != nil {
		return nil, st.failed(err)
	}
	run.Normal = st.ledger.audit(ofKind(normal), queued{})
	if err := st.ledger.faults(run.Normal); err != nil {
		return nil, st.failed(err)
	}
	return run, nil
}

func (r *scaleRun) threeWindows(ctx context.Context, p plan, st *site, holder *netlab.Process, tarpitAt string) error {
	if err := r.window(ctx, p, st, "no held sessions", 0); err != nil {
		return err
	}
	args := []string{strconv.Itoa(r.Held), tarpitAt}
	for _, address := range st.light {
		args = append(args, address.String())
	}
	began := time.Now()
	clients, err := startRole(st.world.MSAs[lightTenant-1], "hold-clients", args...)
	if err != nil {
		return err
	}
	if err := awaitHeld(ctx, st.ledger, holder, r.Held); err != nil {
		return errors.Join(err, clients.Stop(10*time.Second))
	}
	r.Opened = time.Since(began)
	if err := r.idle(ctx, p, st); err != nil {
		return err
	}
	if err := r.window(ctx, p, st, fmt.Sprintf("%d held sessions", r.Held), r.Held); err != nil {
		return err
	}
	if held := heldNow(holder); held != r.Held {
		return fmt.Errorf("of %d sessions %d are still held", r.Held, held)
	}
	if err := clients.Stop(10 * time.Second); err != nil {
		return fmt.Errorf("end the held sessions: %w", err)
	}
	// kanmon looks after an MSA only once a minute while it waits for the MX. An MX that hangs up it sees at once.
	if err := holder.Stop(10 * time.Second); err != nil {
		return fmt.Errorf("end the tarpit: %w", err)
	}
	if err := errors.Join(awaitEnded(ctx, st), calm(ctx, p, st)); err != nil {
		return err
	}
	return r.window(ctx, p, st, "no held sessions any more", 0)
}

func awaitHeld(ctx context.Context, l *ledger, holder *netlab.Process, want int) error {
	for until := time.Now().Add(holdTimeout); heldNow(holder) != want; {
		if time.Now().After(until) {
			return fmt.Errorf("%d sessions are held, not %d", heldNow(holder), want)
		}
		if err := pauseUntil(ctx, l, l.now()+100*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// calm lets pass what opening or ending all sessions gives kanmon to do.
func calm(ctx context.Context, p plan, st *site) error {
	return pauseUntil(ctx, st.ledger, st.ledger.now()+p.scale.calm)
}

// awaitEnded waits until kanmon has closed the connections of the held sessions.
func awaitEnded(ctx context.Context, st *site) error {
	for until := time.Now().Add(holdTimeout); ; {
		open, err := netlab.OpenFiles(st.kanmon.PID())
		if err != nil || open <= spareFiles {
			return err
		}
		if time.Now().After(until) {
			return fmt.Errorf("kanmon still has %d descriptors open", open)
		}
		if err := pauseUntil(ctx, st.ledger, st.ledger.now()+100*time.Millisecond); err != nil {
			return err
		}
	}
}

// idle measures what held sessions alone cost.
func (r *scaleRun) idle(ctx context.Context, p plan, st *site) error {
	if err := calm(ctx, p, st); err != nil {
		return err
	}
	before, err := usageOf(st.kanmon.PID())
	if err != nil {
		return err
	}
	if err := pauseUntil(ctx, st.ledger, st.ledger.now()+p.scale.quiet); err != nil {
		return err
	}
	after, err := usageOf(st.kanmon.PID())
	r.IdleCPU = cpuShare(before, after, p.scale.quiet)
	return err
}

// cpuShare is in per cent of a core.
func cpuShare(before, after usage, during time.Duration) float64 {
	return 100 * float64(after.cpu-before.cpu) / float64(during)
}

// window has all tenants send for a while. The first second is not counted.
func (r *scaleRun) window(ctx context.Context, p plan, st *site, title string, held int) error {
	w := scaleWindow{Title: title, Held: held}
	from := st.ledger.now()
	first, until := from+time.Second, from+time.Second+p.scale.window
	var senders sync.WaitGroup
	defer senders.Wait() // also after an error: they use the lab
	for tenant := 1; tenant <= r.Tenants; tenant++ {
		senders.Go(func() { steady(ctx, st.ledger, st.news(tenant), scaleRate, from, until) })
	}
	if err := pauseUntil(ctx, st.ledger, first); err != nil {
		return err
	}
	before, err := usageOf(st.kanmon.PID())
	if err != nil {
		return err
	}
	if err := pauseUntil(ctx, st.ledger, until); err != nil {
		return err
	}
	after, err := usageOf(st.kanmon.PID())
	if err != nil {
		return err
	}
	senders.Wait()
	if err := settle(ctx, st.ledger, ofKind(normal), 20*time.Second); err != nil {
		return err
	}
	w.CPU, w.Resident = cpuShare(before, after, p.scale.window), after.resident
	w.mails = st.ledger.selected(func(m *mail) bool { return m.due >= first && m.due < until })
	w.Delay = delaysOf(w.mails, st.ledger.now())
	w.Rate = rate(st.ledger.selected(ofKind(normal)), func(mail) bool { return true }, first, until)
	r.Windows = append(r.Windows, w)
	return nil
}

// lightDoor is a submitter that brings its mail to the normal MX itself, from an address of its own.
func lightDoor(host *netlab.Host, source netip.Addr) door {
	from := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(source, 0)), Timeout: 5 * time.Second}
	to := netip.AddrPortFrom(netlab.MXAddr(normalMX, false), 25).String()
	return func() (conn net.Conn, err error) {
		err = host.Do(func() error {
			conn, err = from.Dial("tcp", to)
			return err
		})
		return conn, err
	}
}
