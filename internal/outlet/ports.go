package outlet

import (
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"kanmon/internal/who/share"
)

// Portless remembers, for a moment, which sending IPs had no free source port toward an MX: the kernel looks at all
// there are before it says so, and the next sessions would have it look again. The zero value is ready; all outlets
// share one.
type portless struct {
	log   *slog.Logger // nil: nobody is told
	until atomic.Int64 // Unix nanoseconds of the last one's end: hardly ever is there any

	mu    sync.Mutex
	known map[pair]time.Time
	lines share.Lines
}

// A pair is a sending IP and an MX.
type pair struct{ sendingIP, mx netip.Addr }

const (
	portsWait = time.Second // ports become free all the time
	mostPairs = 1024
)

// exhausted notes that no source port was free.
func (p *portless) exhausted(mx, sendingIP netip.Addr) {
	end := time.Now().Add(portsWait)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.known == nil || len(p.known) >= mostPairs {
		p.known = make(map[pair]time.Time)
	}
	p.known[pair{sendingIP, mx}] = end
	p.until.Store(end.UnixNano())
	if p.log == nil {
		return
	}
	if left, tell := p.lines.Tell(time.Now()); tell {
		// The log may be stuck, and nobody waits for it here.
		go p.log.Warn("no free source port toward an MX: mail takes another sending IP of the pool, or waits where there is none", "ip", sendingIP, "mx", mx, "left_out", left)
	}
}

// lacks reports whether no source port was free just now.
func (p *portless) lacks(mx, sendingIP netip.Addr) bool {
	if p.until.Load() == 0 {
		return false
	}
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	if now.UnixNano() >= p.until.Load() {
		p.known = nil
		p.until.Store(0)
		return false
	}
	return now.Before(p.known[pair{sendingIP, mx}])
}
