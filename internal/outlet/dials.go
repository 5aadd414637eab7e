package outlet

import (
	"net/netip"
	"sync"
	"time"

	"kanmon/internal/who/share"
)

// Dials remember which sending IPs an MX does not let connect, while it does others: a firewall there drops the SYNs of one, or refuses
// them. Such an IP is passed over at that MX, until a session that tries it again gets through. An MX that lets nobody connect
// is down, and says nothing of any IP. Refusals are no evidence of an IP's standing; dropped SYNs are, once a message of
// another IP has been taken. The zero value is ready; all outlets share one.
type dials struct {
	mu     sync.Mutex
	failed *share.Map[netip.Addr, map[netip.Addr]*failedDial] // by MX, and by sending IP
}

type failedDial struct {
	tenant     string
	at         time.Time     // the last one
	until      time.Time     // when the IP is tried again
	wait       time.Duration // from at until then
	unanswered bool          // else it was refused
	confirmed  bool          // another IP was let in about then, at this failure or one before it
	sure       bool          // likewise, at the last one
	told       bool          // to the standing, of the last one
}

const (
	dialsTogether = time.Minute      // a failure and a success within it met the same MX in the same state
	firstRetry    = 10 * time.Minute // until a sending IP is tried again, doubled each time it fails again
	lastRetry     = 2 * time.Hour
	dialsKept     = 24 * time.Hour
	maxDials      = 4096            // MXs; a tenant has its part
	dialsOfMX     = 2               // sending IPs that fail one after the other: more are not tried
	retryPatience = 5 * time.Second // for an IP that has failed before, where there is another: three SYNs
	leastPatience = 4 * time.Second // that a dial must have had to count as not answered
)

// failing notes a dial that failed.
func (d *dials) failing(mx, sendingIP netip.Addr, tenant string, unanswered bool) {
	now := time.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.failed == nil {
		d.failed = share.NewMap[netip.Addr, map[netip.Addr]*failedDial](maxDials).Until(func(of map[netip.Addr]*failedDial) bool {
			for _, f := range of {
				if time.Since(f.at) < dialsKept {
					return false
				}
			}
			return true
		})
	}
	all, known := d.failed.Get(mx)
	if !known {
		all = make(map[netip.Addr]*failedDial)
		d.failed.Put(mx, all, tenant)
	}
	f := all[sendingIP]
	switch {
	case f == nil || now.Sub(f.at) >= dialsKept:
		f = &failedDial{wait: firstRetry}
		all[sendingIP] = f
	case f.confirmed && now.Sub(f.at) >= f.wait:
		f.wait = min(2*f.wait, lastRetry)
	}
	f.tenant, f.at, f.until, f.unanswered, f.sure, f.told = tenant, now, now.Add(f.wait), unanswered, false, false
}

// of returns what is remembered of an MX, by sending IP.
func (d *dials) of(mx netip.Addr) map[netip.Addr]*failedDial {
	all, _ := d.failed.Get(mx)
	return all
}

// connected notes a dial that succeeded. What failed together with it is about the IPs that failed, which it returns; but where this very IP has
// failed just now, too, it was the MX.
func (d *dials) connected(mx, sendingIP netip.Addr) (missed []miss) {
	now := time.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	all := d.of(mx)
	if all == nil {
		return nil
	}
	own := all[sendingIP]
	delete(all, sendingIP)
	wasDown := own != nil && now.Sub(own.at) < dialsTogether
	for ip, f := range all {
		switch {
		case now.Sub(f.at) >= dialsTogether:
		case wasDown && !f.confirmed:
			delete(all, ip)
		case !wasDown:
			if !f.sure {
				missed = append(missed, miss{IP: ip, At: f.at, Tenant: f.tenant})
			}
			f.confirmed, f.sure = true, true
		}
	}
	if len(all) == 0 {
		d.failed.Delete(mx)
	}
	return missed
}

// forget ends what is remembered of sending IPs since a time: it was not the MXs'.
func (d *dials) forget(ips []netip.Addr, since time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.failed == nil {
		return
	}
	var empty []netip.Addr
	for mx, all := range d.failed.All() {
		for _, ip := range ips {
			if f := all[ip]; f != nil && f.at.After(since) {
				delete(all, ip)
			}
		}
		if len(all) == 0 {
			empty = append(empty, mx)
		}
	}
	for _, mx := range empty {
		d.failed.Delete(mx)
	}
}

// passesOver reports whether an MX has not let the sending IP connect lately, and it is not yet time to try again.
func (d *dials) passesOver(mx, sendingIP netip.Addr) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	f := d.of(mx)[sendingIP]
	return f != nil && time.Now().Before(f.until)
}

// shutsOut reports whether an MX has let others connect when it did not let this sending IP.
func (d *dials) shutsOut(mx, sendingIP netip.Addr) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	f := d.of(mx)[sendingIP]
	return f != nil && f.confirmed
}

// retry reports whether a dial that begins now tries an IP again that has failed there. No other one does so for a while.
func (d *dials) retry(mx, sendingIP netip.Addr) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	f := d.of(mx)[sendingIP]
	if f == nil {
		return false
	}
	f.until = time.Now().Add(f.wait)
	return true
}

// worthAnother reports whether another sending IP may fare better than those that have just failed.
func (d *dials) worthAnother(mx netip.Addr) bool {
	now := time.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	fresh := 0
	for _, f := range d.of(mx) {
		if now.Sub(f.at) < dialsTogether {
			fresh++
		}
	}
	return fresh < dialsOfMX
}

// A shutOut is a sending IP whose SYNs an MX has dropped while it let others connect.
type shutOut struct {
	sendingIP netip.Addr
	tenant    string // whose mail it was
}

// shutOuts returns what the standing is to be told of an MX that has taken a message from another sending IP, once for each failure. A sending IP that
// nobody has answered since may have no way out: of that it is not told yet.
func (d *dials) shutOuts(mx netip.Addr, answered func(sendingIP netip.Addr, since time.Time) bool) (list []shutOut) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for ip, f := range d.of(mx) {
		if f.sure && f.unanswered && !f.told && answered(ip, f.at) {
			f.told = true
			list = append(list, shutOut{ip, f.tenant})
		}
	}
	return list
}
