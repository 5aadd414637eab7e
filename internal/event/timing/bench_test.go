package timing_test

import (
	"testing"

	"kanmon/internal/event/timing"
)

func mailsOf(t *testing.T, n int) (*world, []timing.Observation) {
	w := newWorld(t, 1, 4)
	mails := make([]timing.Observation, n)
	for i := range mails {
		mails[i] = w.next()
	}
	return w, mails
}

func BenchmarkObserve(b *testing.B) {
	w, mails := mailsOf(nil, 100_000)
	for i := range mails[:20_000] {
		w.d.Observe(&mails[i])
	}
	i := 20_000
	for b.Loop() {
		w.d.Observe(&mails[i])
		if i++; i == len(mails) {
			i = 20_000
		}
	}
}
