package follow

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"kanmon/internal/view/history"
)

// An Import takes in what files have that nobody writes to any more. It may run beside a [Follower], and again: a line that is there already is
// not kept twice.
type Import struct {
	Gateways []string                                    // as of [Options]
	Stdin    io.Reader                                   // what the name "-" stands for
	Keep     func(context.Context, []history.Line) error // all of them or none
	Progress func(Progress)                              // told now and then, and when a file is done; nil: nobody
	files    []imported
	progress Progress
}

type imported struct {
	name string
	text *text
}

// Progress is how far an import is.
type Progress struct {
	File    string
	Read    int64 // octets of the file, as it lies there
	Size    int64 // of the file; 0: not known
	Records int64 // of all files so far
	Bad     int64 // lines that are no records, likewise
	Foreign int64 // records of gateways that are not to be kept, likewise
	First   error // why the first bad line is none
	Took    time.Duration
	Whole   bool // the file is read
}

// tellProgress is how often that is told.
const tellProgress = 10 * time.Second

// Open opens all files, so that one that cannot be read hinders all: then nothing was begun.
func (i *Import) Open(names []string) error {
	for _, name := range names {
		t := &text{in: newReader(i.Stdin)}
		if name != "-" {
			var err error
			if t, err = openText(name); err != nil {
				i.Close()
				return err
			}
		}
		i.files = append(i.files, imported{name, t})
	}
	return nil
}

// Close closes the files.
func (i *Import) Close() {
	for _, f := range i.files {
		f.text.close()
	}
}

// Run takes in the files that were opened, in order. It ends with the first that cannot be read to its end, or with ctx: what was read before
// is kept.
func (i *Import) Run(ctx context.Context) (Progress, error) {
	began := time.Now()
	for _, f := range i.files {
		if err := i.read(ctx, f, began); err != nil {
			i.progress.Took = time.Since(began)
			return i.progress, fmt.Errorf("%s: %w", f.name, err)
		}
	}
	return i.progress, nil
}

var errHalf = errors.New("it has no end")

func (i *Import) read(ctx context.Context, f imported, began time.Time) error {
	p, b := &i.progress, batch{gateways: i.Gateways}
	p.File, p.Size, p.Read, p.Whole = f.name, f.text.size(), 0, false
	told := time.Now()
	for {
		line, err := f.text.next()
		last := err != nil && !errors.Is(err, errTooLong)
		var no error
		switch {
		case !last:
			no = b.add(line, err)
		case f.text.partial > 0 && errors.Is(err, io.EOF):
			no = b.add(f.text.line, errHalf)
		}
		if p.First == nil {
			p.First = no
		}
		if !last && !b.isFull() {
			continue
		}
		if err := i.keep(ctx, &b); err != nil {
			return err
		}
		if last && !errors.Is(err, io.EOF) {
			return fmt.Errorf("behind octet %d of its text: %w", f.text.offset, err)
		}
		p.Read, p.Took, p.Whole = f.text.passed(), time.Since(began), last
		if i.Progress != nil && (last || time.Since(told) >= tellProgress) {
			told = time.Now()
			i.Progress(*p)
		}
		if last {
			return nil
		}
	}
}

func (i *Import) keep(ctx context.Context, b *batch) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if len(b.lines) > 0 {
		if err := i.Keep(ctx, b.lines); err != nil {
			return err
		}
	}
	i.progress.Records += int64(len(b.lines)) - b.bad
	i.progress.Bad += b.bad
	i.progress.Foreign += b.foreign
	*b = batch{gateways: b.gateways}
	return nil
}

// size is that of the file, as it lies there; 0: not known.
func (t *text) size() int64 {
	if t.file == nil {
		return 0
	}
	info, err := t.file.Stat()
	if err != nil {
		return 0
	}
	return info.Size()
}

// passed is how many octets have been read of the file, as it lies there.
func (t *text) passed() int64 {
	if t.file == nil {
		return t.offset
	}
	at, err := t.file.Seek(0, io.SeekCurrent)
	if err != nil {
		return t.offset
	}
	return at
}
