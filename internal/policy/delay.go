package policy

import (
	"time"

	"kanmon/internal/policy/limit"
	"kanmon/internal/session"
)

// A delay is what a pass has of the command that is held back.
type delay struct {
	waited  time.Duration // so far
	waiting bool          // and it has been told of
	holding []place       // of the session; counted in Policy.held
}

// patience is how long a limit may hold a command back.
const patience = 30 * time.Second

// hold has the command held for so long and asked again, if that is not too long in all, and there is a place of the tenant's and of those
// given.
func (a *pass) hold(d *session.Decision, wait time.Duration, also ...place) bool {
	wait = max(wait, time.Second)
	if a.trying || a.waited+wait > patience {
		return false
	}
	if len(a.holding) == 0 {
		places := append(also, place{heldFor{subject: limit.Subject{Of: a.tenant}}, maxHeld})
		if !a.policy.delaying(places) {
			return false
		}
		a.holding = places
	}
	a.waited += wait
	d.Delay, d.Again = wait, true
	return true
}

// release ends a delay.
func (a *pass) release() {
	a.policy.delayed(a.holding)
	a.holding, a.waiting, a.waited = nil, false, 0
}

// heldFor is what sessions that are being delayed are counted by: a tenant's delays must not use up the sessions of all, nor those of a
// contained sender all that its MSA can open.
type heldFor struct {
	subject   limit.Subject
	contained bool
}

// A place is one of so many.
type place struct {
	heldFor
	most int
}

// maxHeld is how many sessions of a tenant are held back at once.
const maxHeld = 100

// delaying reports whether one more session may be held back, which needs all of its places, and counts it.
func (p *Policy) delaying(places []place) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, one := range places {
		if p.delayedNow[one.heldFor] >= one.most {
			return false
		}
	}
	for _, one := range places {
		p.delayedNow[one.heldFor]++
	}
	return true
}

func (p *Policy) delayed(places []place) {
	if len(places) == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, one := range places {
		if p.delayedNow[one.heldFor]--; p.delayedNow[one.heldFor] <= 0 {
			delete(p.delayedNow, one.heldFor)
		}
	}
}
