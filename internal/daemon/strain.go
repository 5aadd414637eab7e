package daemon

import (
	"runtime"
	"runtime/metrics"
	"sync"
	"syscall"
	"time"
)

// A strain watches how long what can run must wait for a processor. It is asked while there is work, and costs nothing otherwise.
type strain struct {
	mu     sync.Mutex
	sample [1]metrics.Sample
	counts []uint64
	at     time.Time
	used   time.Duration
}

const (
	longWait   = 250 * time.Microsecond // for a processor; a mail waits for one a dozen times
	waitingTo  = 0.95                   // so much of what runs has to wait for less, where there is no strain
	leastOfCPU = 0.25                   // below that it is others who keep the processors busy, and slowing anybody here is of no use
)

func newStrain() *strain {
	return &strain{sample: [1]metrics.Sample{{Name: "/sched/latencies:seconds"}}}
}

// strained reports whether there was too much work since it was asked last.
func (s *strain) strained() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	metrics.Read(s.sample[:])
	waits := s.sample[0].Value.Float64Histogram()
	long, all := 0.0, 0.0
	for i, n := range waits.Counts {
		if s.counts != nil {
			n -= s.counts[i]
		}
		all += float64(n)
		if waits.Buckets[i] >= longWait.Seconds() {
			long += float64(n)
		}
	}
	s.counts = append(s.counts[:0], waits.Counts...)
	busy := s.busy(time.Now(), processorTime())
	return busy && long > (1-waitingTo)*all
}

// busy reports whether it was this process that kept the processors busy since the last look.
func (s *strain) busy(now time.Time, used time.Duration) bool {
	part := float64(used-s.used) / float64(now.Sub(s.at)) / float64(runtime.GOMAXPROCS(0))
	s.used, s.at = used, now
	return part > leastOfCPU
}

func processorTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
