package standing

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"time"

	"kanmon/internal/event"
)

// Times and bounds of checks. What is known of a list is asked again at most this often, however many replies name it.
const (
	checkAgain  = 30 * time.Minute // after an answer: lists change within hours, and limit who asks too much
	checkFailed = 5 * time.Minute  // after none
	checkTime   = 10 * time.Second // that one check may take
	checkSweep  = time.Minute      // how often is looked what to ask again
	maxChecks   = 1024             // that are known or wait

	checksAtOnce   = 16 // questions under way
	checksOfSource = 4  // that one tenant's mail, or one receiver's words, have waiting and under way
	checksOfSilent = 2  // under way, to all zones that have not answered lately
)

type question struct {
	ip   netip.Addr
	zone string
}

type answer struct {
	list    List
	source  source // who had it asked
	listed  bool
	waiting bool // or under way
	again   time.Time
}

// A source is who had lists asked: whose mail was refused, and who refused it. The zero source is the Book itself, which asks about what
// it knows already.
type source struct{ tenant, speaker string }

// checks are the questions to public lists.
type checks struct {
	known    map[question]*answer
	waiting  []question       // in the order in which they came
	running  map[question]int // 1 each
	of       map[string]int   // waiting and under way, by source
	silent   map[string]bool  // zones that have not answered the last time
	hung     int              // questions to those under way
	wakeLoop chan struct{}
}

func newChecks() checks {
	return checks{
		known: map[question]*answer{}, running: map[question]int{}, of: map[string]int{}, silent: map[string]bool{}, wakeLoop: make(chan struct{}, 1),
	}
}

// names returns what a source is counted by: its tenant and its receiver, each for itself.
func (s source) names() [2]string { return [2]string{"tenant " + s.tenant, "by " + s.speaker} }

func (c *checks) full(s source) bool {
	names := s.names()
	return s != (source{}) && slices.ContainsFunc(names[:], func(name string) bool { return c.of[name] >= checksOfSource })
}

func (c *checks) count(s source, n int) {
	if s == (source{}) {
		return
	}
	for _, name := range s.names() {
		if c.of[name] += n; c.of[name] <= 0 {
			delete(c.of, name)
		}
	}
}

// ask has a list asked about an IP that an entry names, or the IP as a whole, unless the answer is known. Only lists of
// the table are: a reply can name any zone, also one that nobody answers for. Where there is no room the next reply, or
// the sweep, comes back to it.
func (b *Book) ask(e *entry, l List, by source, now time.Time) {
	if b.check == nil || !worths[l.Weight].asked || !isZone(l.Zone) {
		return
	}
	c, q := &b.checks, question{e.IP, l.Zone}
	a := c.known[q]
	if a != nil {
		if a.waiting || a.holds(now) {
			if a.listed { // the others that name it have heard of it when it was found, or when they named it
				b.confirmOf(e, l)
				b.confirmWhole(e.IP, l, now)
			}
			return
		}
	}
	if c.full(by) || a == nil && len(c.known) >= maxChecks && !c.dropOldest() {
		return
	}
	if a == nil {
		a = &answer{list: l}
		c.known[q] = a
	}
	a.waiting, a.source = true, by
	c.count(by, 1)
	c.waiting = append(c.waiting, q)
	select {
	case c.wakeLoop <- struct{}{}:
	default:
	}
}

// holds reports whether an answer is not out of date, be it that the clock was set back.
func (a *answer) holds(now time.Time) bool {
	wait := a.again.Sub(now)
	return wait > 0 && wait <= checkAgain
}

// found reports whether the last answer of a list that is not out of date is that it has the IP, whatever has become of
// those that have named it.
func (c *checks) found(ip netip.Addr, now time.Time) bool {
	for q, a := range c.known {
		if q.ip == ip && a.listed && a.holds(now) {
			return true
		}
	}
	return false
}

// isZone keeps out of a DNS query what is no domain name, wherever it came from.
func isZone(zone string) bool {
	if len(zone) > 180 || !strings.Contains(zone, ".") || strings.Contains(zone, "..") || strings.Trim(zone, ".") != zone {
		return false
	}
	return strings.IndexFunc(zone, func(r rune) bool {
		return r != '.' && r != '-' && r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z')
	}) < 0
}

