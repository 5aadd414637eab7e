// Package daemon is kanmon's composition root: it makes the parts from a configuration, connects them, and changes and
// ends them in order. It is the only package that knows all others.
//
// Normal use:
//
//  1. [New] with a loaded configuration.
//  2. [Daemon.Start] opens the journal and the listeners, applies the firewall rules if it manages them, and serves.
//  3. [Daemon.Reload] takes a new configuration: it builds every part of it first and then exchanges them at once, or
//     changes nothing. Running sessions keep the parts they began with. [Daemon.ReopenLogs] after log rotation.
//  4. [Daemon.Leave], where others take what is new, lets sessions go on until they end by themselves, within bounds.
//  5. [Daemon.Stop] closes the listeners, lets sessions finish, writes out the journal, and undoes the rest of Start,
//     last things first.
//
// Firewall rules that the daemon applied stay when it ends, so that mail waits in the MSAs instead of leaving from a wrong
// address; the operator may decide otherwise (rules_on_stop).
//
// systemd is told of READY, RELOADING and STOPPING (sd_notify(3)), and may open the listeners itself (systemd.socket(5)).
package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"reflect"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	sd "github.com/coreos/go-systemd/v22/daemon"

	"kanmon/internal/admin"
	"kanmon/internal/admin/check"
	"kanmon/internal/config"
	"kanmon/internal/event"
	"kanmon/internal/event/journal"
	"kanmon/internal/intercept"
	"kanmon/internal/outlet"
	"kanmon/internal/outlet/provider"
	"kanmon/internal/outlet/slow"
	"kanmon/internal/outlet/standing"
	"kanmon/internal/outlet/trust/report"
	"kanmon/internal/policy"
	"kanmon/internal/session"
	"kanmon/internal/store"
)

// flushTimeout bounds how long records may take to be written at the end.
const flushTimeout = 10 * time.Second

// ErrRestart is seen when a reload would change what only a restart can change.
var ErrRestart = errors.New("needs a restart")

// A Daemon runs kanmon. Its methods may be called by many goroutines; Start comes first and Stop last, once each.
type Daemon struct {
	log   *slog.Logger
	host  *check.Host
	live  *session.Live
	loops *intercept.Loops
	files *journal.Files

	stream  *event.Stream
	busy    chan struct{} // has something in it where there is a session again
	version string

	// What reaches beyond the process; tests replace them.
	inherited   func() ([]net.Listener, error) // sockets that systemd opened
	shelf       *shelf                         // beside those: what systemd keeps
	notify      func(state string)             // tells systemd
	applyRules  func(context.Context, intercept.Rules) error
	keptRules   func() (intercept.Kept, error)
	removeRules func(context.Context, intercept.Rules) error
	guardRules  func(context.Context) error // until the context ends
	rulesState  func() string
	rulesLost   func() string               // why they are not in force; "": nothing tells so
	resolver    provider.Resolver           // nil: this host's
	reload      func(context.Context) error // reads the configuration anew; nil: nobody does
	handOver    func()                      // has Leave called, and Stop; nil: nobody does
	takes       bool                        // over, from the kanmon that runs

	accepts  atomic.Bool // connections: it has started
	stopping atomic.Bool // it has been told to stop

	change     sync.Mutex // held by Start, Reload and Stop
	cfg        *config.Config
	book       *standing.Book
	outlets    *outlet.State                // what outlives them
	hearing    atomic.Pointer[outlet.State] // the same, for what is told of standings: the book is there before
	times      *slow.Watch                  // likewise: against which sending IP time speaks
	deafen     func()                       // has it hear nothing any more; nil: it hears nothing
	policy     *policy.Policy               // who may send, and how much
	doors      []*door
	lingering  lingering
	patience   patience // with it
	cleanups   []cleanup
	stateFiles []stateFile   // that this process has locked
	kept       []*store.File // open in them
	unguarded  func()        // ends the guard of the rules; nil: there is none
	handing    *handing      // another process takes over, or has done so; nil: none does
	taking     *admin.Taking // what this process takes over from another one; nil: nothing
	sure       bool          // it has confirmed that
	aside      *admin.Socket // that is not in its place before it has; nil: it is
	givenUp    bool          // a cleanup that has not ended
	memory     int64         // soft memory limit before Start
	started    time.Time
	operators  *admin.Server // on the admin socket; nil: there is none

	trying    trying
	meter     meter
	lookout   lookout
	trusting  trusting
	judging   judging
	reporter  atomic.Pointer[report.Reporter] // what a collector is told by; nil: by nobody
	reporting func()                          // ends it; nil: nobody is told of TLS
	rulesTold atomic.Pointer[string]          // how the firewall rules stand, as it was last told; nil: it was not

	mu      sync.Mutex // guards the generations, todo, and cfg beside change
	current *generation
	journal *openedJournal // that all sessions record to; nil: none
	todo    []string       // that the last reload has left to the operator
	lately  lately
	look    look
	leaving atomic.Bool // it hands over: it takes nothing new, or soon does not
	ended   sync.WaitGroup
}

