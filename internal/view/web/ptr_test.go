package web

import (
	"context"
	"net/netip"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A slowResolver answers when it is let.
type slowResolver struct {
	asked atomic.Int64
	let   chan struct{}
}

func (r *slowResolver) LookupAddr(ctx context.Context, _ string) ([]string, error) {
	r.asked.Add(1)
	select {
	case <-r.let:
		return []string{"out1.example."}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Where DNS does not answer a page waits for a moment only, and asks once; what it answers later the next page has.
func TestDeadDNSHoldsUpNoPage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &slowResolver{let: make(chan struct{})}
		life, end := context.WithCancel(t.Context())
		defer end()
		s := &Server{Options: Options{Names: r}, life: life}
		ips := []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")}
		began := time.Now()
		if names := s.ptrs.of(s, ips); names[ips[0]] != "" || time.Since(began) != ptrMoment {
			t.Errorf("%v, in %s", names, time.Since(began))
		}
		s.ptrs.of(s, ips)
		if n := r.asked.Load(); n != 2 {
			t.Errorf("asked %d times about two", n)
		}
		close(r.let)
		synctest.Wait()
		began = time.Now()
		if names := s.ptrs.of(s, ips); names[ips[0]] != "out1.example" || names[ips[1]] != "out1.example" || time.Since(began) != 0 {
			t.Errorf("%v, in %s", names, time.Since(began))
		}
		time.Sleep(ptrHolds + time.Second)
		s.ptrs.of(s, ips)
		synctest.Wait()
		if n := r.asked.Load(); n != 4 {
			t.Errorf("asked %d times, want again when it is old", n)
		}
	})
}