// dropOldest forgets the answer that is next to be out of date. It looks at maxChecks of them at most, and at none where all wait: a sweep
// may come here for each of 10,000 keys.
func (c *checks) dropOldest() bool {
	if len(c.known) <= len(c.waiting)+len(c.running) {
		return false
	}
	var oldest question
	found := false
	for q, a := range c.known {
		if !a.waiting && (!found || a.again.Before(c.known[oldest].again)) {
			oldest, found = q, true
		}
	}
	delete(c.known, oldest)
	return found
}

// next takes the question that is to be asked now: lists first that stand for the whole IP, and no more than a few of zones that have
// been silent.
func (c *checks) next() (q question, found bool) {
	if len(c.running) >= checksAtOnce {
		return q, false
	}
	best := -1
	for i, q := range c.waiting {
		if c.silent[q.zone] && c.hung >= checksOfSilent {
			continue
		}
		if best < 0 || c.known[q].list.Weight == event.WeightStrong && c.known[c.waiting[best]].list.Weight != event.WeightStrong {
			best = i
		}
	}
	if best < 0 {
		return q, false
	}
	q = c.waiting[best]
	c.waiting = slices.Delete(c.waiting, best, best+1)
	c.running[q] = 0
	if c.silent[q.zone] {
		c.running[q] = 1
		c.hung++
	}
	return q, true
}

// ended makes room for the question behind it.
func (c *checks) ended(q question, answered bool) {
	c.hung -= c.running[q]
	delete(c.running, q)
	if a := c.known[q]; a != nil {
		c.count(a.source, -1)
	}
	switch {
	case answered:
		delete(c.silent, q.zone)
	case len(c.silent) < maxChecks:
		c.silent[q.zone] = true
	}
}

// checkLoop has the lists asked, several at once.
func (b *Book) checkLoop() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	tick := time.NewTicker(checkSweep)
	defer tick.Stop()
	for {
		select {
		case <-b.stop:
			return
		case <-tick.C:
			b.askAgain()
		case <-b.checks.wakeLoop:
		}
		for {
			b.mu.Lock()
			q, found := b.checks.next()
			b.mu.Unlock()
			if !found {
				break
			}
			b.tasks.Go(func() { b.checkOne(ctx, q) })
		}
	}
}

func (b *Book) checkOne(ctx context.Context, q question) {
	limited, done := context.WithTimeout(ctx, checkTime)
	defer done()
	listed, err := b.check.Listed(limited, q.ip, q.zone)
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		b.log.Info("block list not reached", "ip", q.ip, "zone", q.zone, "error", err)
	}
	b.answered(q, listed, err)
	select {
	case b.checks.wakeLoop <- struct{}{}:
	default:
	}
}

// askAgain asks about every listing that matters still, and forgets answers that nobody needs. It looks at all keys
// once a minute, those of one IP at a time, and each question costs no more than maxChecks answers looked at.
func (b *Book) askAgain() {
	b.dropAnswers()
	for _, ip := range b.known() {
		b.askAbout(ip)
	}
}

// dropAnswers forgets the answers that nobody needs.
func (b *Book) dropAnswers() {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.clock()
	for q, a := range b.checks.known {
		if !a.waiting && !a.holds(now) {
			delete(b.checks.known, q)
		}
	}
}

// askAbout asks about the listings of one IP.
func (b *Book) askAbout(ip netip.Addr) {
	b.mu.Lock()
	defer b.mu.Unlock()
	at, now := b.ips[ip], b.clock()
	if at == nil {
		return
	}
	if whole := b.wholeOf(ip, now); whole != nil {
		for _, l := range whole.Lists {
			b.ask(whole, l, source{}, now)
		}
	}
	for _, e := range at.keys {
		if e.State == Suspended && !e.byHand() {
			for _, l := range e.Lists {
				b.ask(e, l, source{}, now)
			}
		}
	}
}

func (b *Book) answered(q question, listed bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.checks.ended(q, err == nil)
	a := b.checks.known[q]
	if a == nil {
		return
	}
	b.heard(a.list, listed, err)
	now := b.clock()
	a.waiting, a.listed, a.again = false, listed && err == nil, now.Add(checkAgain)
	switch {
	case err != nil:
		a.again = now.Add(checkFailed)
	default:
		b.learn(q.ip, a.list, listed, now)
	}
}
