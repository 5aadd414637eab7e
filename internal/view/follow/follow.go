package follow

import (
	"cmp"
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/view/history"
)

// Options say what is followed, and who is told.
type Options struct {
	Path     string        // of the records
	Store    history.Store // where they are kept
	Gateways []string      // whose lines are kept; none: those of all
	Room     func() error  // why nothing more may be kept; nil: something may, always
	Log      *slog.Logger  // nil: slog.Default()

	// Hear is told of lines before they are kept, each batch once, unless the process ends in between: then it is told again by the next.
	Hear func(context.Context, []history.Line)
	// Held counts those who wait for history to keep what they have read, and read nothing meanwhile; nil: nobody wants to know.
	Held *atomic.Int32
}

const (
	// gather is how long lines may wait for others: a commit costs the disk as much for one as for many.
	gather = 500 * time.Millisecond
	// lookAgain is how soon what nobody has told of is found, such as a folder that is there only now.
	lookAgain = 5 * time.Second

	firstRetry = time.Second
	lastRetry  = 30 * time.Second
)

// A Follower takes the records that one path gets into history, as they are written.
type Follower struct {
	Options
	place  place
	batch  batch
	seen   map[string]*file // what was found when it was looked last
	looked time.Time        // when that was
	teller teller

	gather, lookAgain, firstRetry time.Duration

	counts counts
}

// counts are read by whoever asks how it goes.
type counts struct {
	kept, bad, foreign, lost atomic.Int64
	newest                   atomic.Int64 // when the newest line that is kept was written, in nanoseconds; 0: none is
}

// New makes a Follower, which does nothing before Run.
func New(o Options) *Follower {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	return &Follower{
		Options: o, batch: batch{gateways: o.Gateways}, teller: teller{log: o.Log.With("records", o.Path)},
		gather: gather, lookAgain: lookAgain, firstRetry: firstRetry,
	}
}

// Run follows until ctx ends. Whatever fails is told, and tried again: nothing is read that could not be kept.
func (f *Follower) Run(ctx context.Context) {
	w := f.watch()
	defer w.close()
	if !f.begin(ctx) {
		return
	}
	for ctx.Err() == nil {
		list, err := f.look()
		f.looked = time.Now()
		f.teller.tell("records cannot be read", err)
		for i, one := range list {
			one.newest = !one.live && (i == len(list)-1 || list[i+1].live)
			if err := f.read(ctx, one, w); err != nil {
				sleep(ctx, f.gather/10)
				break
			}
		}
		if len(list) == 0 || !list[len(list)-1].live {
			w.wait(ctx)
		}
	}
}

// begin asks history how far it is. It is false where ctx has ended before the answer.
func (f *Follower) begin(ctx context.Context) bool {
	return f.insist(ctx, "history does not say how far it is", func() error {
		m, err := f.Store.Mark(ctx, f.Path)
		if err != nil {
			return err
		}
		p, err := placeOf(m)
		if err != nil {
			f.teller.log.Error("what history has read last is not known: all files are read again, and nothing is kept twice", "error", err)
		}
		f.place = p
		if !m.At.IsZero() {
			f.counts.newest.Store(m.At.UnixNano())
		}
		return nil
	})
}

// insist does something until it is done. It is false where ctx has ended before.
func (f *Follower) insist(ctx context.Context, what string, do func() error) bool {
	for wait := f.firstRetry; ; wait = min(2*wait, lastRetry) {
		err := do()
		if ctx.Err() != nil {
			return err == nil
		}
		f.teller.tell(what, err)
		if err == nil {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(wait):
		}
	}
}

// errOver is that there is nothing more to be done with a file before all are looked at again.
var errOver = errors.New("look again")

// read takes in what a file has from where it was left. The live one is followed until another has taken its place, and so is one that was moved just now.
func (f *Follower) read(ctx context.Context, one *file, w *waker) error {
	t, err := openText(one.path)
	if errors.Is(err, fs.ErrNotExist) {
		return errOver
	}
	if err == nil {
		defer t.close()
		err = f.drain(ctx, t, one, w)
	}
	if err != nil && !errors.Is(err, errOver) && ctx.Err() == nil {
		f.teller.once("a file is passed over", err.Error(), "file", one.path)
		one.broken = true
	}
	return err
}

// hasMore reports whether there is more to read than the file that is followed, such as one that was moved while the folder was listed.
func (f *Follower) hasMore() bool {
	list, err := f.look()
	f.looked = time.Now()
	return err != nil || slices.ContainsFunc(list, func(one *file) bool { return !one.live })
}

