package dns

import (
	"time"

	"kanmon/internal/who/share"
)

// What is kept. Most answers are small; of the large ones there are few, so that nobody can fill the memory with them.
const (
	mostSmall = 50_000
	mostLarge = 1_000
	largeFrom = 1 << 10 // octets
)

const (
	// usableFor is how long an answer is used while the resolver is down (RFC 8767).
	usableFor = 24 * time.Hour
	// staleFor is for how long such an answer is given.
	staleFor = 30 * time.Second
	// Failures are kept, first for so long, then for twice as long, up to so long.
	failedFirst   = 30 * time.Second
	failedLongest = 5 * time.Minute
	// renewFrom is how old an answer has to be to be asked for anew.
	renewFrom = time.Minute
)

// kept is what is known about one question.
type kept struct {
	sure Answer  // the last answer; Failed: there was none
	now  *Answer // the last one, if it failed or is Unsure, for when sure is out of time; nil: sure is the last
	fail int     // times in a row
}

// at returns what is known at a time. If the resolver is down, that is the last answer.
func (k *kept) at(t time.Time, down bool) (Answer, bool) {
	if t.Before(k.sure.Until) {
		return k.sure, true
	}
	if down && k.sure.Outcome != Failed && t.Sub(k.sure.Heard) < usableFor {
		a := k.sure
		a.Until = t.Add(staleFor)
		return a, true
	}
	if k.failedAt(t) {
		return *k.now, true
	}
	return Answer{}, false
}

// failedAt reports whether the last answer was none, or Unsure, and is not to be asked for again yet.
func (k *kept) failedAt(t time.Time) bool { return k.now != nil && t.Before(k.now.Until) }

// note takes a new answer.
func (k *kept) note(a Answer) {
	if a.Outcome == Failed {
		k.fail++
		a.Until = a.Heard.Add(min(failedFirst<<min(k.fail-1, 8), failedLongest))
	} else {
		k.fail = 0
	}
	if a.Outcome == Failed || a.Unsure {
		k.now = &a
		return
	}
	k.sure, k.now = a, nil
}

// forgive forgets a failure, and a doubt: the resolver was to blame.
func (k *kept) forgive() {
	k.now, k.fail = nil, 0
}

// doubt has an answer asked for again that is not secure and came after the resolver was last seen to validate.
func (k *kept) doubt(well time.Time) {
	if !k.sure.Secure && k.sure.Heard.After(well) {
		k.sure = Answer{}
	}
}

func (k *kept) size() int {
	n := k.sure.size()
	if k.now != nil {
		n += k.now.size()
	}
	return n
}

// isOver reports whether what is known is of no use any more.
func (k *kept) isOver() bool {
	return time.Since(k.sure.Heard) >= usableFor && (k.now == nil || time.Since(k.now.Until) >= 0)
}

// A memory keeps answers, at most so many of all and of whoever asked first.
type memory struct {
	small, large *share.Map[question, *kept]
}

func newMemory() memory {
	return memory{
		small: share.NewMap[question, *kept](mostSmall).Until((*kept).isOver),
		large: share.NewMap[question, *kept](mostLarge).Until((*kept).isOver),
	}
}

// get does not allocate.
func (m *memory) get(q question) *kept {
	if k, found := m.small.Get(q); found {
		return k
	}
	k, _ := m.large.Get(q)
	return k
}

// put keeps an answer, for whoever asked, and returns all that is known then.
func (m *memory) put(q question, a Answer, by string) *kept {
	k := m.get(q)
	if k == nil {
		k = &kept{}
	}
	k.note(a)
	to, from := m.small, m.large
	if k.size() > largeFrom {
		to, from = m.large, m.small
	}
	from.Delete(q)
	to.Put(q, k, by)
	return k
}

// each visits all that is known.
func (m *memory) each(visit func(*kept)) {
	for _, of := range [...]*share.Map[question, *kept]{m.small, m.large} {
		for _, k := range of.All() {
			visit(k)
		}
	}
}
