package dns

import (
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	lookEvery = 30 * time.Second // the canary is asked
	lookAgain = 5 * time.Second  // while no server answers
	lookLeast = time.Second      // between two looks, however many questions get no answer
	lookTries = 2                // until a server is taken for silent
	lookTime  = 1250 * time.Millisecond
)

// canary is a question whose answer is signed wherever there is DNSSEC.
var canary = question{kind: TypeSOA}

// A State is how the resolver is.
type State struct {
	Answers   bool // a server does
	Validates bool // a server that is trusted to does
	Lost      bool // one has, and none does any more
	Since     time.Time
	Why       string // not, for people
}

// State returns how the resolver is. With the zero Since nobody has looked yet.
func (c *Client) State() State {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state
}

// isDown reports whether no server answers; c.mu is held.
func (c *Client) isDown() bool { return !c.state.Answers && !c.state.Since.IsZero() }

// hurry has the canary asked now.
func (c *Client) hurry() {
	select {
	case c.kick <- struct{}{}:
	default: // it is about to be
	}
}

// lookAgainAndAgain looks at the servers until the Client is closed.
func (c *Client) lookAgainAndAgain() {
	c.lookNow()
	close(c.looked)
	for c.ctx.Err() == nil {
		wait := c.s.Every
		if !c.State().Answers {
			wait = min(wait, lookAgain)
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-c.kick:
			c.mu.Lock()
			least := lookLeast - time.Since(c.began)
			c.mu.Unlock()
			rest(c.ctx, least)
		case <-c.ctx.Done():
		}
		timer.Stop()
		c.lookNow()
	}
}

// lookNow asks the canary. If that was done meanwhile, since this was called, it is good enough.
func (c *Client) lookNow() {
	called := time.Now()
	c.looking.Lock()
	defer c.looking.Unlock()
	c.mu.Lock()
	recent, list := c.began.After(called), slices.Clone(c.servers)
	c.began = time.Now()
	began := c.began
	c.mu.Unlock()
	if recent {
		return
	}
	var ended sync.WaitGroup
	for i := range list {
		ended.Go(func() { c.lookAt(&list[i]) })
	}
	ended.Wait()
	if c.ctx.Err() == nil {
		c.note(list, began)
	}
}

// lookAt asks one server.
func (c *Client) lookAt(s *server) {
	var a Answer
	for range lookTries {
		var silent bool
		if a, silent = exchange(c.ctx, c.s.Dial, s.address, canary, lookTime); !silent {
			break
		}
	}
	s.answers = a.Outcome == Found
	s.validates = s.trusted && s.answers && a.Secure
	s.validated = s.validated || s.validates
	switch {
	case !s.answers && a.Err != nil:
		s.why = s.address + ": " + a.Err.Error()
	case !s.answers:
		s.why = s.address + " does not know the root of the DNS"
	case !s.trusted:
		s.why = s.address + " is not on this host, and trust_ad is not set: its AD bit proves nothing"
	case !s.validates:
		s.why = s.address + " does not validate: its answer about the root has no AD bit"
	default:
		s.why = ""
	}
}

// note takes what the canary has found, began then, and does what follows of it.
func (c *Client) note(list []server, began time.Time) {
	c.mu.Lock()
	was := c.state
	c.servers = list
	now := State{Since: was.Since}
	now.Answers = c.anyServer(func(s *server) bool { return s.answers })
	now.Validates = c.anyServer(func(s *server) bool { return s.validates })
	now.Lost = !now.Validates && c.anyServer(func(s *server) bool { return s.validated })
	if !now.Answers || !now.Validates {
		now.Why = whyNot(list)
	}
	changed := was.Since.IsZero() || now.Answers != was.Answers || now.Validates != was.Validates
	if changed {
		now.Since = time.Now()
	}
	c.state = now
	switch {
	case now.Answers && now.Lost:
		c.known.each(func(k *kept) { k.doubt(c.well) })
	case now.Answers && changed:
		c.known.each((*kept).forgive)
	}
	if now.Validates {
		c.well = began
	}
	c.mu.Unlock()
	if changed {
		c.tell(was, now)
	}
}

func whyNot(list []server) string {
	var all []string
	for i := range list {
		if list[i].why != "" {
			all = append(all, list[i].why)
		}
	}
	return strings.Join(all, "; ")
}

// tell tells once what has changed, and once that it is over.
func (c *Client) tell(was, now State) {
	first := was.Since.IsZero()
	switch {
	case !now.Answers:
		c.s.Log.Error("no DNS resolver answers: answers that are known are used for 24 hours, of other domains nothing is known", "error", now.Why)
	case now.Lost:
		c.s.Log.Error("the DNS resolver has stopped validating: nobody knows what is signed", "error", now.Why)
	case !now.Validates && first:
		c.s.Log.Warn("the DNS resolver does not validate: there is no DANE", "error", now.Why)
	case !first:
		c.s.Log.Info("the DNS resolver is well again", "validates", now.Validates, "after", now.Since.Sub(was.Since).Round(time.Second))
	}
	if c.s.Tell != nil {
		c.s.Tell(now)
	}
}