func (f *Follower) drain(ctx context.Context, t *text, one *file, w *waker) error {
	if first, err := t.in.Peek(len(one.first)); err != nil || string(first) != string(one.first) {
		one.stamp = stamp{}
		return errOver // another one is called so by now
	}
	if err := t.begin(one.from, one.first); err != nil {
		return err
	}
	grows := one.live || one.newest && one.plain && f.isUnreplaced()
	over := !grows
	for {
		err := f.take(ctx, t)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case !errors.Is(err, io.EOF):
			return err
		case over:
			f.finish(t, one)
			return nil
		}
		switch f.stands(t) {
		case goesOn:
			w.wait(ctx)
		case replaced: // its writer is done with it: a last look
			over = true
		case emptied: // what it had may stand in a copy
			return errOver
		}
		if time.Since(f.looked) > 12*f.lookAgain && f.hasMore() {
			return errOver
		}
		if err := t.again(t.offset); err != nil {
			return err
		}
	}
}

// isUnreplaced reports whether the file that a rotation has moved last may be written to still: its writer has not begun the next one.
func (f *Follower) isUnreplaced() bool {
	now, err := os.Stat(f.Path)
	return err != nil || now.Size() == 0
}

// take keeps all whole lines that there are. The error is io.EOF, or what reading has come to.
func (f *Follower) take(ctx context.Context, t *text) error {
	for {
		line, err := t.next()
		if err != nil && !errors.Is(err, errTooLong) {
			return cmp.Or(f.keep(ctx, t), err)
		}
		f.add(line, err)
		if f.batch.isFull() {
			if err := f.keep(ctx, t); err != nil {
				return err
			}
		}
	}
}

// finish notes that all of a file is kept; it is written with what comes next. What stands behind the last line's end is no record: its
// writer has died, or has written all of it again elsewhere.
func (f *Follower) finish(t *text, one *file) {
	if t.partial > 0 {
		f.counts.bad.Add(1)
		f.teller.once("a line that is no record", "half a line at the end", "file", one.path, "octets", t.partial)
	}
	f.place.finish(headOf(t.head))
}

// A standing is what has become of the file that is followed.
type standing int

const (
	goesOn standing = iota
	replaced
	emptied
)

// stands compares the file that is open with what is at the path now. Of a rotation, what its writer had still written to the file before is
// in it once the next one has something: it has one writer.
func (f *Follower) stands(t *text) standing {
	own, err := t.file.Stat()
	if err != nil {
		return emptied
	}
	if own.Size() < t.offset || !t.isAsRead() {
		return emptied
	}
	now, err := os.Stat(f.Path)
	if err != nil || os.SameFile(own, now) || now.Size() == 0 {
		return goesOn
	}
	return replaced
}

// add takes a line up, and tells of one that is not kept.
func (f *Follower) add(line []byte, err error) {
	switch err := f.batch.add(line, err); {
	case errors.Is(err, errAhead):
		f.teller.once("a record of a time to come", err.Error(), "line", shown(line))
	case errors.Is(err, errForeign):
		f.teller.once("a record of another gateway", err.Error(), "line", shown(line))
	case err != nil:
		f.teller.once("a line that is no record", err.Error(), "line", shown(line))
	}
}

// shown is what a log shows of a line.
func shown(line []byte) string {
	return event.Printable(string(line[:min(len(line), mostShown)]), mostShown)
}

// keep has history keep what was taken up, with how far it goes. Where somebody has emptied the file meanwhile, what was read may be of both
// that it has been: then it is read again, from where it is now.
func (f *Follower) keep(ctx context.Context, t *text) error {
	b := &f.batch
	if !b.read {
		return nil
	}
	if !t.isAsRead() {
		f.batch = batch{gateways: f.Gateways}
		return errOver
	}
	f.place.at, f.place.offset = headOf(t.head), t.offset
	if f.Hear != nil && len(b.lines) > 0 {
		f.Hear(ctx, records(b.lines))
	}
	m := history.Mark{File: f.place.file(), Offset: t.offset, At: b.newest}
	if newest := f.counts.newest.Load(); m.At.IsZero() && newest != 0 {
		m.At = time.Unix(0, newest).UTC()
	}
	if f.Held != nil {
		f.Held.Add(1)
		defer f.Held.Add(-1)
	}
	kept := f.insist(ctx, "history keeps nothing; records wait in their file, and mail goes on", func() error {
		if f.Room != nil {
			if err := f.Room(); err != nil {
				return err
			}
		}
		return f.Store.Add(ctx, b.lines, f.Path, m)
	})
	if !kept {
		return ctx.Err()
	}
	f.counts.kept.Add(int64(len(b.lines)) - b.bad)
	f.counts.bad.Add(b.bad)
	f.counts.foreign.Add(b.foreign)
	f.counts.lost.Add(b.lost)
	if !m.At.IsZero() {
		f.counts.newest.Store(m.At.UnixNano())
	}
	*b = batch{gateways: f.Gateways}
	return nil
}

// records are the lines that have an entry.
func records(lines []history.Line) (list []history.Line) {
	for _, l := range lines {
		if l.Entry != nil {
			list = append(list, l)
		}
	}
	return list
}
