package session

import (
	"bytes"
	"sync/atomic"
	"time"
)

// Counters count what is odd about peers, since the process began.
type Counters struct {
	UnknownKeywords uint64 // EHLO keywords that kanmon has never heard of, each time an MX offered one
	Foreign         uint64 // sessions in which the MSA did not speak SMTP
	Injected        uint64 // sessions in which an MX sent octets ahead of TLS
	Stray           uint64 // times that an MX sent what nobody had asked for
}

// Counters returns the figures at this moment.
func (l *Live) Counters() Counters {
	return Counters{
		UnknownKeywords: l.odd.unknownKeywords.Load(), Foreign: l.odd.foreign.Load(), Injected: l.odd.injected.Load(),
		Stray: l.odd.stray.Load(),
	}
}

// oddities counts, and remembers what kanmon's own log has told already.
type oddities struct {
	unknownKeywords, foreign, injected, stray atomic.Uint64

	notices notices
}

// noteKeywords tells of EHLO keywords that are stripped because nobody here knows what they promise: once for each MX, whatever
// else it lists the next time.
func (s *session) noteKeywords(words *oddWords) {
	if words.count == 0 {
		return
	}
	odd := &s.e.Live.odd
	odd.unknownKeywords.Add(uint64(words.count))
	mx := s.info.Destination.Addr().String()
	if line, tell := odd.notices.happened(noticeKeyword, mx, time.Now()); tell {
		s.e.logger().Info("unknown EHLO keywords stripped", "session", s.info.ID.String(), "destination", mx, "keywords", words.text(),
			"count", words.count, "left_out", line.left)
	}
}

// oddWords are the keywords of a reply to EHLO that nobody here has heard of: the first ones, and how many.
type oddWords struct {
	first [maxOddWords][]byte
	count int
}

const (
	maxOddWords = 8
	maxKeyword  = 64 // octets that are told of one; those of the registry have up to 19
)

func (o *oddWords) add(word []byte) {
	if o.count < maxOddWords {
		o.first[o.count] = word[:min(len(word), maxKeyword)]
	}
	o.count++
}

func (o *oddWords) text() string {
	return string(bytes.Join(o.first[:min(o.count, maxOddWords)], []byte(" ")))
}

// noteStray tells of what an MX has sent and no command has asked for.
func (s *session) noteStray(what string) {
	s.e.Live.odd.stray.Add(1)
	s.log.notef("the MX sent %s that nobody asked for", what)
}

// noteFailure tells of ends that an operator should know of even without reading the record.
func (s *session) noteFailure(f *failure) {
	switch f.trouble {
	case msaForeign:
		s.e.Live.odd.foreign.Add(1)
	case mxInjected:
		s.e.Live.odd.injected.Add(1)
		destination := s.info.Destination.String()
		if line, tell := s.e.Live.odd.notices.happened(noticeInjected, destination, time.Now()); tell {
			s.e.logger().Warn("the MX sent octets ahead of TLS: somebody may be tampering with its connections",
				"session", s.info.ID.String(), "destination", destination, "times", line.times, "left_out", line.left)
		}
	}
}