// New makes a daemon that is not started.
func New(cfg *config.Config, log *slog.Logger) *Daemon {
	d := &Daemon{
		log:         log,
		host:        &check.Host{},
		busy:        make(chan struct{}, 1),
		loops:       &intercept.Loops{},
		files:       &journal.Files{},
		stream:      &event.Stream{Log: log},
		shelf:       newShelf(),
		notify:      func(state string) { _, _ = sd.SdNotify(false, state) }, // without systemd nobody listens
		applyRules:  managedRules{log}.apply,
		keptRules:   keptRules,
		removeRules: managedRules{log}.remove,
		guardRules:  managedRules{log}.guard,
		rulesState:  rulesState,
		rulesLost:   rulesLost,
		cfg:         cfg,
		patience:    usualPatience,
		memory:      debug.SetMemoryLimit(-1),
		started:     time.Now(),
	}
	d.inherited = d.shelf.inherit
	d.live = &session.Live{Strained: newStrain().strained, Busy: d.isBusy}
	return d
}

// Start opens everything and serves. On an error nothing is left open; rules that were in force before stay in force.
func (d *Daemon) Start(ctx context.Context) (err error) {
	d.change.Lock()
	defer d.change.Unlock()
	defer func() {
		if err != nil {
			if err = errors.Join(err, d.undo(ctx)); d.taking != nil && !d.sure {
				err = errors.Join(err, ErrGoesOn)
			}
		}
	}()
	d.onStop("journal", func(context.Context) error { return d.endJournal() }) // last: everything else may still tell of something
	sockets, err := d.inherited()
	if err != nil {
		return fmt.Errorf("take the sockets from systemd: %w", err)
	}
	d.host.SocketsGiven = len(sockets) > 0
	d.shelf.keepOnly(d.cfg.Intercept.Mode, groups(d.cfg.Listeners()))
	d.host.Listens = d.shelf.has
	// Adopted sockets are closed already when this runs.
	d.onStop("sockets from systemd", func(context.Context) error { return errors.Join(closeAll(sockets), d.shelf.empty()) })
	if err := d.fits(ctx, d.cfg); err != nil {
		return err
	}
	if err := d.takeOver(ctx); err != nil {
		return err
	}
	d.onStop("what another kanmon is told", d.endHanding) // behind all that writes
	if err := d.openBook(); err != nil {
		return err
	}
	d.watchSendingIPs(d.cfg)
	var unclean *event.Run
	if d.taking == nil { // else the run before goes on
		unclean = journal.Unclean(d.cfg.Journal.Records)
	}
	first, err := d.build(d.cfg, nil)
	if err != nil {
		return err
	}
	if err := d.openPolicy(first); err != nil {
		d.discard(first)
		return err
	}
	d.outlets.Lead(first.out)
	d.install(first)
	d.oversee(d.cfg, first)
	d.onStop("metrics", d.endOverseeing)
	d.onStop("generations", d.endGenerations)

	if err := d.openFirstDoors(ctx, sockets); err != nil {
		return err
	}
	d.onStop("listeners", func(context.Context) error { return d.closeDoors() })
	if err := d.leadHere(ctx); err != nil {
		return err
	}
	if err := d.openAdmin(); err != nil {
		return err
	}
	return d.begin(ctx, unclean)
}

