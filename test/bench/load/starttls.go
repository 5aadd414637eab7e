package load

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"
)

// runTLS runs each session in a goroutine: crypto/tls wants a connection that blocks.
func runTLS(ctx context.Context, p *plan) (*tally, error) {
	total := new(tally)
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i := range p.spec.Sessions {
		wg.Go(func() {
			var t tally
			s := tlsSession{plan: p, tally: &t, in: make([]byte, 16<<10)}
			for n := i; ctx.Err() == nil && !p.over(p.clock.Now()); n += p.spec.Sessions {
				if err := s.run(ctx, n); err != nil && (p.spec.Window > 0 || ctx.Err() == nil) {
					t.fail(err)
					time.Sleep(retry)
				}
			}
			mu.Lock()
			defer mu.Unlock()
			total.add(&t)
		})
	}
	wg.Wait()
	return total, nil
}

// A tlsSession is the sessions of one goroutine, one after the other.
type tlsSession struct {
	plan  *plan
	tally *tally
	conn  net.Conn
	in    []byte
	next  time.Duration // when the next message may begin
}

func (s *tlsSession) run(ctx context.Context, number int) error {
	connected := s.plan.clock.Now()
	var dialer net.Dialer
	dialer.SetMultipathTCP(false)
	if from := s.plan.spec.From; len(from) > 0 {
		dialer.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(from[number%len(from)], 0))
	}
	raw, err := dialer.DialContext(ctx, "tcp", s.plan.spec.Target.String())
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer raw.Close()
	defer context.AfterFunc(ctx, func() { _ = raw.Close() })()
	s.conn = raw
	for _, octets := range [][]byte{nil, s.plan.ehlo, s.plan.startTLS} {
		if _, err := s.exchange(octets, 1); err != nil {
			return err
		}
	}
	s.conn = tls.Client(raw, &tls.Config{InsecureSkipVerify: true}) // the MX of the benchmark signs its own certificate
	if _, err := s.exchange(s.plan.ehlo, 1); err != nil {
		return err
	}
	if err := s.messages(connected); err != nil {
		return err
	}
	_, err = s.exchange(s.plan.quit, 1)
	return err
}

func (s *tlsSession) messages(connected time.Duration) error {
	for n := 1; ; n++ {
		if s.plan.spec.Pace > 0 {
			time.Sleep(s.next - s.plan.clock.Now())
		}
		began := s.plan.clock.Now()
		if s.plan.over(began) {
			return nil
		}
		s.next = began + s.plan.spec.Pace
		if _, err := s.exchange(s.plan.group, 3); err != nil {
			return err
		}
		sent, err := s.exchange(s.plan.next(), 1)
		if err != nil {
			return err
		}
		s.plan.acked(s.tally, s.plan.clock.Now(), began, sent, connected, n == 1)
		if n == s.plan.spec.Messages {
			return nil
		}
	}
}

// exchange writes octets and reads the replies to them. It gives the time that the last of them carries.
func (s *tlsSession) exchange(octets []byte, want int) (time.Duration, error) {
	if len(octets) > 0 {
		if _, err := s.conn.Write(octets); err != nil {
			return 0, fmt.Errorf("write: %w", err)
		}
	}
	var r replies
	for want > 0 {
		n, err := s.conn.Read(s.in)
		if err != nil {
			return 0, fmt.Errorf("read: %w", err)
		}
		got, err := r.read(s.in[:n])
		if err != nil {
			return 0, err
		}
		want -= got
	}
	if want < 0 {
		return 0, errors.New("more replies than commands")
	}
	return r.sent, nil
}
