package journal

import (
	"strconv"
	"strings"
	"time"

	"kanmon/internal/event"
)

// A limit that is only observed says the same of each mail of a busy sender. The first time is written, and then one line in a while that
// says how often it was.

const (
	// repeatAfter is how long the same is only counted.
	repeatAfter = 10 * time.Minute
	// maxRepeats bounds what is counted at once. Beyond it every line is written.
	maxRepeats = 4096
)

// repeats are decisions without effect that have been written not long ago.
type repeats map[repeated]*repeat

type repeated struct {
	step                          event.Step
	tenant, account, action, rule string
}

type repeat struct {
	since time.Time // of the last line
	n     int64     // since then
	last  []byte    // the line of the latest
}

// withoutEffect reports whether nothing became of a mail by what was decided.
func withoutEffect(action string) bool {
	return strings.HasPrefix(action, "would_") || action == "spoofed" || action == "foreign_account"
}

// take returns the line to be written for a decision whose own line begins in dst at an offset: that, none, or one that counts.
func (p repeats) take(d *event.Decided, dst []byte, begin int, now time.Time) []byte {
	if !withoutEffect(d.Did) {
		return dst
	}
	k := repeated{d.Step, d.Tenant, d.Account, d.Did, d.Rule}
	r := p[k]
	if r == nil {
		if len(p) < maxRepeats {
			p[k] = &repeat{since: now}
		}
		return dst
	}
	r.n++
	r.last = append(r.last[:0], dst[begin:]...)
	dst = dst[:begin]
	if now.Sub(r.since) >= repeatAfter {
		dst = r.counted(dst, now)
	}
	return dst
}

// counted appends the latest line with how many it stands for.
func (r *repeat) counted(dst []byte, now time.Time) []byte {
	dst = append(dst, strings.TrimSuffix(string(r.last), "}\n")...)
	if r.n > 1 {
		dst = append(dst, `,"count":`...)
		dst = strconv.AppendInt(dst, r.n, 10)
	}
	r.since, r.n, r.last = now, 0, nil
	return append(dst, "}\n"...)
}

// due writes the lines of what has been counted for long enough, or of all of it, and forgets what did not come again.
func (p repeats) due(now time.Time, all bool, write func(tenant string, line []byte)) {
	for k, r := range p {
		switch {
		case !all && now.Sub(r.since) < repeatAfter:
		case r.n > 0:
			write(k.tenant, r.counted(nil, now))
		default:
			delete(p, k)
		}
	}
}