// begin takes mail, and tells of it.
func (d *Daemon) begin(ctx context.Context, unclean *event.Run) error {
	if err := d.confirm(ctx); err != nil { // connections wait meanwhile: a session that has begun here would be cut
		return err
	}
	d.serve()
	d.notify(sd.SdNotifyReady)
	d.tellStart(unclean)
	d.startHeartbeat()
	d.log.Info("started", "mode", d.cfg.Intercept.Mode, "listen", d.addrs(), "sending_ips", len(d.cfg.SendingIPs), "absent", len(d.outlets.Absent()),
		"sessions_max", d.cfg.Limits.Sessions)
	return nil
}

// serve lets sessions begin at all doors.
func (d *Daemon) serve() {
	debug.FreeOSMemory() // compiling the rules has left some
	d.limitMemory()
	d.startPacing()
	for _, g := range d.doors {
		g.serve()
	}
	if !d.host.SocketsGiven {
		d.shelf.lay(d.doors)
	}
	d.host.Serving, d.host.InUse = true, d.hasOpen
	d.accepts.Store(true)
}

// leadHere puts the firewall rules in force and guards them, where they are kanmon's to manage; else it watches what leads mail here.
func (d *Daemon) leadHere(ctx context.Context) error {
	if !d.cfg.Intercept.ManageRules {
		d.watchRoutes()
		return nil
	}
	if err := d.applyRules(ctx, Rules(d.cfg)); err != nil {
		return err
	}
	d.guardManaged()
	return nil
}

// Addrs returns the addresses listened on.
func (d *Daemon) Addrs() []netip.AddrPort {
	d.change.Lock()
	defer d.change.Unlock()
	return d.addrs()
}

// ReloadFrom reads a configuration and exchanges it. One that cannot be read is a reload that was refused, as any other.
func (d *Daemon) ReloadFrom(ctx context.Context, read func() (*config.Config, error)) (*config.Config, error) {
	cfg, err := read()
	if err != nil {
		d.tellStep(event.ReloadRefused, err)
		d.lately.reloaded(err)
		return nil, err
	}
	return cfg, d.Reload(ctx, cfg)
}

// Reload exchanges the configuration. On an error everything is as before; [ErrRestart] is one of them.
func (d *Daemon) Reload(ctx context.Context, cfg *config.Config) (err error) {
	d.change.Lock()
	defer d.change.Unlock()
	defer func() {
		d.lately.reloaded(err)
		if err != nil {
			d.tellStep(event.ReloadRefused, err)
		}
	}()
	d.notify(sd.SdNotifyReloading)
	defer d.notify(sd.SdNotifyReady)
	if d.handing != nil {
		return errors.New("another kanmon is taking over: it has the configuration")
	}
	if err := restartNeeded(d.cfg, cfg); err != nil {
		return err
	}
	if err := d.fits(ctx, cfg); err != nil {
		return err
	}
	next, err := d.build(cfg, d.journalInUse())
	if err != nil {
		return err
	}
	plan, err := d.planDoors(ctx, cfg)
	if err != nil {
		d.discard(next)
		return err
	}
	if err := d.exchange(ctx, cfg, next); err != nil {
		d.abandon(plan)
		d.discard(next)
		return err
	}
	// From here on nothing can fail.
	d.watchSendingIPs(cfg)
	d.outlets.Lead(next.out)
	d.hearTimes(timesOf(cfg))
	d.oversee(cfg, next)
	d.boundView(cfg)
	d.tellEnforced(d.cfg, cfg)
	if was := d.cfg.Journal.Records; was != "" && was != cfg.Journal.Records {
		d.tellStep(event.Left, nil)
	}
	previous := d.install(next)
	d.retire(previous)
	d.carryOut(plan, cfg.Intercept.ManageRules)
	todo := d.settle(cfg)
	d.limitMemory()
	d.tellStep(event.Reloaded, nil)
	d.log.Info("reloaded", "listen", d.addrs(), "sending_ips", len(cfg.SendingIPs), "sessions", d.live.Count())
	for _, what := range todo {
		d.log.Warn("the reload is not all", "to_do", what)
	}
	return nil
}

