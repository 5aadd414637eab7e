package share

import "time"

// Lines bound what a log gets of one kind: some at once, then one every few seconds, however much there is to tell. The zero Lines are
// ready; whoever uses them from several goroutines locks.
type Lines struct {
	may   float64 // that may be told now
	since time.Time
	left  int // that were left out since the last one
}

// Bounds of the lines of one kind.
const (
	linesAtOnce  = 20
	linesASecond = 0.2
)

// Tell says whether a line may be told now, and how many were left out since the last one that was.
func (l *Lines) Tell(now time.Time) (left int, tell bool) {
	if l.since.IsZero() {
		l.may = linesAtOnce
	} else {
		l.may = min(linesAtOnce, l.may+linesASecond*max(0, now.Sub(l.since).Seconds()))
	}
	l.since = now
	if l.may < 1 {
		l.left++
		return 0, false
	}
	l.may--
	left, l.left = l.left, 0
	return left, true
}
