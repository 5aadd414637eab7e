package daemon

import (
	"runtime"
	"sync"
	"testing"
	"time"
)

// There is a strain while far more could run than there are processors, and none while nothing runs.
func TestStrainIsSeen(t *testing.T) {
	s := newStrain()
	s.strained()
	time.Sleep(100 * time.Millisecond)
	if s.strained() {
		t.Error("a strain, and nothing runs")
	}
	stop := make(chan struct{})
	var all sync.WaitGroup
	for range 50 * runtime.GOMAXPROCS(0) {
		all.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					runtime.Gosched()
				}
				for begun := time.Now(); time.Since(begun) < 200*time.Microsecond; {
				}
			}
		})
	}
	waitUntil(t, "a strain is seen", s.strained)
	close(stop)
	all.Wait()
}

// While it is other programs that keep the processors busy there is no strain that slowing anybody here would end.
func TestStrainOfOthersIsNone(t *testing.T) {
	now := time.Now()
	whole := time.Second * time.Duration(runtime.GOMAXPROCS(0))
	s := strain{at: now, used: time.Minute}
	if s.busy(now.Add(time.Second), time.Minute+whole/10) {
		t.Error("busy with a tenth of the processors")
	}
	if !s.busy(now.Add(2*time.Second), time.Minute+whole/10+whole/2) {
		t.Error("not busy with half of the processors")
	}
}
