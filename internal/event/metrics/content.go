package metrics

import (
	"time"

	"kanmon/internal/event"
)

// hearContent counts how the content of a message was judged. A message that is judged behind its end is told of twice: with its transaction,
// where nobody has said anything yet, and by itself.
func (m *Metrics) hearContent(c *event.Content) {
	if c.Lane == event.LaneBehind && len(c.Scans) == 0 {
		return
	}
	lane, done := c.Lane.String(), c.Done.String()
	type said struct {
		scanner, result string
		took            time.Duration
	}
	all := make([]said, 0, len(c.Scans))
	for i := range c.Scans {
		s := &c.Scans[i]
		all = append(all, said{m.scanners.text(m.scanners.learn(s.Scanner, s.Scanner)), resultOf(s), s.Took.Duration()})
	}
	m.aside(func() {
		m.of.contents.WithLabelValues(lane, done).Inc()
		for _, s := range all {
			m.of.scans.WithLabelValues(s.scanner, s.result).Inc()
			if s.took > 0 {
				m.of.scanTimes.WithLabelValues(s.scanner).Observe(s.took.Seconds())
			}
		}
	})
}

// resultOf says what a scanner has said, or why it has said nothing. A scanner's own words are not counted apart: it may say anything.
func resultOf(s *event.Scan) string {
	switch {
	case s.State != event.Scanned:
		return s.Lack.String()
	case s.Virus != "":
		return "virus"
	}
	switch s.Action {
	case "reject", "discard":
		return "reject"
	case "soft reject":
		return "soft_reject"
	case "add header", "rewrite subject", "quarantine":
		return "spam"
	}
	return "clean"
}
