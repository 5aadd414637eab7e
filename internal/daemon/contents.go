package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"kanmon/internal/admin"
	"kanmon/internal/config"
	"kanmon/internal/event"
	"kanmon/internal/event/metrics"
	"kanmon/internal/policy/content"
	"kanmon/internal/policy/inspect"
	"kanmon/internal/policy/inspect/clamd"
	"kanmon/internal/policy/inspect/milter"
	"kanmon/internal/policy/inspect/rspamd"
)

// A judging is what outlives a configuration of what judges content. Generations that want the same scanners share them: a reload forgets
// neither which is away nor what they have said. Where no tenant's mail is scanned nothing of it runs.
type judging struct {
	mu     sync.Mutex
	memory *content.Memory // nil: nothing was ever scanned
	budget *inspect.Budget // likewise: one for all generations, so that two of them have no more than one
	room   *scanRoom       // of the newest generation that has any

	leads atomic.Pointer[content.Judge] // of the generation that new sessions begin in; nil: it has none
}

// A scanRoom is scanners that generations share.
type scanRoom struct {
	*inspect.Room
	of    scanSettings
	users int

	probing sync.WaitGroup
	stop    context.CancelFunc
	wrong   atomic.Pointer[[]inspect.Proof] // what the last probe has not shown; nil: there was none yet
}

// probeEvery is how often scanners have to prove that they work as they are configured, and probeTime how long that may take.
const (
	probeEvery = time.Hour
	probeTime  = time.Minute
)

// probe has them prove it now and again, and says what they have not.
func (r *scanRoom) probe(ctx context.Context, log *slog.Logger) {
	timer := time.NewTimer(probeTime)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		within, cancel := context.WithTimeout(ctx, probeTime)
		var wrong []inspect.Proof
		for _, p := range r.Probe(within) {
			if p.Err != nil {
				wrong = append(wrong, p)
				log.Warn("a scanner does not work as it is configured", "scanner", p.Scanner, "address", p.Address, "what", p.What, "error", p.Err)
			}
		}
		if cancel(); ctx.Err() != nil {
			return
		}
		r.wrong.Store(&wrong)
		timer.Reset(probeEvery)
	}
}

// end ends the scanners.
func (r *scanRoom) end() {
	r.stop()
	r.Close()
	r.probing.Wait()
}

type scanSettings struct {
	scanners []config.Scanner
	within   time.Duration
}

// A judgeInUse is what a generation has of it.
type judgeInUse struct {
	*content.Judge
	room   *scanRoom
	budget *inspect.Budget
	most   int64 // octets of it, where this generation leads
}

// judge makes what judges the content of a generation's mail; nil: nothing does.
func (d *Daemon) judge(cfg *config.Config) (*judgeInUse, error) {
	if !cfg.Scans() {
		return nil, nil
	}
	j := &d.judging
	j.mu.Lock()
	defer j.mu.Unlock()
	want := scanSettings{cfg.Scanners, cfg.Content.VerdictWithin}
	if j.room == nil || j.room.users == 0 || !reflect.DeepEqual(j.room.of, want) {
		scanners, err := scannersOf(cfg)
		if err != nil {
			return nil, err
		}
		room := inspect.NewRoom(inspect.Settings{Scanners: scanners, Late: func(m inspect.Mail, said event.Scan) {
			if leads := j.leads.Load(); leads != nil {
				leads.Late(m, said)
			}
		}})
		j.room = &scanRoom{Room: room, of: want}
		ctx, stop := context.WithCancel(context.Background())
		j.room.stop = stop
		shared := j.room
		shared.probing.Go(func() { shared.probe(ctx, d.log) })
	}
	if j.memory == nil {
		j.memory, j.budget = content.NewMemory(), inspect.NewBudget(int64(cfg.Content.HoldMemory))
	}
	j.room.users++
	use := &judgeInUse{room: j.room, budget: j.budget, most: int64(cfg.Content.HoldMemory)}
	use.Judge = content.New(content.Options{
		Settings: contentOf(cfg), Scanners: use.room.Room, Budget: use.budget, Memory: j.memory, Heard: d.contentJudged,
	})
	return use, nil
}

// lead has late verdicts count as a generation says, and messages have as much memory, from now on: not before it is sure that it takes the place of the one before. Where
// nobody's mail is scanned any more they count for nobody.
func (j *judging) lead(u *judgeInUse) {
	if u == nil {
		j.leads.Store(nil)
		return
	}
	u.budget.Resize(u.most)
	j.leads.Store(u.Judge)
}

// judgeOf is what a generation's sessions have judge their content.
func (g *generation) judgeOf() *content.Judge {
	if g.judge == nil {
		return nil
	}
	return g.judge.Judge
}

