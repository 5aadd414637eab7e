package journal

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"kanmon/internal/event"
)

// Who kills kanmon takes with it what waited to be written: for some milliseconds, or for as long as the disk did not
// answer. Nobody is left to count that, so the next run looks at how the lines before its own end.

// maxLast is how much of the end of a file is looked at. Behind the line of a stop there may be what had been counted until then.
const maxLast = 4 << 20

// Unclean returns the last run that has written JSON lines to a path, where it did not end with a stop: what it
// recorded last may be missing. It is nil where it did, and where that cannot be known: there is no file, or none that
// can be read again, or a reload had the run go on elsewhere. Whoever rotates the file may have left an empty one, or
// none: then the file beside it counts that was written last. It is called before a journal opens the path.
func Unclean(path string) *event.Run {
	if path == "" || path == "-" {
		return nil
	}
	last := lastOctets(path)
	if len(last) == 0 {
		last = lastOctets(newestBeside(path))
	}
	return uncleanIn(last)
}

// A runSeen is what the end of a file says of a run, read from its last line on.
type runSeen struct {
	event.Run
	of      []byte // what all lines of the run have
	stopped bool
	back    bool // it has taken a configuration up again
}

// hear takes the line before those that were heard.
func (r *runSeen) hear(e *event.Entry) {
	switch {
	case e.Action == event.Stopped.String(), e.Action == event.Left.String() && !r.back:
		r.stopped = true // or went on elsewhere, where nobody looks
	case e.Action == event.Reloaded.String():
		r.back = true
	}
}

// uncleanIn looks for the stop of the run that was the last to start. One that could not start has a stop and no start: it has told
// nobody of the run before it. A run that another one has taken over from goes on beside that for a while.
func uncleanIn(lines []byte) *event.Run {
	var runs []*runSeen // the newest first
	for len(lines) > 0 {
		at := bytes.LastIndexByte(bytes.TrimSuffix(lines, newline), '\n') + 1
		line := lines[at:]
		lines = lines[:at]
		known := slices.IndexFunc(runs, func(r *runSeen) bool { return bytes.Contains(line, r.of) })
		if known >= 0 && !bytes.HasPrefix(line, gatewayLine) {
			continue
		}
		e, err := event.ParseEntry(line)
		switch {
		case err != nil: // it was killed while it wrote that
			continue
		case e.Line == 0:
			return nil
		case known < 0:
			known = len(runs)
			runs = append(runs, &runSeen{Run: event.Run{Name: e.Run, Line: e.Line, At: e.At}, of: []byte(`"run":"` + e.Run + `"`)})
		}
		if e.Type != "gateway" {
			continue
		}
		if runs[known].hear(e); e.Action == event.Started.String() {
			runs = runs[known : known+1]
			break
		}
	}
	for _, r := range runs {
		if !r.stopped {
			return &r.Run
		}
	}
	return nil
}

var gatewayLine = []byte(`{"type":"gateway"`)

// lastOctets reads the end of a file; nil: there is none that can be read.
func lastOctets(path string) []byte {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0) // a FIFO is not waited for
	if err != nil {
		return nil
	}
	defer func() { _ = f.Close() }()
	fi, err := f.Stat()
	if err != nil || !fi.Mode().IsRegular() {
		return nil
	}
	last, err := io.ReadAll(io.NewSectionReader(f, max(0, fi.Size()-maxLast), maxLast))
	if err != nil {
		return nil
	}
	return last
}

// newestBeside returns the file that a rotation has made of one: its name begins with the same, and it is not
// compressed. "": there is none.
func newestBeside(path string) (newest string) {
	entries, _ := os.ReadDir(filepath.Dir(path))
	var last os.FileInfo
	for _, e := range entries {
		rest, isOne := strings.CutPrefix(e.Name(), filepath.Base(path))
		if !isOne || rest == "" || slices.Contains(compressed, filepath.Ext(rest)) {
			continue
		}
		if fi, err := e.Info(); err == nil && fi.Mode().IsRegular() && (last == nil || fi.ModTime().After(last.ModTime())) {
			last, newest = fi, filepath.Join(filepath.Dir(path), e.Name())
		}
	}
	return newest
}

var compressed = []string{".gz", ".xz", ".zst", ".bz2", ".lz4"}
