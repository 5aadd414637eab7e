package main

import (
	"context"
	"fmt"
	"sync"
	"time"
)

func normalAddress(n int) string { return fmt.Sprintf("user@d%d.normal.example", n%normalDomains) }

func tarpitAddress(n, domains int) string { return fmt.Sprintf("user@t%d.tarpit.example", n%domains) }

// A sender is an account with its way to send.
type sender struct {
	tenant  int
	account string // the part before the @
	kind    kind
	spam    bool
	open    door
	address func(n int) string // of the recipient of mail n, from 0
}

// news is the sender of a tenant's normal mail.
func (s *site) news(tenant int) sender {
	return sender{tenant: tenant, account: "news", kind: normal, open: s.door(tenant), address: normalAddress}
}

// steady submits a sender's mail, a session each, at a steady rate from one time to another. A mail that is due does not
// wait for those before it. It returns when all are taken or refused.
func steady(ctx context.Context, l *ledger, s sender, rate float64, from, until time.Duration) {
	var sessions sync.WaitGroup
	defer sessions.Wait()
	// Tenants are apart, so that not all mail comes at the same instants.
	first := from + time.Duration(float64(s.tenant%97)/97/rate*float64(time.Second))
	for n := 0; ; n++ {
		due := first + time.Duration(float64(n)/rate*float64(time.Second))
		if due >= until || pauseUntil(ctx, l, due) != nil {
			return
		}
		m := l.enter(s, n, due)
		sessions.Go(func() { l.submitted(m, submitAlone(ctx, s.open, m)) })
	}
}

func submitAlone(ctx context.Context, open door, m *mail) error {
	c, err := connect(ctx, open)
	if err != nil {
		return err
	}
	defer c.quit()
	return c.submit(m)
}

// burst submits so many mails as fast as the MSA takes them, over a number of sessions.
func burst(ctx context.Context, l *ledger, s sender, count, sessions int) {
	numbers := make(chan int)
	var workers sync.WaitGroup
	for range sessions {
		workers.Go(func() { work(ctx, l, s, numbers) })
	}
	for n := 0; n < count && ctx.Err() == nil; n++ {
		select {
		case numbers <- n:
		case <-ctx.Done():
		}
	}
	close(numbers)
	workers.Wait()
}

// work submits numbered mails over one session, and over another one once a mail has failed.
func work(ctx context.Context, l *ledger, s sender, numbers <-chan int) {
	var c *client
	for n := range numbers {
		m := l.enter(s, n, l.now())
		var err error
		if c == nil {
			c, err = connect(ctx, s.open)
		}
		if err == nil {
			err = c.submit(m)
		}
		l.submitted(m, err)
		if err != nil && c != nil {
			c.cut()
			c = nil
		}
	}
	if c != nil {
		c.quit()
	}
}

// pauseUntil waits for a time of the experiment, or ends early with the context's error.
func pauseUntil(ctx context.Context, l *ledger, due time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(due - l.now()):
		return nil
	}
}

// rest waits until every accepted mail that fits has arrived, was returned, or is deferred, or for so long at most.
func (s *site) rest(ctx context.Context, fits func(*mail) bool, limit time.Duration) error {
	for until := time.Now().Add(limit); s.ledger.audit(fits, s.inQueues("deferred")).Lost > 0 && time.Now().Before(until); {
		if err := pauseUntil(ctx, s.ledger, s.ledger.now()+500*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// settle waits until every accepted mail that fits has arrived, or for so long at most.
func settle(ctx context.Context, l *ledger, fits func(*mail) bool, limit time.Duration) error {
	for until := time.Now().Add(limit); l.audit(fits, queued{}).Lost > 0 && time.Now().Before(until); {
		if err := pauseUntil(ctx, l, l.now()+500*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}
