// Package steady is a tenant's MSA that always has mail, and the MX it is for: what they know between them says where mail has gone, and
// for how long it could go directly, past kanmon.
//
// Normal use:
//
//  1. [Start] it in a world.
//  2. [Sender.Cut] at each step of what is tried; [Sender.Settle] waits until mail goes where it must.
//  3. [Sender.Lost] and [Sender.End].
package steady

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"kanmon/test/netlab"
	"kanmon/test/traffic"
)

// Pace is how often the MSA has a new mail, and with it how finely the time is known in which mail went directly.
const Pace = 20 * time.Millisecond

// MostAtOnce is how many mails are under way at most: where nothing answers, they become no crowd.
const MostAtOnce = 10

// patience is how long the MSA waits for each step of a session; it connects from one thread, and waits less for that.
const (
	patience     = 5 * time.Second
	dialPatience = 500 * time.Millisecond
)

// A Tally is what became of mail in a step.
type Tally struct {
	Through int // from a sending IP
	Direct  int // from the MSA's own address
	Refused int // tries that the MSA has to repeat

	Why string // the last of them was one

	first, last time.Time // of what went directly
}

// Open is for how long mail went directly.
func (t Tally) Open() time.Duration {
	if t.Direct == 0 {
		return 0
	}
	return t.last.Sub(t.first) + Pace
}

// A Sender is an MSA that always has mail, an MX that takes it, and the account of both.
type Sender struct {
	msa *netlab.Host

	mu     sync.Mutex
	now    Tally
	stop   context.CancelFunc
	ended  sync.WaitGroup
	queued []traffic.Mail // to be tried again
	sent   map[string]bool
	took   map[string]int

	through []string // tokens, of all that came from a sending IP
}

// Start has the world's first MSA send to its first MX, from now to End.
func Start(ctx context.Context, world *netlab.Outbound) (*Sender, error) {
	s := &Sender{msa: world.MSAs[0], sent: map[string]bool{}, took: map[string]int{}}
	listener, err := world.MXs[0].Listen("[::]:25")
	if err != nil {
		return nil, err
	}
	mx := &traffic.MX{Name: netlab.MXName(1), Took: s.arrived}
	ctx, s.stop = context.WithCancel(ctx)
	context.AfterFunc(ctx, func() { _ = listener.Close() })
	s.ended.Go(func() { mx.Serve(listener) })
	s.ended.Go(func() {
		tick := time.NewTicker(Pace)
		defer tick.Stop()
		places := make(chan struct{}, MostAtOnce)
		for n := 0; ; n++ {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			select {
			case places <- struct{}{}:
				s.ended.Go(func() {
					s.send(n)
					<-places
				})
			default:
			}
		}
	})
	return s, nil
}

// next gives a mail that waits, or a new one.
func (s *Sender) next(n int) traffic.Mail {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queued) > 0 {
		m := s.queued[0]
		s.queued = s.queued[1:]
		return m
	}
	return traffic.NewMail(fmt.Sprintf("mail%d", n), "sender@msa1.example", []string{"user@" + netlab.Domain(1, n%2 == 1)}, 500)
}

// send tries one mail, as IPv4 and IPv6 by turns.
func (s *Sender) send(n int) {
	m := s.next(n)
	due := time.Now()
	address := netip.AddrPortFrom(netlab.MXAddr(1, n%2 == 1), 25)
	conn, err := s.msa.Dial(address.String(), dialPatience)
	var outcome traffic.Outcome
	if err != nil {
		outcome = traffic.Unopened(due, err)
	} else {
		defer func() { _ = conn.Close() }()
		session, err := traffic.Open(conn, traffic.Options{Name: "msa1.example", Patience: patience})
		if err != nil {
			outcome = traffic.Unopened(due, err)
		} else {
			outcome = session.Send(m, due)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if outcome.Accepted() {
		s.sent[m.Token] = true
		return
	}
	s.now.Refused++
	s.now.Why = fmt.Sprintf("%s at %s: %d %s", address.Addr(), outcome.Step, outcome.Code, outcome.Text)
	s.queued = append(s.queued, m)
}

// arrived is told by the MX.
func (s *Sender) arrived(c traffic.Copy) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.took[c.Token]++
	if c.Client == netlab.SendingIPv4 || c.Client == netlab.SendingIPv6 {
		s.now.Through++
		s.through = append(s.through, c.Token)
		return
	}
	if s.now.Direct == 0 {
		s.now.first = time.Now()
	}
	s.now.Direct++
	s.now.last = time.Now()
}

// Cut gives the tally since the last Cut.
func (s *Sender) Cut() Tally {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.now
	s.now = Tally{}
	return t
}

// look gives the tally so far.
func (s *Sender) look() Tally {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

// Through gives the tokens of all mails that came from a sending IP. The MX has each in its reply.
func (s *Sender) Through() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.through)
}

// A Fate is where mail goes.
type Fate int

// The fates.
const (
	ByKanmon Fate = iota
	Waits
	Directly
)

// String says it behind "mail goes".
func (f Fate) String() string { return [...]string{"through kanmon", "nowhere", "directly"}[f] }

// Settle waits until mail goes where it must, and nowhere else.
func (s *Sender) Settle(ctx context.Context, want Fate) error {
	const calm = 25 // mails in a row
	for {
		before := s.look()
		select {
		case <-ctx.Done():
			return fmt.Errorf("mail does not go %s; refused last: %s", want, s.look().Why)
		case <-time.After(calm * Pace):
		}
		after := s.look()
		n := [...]int{after.Through - before.Through, after.Refused - before.Refused, after.Direct - before.Direct}
		others, least := n[0]+n[1]+n[2]-n[want], calm/2
		if want == Waits { // an MSA that is kept waiting comes seldom
			least = 1
		}
		if n[want] >= least && others == 0 {
			return nil
		}
	}
}

// Lost gives how many mails the MSA was told are delivered, and that the MX does not have, a moment later.
func (s *Sender) Lost() int {
	const moment = 5 * time.Second // the MX tells of a mail behind its answer
	for deadline := time.Now().Add(moment); ; time.Sleep(Pace) {
		if n := s.missing(); n == 0 || time.Now().After(deadline) {
			return n
		}
	}
}

func (s *Sender) missing() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for token := range s.sent {
		if s.took[token] == 0 {
			n++
		}
	}
	return n
}

// End stops both.
func (s *Sender) End() {
	s.stop()
	s.ended.Wait()
}
