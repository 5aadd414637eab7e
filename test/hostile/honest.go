package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"kanmon/test/traffic"
)

// honestTenants send mail that everybody takes.
var honestTenants = []string{"honest1", "honest2"}

const (
	honestRate     = 25 // mails a second of each
	honestPatience = 20 * time.Second
	honestUnderway = 1500 // at most, of each: an MSA has a bound, too
	honestToken    = "H"
)

// An honest is the load of the honest tenants. It runs all the time, through kanmon or through the byte copier.
type honest struct {
	r       *rig
	cancel  context.CancelFunc
	sending sync.WaitGroup
	number  atomic.Int64
	path    atomic.Pointer[path]
}

// A path is where honest mail goes now, and what it is counted as.
type path struct {
	via   byte
	group string
}

func newHonest(r *rig) *honest {
	ctx, cancel := context.WithCancel(context.Background())
	h := &honest{r: r, cancel: cancel}
	for i := range honestTenants {
		h.sending.Go(func() { h.send(ctx, i) })
	}
	return h
}

func (h *honest) stop() {
	h.cancel()
	h.sending.Wait()
}

// take has mail go another way from now on; with nil none is sent.
func (h *honest) take(p *path) { h.path.Store(p) }

// send sends a mail whenever one is due, whatever became of those before.
func (h *honest) send(ctx context.Context, tenant int) {
	var mails sync.WaitGroup
	defer mails.Wait()
	slots := make(chan struct{}, honestUnderway)
	tick := time.NewTicker(time.Second / honestRate)
	defer tick.Stop()
	for {
		var due time.Time
		select {
		case <-ctx.Done():
			return
		case due = <-tick.C:
		}
		p := h.path.Load()
		if p == nil {
			continue
		}
		select {
		case slots <- struct{}{}:
			mails.Go(func() {
				h.mail(tenant, p, due)
				<-slots
			})
		default:
		}
	}
}

// mail sends one, in a session of its own.
func (h *honest) mail(tenant int, p *path, due time.Time) {
	n := h.number.Add(1)
	s := sites[int(n)%len(sites)]
	from := fmt.Sprintf("user%d@%s.example", n%30, honestTenants[tenant])
	mail := traffic.NewMail(fmt.Sprintf("%s%07x", honestToken, n), from, []string{fmt.Sprintf("friend%d@%s", n%500, s.domain)}, 2000+rand.IntN(4000))
	h.r.ledger.Enter(p.group, "", mail)
	h.r.ledger.Ended(mail, h.deliver(tenant, p, s, mail, due))
}

func (h *honest) deliver(tenant int, p *path, s site, mail traffic.Mail, due time.Time) traffic.Outcome {
	source := netip.AddrFrom4([4]byte{10, p.via, byte(1 + tenant), byte(1 + rand.IntN(20))})
	conn, err := h.r.street.Inside.DialFrom(source, netip.AddrPortFrom(s.address, 25), honestPatience)
	if err != nil {
		return traffic.Unopened(due, err)
	}
	session, err := traffic.Open(conn, traffic.Options{Name: "msa." + honestTenants[tenant] + ".example", Patience: honestPatience})
	if err != nil {
		_ = conn.Close()
		return traffic.Unopened(due, err)
	}
	o := session.Send(mail, due)
	session.Quit()
	return o
}
