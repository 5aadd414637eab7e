package load

import (
	"bytes"
	"fmt"
	"sync/atomic"
	"time"

	"kanmon/test/bench/mx"
)

// minSize leaves room for a header, an empty line and one line of text.
const minSize = 64

// A plan is a Spec made ready: everything that sessions write, formatted once, and the times of the run.
type plan struct {
	spec              Spec
	wall              time.Time // begin of the run
	clock             mx.Clock
	opens, closes     time.Duration // the window, on the clock
	ehlo, startTLS    []byte
	group, body, quit []byte
	number            atomic.Int64 // of messages that differ
}

func newPlan(spec Spec) *plan {
	p := &plan{
		spec: spec, wall: time.Now(), clock: mx.NewClock(),
		ehlo:     []byte("EHLO source.bench.test\r\n"),
		startTLS: []byte("STARTTLS\r\n"),
		quit:     []byte("QUIT\r\n"),
	}
	p.group = fmt.Appendf(nil, "MAIL FROM:<sender@source.bench.test> SIZE=%d\r\nRCPT TO:<recipient@mx.bench.test>\r\nDATA\r\n", spec.Size)
	p.body = append(message(spec.Size), ".\r\n"...)
	p.opens = p.clock.Now() + spec.Warmup
	p.closes = p.opens + spec.Window
	return p
}

// next gives the message that is sent next, with its end.
func (p *plan) next() []byte {
	if !p.spec.Vary {
		return p.body
	}
	own := bytes.Clone(p.body)
	copy(own[len(header):], fmt.Sprintf("%016d", p.number.Add(1)))
	return own
}

// over says that no further message may begin.
func (p *plan) over(now time.Duration) bool { return p.spec.Window > 0 && now >= p.closes }

func (p *plan) counts(now time.Duration) bool {
	return p.spec.Window > 0 && now >= p.opens && now < p.closes
}

// acked notes an acknowledged message. sent is the time in the reply, 0 if there is none.
func (p *plan) acked(t *tally, now, began, sent, connected time.Duration, first bool) {
	t.acked++
	if !p.counts(now) {
		return
	}
	t.counted++
	t.message = append(t.message, now-began)
	if sent > 0 {
		t.reply = append(t.reply, now-sent)
	}
	if first {
		t.first = append(t.first, now-connected)
	}
}

const header = "Subject: benchmark\r\n\r\n"

// message makes a message of exactly size octets whose lines need no dot-stuffing.
func message(size int) []byte {
	m := make([]byte, 0, size)
	m = append(m, header...)
	text := bytes.Repeat([]byte("x"), 70)
	for {
		left := size - len(m)
		if left <= len(text)+2 {
			return append(append(m, text[:left-2]...), "\r\n"...)
		}
		// The last line must keep room for its own CRLF and at least one octet.
		n := min(len(text), left-2-3)
		m = append(append(m, text[:n]...), "\r\n"...)
	}
}