// close waits for what is being scanned, and ends the scanners where nobody else has them.
func (u *judgeInUse) close(j *judging) {
	if u == nil {
		return
	}
	u.Close()
	j.mu.Lock()
	u.room.users--
	over := u.room.users == 0
	j.mu.Unlock()
	if over {
		u.room.end()
	}
}

// addScanners adds how the scanners are.
func (d *Daemon) addScanners(s *metrics.State, current *generation) {
	if current.judge == nil {
		return
	}
	for _, one := range current.judge.room.State() {
		s.Scanners = append(s.Scanners, metrics.Scanner{Name: one.Scanner, Taken: one.Taken, Waiting: one.Waiting, Away: !one.Away.IsZero()})
	}
	s.ScanBytes, _, _ = current.judge.budget.Taken()
}

// unscanned are the scanners that are away, or that do not work as they are configured.
func (o *operator) unscanned() (all []admin.Problem) {
	o.d.mu.Lock()
	current := o.d.current
	o.d.mu.Unlock()
	if current == nil || current.judge == nil {
		return nil
	}
	const do = "see docs/howto/content.md"
	for _, one := range current.judge.room.State() {
		if !one.Away.IsZero() {
			all = append(all, admin.Problem{ID: "scanner", Of: one.Scanner, Do: do, What: fmt.Sprintf("scanner %s is away since %s: %s", one.Scanner, one.Away.UTC().Format(time.RFC3339), one.Why)})
		}
	}
	if wrong := current.judge.room.wrong.Load(); wrong != nil {
		for _, p := range *wrong {
			all = append(all, admin.Problem{ID: "scanner", Of: p.Scanner + " " + p.What, Do: "kanmon check", What: fmt.Sprintf("scanner %s does not work as it is configured: %s: %s", p.Scanner, p.What, p.Err)})
		}
	}
	return all
}

// contentJudged hears what the content of a message came to.
func (d *Daemon) contentJudged(o *content.Outcome) {
	d.policy.Judged(o)
	if o.Content != nil {
		d.stream.Tell(event.Judged{
			Cause: event.Cause{Session: o.Session, Transaction: o.Transaction}, Tenant: o.Tenant, Account: o.Account, Content: o.Content,
		})
	}
}

// contentOf is what a configuration says of the content of mail.
func contentOf(cfg *config.Config) content.Settings {
	c := &cfg.Content
	s := content.Settings{
		Enforce: c.Enforce, Sample: c.Sample, Hold: int64(c.HoldMessage), Verdict: c.VerdictWithin, Dot: c.DotWithin, Pool: cfg.Containment.Pool,
		Scanners: map[string]*content.Scanner{}, Tenants: map[string]*content.Tenant{},
	}
	for i := range cfg.Scanners {
		one := &cfg.Scanners[i]
		s.Scanners[one.Name] = &content.Scanner{Largest: int64(one.Largest), Lacks: content.Lacks(one.Lacks)}
	}
	for i := range cfg.Tenants {
		t := &cfg.Tenants[i]
		if t.Scan == content.Off {
			continue
		}
		of := &content.Tenant{
			Mode: t.Scan, Scanners: t.Scanners, OnVirus: t.OnVirus.Event(), OnReject: t.OnReject.Event(), OnSoftReject: t.OnSoftReject.Event(), OnSpam: t.OnSpam.Event(),
		}
		for n, lack := range []content.Lack{t.Unavailable, t.TooLarge, t.Busy} {
			if t.LackSaid[n] {
				of.Lacks[n] = &lack
			}
		}
		for _, field := range t.Prepend {
			of.Fields = fmt.Appendf(of.Fields, "%s\r\n", field)
		}
		s.Tenants[t.Name] = of
	}
	return s
}

// scannersOf makes the scanners that a configuration names.
func scannersOf(cfg *config.Config) (all []inspect.Scanner, err error) {
	for i := range cfg.Scanners {
		c := &cfg.Scanners[i]
		engine, err := engineOf(c)
		if err != nil {
			return nil, fmt.Errorf("scanner %s: %w", c.Name, err)
		}
		all = append(all, inspect.Scanner{
			Name: c.Name, Engines: []inspect.Engine{engine}, AtOnce: c.AtOnce, Largest: int64(c.Largest), Within: cfg.Content.VerdictWithin,
		})
	}
	return all, nil
}

func engineOf(c *config.Scanner) (inspect.Engine, error) {
	switch c.Type {
	case config.Clamd:
		return clamd.New(c.URL, nil)
	case config.Milter:
		return milter.New(c.URL, nil)
	default:
		return rspamd.New(rspamd.Settings{Address: c.URL, SettingsID: c.SettingsID})
	}
}
