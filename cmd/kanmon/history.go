package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	sd "github.com/coreos/go-systemd/v22/daemon"

	"kanmon/internal/config"
	"kanmon/internal/store"
	"kanmon/internal/view"
	"kanmon/internal/view/follow"
	"kanmon/internal/view/history"
)

type historyCommands struct {
	Run    historyRunCommand    `cmd:"" help:"Keep history of the records, as they are written, until SIGTERM."`
	Status historyStatusCommand `cmd:"" help:"Say what history there is, and how far it is behind the records: exit code 1 from five minutes on."`
	Import historyImportCommand `cmd:"" help:"Take records of files into history that it has not seen; also while it is kept."`
	Prune  historyPruneCommand  `cmd:"" help:"Take away now what is older than is to be kept."`
}

// A viewFlag names the configuration, for what looks at what kanmon has written.
type viewFlag struct{ configFlag }

// loadHistory reads a configuration that has history kept.
func (f *viewFlag) loadHistory() (*config.Config, error) {
	cfg, err := loadForView(&f.configFlag)
	if err == nil {
		err = view.WantsHistory(cfg)
	}
	return cfg, err
}

// openHistory opens history for reading.
func openHistory(cfg *config.Config) (history.Store, error) { return view.ReadHistory(cfg) }

type historyRunCommand struct{ viewFlag }

// Help says what it needs.
func (*historyRunCommand) Help() string {
	return `It needs [history] in the configuration, may read the records, and writes to the directory of [history] alone. Mail does not notice whether it runs. The service is kanmon-history.service, or kanmon-view.service, which shows pages as well: one of the two. docs/howto/history.md says more.`
}

// Run keeps history until it is told to stop.
func (k *historyRunCommand) Run(c *console) error {
	return serveView(c, &k.configFlag, keepHistory)
}

// keepHistory keeps it until the context ends.
func keepHistory(ctx context.Context, cfg *config.Config, log *slog.Logger) error {
	k, err := view.OpenHistory(cfg, log)
	if err != nil {
		return err
	}
	log.Info("history is kept", "in", placeOf(cfg), "records", strings.Join(cfg.History.Records, ", "))
	_, _ = sd.SdNotify(false, sd.SdNotifyReady) // without systemd nobody listens
	k.Run(ctx)
	return k.Close()
}

// placeOf is where history is kept.
func placeOf(cfg *config.Config) string { return cmp.Or(cfg.History.Database, cfg.History.Directory) }

type historyStatusCommand struct {
	viewFlag
	JSON bool `help:"Print JSON."`
}

// A historyStatus is what "kanmon history status" says.
type historyStatus struct {
	Problems  []string         `json:"problems"`
	Directory string           `json:"directory"`
	Database  string           `json:"database,omitempty"`
	Records   []historyRecords `json:"records"`
	Attempts  int64            `json:"attempts"`
	Octets    int64            `json:"octets"`
	Most      int64            `json:"octets_most"` // 0: the disk alone bounds it
	Free      int64            `json:"octets_free"`
	Detail    daysKept         `json:"detail"`
	Trouble   daysKept         `json:"trouble"`
	Counts    daysKept         `json:"counts"`
	Shortened bool             `json:"shortened"`
	Gaps      int64            `json:"gap_records"`
	BadLines  int64            `json:"bad_lines"`
}

type historyRecords struct {
	Path    string    `json:"path"`
	Written time.Time `json:"written,omitzero"`
	Kept    time.Time `json:"kept,omitzero"`
	Lag     float64   `json:"lag_seconds"`
	Error   string    `json:"error,omitempty"`
}

type daysKept struct {
	From string        `json:"from,omitempty"`
	To   string        `json:"to,omitempty"`
	Most time.Duration `json:"-"`
	Days int           `json:"days_most"`
}

func keptFor(kept [2]time.Time, most time.Duration) daysKept {
	d := daysKept{Most: most, Days: int(most / (24 * time.Hour))}
	if !kept[0].IsZero() {
		d.From, d.To = kept[0].UTC().Format(time.DateOnly), kept[1].UTC().Format(time.DateOnly)
	}
	return d
}

// Run shows what there is.
func (k *historyStatusCommand) Run(c *console) error {
	cfg, err := k.loadHistory()
	if err != nil {
		return err
	}
	st, err := statusOfHistory(cfg)
	if err != nil {
		return err
	}
	if k.JSON {
		out := json.NewEncoder(c.stdout)
		out.SetIndent("", "  ")
		err = out.Encode(st)
	} else {
		err = st.print(c.stdout)
	}
	if err == nil && len(st.Problems) > 0 {
		err = exitStatus(exitError)
	}
	return err
}

