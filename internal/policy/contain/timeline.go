package contain

import "time"

// A timeline turns the clock's readings into times that never go back and never jump. There are three:
//
//   - age, for how long things last. It counts only what passed while somebody looked: a jump of the clock neither frees
//     nor contains.
//   - minute, the slot of the windows. At a jump it goes on by more than a day: how old what was counted is then nobody
//     knows, so it says nothing any more.
//   - hour, of the wall clock in UTC, since 1970: for history by time of the week. For a week after a jump it is doubted.
type timeline struct {
	clock   func() time.Time
	now     time.Time
	age     time.Duration
	skipped time.Duration
	behind  time.Duration // what small steps back have yet to make good
	minute  int32
	hour    int64
	jumps   uint32
	doubt   time.Duration // the age until which hour is doubted
}

const (
	// jump is a step that is not the passing of time: [Detector.Tick] is called every minute.
	jump      = time.Hour
	doubtTime = 7 * 24 * time.Hour
)

func (t *timeline) start() {
	t.now = t.clock()
	t.hour = floorDiv(t.now.Unix(), 3600)
}

// resume goes on where a process before this one has ended. The time between them has passed for the windows, and for nothing that lasts.
func (t *timeline) resume(age, skipped time.Duration, jumps uint32) {
	t.age, t.skipped, t.jumps = max(t.age, age), t.skipped+skipped, t.jumps+jumps
	t.minute = int32((t.age + t.skipped) / time.Minute)
}

// turn reads the clock. Its monotonic reading, where it has one, hides every jump of the wall clock from age and minute.
func (t *timeline) turn() {
	now := t.clock()
	passed := now.Sub(t.now)
	wall := now.Round(0).Sub(t.now.Round(0)) // without the monotonic reading
	t.now = now
	t.hour = floorDiv(now.Unix(), 3600)
	if wall > jump || wall < -jump {
		t.jumps++
		t.doubt = t.age + doubtTime
	}
	switch {
	case passed > jump, passed < -jump:
		t.skipped += (daySpan + 1) * time.Hour
		t.behind = 0
	default:
		t.behind -= passed
		if t.behind < 0 {
			t.age -= t.behind
			t.behind = 0
		}
	}
	t.minute = int32((t.age + t.skipped) / time.Minute)
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}
