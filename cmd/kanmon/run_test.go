package main

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/config"
)

// A slowStop is a kanmon whose sessions finish in their own time.
type slowStop struct {
	finish chan struct{}
	did    []string
}

func (d *slowStop) ReloadFrom(_ context.Context, read func() (*config.Config, error)) (*config.Config, error) {
	cfg, err := read()
	if err == nil {
		d.did = append(d.did, "reload")
	}
	return cfg, err
}

func (d *slowStop) ReopenLogs() error {
	d.did = append(d.did, "reopen")
	return nil
}

func (d *slowStop) Leave(ctx context.Context) {
	d.did = append(d.did, "leave")
	<-ctx.Done()
	d.did = append(d.did, "left")
}

func (d *slowStop) Stop(context.Context) error {
	<-d.finish
	return nil
}

// Logs that are rotated while a stopping kanmon lets its sessions finish are opened anew; a reload is not begun any more.
//
// audit-B11
func TestLogsAreReopenedDuringADrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stop, stopNow := context.WithCancel(t.Context())
		reload, reopen := make(chan os.Signal, 1), make(chan os.Signal, 1)
		d := &slowStop{finish: make(chan struct{})}
		var log strings.Builder
		ended := make(chan error, 1)
		go func() {
			r := runCommand{}
			ended <- r.serve(d, &signals{stop: stop, kill: t.Context(), reload: reload, reopen: reopen}, slog.New(slog.NewTextHandler(&log, nil)), &slog.LevelVar{})
		}()
		stopNow()
		synctest.Wait()
		for _, signal := range []chan os.Signal{reopen, reload, reopen} {
			signal <- os.Interrupt
			synctest.Wait()
		}
		if got := strings.Join(d.did, " "); got != "reopen reopen reopen" {
			t.Errorf("while it stops: %q, want three times reopen", got)
		}
		if !strings.Contains(log.String(), "not reloaded: stopping") {
			t.Errorf("logged:\n%s", log.String())
		}
		close(d.finish)
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// A handover ends in a stop, is begun once, and is cut short by a stop. Meanwhile the configuration stays as it is.
func TestAHandoverIsOnceAndEndsInAStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stop, stopNow := context.WithCancel(t.Context())
		s := &signals{stop: stop, kill: t.Context(), leave: make(chan os.Signal, 1), asked: make(chan chan<- error)}
		d := &slowStop{finish: make(chan struct{})}
		ended := make(chan error, 1)
		go func() {
			r := runCommand{}
			ended <- r.serve(d, s, slog.New(slog.DiscardHandler), &slog.LevelVar{})
		}()
		for range 3 {
			s.handOver()
			synctest.Wait()
		}
		if err := s.ask(t.Context()); err == nil || !strings.Contains(err.Error(), "not reloaded: kanmon is stopping") {
			t.Errorf("a reload: %v", err)
		}
		stopNow()
		synctest.Wait()
		close(d.finish)
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if got := strings.Join(d.did, " "); got != "leave reopen left" {
			t.Errorf("it did %q", got)
		}
	})
}

// Who asks for a reload is answered when it has come to its end, in turn with the signals, and is told of a stop.
//
// firstday-15
func TestReloadIsAnsweredInTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "kanmon.toml")
		write := func(text string) {
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		stop, stopNow := context.WithCancel(t.Context())
		d, s := &slowStop{finish: make(chan struct{})}, &signals{stop: stop, kill: t.Context(), asked: make(chan chan<- error)}
		soon, over := context.WithTimeout(t.Context(), time.Second)
		defer over()
		if err := s.ask(soon); err == nil || !strings.Contains(err.Error(), "kanmon is busy") {
			t.Errorf("nobody serves yet: %v", err)
		}
		ended := make(chan error, 1)
		go func() {
			r := runCommand{configFlag: configFlag{Config: path}}
			ended <- r.serve(d, s, slog.New(slog.DiscardHandler), &slog.LevelVar{})
		}()
		write("colour = 'blue'\n")
		if err := s.ask(t.Context()); err == nil || !strings.Contains(err.Error(), "still running with the old configuration") || !strings.Contains(err.Error(), "colour: unknown key") {
			t.Errorf("a wrong file: %v", err)
		}
		write("")
		if err := s.ask(t.Context()); err != nil {
			t.Errorf("a good file: %v", err)
		}
		if got := strings.Join(d.did, " "); got != "reopen reload reopen" {
			t.Errorf("it did %q", got)
		}
		stopNow()
		synctest.Wait()
		if err := s.ask(t.Context()); err == nil || !strings.Contains(err.Error(), "kanmon is stopping") {
			t.Errorf("while it stops: %v", err)
		}
		close(d.finish)
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// The level of kanmon's own log is that of the file as soon as a reload has taken it.
func TestReloadSetsTheLogLevel(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kanmon.toml")
	if err := os.WriteFile(path, []byte("[intercept]\nsources = ['10.20.0.0/16']\n[log]\nlevel = 'debug'\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	level, r := &slog.LevelVar{}, runCommand{configFlag: configFlag{Config: path}}
	if err := r.reload(&slowStop{}, &signals{stop: t.Context()}, slog.New(slog.DiscardHandler), level, false); err != nil {
		t.Error(err)
	}
	if level.Level() != slog.LevelDebug {
		t.Errorf("the level is %v", level.Level())
	}
}