func statusOfHistory(cfg *config.Config) (*historyStatus, error) {
	s, err := openHistory(cfg)
	if err != nil {
		return nil, err
	}
	defer func() { _ = s.Close() }() // nothing was written
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	of, err := s.Status(ctx)
	if err != nil {
		return nil, err
	}
	lags, err := follow.Lags(ctx, s, cfg.History.Records)
	if err != nil {
		return nil, err
	}
	keep := view.KeepFor(&cfg.History)
	st := &historyStatus{
		Problems: []string{}, Directory: cfg.History.Directory, Database: cfg.History.Database, Attempts: of.Attempts, Octets: of.Octets, Most: keep.Octets, Free: follow.Free(cfg.History.Directory),
		Detail: keptFor(of.Detail, keep.Detail), Trouble: keptFor(of.Trouble, keep.Trouble), Counts: keptFor(of.Counts, keep.Counts),
		Shortened: of.Shortened, Gaps: of.Gaps, BadLines: of.BadLines,
	}
	for _, name := range of.Damaged {
		st.Problems = append(st.Problems, damagedDay(cfg, name))
	}
	for _, l := range lags {
		r := historyRecords{Path: l.Path, Written: l.Written, Kept: l.Kept, Lag: l.Behind.Seconds()}
		if l.Err != nil {
			r.Error = l.Err.Error()
			st.Problems = append(st.Problems, r.Error)
		}
		if l.Behind > follow.Late {
			st.Problems = append(st.Problems, fmt.Sprintf("history is %s behind %s: is it running? systemctl status kanmon-history kanmon-view", about(l.Behind), l.Path))
		}
		st.Records = append(st.Records, r)
	}
	return st, nil
}

// damagedDay says of the file of a day that is damaged what to do.
func damagedDay(cfg *config.Config, name string) string {
	path := filepath.Join(cfg.History.Directory, name)
	if strings.HasSuffix(name, store.Damaged) {
		return fmt.Sprintf("%s was damaged and set aside: import the records of that day that there are (kanmon history import), then remove it", path)
	}
	return fmt.Sprintf("%s is damaged, and left out in full or in part: restart what keeps history, then see here again", path)
}

func (s *historyStatus) print(w io.Writer) error {
	if len(s.Problems) == 0 {
		fmt.Fprintln(w, "normal")
	}
	for _, p := range s.Problems {
		fmt.Fprintln(w, "NOT normal:", p)
	}
	fmt.Fprintln(w)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, r := range s.Records {
		switch {
		case r.Error != "":
			fmt.Fprintf(table, "records\t%s\n", r.Error)
		case r.Kept.IsZero():
			fmt.Fprintf(table, "records\t%s: none is kept yet\n", r.Path)
		default:
			fmt.Fprintf(table, "records\t%s: kept up to %s, %s behind\n", r.Path, when(r.Kept), about(time.Duration(r.Lag*float64(time.Second))))
		}
	}
	fmt.Fprintf(table, "attempts\t%d\n", s.Attempts)
	for _, row := range []struct {
		what string
		of   daysKept
	}{{"every attempt", s.Detail}, {"not delivered", s.Trouble}, {"counts, events", s.Counts}} {
		fmt.Fprintf(table, "%s\t%s\n", row.what, row.of)
	}
	most := ""
	if s.Most > 0 {
		most = " of at most " + inOctets(s.Most)
	}
	if s.Database != "" {
		fmt.Fprintf(table, "in the database\t%s%s in %s\n", inOctets(s.Octets), most, s.Database)
	} else {
		fmt.Fprintf(table, "on the disk\t%s%s in %s; %s are free there\n", inOctets(s.Octets), most, s.Directory, inOctets(s.Free))
	}
	if s.Shortened {
		fmt.Fprintf(table, "shortened\tthere is no room for as long as is to be kept: a larger size of [history], or shorter times\n")
	}
	fmt.Fprintf(table, "gaps\t%d records that kanmon could not write\n", s.Gaps)
	fmt.Fprintf(table, "no records\t%d lines\n", s.BadLines)
	return table.Flush()
}

// String says which days are kept, of how many.
func (d daysKept) String() string {
	if d.From == "" {
		return fmt.Sprintf("none yet, %d days are to be", d.Days)
	}
	return fmt.Sprintf("%s to %s, at most %d days", d.From, d.To, d.Days)
}

// about prints a duration to be read.
func about(d time.Duration) string {
	if d < time.Minute {
		return d.Round(100 * time.Millisecond).String()
	}
	return config.Short(d.Round(time.Second))
}

// inOctets prints an amount of octets to be read.
func inOctets(n int64) string {
	for _, unit := range []struct {
		of   int64
		name string
	}{{1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}} {
		if n >= unit.of {
			return fmt.Sprintf("%.1f %s", float64(n)/float64(unit.of), unit.name)
		}
	}
	return fmt.Sprintf("%d octets", n)
}

