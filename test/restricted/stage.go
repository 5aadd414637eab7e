package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"kanmon/test/netlab"
	"kanmon/test/usual"
)

const (
	tenants = 3
	mxs     = 3
	domains = 10 // of the recipients at each MX: an MSA opens few connections for one
	senders = 30 // of each tenant; each has its sending IP at each MX
)

// A stage is a world with a scene on it.
type stage struct {
	scene
	plan    plan
	lab     *netlab.Lab
	world   *netlab.Outbound
	msas    []*netlab.Postfix
	inboxes []*netlab.Postfix // MXs that store what they take
	kanmon  *netlab.Kanmon
	began   time.Time

	kind atomic.Bool // the tarpit is none any more

	mu     sync.Mutex
	mails  map[string]*mail // by token
	copies map[string]int   // that MXs have taken which store nothing
	failed error
}

// A mail is one that was given to an MSA.
type mail struct {
	token      string
	tenant, mx int
	at         time.Time
}

func tenantName(n int) string { return fmt.Sprint("tenant", n) }

// senderDomain is above all sender domains of a tenant.
func senderDomain(tenant int) string { return tenantName(tenant) + ".example" }

// play has a scene played, and gives what came of it.
func play(ctx context.Context, sc scene, p plan) (_ *outcome, err error) {
	lab, err := netlab.New(sc.name)
	if err != nil {
		return nil, err
	}
	s := &stage{scene: sc, plan: p, lab: lab, mails: map[string]*mail{}, copies: map[string]int{}}
	defer func() {
		if err != nil {
			err = fmt.Errorf("%w\n%s", err, lab.Logs(15))
		}
		err = errors.Join(err, lab.Close())
	}()
	if err := s.build(); err != nil {
		return nil, err
	}
	s.began = time.Now()
	if err := s.act(ctx); err != nil {
		return nil, err
	}
	if err := s.kanmon.Stop(10 * time.Second); err != nil {
		return nil, fmt.Errorf("stop kanmon: %w", err)
	}
	return s.outcome()
}

// act sends mail until there is enough to see, and waits until all of it has arrived.
func (s *stage) act(ctx context.Context) error {
	load, end := context.WithCancel(ctx)
	var senders sync.WaitGroup
	for tenant := 1; tenant <= tenants; tenant++ {
		senders.Go(func() { s.send(load, tenant) })
	}
	err := s.watch(ctx)
	end()
	senders.Wait()
	if s.failed != nil || err != nil {
		return errors.Join(s.failed, err)
	}
	if s.plan.quick {
		s.kind.Store(true)
	}
	return s.drain(ctx)
}

func (s *stage) build() (err error) {
	var zone netlab.Zone
	for mx := 1; mx <= mxs; mx++ {
		for d := range domains {
			zone.MX(recipientDomain(mx, d), fmt.Sprintf("a.mx%d.example", mx), 10)
		}
	}
	zone.Address("out12.example", third)
	if s.world, err = netlab.NewOutbound(s.lab, netlab.OutboundOptions{Tenants: tenants, MXs: mxs, Zone: zone}); err != nil {
		return err
	}
	if err := s.world.Gateway.Address("out0", netip.PrefixFrom(third, third.BitLen())); err != nil {
		return err
	}
	if s.narrow {
		if err := s.fillUplink(); err != nil {
			return err
		}
	}
	for i, serve := range s.mxs {
		if err := serve(s, i+1); err != nil {
			return err
		}
	}
	for _, host := range s.world.MSAs {
		msa, err := netlab.NewPostfix(host, netlab.PostfixOptions{Role: netlab.MSA, Hostname: host.Name + ".example"})
		if err != nil {
			return err
		}
		s.msas = append(s.msas, msa)
	}
	return s.open()
}

// fillUplink has the gateway's uplink full of something else, which takes all that it can carry: so whatever leaves waits in its queue.
func (s *stage) fillUplink() error {
	gateway := s.world.Gateway
	if err := gateway.Narrow("out0", uplinkRate, uplinkQueue); err != nil {
		return err
	}
	conn, err := gateway.ListenPacket("203.0.113.1:0")
	if err != nil {
		return err
	}
	s.lab.Cleanup(conn.Close)
	go func() {
		packet, to := make([]byte, 1400), net.UDPAddrFromAddrPort(uplinkTo)
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for octets, begun := 0, time.Now(); ; <-tick.C {
			for ; float64(8*octets) < uplinkRate*time.Since(begun).Seconds(); octets += len(packet) {
				if _, err := conn.WriteTo(packet, to); errors.Is(err, net.ErrClosed) {
					return
				}
			}
		}
	}()
	return nil
}

func recipientDomain(mx, d int) string { return fmt.Sprintf("d%d.r%d.example", d, mx) }

