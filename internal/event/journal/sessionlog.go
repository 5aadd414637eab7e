package journal

import (
	"bytes"
	"strconv"
	"time"

	"kanmon/internal/event"
)

// A formatter makes text of records, one at a time. It belongs to the formatting goroutine.
type formatter struct {
	guard   *guard
	repeats repeats
	out     []byte // the text being made
	safe    []byte // scratch of appendEscaped
	clock   clock
	utc     clock // the same, of the JSON lines

	identify bool // messages
	now      func() time.Time
}

func newFormatter(o Options) *formatter {
	return &formatter{guard: newGuard(o.Addresses, o.HashKey), repeats: make(repeats), identify: o.Identify, now: time.Now}
}

// beginOf must come before a record is formatted for the first sink.
func (f *formatter) beginOf(o owner, r *event.Record) { f.guard.begin(o, r) }

var sessionLogSheet = sheet{
	name: "session_log", dialogue: true,
	append: (*formatter).sessionLog,
	gap: func(dst []byte, now time.Time, of owner, records uint64) []byte {
		dst = now.AppendFormat(dst, timeFormat)
		dst = append(append(dst, noSession...), "journal lost "...)
		dst = strconv.AppendUint(dst, records, 10)
		dst = append(dst, " records"...)
		if of != (owner{}) {
			dst = appendSafe(append(dst, " of "...), []byte(of.String()))
		}
		return append(dst, " here\n"...)
	},
}

const (
	timeFormat = "2006-01-02T15:04:05.000Z07:00"
	// slowReply is from when on the time of the first octet of a reply is worth a look of its own.
	slowReply    = 100 * time.Millisecond
	elapsedWidth = 10
)

// sessionLog returns the record's lines for the session log; the package comment describes them.
func (f *formatter) sessionLog(r *event.Record) []byte {
	f.out = f.out[:0]
	if n, of := r.News.(event.Finding); of {
		f.out = r.At.AppendFormat(f.out, timeFormat)
		f.out = appendSafe(append(f.out, noSession...), []byte(n.String()))
		f.out = append(f.out, '\n')
	}
	for i := range r.Lines {
		l := &r.Lines[i]
		shown, left := f.guard.text(r.Text(l.Text), kindOf(l.Mark), l.Text.Cut() > 0)
		kept, cut := bound(shown)
		cut += left + l.Text.Cut()
		start := len(f.out)
		f.out = f.clock.append(f.out, r.Session.Start.Add(l.At))
		f.out = append(f.out, ' ')
		f.out = appendID(f.out, r.Session.ID)
		f.out = append(f.out, ' ')
		prefix := len(f.out) - start
		f.out = appendElapsed(f.out, l)
		f.out = appendMark(f.out, l.Mark)
		for {
			line, rest, more := bytes.Cut(kept, newline)
			f.out = appendSafe(f.out, line)
			if !more {
				break
			}
			f.out = append(f.out, '\n')
			f.out = append(f.out, f.out[start:start+prefix]...)
			f.out = append(f.out, noElapsed...)
			f.out = appendMark(f.out, l.Mark)
			kept = rest
		}
		if cut > 0 {
			f.out = appendCut(f.out, cut)
		}
		f.out = append(f.out, '\n')
	}
	return f.out
}

const (
	noElapsed = "         -"
	noSession = " ----------------          - -- " // of a line that is no session's
)

func appendElapsed(dst []byte, l *event.Line) []byte {
	if l.Took <= 0 {
		return append(dst, noElapsed...)
	}
	start := len(dst)
	if l.First > 0 && l.Took-l.First >= slowReply {
		dst = appendMilliseconds(dst, l.First)
		dst = append(dst, ".."...)
	}
	dst = appendMilliseconds(dst, l.Took)
	if pad := elapsedWidth - (len(dst) - start); pad > 0 {
		dst = append(dst, "          "[:pad]...)
		copy(dst[start+pad:], dst[start:])
		copy(dst[start:], "          "[:pad])
	}
	return dst
}

func appendMark(dst []byte, m event.Mark) []byte {
	dst = append(dst, ' ')
	if m == event.MarkNote {
		dst = append(dst, "--"...)
	} else {
		dst = append(dst, m.String()...)
	}
	return append(dst, ' ')
}

// appendMilliseconds appends a duration in milliseconds with three decimals, a JSON number.
func appendMilliseconds(dst []byte, d time.Duration) []byte {
	us := d.Round(time.Microsecond).Microseconds()
	if us < 0 { // a clock that was not monotonic
		us = 0
	}
	dst = strconv.AppendInt(dst, us/1000, 10)
	frac := us % 1000
	return append(dst, '.', byte('0'+frac/100), byte('0'+frac/10%10), byte('0'+frac%10))
}

func appendID(dst []byte, id event.ID) []byte {
	for shift := 60; shift >= 0; shift -= 4 {
		dst = append(dst, hexDigits[id>>shift&15])
	}
	return dst
}

// A clock formats times. Those of neighbouring lines are mostly in one second, so it remembers the last.
type clock struct {
	second int64
	zone   *time.Location
	text   []byte
}

func (c *clock) append(dst []byte, t time.Time) []byte {
	if s := t.Unix(); c.text == nil || s != c.second || t.Location() != c.zone {
		c.second, c.zone = s, t.Location()
		c.text = t.AppendFormat(c.text[:0], timeFormat)
	}
	const point = len("2006-01-02T15:04:05.")
	start := len(dst)
	dst = append(dst, c.text...)
	ms := t.Nanosecond() / 1_000_000
	dst[start+point] = byte('0' + ms/100)
	dst[start+point+1] = byte('0' + ms/10%10)
	dst[start+point+2] = byte('0' + ms%10)
	return dst
}
