package dns

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	"kanmon/internal/who/share"
)

// How long is waited. A resolver can be silent for many seconds about a zone whose servers are dead.
const (
	tryTime = 2 * time.Second // for one server, by one protocol
	askTime = 5 * time.Second // for all that one question takes
	pause   = 250 * time.Millisecond
	most    = 512 // questions under way: whoever asks alone has half
)

var places = share.Bounds{Most: most, Reserve: most}

// Errors of questions that nobody was asked.
var (
	ErrBusy   = errors.New("too many questions to the DNS are under way")
	ErrClosed = errors.New("nobody is asked any more")
)

// Settings are what a [Client] is made with.
type Settings struct {
	Servers []string // such as [Servers] gives; the first two are asked
	TrustAD bool     // the AD bit is believed of servers that are not on this host, too
	Log     *slog.Logger
	Tell    func(State)   // a change of what [Client.State] gives, and the first one; nil: nobody is told
	Dial    Dial          // nil: net.Dialer's
	Every   time.Duration // how often the canary is asked, at least; 0: every 30 seconds
}

// A Client asks, and keeps the answers. It is safe for concurrent use.
type Client struct {
	s      Settings
	ctx    context.Context // of all that is under way
	cancel context.CancelFunc
	ended  sync.WaitGroup

	looking sync.Mutex    // held while the canary is asked
	looked  chan struct{} // closed when it was asked for the first time
	kick    chan struct{} // has it asked now

	mu      sync.Mutex
	closed  bool
	servers []server
	state   State
	began   time.Time // the last look at the servers
	well    time.Time // the last look that has found one that validates
	known   memory
	flights map[question]*flight
	places  share.Places[string]
	counts  map[Count]uint64
}

// A flight is a question under way.
type flight struct {
	done   chan struct{} // closed when the answer is there
	answer Answer
}

// New makes a Client, which looks at the servers at once. Close it.
func New(s Settings) (*Client, error) {
	if len(s.Servers) == 0 {
		return nil, errors.New("no DNS server is named")
	}
	if s.Dial == nil {
		s.Dial = new(net.Dialer).DialContext
	}
	s.Every = cmp.Or(s.Every, lookEvery)
	c := &Client{s: s, known: newMemory(), flights: map[question]*flight{}, counts: map[Count]uint64{}, looked: make(chan struct{}), kick: make(chan struct{}, 1)}
	for _, address := range s.Servers[:min(len(s.Servers), mostServers)] {
		c.servers = append(c.servers, server{address: address, trusted: s.TrustAD || isHere(address)})
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.ended.Go(c.lookAgainAndAgain)
	return c, nil
}

// Close ends all questions and waits for them. What is known can still be had.
func (c *Client) Close() error {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.cancel()
	c.ended.Wait()
	return nil
}

// Known returns what is known of a question, a failure that is not long ago too. It never waits and does not allocate.
func (c *Client) Known(name string, kind Kind) (Answer, bool) {
	name, ok := canonical(name)
	if !ok {
		return failed(ErrName), true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at(question{name, kind}, time.Now())
}

// at is Known with the lock held.
func (c *Client) at(q question, now time.Time) (Answer, bool) {
	k := c.known.get(q)
	if k == nil {
		return Answer{}, false
	}
	return k.at(now, c.isDown())
}

// Ask returns what is known of a question, or asks. By is in whose part it counts, a tenant. If ctx ends first the answer is [Failed]
// with its error, and the question goes on for whoever asks next.
func (c *Client) Ask(ctx context.Context, name string, kind Kind, by string) Answer {
	return c.ask(ctx, name, kind, by, time.Time{})
}

// Renew is Ask for whoever does not want an answer that is older than a minute. If no other one comes it still is what there is.
func (c *Client) Renew(ctx context.Context, name string, kind Kind, by string) Answer {
	return c.ask(ctx, name, kind, by, time.Now().Add(-renewFrom))
}

func (c *Client) ask(ctx context.Context, name string, kind Kind, by string, since time.Time) Answer {
	name, ok := canonical(name)
	if !ok {
		return failed(ErrName)
	}
	a, f := c.begin(question{name, kind}, by, since)
	if f == nil {
		return a
	}
	select {
	case <-f.done:
		return f.answer
	case <-ctx.Done():
		return failed(fmt.Errorf("wait for the DNS: %w", ctx.Err()))
	}
}

// begin returns what is known, or the question that is under way then.
func (c *Client) begin(q question, by string, since time.Time) (Answer, *flight) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if a, known := c.at(q, now); known && (!a.Heard.Before(since) || c.known.get(q).failedAt(now)) {
		return a, nil
	}
	if f := c.flights[q]; f != nil {
		return Answer{}, f
	}
	if c.closed {
		return failed(ErrClosed), nil
	}
	if !c.places.Take(by, places) {
		return failed(ErrBusy), nil
	}
	f := &flight{done: make(chan struct{})}
	c.flights[q] = f
	c.ended.Go(func() { c.fly(q, f, by) })
	return Answer{}, f
}

// fly asks for all that wait, and keeps the answer.
func (c *Client) fly(q question, f *flight, by string) {
	ctx, cancel := context.WithTimeout(c.ctx, askTime)
	defer cancel()
	a := c.lookUp(ctx, q)
	a.trim()
	c.mu.Lock()
	defer c.mu.Unlock()
	f.answer = a
	if c.ctx.Err() == nil {
		c.counts[Count{q.kind, a.Outcome, a.Bogus}]++
		k := c.known.put(q, a, by)
		f.answer, _ = k.at(a.Heard, c.isDown())
	}
	delete(c.flights, q)
	c.places.Give(by)
	close(f.done)
}

// Counts returns how many questions servers were asked, by what has come of them. There are as many of these as kinds and outcomes.
func (c *Client) Counts() map[Count]uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.counts)
}

