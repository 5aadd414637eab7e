package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"syscall"

	"kanmon/internal/config"
	"kanmon/internal/daemon"
)

type runCommand struct {
	configFlag
	TakeOver bool `help:"Take over from the kanmon that runs, if one does: its sockets must be systemd's (kanmon.socket)."`
}

// Help says how a running kanmon is spoken to.
func (*runCommand) Help() string {
	return `SIGTERM and SIGINT let sessions finish, and a second one cuts them. SIGHUP reloads the configuration and opens the files of the journal anew; SIGUSR1 does the latter alone, also while sessions finish. SIGUSR2 hands over, as "kanmon handover" does.`
}

// Run runs the daemon until it is told to stop.
func (r *runCommand) Run(c *console) error {
	s := c.watch()
	cfg, err := config.Load(r.Config)
	if err != nil {
		holdRules(c)
		return err
	}
	level := &slog.LevelVar{}
	level.Set(cfg.Log.Level.Slog())
	log, end := newLogger(c.stderr, cfg.Log.Format, level)
	defer end()
	d := daemon.New(cfg, log)
	d.OnReload(s.ask)
	d.OnHandover(s.handOver)
	if r.TakeOver {
		d.TakesOver()
	}
	d.Version(buildInfo().Main.Version)
	if err := d.Start(s.stop); err != nil {
		log.Error("not started", "error", err)
		if errors.Is(err, daemon.ErrGoesOn) {
			return exitStatus(exitGoesOn)
		}
		holdRules(c)
		return errShown
	}
	return r.serve(d, s, log, level)
}

// A running kanmon, as signals act on it.
type running interface {
	ReloadFrom(ctx context.Context, read func() (*config.Config, error)) (*config.Config, error)
	ReopenLogs() error
	Leave(context.Context)
	Stop(context.Context) error
}

// serve does what signals ask for until kanmon has stopped. A stop lets sessions finish, which takes minutes: whoever moves the logs
// away meanwhile is heard.
func (r *runCommand) serve(d running, s *signals, log *slog.Logger, level *slog.LevelVar) error {
	stop, stopped := s.stop.Done(), make(chan error, 1)
	left, leaving := make(chan struct{}), false
	for {
		select {
		case <-s.reload:
			_ = r.reload(d, s, log, level, leaving || stop == nil) // nobody waits for it; the log tells
		case answer := <-s.asked:
			answer <- r.reload(d, s, log, level, leaving || stop == nil)
		case <-s.reopen:
			_ = reopen(d, log) // likewise
		case <-s.leave:
			if leaving || stop == nil {
				continue
			}
			leaving = true
			go func() { defer close(left); d.Leave(s.stop) }()
		case <-left:
			left, stop = nil, nil
			go func() { stopped <- d.Stop(s.kill) }()
		case <-stop:
			if stop = nil; !leaving { // else Leave ends now, and the stop comes behind it
				go func() { stopped <- d.Stop(s.kill) }()
			}
		case err := <-stopped:
			if err != nil {
				log.Error("not stopped cleanly", "error", err)
				return errShown
			}
			return nil
		}
	}
}

// ask has the configuration read anew, in turn with everything else that signals ask for.
func (s *signals) ask(ctx context.Context) error {
	answer := make(chan error, 1)
	select {
	case s.asked <- answer:
	case <-ctx.Done():
		return fmt.Errorf("not begun: kanmon is busy: %w", ctx.Err())
	}
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return fmt.Errorf("begun and not ended yet, kanmon's log will tell: %w", ctx.Err())
	}
}

// handOver has kanmon hand over, in turn with everything else that signals ask for.
func (s *signals) handOver() {
	select {
	case s.leave <- syscall.SIGUSR2:
	default: // it has been asked for
	}
}

// reload takes the file anew, or leaves everything as it is. The files of the journal are opened anew in any case.
func (r *runCommand) reload(d running, s *signals, log *slog.Logger, level *slog.LevelVar, stopping bool) error {
	if stopping {
		log.Warn("not reloaded: stopping", "file", r.Config)
		return errors.Join(errors.New("not reloaded: kanmon is stopping"), reopen(d, log))
	}
	cfg, err := d.ReloadFrom(s.stop, func() (*config.Config, error) { return config.Load(r.Config) })
	if err != nil {
		log.Error("not reloaded; still running with the old configuration", "file", r.Config, "error", err)
		return errors.Join(fmt.Errorf("not reloaded; still running with the old configuration: %w", err), reopen(d, log))
	}
	level.Set(cfg.Log.Level.Slog())
	return reopen(d, log)
}

func reopen(d running, log *slog.Logger) error {
	err := d.ReopenLogs()
	if err != nil {
		log.Error("journal not reopened", "error", err)
	}
	return err
}

// newLogger returns kanmon's own log, which nobody who logs waits for. The function writes the last lines.
func newLogger(out io.Writer, format config.LogFormat, level slog.Leveler) (log *slog.Logger, end func()) {
	to := func(w io.Writer) *slog.Logger {
		options := &slog.HandlerOptions{Level: level}
		if format == config.FormatJSON {
			options.ReplaceAttr = inUTC
			return slog.New(slog.NewJSONHandler(w, options))
		}
		return slog.New(slog.NewTextHandler(w, options))
	}
	w := newLogWriter(out, func(lost int) []byte {
		var line bytes.Buffer
		to(&line).Error("lines of this log were dropped: nobody read it", "lines", lost)
		return line.Bytes()
	})
	return to(w), w.close
}

// inUTC has JSON name one zone for all times, as the records do. Text has the host's, with its offset.
func inUTC(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindTime {
		a.Value = slog.TimeValue(a.Value.Time().UTC())
	}
	return a
}
