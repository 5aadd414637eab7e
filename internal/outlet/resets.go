package outlet

import (
	"net/netip"
	"sync"
	"time"

	"kanmon/internal/who/share"
)

// Resets remember which sending IPs a destination has reset the connection of, without a word. If it does so to
// one and takes mail from another, it is about the IP; if it does so to several, the MX is down.
type resets struct {
	mu   sync.Mutex
	last *share.Map[netip.Addr, []reset] // by MX
}

type reset struct {
	sendingIP netip.Addr
	tenant    string
	at        time.Time
}

const (
	resetsFor  = time.Minute // how long one counts
	maxResets  = 4096        // MXs; a tenant has its part
	resetsOfMX = 2           // sending IPs: more are not tried
)

// add notes a reset, and says whether another sending IP may fare better.
func (r *resets) add(mx, sendingIP netip.Addr, tenant string) (worthIt bool) {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.last == nil {
		r.last = share.NewMap[netip.Addr, []reset](maxResets).Until(func(of []reset) bool { return time.Since(of[0].at) >= resetsFor })
	}
	kept := []reset{{sendingIP, tenant, now}}
	before, _ := r.last.Get(mx)
	for _, old := range before {
		if old.sendingIP != sendingIP && now.Sub(old.at) < resetsFor {
			kept = append(kept, old)
		}
	}
	r.last.Put(mx, kept, tenant)
	return len(kept) < resetsOfMX
}

// others returns the reset that another sending IP alone had from an MX that has taken a message from this one, and forgets it.
func (r *resets) others(mx, sendingIP netip.Addr) (others []reset) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before, known := r.last.Get(mx)
	if !known {
		return nil
	}
	now, all := time.Now(), 0
	for _, old := range before {
		if now.Sub(old.at) >= resetsFor {
			continue
		}
		all++
		if old.sendingIP != sendingIP {
			others = append(others, old)
		}
	}
	r.last.Delete(mx)
	if all > 1 { // it was down
		return nil
	}
	return others
}