type historyImportCommand struct {
	viewFlag
	Files []string `arg:"" name:"file" help:"Files of records: as kanmon writes them, or compressed (.gz, .bz2, .zst); \"-\" is standard input."`
}

// Help says what comes of it.
func (*historyImportCommand) Help() string {
	return `A line that history has already is not kept twice, so it may be interrupted and run again, and files may overlap. Old records go in as they are, and what is older than is to be kept goes again behind the import. While "kanmon history run" or "kanmon view" runs, that process keeps what is imported.`
}

// Run imports.
func (k *historyImportCommand) Run(c *console) error {
	cfg, err := k.loadHistory()
	if err != nil {
		return err
	}
	i := &follow.Import{Gateways: cfg.History.Gateways, Stdin: c.stdin}
	if err := i.Open(k.Files); err != nil {
		return fmt.Errorf("nothing was imported: %w", err)
	}
	defer i.Close()
	prune, end, err := k.into(cfg, i)
	if err != nil {
		return fmt.Errorf("nothing was imported: %w", err)
	}
	i.Progress = func(p follow.Progress) { printProgress(c, p) }
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	p, err := i.Run(ctx)
	switch {
	case ctx.Err() != nil:
		return errors.Join(fmt.Errorf("interrupted; %s are in history: import again, and the rest comes, nothing twice", count(int(p.Records), "record")), end())
	case err != nil:
		return errors.Join(fmt.Errorf("%w; %s are in history before that", err, count(int(p.Records), "record")), end())
	}
	pruned, err := prune(ctx)
	if err != nil {
		return errors.Join(fmt.Errorf("imported, and not pruned: %w", err), end())
	}
	printPruned(c.stdout, pruned)
	return end()
}

// into finds who keeps what is imported: this process, or the one that keeps history now. end is called when all is done.
func (k *historyImportCommand) into(cfg *config.Config, i *follow.Import) (prune func(context.Context) (history.Pruned, error), end func() error, err error) {
	dir := cfg.History.Directory
	if err := follow.ActAsOwner(dir); err != nil {
		return nil, nil, err
	}
	s, err := view.KeptHistory(cfg)
	if errors.Is(err, store.ErrInUse) {
		r := follow.NewRemote(dir)
		i.Keep = r.Keep
		return r.Prune, func() error { return nil }, nil
	}
	if err != nil {
		return nil, nil, err
	}
	i.Keep = func(ctx context.Context, lines []history.Line) error {
		if cfg.History.Database == "" {
			if err := follow.Room(dir); err != nil {
				return err
			}
		}
		return s.Add(ctx, lines, "", history.Mark{})
	}
	return func(ctx context.Context) (history.Pruned, error) {
		return s.Prune(ctx, time.Now(), view.KeepFor(&cfg.History))
	}, s.Close, nil
}

func printProgress(c *console, p follow.Progress) {
	rate := float64(p.Records) / max(p.Took.Seconds(), 1e-3)
	if !p.Whole {
		part := ""
		if p.Size > 0 {
			part = fmt.Sprintf(" %d %% of it,", 100*p.Read/p.Size)
		}
		fmt.Fprintf(c.stderr, "%s:%s %d records so far, %.0f in a second\n", p.File, part, p.Records, rate)
		return
	}
	fmt.Fprintf(c.stdout, "%s: read; %s so far, %.0f in a second", p.File, count(int(p.Records), "record"), rate)
	if p.Bad > 0 {
		fmt.Fprintf(c.stdout, "; left out as no record: %s, the first: %v", count(int(p.Bad), "line"), p.First)
	}
	if p.Foreign > 0 {
		fmt.Fprintf(c.stdout, "; %s left out of gateways that history.gateways does not name", count(int(p.Foreign), "record"))
	}
	fmt.Fprintln(c.stdout)
}

type historyPruneCommand struct{ viewFlag }

// Run prunes.
func (k *historyPruneCommand) Run(c *console) error {
	cfg, err := k.loadHistory()
	if err != nil {
		return err
	}
	prune, end, err := new(historyImportCommand).into(cfg, new(follow.Import))
	if err != nil {
		return err
	}
	p, err := prune(context.Background())
	if err := errors.Join(err, end()); err != nil {
		return err
	}
	if p == (history.Pruned{}) {
		_, err = fmt.Fprintln(c.stdout, "nothing is older than is to be kept")
		return err
	}
	printPruned(c.stdout, p)
	return nil
}

func printPruned(w io.Writer, p history.Pruned) {
	if p == (history.Pruned{}) {
		return
	}
	why := "older than is to be kept"
	if p.ForSize {
		why += ", or no room for it"
	}
	fmt.Fprintf(w, "taken away: %s of every attempt, %s of what was not delivered, %s of counts and events: %s\n",
		count(p.Detail, "day"), count(p.Trouble, "day"), count(p.Counts, "day"), why)
}