// open starts kanmon. It knows what is usual, and nothing of the scene.
func (s *stage) open() (err error) {
	if s.kanmon, err = netlab.NewKanmon(s.world.Gateway, ""); err != nil {
		return err
	}
	file := filepath.Join(s.kanmon.Folder(), "standing.db")
	site := usual.Site{IPs: sendingIPs, Reply: 50 * time.Millisecond}
	for n := 1; n <= mxs; n++ {
		site.MXs = append(site.MXs, netlab.MXAddr(n, false))
	}
	for n := 1; n <= tenants; n++ {
		site.Tenants = append(site.Tenants, tenantName(n))
	}
	if err := usual.Write(file, site); err != nil {
		return err
	}
	if err := s.kanmon.Configure(configuration(file, s.kanmon.Socket())); err != nil {
		return err
	}
	if _, err := s.kanmon.Rules("apply"); err != nil {
		return err
	}
	return s.kanmon.Start()
}

func configuration(file, socket string) string {
	var text strings.Builder
	fmt.Fprint(&text, "[intercept]\nsources = [\"10.20.0.0/16\"]\nmark = 0x2525\n")
	var pool []string
	for _, ip := range sendingIPs {
		octets := ip.As4()
		fmt.Fprintf(&text, "[[sending_ip]]\naddress = %q\nehlo = \"out%d.example\"\n", ip, octets[3])
		pool = append(pool, fmt.Sprintf("%q", ip))
	}
	fmt.Fprintf(&text, "[pool.default]\nips = [%s]\n", strings.Join(pool, ", "))
	for n := 1; n <= tenants; n++ {
		fmt.Fprintf(&text, "[[tenant]]\nname = %q\nsources = [\"10.20.%d.0/24\"]\n", tenantName(n), n)
	}
	fmt.Fprintf(&text, "[standing]\nfile = %q\n[timing]\nact = \"move\"\n[admin]\nsocket = %q\n", file, socket)
	return text.String()
}

// send gives a tenant's MSA a mail now and then. A mail that is due does not wait for those before it.
func (s *stage) send(ctx context.Context, tenant int) {
	tick := time.NewTicker(s.plan.every)
	defer tick.Stop()
	var sessions sync.WaitGroup
	defer sessions.Wait()
	for n := 0; ; n++ {
		m := &mail{token: fmt.Sprintf("m%d-%d", tenant, n), tenant: tenant, mx: 1 + n%mxs, at: time.Now()}
		s.mu.Lock()
		s.mails[m.token] = m
		s.mu.Unlock()
		sessions.Go(func() {
			from := fmt.Sprintf("news@s%d.%s", (n/mxs)%senders, senderDomain(tenant))
			_, err := s.msas[tenant-1].Submit(from, []string{m.token + "@" + recipientDomain(m.mx, n%domains)}, m.message())
			if err != nil {
				s.mu.Lock()
				s.failed = err
				s.mu.Unlock()
			}
		})
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

const tokenField = "X-Token: "

func (m *mail) message() []byte {
	return fmt.Appendf(nil, "Subject: A note\r\n%s%s\r\n\r\n%s", tokenField, m.token, strings.Repeat("All mail passes the gate.\r\n", 100))
}

// tokenOf finds a mail's token in its message; "" if there is none.
func tokenOf(message []byte) string {
	_, rest, _ := bytes.Cut(message, []byte("\n"+tokenField))
	token, _, _ := bytes.Cut(rest, []byte("\n"))
	return strings.TrimSpace(string(token))
}

// received is a receipt of an MX that stores nothing.
func (s *stage) received(_ net.Addr, message []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.copies[tokenOf(message)]++
}

// taken counts the copies that the MXs have of each mail.
func (s *stage) taken() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	taken := map[string]int{}
	for token, n := range s.copies {
		taken[token] = n
	}
	for _, mx := range s.inboxes {
		for _, stored := range mx.Inbox() {
			taken[tokenOf(stored.Message)]++
		}
	}
	return taken
}

// watch waits until there is enough to see.
func (s *stage) watch(ctx context.Context) error {
	for until := s.began.Add(s.plan.found); ; {
		v, err := s.view()
		if err != nil {
			return err
		}
		missing := s.missing(v)
		switch {
		case missing == "":
			return nil
		case time.Now().After(until):
			return fmt.Errorf("not seen within %v: %s; told is %s", s.plan.found, missing, v.findingsText())
		}
		if err := pause(ctx, 500*time.Millisecond); err != nil {
			return err
		}
	}
}

// drain waits until all mail has arrived, and the MSAs know it. They try by themselves much later what was deferred.
func (s *stage) drain(ctx context.Context) error {
	for until := time.Now().Add(s.plan.drain); ; {
		taken, noticed := s.taken(), s.noticed()
		waiting := slices.DeleteFunc(slices.Sorted(maps.Keys(s.mails)), func(token string) bool { return taken[token] > 0 && noticed[token].sent })
		switch {
		case len(waiting) == 0:
			return nil
		case time.Now().After(until):
			return fmt.Errorf("%d of %d mails have not arrived, %s among them", len(waiting), len(s.mails), waiting[0])
		}
		for _, msa := range s.msas {
			if err := msa.Flush(); err != nil {
				return err
			}
		}
		if err := pause(ctx, 2*time.Second); err != nil {
			return err
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