// lookUp asks until there is an answer, or no more time.
func (c *Client) lookUp(ctx context.Context, q question) Answer {
	select {
	case <-c.looked: // before that nobody knows which server validates
	case <-ctx.Done():
	}
	a, by := failed(errLate{}), ""
	for wait := pause; ctx.Err() == nil; wait *= 2 {
		var silent bool
		if a, by, silent = c.askServers(ctx, q); !silent {
			break
		}
		c.hurry()
		rest(ctx, wait) // a server that is being started refuses for a moment
	}
	if a.Outcome != Failed && !a.Secure {
		a = c.doubt(q, a, by)
	}
	a.Heard = time.Now()
	return a
}

// askServers asks each server once, until one has an answer. It is told by which one.
func (c *Client) askServers(ctx context.Context, q question) (a Answer, by string, silent bool) {
	c.mu.Lock()
	list := inOrder(c.servers)
	c.mu.Unlock()
	silent, judged := true, false
	for i := range list {
		s := &list[i]
		if i > 0 && ctx.Err() != nil || judged && !s.validates { // it would find good what another one has found forged
			break
		}
		said, none := exchange(ctx, c.s.Dial, s.address, q, tryTime)
		if said.Outcome != Failed {
			said.Secure = said.Secure && s.trusted
			return said, s.address, false
		}
		if silent || !none {
			a = said
			a.Err = fmt.Errorf("%s: %w", s.address, said.Err)
		}
		silent, judged = silent && none, judged || s.validates && !none
	}
	return a, "", silent
}

// doubt looks at an answer that is not secure. If a resolver has validated and this one does not, it may have to be. If it was secure, or
// comes from a server that was silent, the server is looked at first.
func (c *Client) doubt(q question, a Answer, by string) Answer {
	c.mu.Lock()
	k := c.known.get(q)
	look := k != nil && k.sure.Secure || !c.anyServer(func(s *server) bool { return s.answers && s.address == by })
	c.mu.Unlock()
	if look {
		c.lookNow()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	a.Unsure = c.anyServer(func(s *server) bool { return s.validated }) && !c.anyServer(func(s *server) bool { return s.validates && s.address == by })
	if a.Unsure {
		a.Until = time.Now().Add(leastTTL)
	}
	return a
}

// rest waits, and ends with the context.
func rest(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// anyServer reports whether something holds for one of the servers; c.mu is held.
func (c *Client) anyServer(is func(*server) bool) bool {
	return slices.ContainsFunc(c.servers, func(s server) bool { return is(&s) })
}
