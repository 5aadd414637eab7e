package policy

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/policy/contain"
	"kanmon/internal/policy/limit"
	"kanmon/internal/session"
	file "kanmon/internal/store"
)

// locks has another process' hand on a file, until it is let go.
func locks(t *testing.T, path string) (letGo func()) {
	t.Helper()
	other, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := other.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.ExecContext(t.Context(), "BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	var once sync.Once
	letGo = func() {
		once.Do(func() {
			_, _ = conn.ExecContext(context.Background(), "ROLLBACK")
			_ = conn.Close()
			_ = other.Close()
		})
	}
	t.Cleanup(letGo)
	return letGo
}

// blocking has a limit that blocks each account with its second recipient.
func blocking() Settings {
	l := rule("rcpts", limit.PerAccount, 1, func(r *limit.Rule) { r.Measure = limit.Recipients })
	l.Action = limit.Block
	return settingsWith(l)
}

// audit-B8: what sessions have led to is written together, and a stop is over within ten seconds though another process has the file; so is an
// order, which is never said to be kept then.
func TestALockedFileHoldsUpNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "senders.db")
	p, err := New(Options{Settings: blocking(), Store: open(t, path)})
	if err != nil {
		t.Fatal(err)
	}
	locks(t, path)
	r := rigOf(t, p)
	v, _ := r.enter("10.0.1.1", mx)
	begun := time.Now()
	for i := range 1000 {
		v.send(fmt.Sprintf("a%d@acme.example", i), many(2), nil)
	}
	v.Close()
	if took := time.Since(begun); took > 20*time.Second { // waiting for the file would take half an hour
		t.Errorf("sessions took %v", took)
	}
	begun = time.Now()
	if err := p.Block(ofAcme("bob@acme.example"), time.Time{}, "alice", "stolen"); err == nil || !strings.Contains(err.Error(), "the change is active but not saved") {
		t.Errorf("told: %v", err)
	}
	if took := time.Since(begun); took > 8*time.Second {
		t.Errorf("the order took %v", took)
	}
	begun = time.Now()
	if err := p.Close(); err == nil || !strings.Contains(err.Error(), "1001 lines of the audit") {
		t.Errorf("closed: %v", err)
	}
	if took := time.Since(begun); took > 10*time.Second {
		t.Errorf("the stop took %v", took)
	}
}

// What waits while the file is locked is kept when it is let go: no line of the audit is lost, and no block.
func TestWhatWaitsForALockedFileIsKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "senders.db")
	p, err := New(Options{Settings: blocking(), Store: open(t, path)})
	if err != nil {
		t.Fatal(err)
	}
	letGo := locks(t, path)
	r := rigOf(t, p)
	v, _ := r.enter("10.0.1.1", mx)
	for i := range 50 {
		v.send(fmt.Sprintf("a%d@acme.example", i), many(2), nil)
	}
	v.Close()
	time.AfterFunc(2*time.Second, letGo)
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	store := open(t, path)
	all, err := store.Changes(t.Context(), acme, netip.Addr{}, 1000)
	state, _, err2 := store.Load()
	if err != nil || err2 != nil || len(all) != 50 || len(state.Containment.Subjects) < 50 {
		t.Errorf("%d lines of the audit, %d senders, %v, %v", len(all), len(state.Containment.Subjects), err, err2)
	}
}

// slowly is a Store in which each part of the state waits to be let go.
type slowly struct {
	Store
	saving, goOn chan bool
}

func (s *slowly) Keep(ctx context.Context, changes []Change, part *Part) error {
	if len(changes) == 0 {
		s.saving <- true
		<-s.goOn
	}
	return s.Store.Keep(ctx, changes, part)
}

// letGo lets parts of the state go until something is over.
func (s *slowly) letGo(over <-chan error) error {
	for {
		select {
		case <-s.saving:
			s.goOn <- true
		case err := <-over:
			return err
		}
	}
}

