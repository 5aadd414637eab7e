package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"time"

	"kanmon/test/traffic"
)

// A tenant is a source of mail.
type tenant struct {
	name    string
	network byte
	share   float64 // of all mail
	rude    int     // sessions of a hundred that hang up somewhere or speak no SMTP
	kinds   []string
}

var tenants = []tenant{
	{"acme", 1, 0.4, 3, []string{"plain", "secure", "slow", "grey", "listing", "old"}},
	{"beta", 2, 0.3, 3, []string{"plain", "secure", "lossy", "busy", "listing", "grey"}},
	{"gamma", 3, 0.15, 0, []string{"plain", "secure", "slow", "busy"}},
	{"rough", 4, 0.15, 30, []string{"plain", "dead", "picky", "lossy", "listing", "busy"}},
}

const (
	perSession   = 3 // mails of one session, at most
	underway     = 300
	attempts     = 3 // at one message
	patience     = time.Minute
	largest      = 300 << 10
	retryAtLeast = time.Second
	retryWithin  = 4 * time.Second
)

// A message goes to one MX, in one attempt or several.
type message struct {
	id     string
	to     *mx
	from   string
	rcpts  []string
	size   int
	number int // attempts so far
}

// send sends a tenant's mail until the context ends, then waits for what is under way.
func (r *rig) send(ctx context.Context, t tenant) {
	var sessions sync.WaitGroup
	defer sessions.Wait()
	slots := make(chan struct{}, underway)
	gap := time.Duration(float64(time.Second) * (1 + perSession) / 2 / (r.conf.rate * t.share))
	tick := time.NewTicker(gap)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		select {
		case slots <- struct{}{}:
		default:
			continue // as many as this MSA has: the next one is left out
		}
		sessions.Go(func() {
			defer func() { <-slots }()
			if chance(t.rude) && chance(40) {
				r.babble(t)
				return
			}
			to := mxOf(t.kinds[rand.IntN(len(t.kinds))] + ".example")
			var mails []*message
			for range 1 + rand.IntN(perSession) {
				mails = append(mails, r.compose(t, to))
			}
			r.deliver(ctx, t, mails)
		})
	}
}

func (r *rig) compose(t tenant, to *mx) *message {
	m := &message{id: r.token(), to: to, from: fmt.Sprintf("user%d@%s.example", rand.IntN(40), t.name), size: 300 + rand.IntN(4000)}
	if chance(5) {
		m.size = rand.IntN(largest)
	}
	if chance(3) {
		m.from = ""
	}
	for range 1 + rand.IntN(3)/2 {
		local := "friend"
		if chance(10) {
			local = "gone"
		}
		m.rcpts = append(m.rcpts, fmt.Sprintf("%s%d@%s", local, rand.IntN(5000), to.domain()))
	}
	return m
}

// deliver tries to deliver messages, again after some seconds where they are deferred.
func (r *rig) deliver(ctx context.Context, t tenant, mails []*message) {
	for {
		mails = r.attempt(t, mails)
		if len(mails) == 0 {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(retryAtLeast + rand.N(retryWithin)):
		}
	}
}

// attempt delivers messages over one session, and gives those that are to be tried again.
func (r *rig) attempt(t tenant, mails []*message) (again []*message) {
	due := time.Now()
	s, err := r.open(t, mails[0].to)
	for i, m := range mails {
		if err == nil && i > 0 {
			due = time.Now()
		}
		mail := traffic.NewMail(r.token(), m.from, m.rcpts, m.size)
		r.ledger.Enter(t.name, m.id, mail)
		m.number++
		var o traffic.Outcome
		switch {
		case err != nil:
			o = traffic.Unopened(due, err)
		case chance(t.rude):
			r.leave(s, mail, due)
			if m.number < attempts {
				again = append(again, m)
			}
			return append(again, mails[i+1:]...)
		default:
			o = s.Send(mail, due)
		}
		r.ledger.Ended(mail, o)
		if o.Code/100 != 2 && o.Code/100 != 5 && m.number < attempts {
			again = append(again, m)
		}
		if err == nil && (o.Code == 0 || o.Code == 421 || !o.Accepted() && !s.Reset()) {
			return append(again, mails[i+1:]...) // the session is over
		}
	}
	if err == nil {
		s.Quit()
	}
	return again
}

func (r *rig) open(t tenant, to *mx) (*traffic.Session, error) {
	conn, err := r.dial(t, to)
	if err != nil {
		return nil, err
	}
	options := traffic.Options{Name: "msa." + t.name + ".example", Patience: patience, Stepwise: chance(30), HalfShut: chance(2)}
	if chance(20) {
		options.TLS = &tls.Config{InsecureSkipVerify: true}
	}
	s, err := traffic.Open(conn, options)
	if err != nil {
		_ = conn.Close()
	}
	return s, err
}

func (r *rig) dial(t tenant, to *mx) (net.Conn, error) {
	from := netip.AddrFrom4([4]byte{10, 77, t.network, byte(1 + rand.IntN(100))})
	return r.street.Inside.DialFrom(from, netip.AddrPortFrom(to.address, 25), 5*time.Second)
}

// leave begins a mail and hangs up at some point.
func (r *rig) leave(s *traffic.Session, mail traffic.Mail, due time.Time) {
	r.counts.left.Add(1)
	steps := []string{traffic.StepMail, traffic.StepData, traffic.StepDot}
	o := s.Leave(mail, steps[rand.IntN(len(steps))], due)
	if o.Step == traffic.StepDot {
		r.ledger.GaveUp(mail)
	}
	r.ledger.Ended(mail, o)
}

// babble speaks no SMTP, or little of it, for a moment.
func (r *rig) babble(t tenant) {
	r.counts.junk.Add(1)
	conn, err := r.dial(t, mxOf(t.kinds[rand.IntN(len(t.kinds))]+".example"))
	if err != nil {
		return
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(2 * time.Second))
	noise := make([]byte, 2000)
	for i := range noise {
		noise[i] = byte(rand.IntN(256))
	}
	words := []string{
		"", "GET / HTTP/1.1\r\nHost: mx\r\n\r\n", "\x16\x03\x01\x02\x00\x01", "PROXY TCP4 192.0.2.1 192.0.2.2 1 25\r\n", string(noise),
		"EHLO x\r\nRSET\r\nNOOP\r\nVRFY root\r\nMAIL FROM:<a@b>\nRCPT TO:<c@d>\r\nDATA\r\n", "EHLO x\r\nAUTH PLAIN AAAA\r\nBDAT 10 LAST\r\n0123456789",
	}
	_, _ = io.WriteString(conn, words[rand.IntN(len(words))])
	_, _ = io.Copy(io.Discard, io.LimitReader(conn, 4000))
}