// exchange changes what outlives the generations: the settings, and the firewall rules. On an error they are as before.
func (d *Daemon) exchange(ctx context.Context, cfg *config.Config, next *generation) error {
	err := d.configure(cfg, next)
	if err == nil && gated(cfg) {
		next.engine.Gate = d.policy.Gate()
	}
	if rules := Rules(cfg); err == nil && cfg.Intercept.ManageRules && (!reflect.DeepEqual(rules, Rules(d.cfg)) || d.unkept(rules)) {
		err = d.applyRules(ctx, rules)
	}
	if err != nil {
		return errors.Join(err, d.configure(d.cfg, d.current))
	}
	return nil
}

// configure gives their settings to those who decide about senders and about sending IPs.
func (d *Daemon) configure(cfg *config.Config, next *generation) error {
	senders, err := policySettings(cfg, next)
	if err != nil {
		return err
	}
	if err := d.policy.Configure(senders); err != nil {
		return err
	}
	return d.book.Configure(bookSettings(cfg)) // what can be wrong in it, the configuration has been checked for
}

// ReopenLogs opens the files of the journal anew, after their rotation.
func (d *Daemon) ReopenLogs() error {
	if j := d.journalInUse(); j != nil {
		return j.Reopen()
	}
	return nil
}

// Stop ends the daemon: no new sessions, running ones may finish for as long as the configuration allows. When ctx ends
// before that, they are cut at once. The error says what could not end as it should.
func (d *Daemon) Stop(ctx context.Context) error {
	d.stopping.Store(true) // a reload may take its time: mail goes elsewhere meanwhile
	d.change.Lock()
	defer d.change.Unlock()
	d.notify(sd.SdNotifyStopping)
	began := time.Now()
	if !d.leaving.Load() {
		d.tellStep(event.Draining, nil)
	}
	d.log.Info("stopping", "sessions", d.live.Count(), "drain_timeout", d.cfg.Drain.Timeout)
	errs := []error{d.closeDoors()}
	drain, cancel := context.WithTimeout(ctx, d.cfg.Drain.Timeout)
	defer cancel()
	if err := d.live.Drain(drain); err != nil {
		errs = append(errs, fmt.Errorf("sessions were cut: %w", err))
	}
	if d.cfg.Intercept.ManageRules && d.cfg.Intercept.RulesOnStop == config.RulesRemove && !d.handedOn() {
		// Not before the last session has ended: those of tproxy live by the rules.
		d.onStop("rules", func(ctx context.Context) error { return d.removeRules(ctx, Rules(d.cfg)) })
	}
	errs = append(errs, d.undo(ctx))
	err := errors.Join(errs...)
	odd := d.live.Counters()
	d.log.Info("stopped", "duration", time.Since(began), "clean", err == nil, "unknown_keywords", odd.UnknownKeywords,
		"foreign_protocols", odd.Foreign, "injections", odd.Injected, "stray_replies", odd.Stray)
	if err != nil && d.handedOn() {
		d.log.Warn("not stopped cleanly, and another kanmon runs: this one is not to be started again", "error", err)
		return nil
	}
	return err
}

// Site is what is checked of a configuration and a host, by a start and by an operator.
func Site(cfg *config.Config, host *check.Host) check.Site {
	return check.Site{Config: cfg, Rules: Rules(cfg), Host: host, Schemas: map[string]int{"standing": standing.Schema(), "policy": policy.Schema()}}
}

// fits refuses a configuration that this host cannot run, and logs what it can run only in part.
func (d *Daemon) fits(ctx context.Context, cfg *config.Config) error {
	var errs []error
	for _, f := range check.Start(ctx, Site(cfg, d.host)) {
		if f.Refuses {
			errs = append(errs, fmt.Errorf("%s: %s (%s)", f.Where, f.What, f.Cure))
		} else {
			d.log.Warn("configuration does not fit the host", "finding", f.ID, "where", f.Where, "problem", f.What, "fix", f.Cure)
		}
	}
	return errors.Join(errs...)
}