// law: I21
//
// audit-B8, audit-E1: an order that comes while the state is being saved, however large it is, waits for one batch of it at most, and is kept: it
// survives a kill in the middle of that and after it, and no batch that was copied before undoes it.
func TestAnOrderIsKeptWhileTheStateIsSaved(t *testing.T) {
	path := filepath.Join(t.TempDir(), "senders.db")
	store := &slowly{Store: open(t, path), saving: make(chan bool), goOn: make(chan bool)}
	set, err := twoLimits()
	if err != nil {
		t.Fatal(err)
	}
	p, err := New(Options{Settings: set, Store: store})
	if err != nil {
		t.Fatal(err)
	}
	lasting := contain.List
	before := ofAcme("before@acme.example")
	if err := p.Block(before, time.Time{}, "alice", "before"); err != nil {
		t.Fatal(err)
	}
	for i := range 3 * saveBatch {
		if _, err := p.detector.BlockByRule(ofAcme(fmt.Sprintf("%d@acme.example", i)), "limit day", "reached"); err != nil {
			t.Fatal(err)
		}
	}
	all := make(chan error)
	go func() { all <- p.saveAll(context.Background()) }()
	<-store.saving
	orders := make(chan error)
	go func() {
		orders <- errors.Join(
			p.Block(bob, time.Time{}, "alice", "stolen"), p.Unblock(before, "alice", "talked"), p.SetLimit(bob, "account-hour", 7, "carol", "asked"),
			p.SetKind(ofAcme("news@acme.example"), &lasting, "alice", "a list"),
		)
	}()
	store.goOn <- true
	if err := store.letGo(orders); err != nil {
		t.Fatal(err)
	}
	check := func(when string) {
		t.Helper()
		killed := filepath.Join(t.TempDir(), "copy.db")
		if err := file.Copy(t.Context(), path, killed); err != nil {
			t.Fatal(err)
		}
		again, err := New(Options{Settings: set, Store: open(t, killed)})
		if err != nil {
			t.Fatal(err)
		}
		if x := again.Explain(bob); x.Block == nil || x.Block.Why != "stolen" || again.Explain(before).Block != nil {
			t.Errorf("%s: bob is %+v, the other %+v", when, x.Block, again.Explain(before).Block)
		}
		if m, own := again.MarkOf(ofAcme("news@acme.example")); m.Kind != contain.List || !own {
			t.Errorf("%s: marked %+v", when, m)
		}
		if u := again.Usages(bob); len(u) == 0 || u[0].Rule.Amount != 7 {
			t.Errorf("%s: %+v", when, u)
		}
		if err := again.Close(); err != nil {
			t.Error(err)
		}
	}
	check("killed in the middle of it")
	if err := store.letGo(all); err != nil {
		t.Fatal(err)
	}
	check("killed after it")
	go func() { all <- p.Close() }()
	if err := store.letGo(all); err != nil {
		t.Fatal(err)
	}
	check("stopped")
}

// untilStopped is a Store whose first part of the state is not written before whoever has asked for it gives up.
type untilStopped struct {
	memory
	waited bool
}

func (s *untilStopped) Keep(ctx context.Context, changes []Change, part *Part) error {
	if !s.waited {
		s.waited = true
		<-ctx.Done()
		return ctx.Err()
	}
	return s.memory.Keep(ctx, changes, part)
}

// A stop in the middle of a save is no failure: nothing is said of one, and what was not written then is written by the stop.
func TestAStopInTheMiddleOfASaveIsNoFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		store := &untilStopped{}
		p, err := New(Options{Settings: settingsWith(rule("hour", limit.PerAccount, 100)), Store: store, Log: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		v, _ := rigOf(t, p).enter("10.0.1.1", mx)
		v.send(bob.Account, rcpt, nil)
		v.Close()
		time.Sleep(saveEvery + time.Second)
		if synctest.Wait(); !store.waited {
			t.Fatal("nothing is being saved")
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		if s, _, _ := store.Load(); len(s.Limits.Debts) != 1 {
			t.Errorf("kept: %+v", s.Limits)
		}
		if strings.Contains(log.String(), "not saved") {
			t.Errorf("logged %s", log.String())
		}
	})
}

