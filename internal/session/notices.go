package session

import (
	"sync"
	"time"

	"kanmon/internal/who/share"
)

// Notices keep strangers from filling kanmon's own log. What happens again is told again only after a while, with how
// often it has happened meanwhile; and all that is of one kind has a bounded number of lines, however many peers there
// are to tell of. The zero notices are ready.
type notices struct {
	mu    sync.Mutex
	known *share.Map[subject, *noticed]
	kinds [noticeKinds]share.Lines
}

// A noticeKind is a line that kanmon's own log may get from the path of the mail.
type noticeKind uint8

const (
	noticeKeyword  noticeKind = iota // an MX lists EHLO keywords that nobody here has heard of
	noticeRefused                    // connections are refused at once
	noticeTLS                        // TLS with an MX fails, or works again
	noticeInjected                   // an MX sends octets ahead of TLS
	noticePaced                      // somebody has more than a part of the work
	noticeKinds
)

// tellAgain is how long a subject is not told of again.
var tellAgain = [noticeKinds]time.Duration{noticeKeyword: 24 * time.Hour, noticeRefused: time.Minute, noticePaced: time.Minute, noticeInjected: time.Hour}

// mostNoticed bounds the subjects that are remembered: who makes kanmon forget them gets no line more by that.
const mostNoticed = 4096

// A subject is whom a line of a kind is about.
type subject struct {
	kind noticeKind
	whom string
}

type noticed struct {
	told  time.Time
	times int // since then
}

// A notice is a line to be told.
type notice struct {
	times int // that it has happened since it was last told, this time included
	left  int // lines of its kind that were left out since the last one
}

// happened counts something, and says whether it is to be told.
func (n *notices) happened(kind noticeKind, whom string, now time.Time) (line notice, tell bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.known == nil {
		n.known = share.NewMap[subject, *noticed](mostNoticed)
	}
	of, known := n.known.Get(subject{kind, whom})
	if !known {
		of = &noticed{}
		n.known.Put(subject{kind, whom}, of, "")
	}
	of.times++
	if known && !of.told.IsZero() && now.Sub(of.told) < tellAgain[kind] {
		return line, false
	}
	left, tell := n.kinds[kind].Tell(now)
	if !tell {
		return line, false
	}
	line = notice{of.times, left}
	of.told, of.times = now, 0
	return line, true
}
