package session

import (
	"math"
	"sync"
	"sync/atomic"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/who/share"
)

// What one tenant has done must not hold up the others' mail, where kanmon has more to do than this host can do at once: then sessions of
// those who have more than a part of the work rest between two groups of commands, which are short as long as they do. A session counts
// its work for itself, and tells it in pieces: one with an ordinary mail never gets that far.

// A piece of work is some three microseconds of a processor. BenchmarkWork measures what each kind costs of a session's
// thread, BenchmarkJudge of package outlet a refusal; a command costs in other packages twice what it costs here.
const (
	workOfSession   = 16      // beside that of its commands
	workOfCommand   = 2       // and of its reply
	workOfHandshake = 128     // of TLS, with the MX or the MSA
	workOfRefusal   = 6       // that is judged
	workOfProof     = 64      // that an MX has given, or not
	repliesForWork  = 256     // octets of replies to the MSA that are as much as one piece of work
	bodyForWork     = 4 << 10 // and of messages
	workTold        = 192     // at once
	shortGroup      = 32      // commands, at most some milliseconds in which others wait for the processor
)

// A pace is a share.Pace that sessions use at once.
type pace struct {
	mu    sync.Mutex
	of    share.Pace[holder]
	slows atomic.Bool // somebody: else nobody need be asked about
}

func (p *pace) spend(whose holder, work int32, strained func() bool) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	defer p.note()
	return p.of.Spend(whose, float64(work), time.Now(), strained)
}

func (p *pace) count(whose holder, work int32, strained func() bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.of.Count(whose, float64(work), time.Now(), strained)
	p.note()
}

func (p *pace) waste(whose holder, work int32, strained func() bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.of.Waste(whose, float64(work), time.Now(), strained)
	p.note()
}

func (p *pace) owes(whose holder) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.of.Owes(whose, time.Now())
}

// note is called behind whatever may have changed whether anybody is slowed.
func (p *pace) note() {
	if slows := p.of.SlowsAny(); slows != p.slows.Load() {
		p.slows.Store(slows)
	}
}

func (p *pace) slowed(whose holder) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.of.Slowed(whose)
}

// works counts a group of commands that is about to be answered.
func (s *session) works() { s.work += int32(workOfCommand * len(s.talk.slots)) }

// carries counts octets of a message.
func (s *session) carries(octets int64) {
	s.work = int32(min(int64(s.work)+octets/bodyForWork, math.MaxInt32/2)) //nolint:gosec // it is less
}

// rest lets a session wait whose tenant has more than its part of too much work. The MSA has its replies by now. A session whose end is
// wanted, or that is to be cut, does not wait.
func (s *session) rest() {
	if s.work < workTold || s.e.Live.Strained == nil {
		return
	}
	wait := s.e.Live.pace.spend(s.sharer(), s.work, s.e.Live.Strained)
	s.work = 0
	s.restFor(wait)
}

// restFirst lets a session wait whose tenant has had others that took handshakes and brought no mail, while it is
// slowed: such a session is over before it could rest.
func (s *session) restFirst() {
	if s.isSlowed() {
		s.restFor(s.e.Live.pace.owes(s.sharer()))
	}
}

func (s *session) restFor(wait time.Duration) {
	if wait < time.Millisecond {
		return
	}
	if line, tell := s.e.Live.odd.notices.happened(noticePaced, s.sharer().text(), time.Now()); tell {
		s.e.logger().Warn("this host has more to do than it can, and one tenant has more than its part of it: its sessions wait between commands",
			"tenant", s.sharer().text(), "times", line.times, "left_out", line.left)
	}
	if !s.talk.rested {
		s.talk.rested = true
		s.log.note("rests between commands: this host has more to do than it can, and more than a part of it for this tenant")
	}
	before := s.log.spends(event.SpentResting)
	defer func() { s.log.back(before) }()
	for end := time.Now().Add(wait); wait > 0 && !s.stops(); wait = time.Until(end) {
		time.Sleep(min(wait, pokeEvery))
	}
}

// isSlowed reports whether the session's tenant is.
func (s *session) isSlowed() bool {
	p := &s.e.Live.pace
	return p.slows.Load() && p.slowed(s.sharer())
}

// endsWork counts what is left of a session's work: nobody rests for that, unless it was a handshake and no mail.
func (s *session) endsWork() {
	if s.e.Live.Strained == nil {
		return
	}
	end := s.e.Live.pace.count
	if s.talk.mails == 0 && s.work >= workOfHandshake {
		end = s.e.Live.pace.waste
	}
	end(s.sharer(), s.work+workOfSession, s.e.Live.Strained)
}