// Blocks that limits make push out nothing that a person has done.
func TestBlocksOfLimitsDoNotPushOutPeoplesLines(t *testing.T) {
	store := open(t, filepath.Join(t.TempDir(), "senders.db"))
	if err := added(store, Change{At: changed, By: "alice", Subject: acme, Did: "exempt"}); err != nil {
		t.Fatal(err)
	}
	batch := make([]Change, 1000)
	for i := range batch {
		batch[i] = Change{At: changed, By: "limit hour", Subject: bob, Did: "block", Rule: true}
	}
	for range auditRules/len(batch) + 3 {
		if err := added(store, batch...); err != nil {
			t.Fatal(err)
		}
	}
	all, err := store.Changes(t.Context(), contain.Subject{}, netip.Addr{}, 10*auditRules)
	if err != nil || len(all) != auditRules+1 || all[0].By != "alice" {
		t.Errorf("%d lines, the first by %q, %v", len(all), all[0].By, err)
	}
}

// stuck is a log that takes nothing until it is let go.
type stuck struct{ goOn chan bool }

func (s *stuck) Write(text []byte) (int, error) {
	<-s.goOn
	return len(text), nil
}

// law: I14
//
// audit-B7: a log that takes nothing holds up no mail of whoever is blocked, nor of others, no order, no reload and no stop.
func TestAStuckLogHoldsUpNothing(t *testing.T) {
	out := &stuck{make(chan bool)}
	store := &memory{}
	p, err := New(Options{Settings: blocking(), Store: store, Log: slog.New(slog.NewTextHandler(out, nil))})
	if err != nil {
		t.Fatal(err)
	}
	finished := make(chan bool)
	go func() {
		defer close(finished)
		r := rigOf(t, p)
		for i := range 2 * maxSayings {
			v, _ := r.enter("10.0.1.1", mx)
			v.send(fmt.Sprintf("a%d@acme.example", i), many(2), nil)
			v.Close()
		}
		v, d := r.enter("10.0.2.1", mx)
		if s := v.send("a@blue.example", rcpt, nil); d.Refuse != session.RefuseNot || s.refused.Refuse != session.RefuseNot {
			t.Errorf("another tenant: %+v, %+v", d, s)
		}
		v.Close()
		if err := p.Block(bob, time.Time{}, "alice", "stolen"); err != nil {
			t.Error(err)
		}
		if err := p.Configure(blocking()); err != nil {
			t.Error(err)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}()
	select {
	case <-finished:
	case <-time.After(20 * time.Second):
		t.Error("the log holds up something")
	}
	close(out.goOn)
	<-finished
	<-p.teller.done
	if n := len(store.changes); n != 2*maxSayings+1 {
		t.Errorf("%d lines of the audit, want %d", n, 2*maxSayings+1)
	}
}

// law: I21
//
// A sender that a limit has blocked, and a person lets go, sends on: what the limit had counted is forgotten with the block.
func TestALimitDoesNotUndoThePerson(t *testing.T) {
	r := newRig(t, blocking(), nil)
	v, _ := r.enter("10.0.1.1", mx)
	defer v.Close()
	v.send("bob@acme.example", many(3), nil)
	if r.Explain(bob).Block == nil {
		t.Fatal("not blocked")
	}
	if err := r.Unblock(bob, "alice", "talked"); err != nil {
		t.Fatal(err)
	}
	if s := v.send("bob@acme.example", []string{"new@example.net"}, nil); s.refused.Refuse != session.RefuseNot || s.rcpts != 1 || r.Explain(bob).Block != nil {
		t.Errorf("the next mail: %+v, blocked %t", s, r.Explain(bob).Block != nil)
	}
	if v.send("bob@acme.example", many(3), nil); r.Explain(bob).Block == nil {
		t.Error("fresh excess does not block")
	}
}
