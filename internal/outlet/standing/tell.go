package standing

import (
	"strings"
	"time"

	"kanmon/internal/who/share"
)

// A Change is a standing that has changed, to be told.
type Change struct {
	Standing
	Session uint64    // whose evidence has decided; 0: none has
	Tenant  string    // whose mail's refusal made the key; "": nobody's
	at      time.Time // by the book's clock
}

// mostTold bounds the tenants whose lines are counted apart.
const mostTold = 1024

// tellLoop tells the log and Options.Changed what has changed, at the end what is left, too.
func (b *Book) tellLoop() {
	for {
		select {
		case s := <-b.news:
			b.tell(&s)
			continue
		default:
		}
		select {
		case s := <-b.news:
			b.tell(&s)
		case <-b.stop:
			b.tellRest()
			return
		}
	}
}

func (b *Book) tellRest() {
	for {
		select {
		case s := <-b.news:
			b.tell(&s)
		default:
			return
		}
	}
}

func (b *Book) tell(s *Change) {
	b.mu.Lock()
	unheard := b.unheard
	b.unheard = 0
	b.mu.Unlock()
	if unheard > 0 {
		b.log.Warn("standing changes not logged", "count", unheard)
	}
	if left, tell := b.mayTell(s); tell {
		b.logChange(&s.Standing, left)
	}
	if b.changed != nil {
		b.changed(*s)
	}
}

// mayTell bounds the lines about MXs that a stranger may have any number of, by the tenant whose mail met them. Of a
// provider with a name, and of what a person has ordered, each change is told.
func (b *Book) mayTell(s *Change) (left int, tell bool) {
	if !s.strange() || s.byHand() {
		return 0, true
	}
	lines, known := b.lines.Get(s.Tenant)
	if !known {
		lines = &share.Lines{}
		b.lines.Put(strings.Clone(s.Tenant), lines, "")
	}
	return lines.Tell(s.at)
}

func (b *Book) logChange(s *Standing, left int) {
	log := b.log.Info
	if s.State == Suspended || s.State == Stopped {
		log = b.log.Warn
	}
	log("standing changed", "ip", s.IP, "provider", s.Provider, "state", s.State.String(), "until", s.Until, "share", s.Share,
		"reason", s.Reason, "rule", s.Rule, "reply", s.Sample, "by", s.By, "strikes", s.Strikes, "left_out", left)
}
