package outlet

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"text/tabwriter"
	"time"

	"kanmon/internal/config"
	"kanmon/internal/outlet/provider"
	"kanmon/internal/outlet/shape"
	"kanmon/internal/session"
	"kanmon/internal/smtp/smtptest"
)

// A strictMX is a receiver that takes as much from one sending IP as its documentation says. A message takes it a second.
type strictMX struct {
	provider, host, domain string
	connections            int // at once; 0: any
	mails, rcpts           int // of one connection; 0: any
	each                   int // recipients of a mail that it is sent

	mu      sync.Mutex
	open    map[netip.Addr]int
	refused int
}

// What the two say where it is too much.
const (
	tooManyConnections = "421 mwinf5c10 ME Trop de connexions, veuillez verifier votre configuration. OFR005_104\r\n"
	tooManyMails       = "421 mwinf5c10 ME Too many messages in this session, please reconnect\r\n"
	tooManyRcpts       = "554 Transaction failed\r\n"
)

func documentedMXs() []*strictMX {
	return []*strictMX{
		{provider: "orange", host: "smtp-in.orange.fr", domain: "orange.fr", connections: 2, mails: 100, each: 1},
		{provider: "docomo", host: "mfsmax.docomo.ne.jp", domain: "docomo.ne.jp", rcpts: 100, each: 40},
	}
}

func (x *strictMX) enters(from netip.Addr, n int) (open int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.open[from] += n
	return x.open[from]
}

// refuse counts a refusal, behind which the connection ends.
func (x *strictMX) refuse(text string) string {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.refused++
	return text + smtptest.CloseConn
}

func (x *strictMX) serve(conn net.Conn, from netip.Addr) {
	open := x.enters(from, 1)
	defer x.enters(from, -1)
	mx := smtptest.MX{OnlyHashes: true, Reply: func(verb string, n int) string {
		switch {
		case verb == "BANNER" && x.connections > 0 && open > x.connections:
			return x.refuse(tooManyConnections)
		case verb == "MAIL" && x.mails > 0 && n > x.mails:
			return x.refuse(tooManyMails)
		case verb == "RCPT" && x.rcpts > 0 && n > x.rcpts:
			return x.refuse(tooManyRcpts)
		case verb == ".":
			return smtptest.Delay(time.Second) + smtptest.Default
		}
		return smtptest.Default
	}}
	mx.ServeConn(conn)
}

// DialFrom implements [Dialer].
func (x *strictMX) DialFrom(_ context.Context, from netip.Addr, to netip.AddrPort) (session.Outbound, error) {
	near, far := smtptest.Pair(netip.AddrPortFrom(from, 50000), to)
	go x.serve(far, from)
	return session.Outbound{Conn: near, SendingIP: from}, nil
}

// A waiting is a mail in an MSA's queue.
type waiting struct {
	came, due time.Time
	tries     int
}

// A queue is that of an MSA, which tries again as Postfix does: after 300 s, and then after as long as the mail is old, up to 4,000 s.
type queue struct {
	mu    sync.Mutex
	mails []*waiting
	left  int // not delivered yet, those under way included
}

func (q *queue) put(m *waiting) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.mails = append(q.mails, m)
}

func (q *queue) take() *waiting {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	i := slices.IndexFunc(q.mails, func(m *waiting) bool { return !m.due.After(now) })
	if i < 0 {
		return nil
	}
	m := q.mails[i]
	q.mails = slices.Delete(q.mails, i, i+1)
	return m
}

func (q *queue) isDone() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.left == 0
}

// A shipment is what came of a site's mail to a receiver.
type shipment struct {
	mails    int
	refusals int // by the MX
	deferred int // attempts of an MSA that were, by the MX or by kanmon
	delays   []time.Duration
}

func (s *shipment) median() time.Duration {
	slices.Sort(s.delays)
	return s.delays[len(s.delays)/2]
}

// ship has four MSAs send bursts of mail to a receiver, each by ten sessions at once, as a site with four sending IPs.
func (x *strictMX) ship(t *testing.T, mode shape.Mode) *shipment {
	const msas, slots, bursts, burst = 4, 10, 4, 60
	x.open, x.refused = map[netip.Addr]int{}, 0
	g := poolOf(4)
	for i := range msas {
		g = g.tenant(fmt.Sprintf("t%d", i), fmt.Sprintf("10.20.%d.0/24", i))
	}
	o, state, end := g.begin(t, part{dns: &smtptest.DNS{}})
	defer func() {
		for _, err := range end() {
			if err != nil {
				t.Error(err)
			}
		}
	}()
	state.learnt.addresses.Put(mxAddr.Addr(), provider.MX{Host: x.host})
	o.dialer, o.shaping = x, shapingOf(t, mode).begin(state.rooms)
	var live session.Live
	engine := session.Engine{Ways: o.Outlet, Live: &live, Log: slog.New(slog.DiscardHandler), Hostname: "gw.example"}
	s := &shipment{mails: msas * bursts * burst}
	var mu sync.Mutex
	var workers sync.WaitGroup
	for i := range msas {
		q := &queue{left: bursts * burst}
		workers.Go(func() {
			for range bursts {
				for range burst {
					q.put(&waiting{came: time.Now(), due: time.Now()})
					time.Sleep(100 * time.Millisecond)
				}
				time.Sleep(20 * time.Minute)
			}
		})
		for slot := range slots {
			source := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 20, byte(i), 5}), uint16(40000+slot))
			workers.Go(func() {
				for !q.isDone() {
					m := q.take()
					if m == nil {
						time.Sleep(time.Second)
						continue
					}
					near, own := smtptest.Pair(source, mxAddr)
					workers.Go(func() { engine.Serve(own, session.Origin{Source: source, Destination: mxAddr}) })
					x.send(t, smtptest.NewMSA(t, near), q, m, func(delay time.Duration, deferred bool) {
						mu.Lock()
						defer mu.Unlock()
						if deferred {
							s.deferred++
						} else {
							s.delays = append(s.delays, delay)
						}
					})
				}
			})
		}
	}
	workers.Wait()
	s.refusals = x.refused
	return s
}

// send sends a mail, and those that are due behind it, in one session.
func (x *strictMX) send(t *testing.T, msa *smtptest.MSA, q *queue, m *waiting, tell func(delay time.Duration, deferred bool)) {
	for ; m != nil; m = q.take() {
		var rcpts []string
		for i := range x.each {
			rcpts = append(rcpts, fmt.Sprintf("u%d@%s", i, x.domain))
		}
		d := msa.Deliver("news@acme.example", rcpts, []byte("Subject: x\r\n\r\nx\r\n"), true)
		now := time.Now()
		if d.All(smtptest.Accepted) {
			tell(now.Sub(m.came), false)
			q.mu.Lock()
			q.left--
			q.mu.Unlock()
		} else {
			tell(0, true)
			m.tries++
			m.due = now.Add(min(max(300*time.Second, now.Sub(m.came)), 4000*time.Second))
			q.put(m)
		}
		if d.Err != nil {
			_ = msa.Quit()
			return
		}
	}
	_ = msa.Quit()
}

// shapingOf is the shaping of a configuration that says no more than its mode.
func shapingOf(t testing.TB, mode shape.Mode) *Shaping {
	t.Helper()
	cfg, err := config.Parse("kanmon.toml", nil)
	if err != nil {
		t.Fatal(err)
	}
	s := &Shaping{Mode: mode}
	for _, p := range cfg.Shaped() {
		takes, err := shape.Compile(p.Provider, p.Limits, true)
		if err != nil {
			t.Fatal(err)
		}
		s.Takes = append(s.Takes, takes)
	}
	return s
}

// What a receiver takes is known, and kept to: of what it and kanmon defer without that, no more than half is left.
func TestShapingHalvesWhatReceiversWithDocumentedLimitsDefer(t *testing.T) {
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	defer table.Flush()
	fmt.Fprintln(table, "receiver\tshaping\tmails\trefusals of the MX\tdeferred attempts\tmedian delay\tlongest")
	for _, x := range documentedMXs() {
		got := map[shape.Mode]*shipment{}
		for _, mode := range []shape.Mode{shape.Off, shape.Observe, shape.On} {
			synctest.Test(t, func(t *testing.T) {
				s := x.ship(t, mode)
				got[mode] = s
				median := s.median()
				fmt.Fprintf(table, "%s\t%s\t%d\t%d\t%d\t%s\t%s\n", x.provider, mode, s.mails, s.refusals, s.deferred, median.Round(100*time.Millisecond), s.delays[len(s.delays)-1].Round(time.Second))
				if len(s.delays) != s.mails {
					t.Errorf("%s, %s: %d of %d mails were delivered", x.provider, mode, len(s.delays), s.mails)
				}
			})
		}
		off, observed, on := got[shape.Off], got[shape.Observe], got[shape.On]
		if off.refusals < off.mails/10 {
			t.Errorf("%s refuses %d of %d mails without shaping: nothing is tried", x.provider, off.refusals, off.mails)
		}
		if on.refusals*2 > off.refusals || on.deferred*2 > off.deferred {
			t.Errorf("%s: %d refusals and %d deferred attempts with shaping, %d and %d without", x.provider, on.refusals, on.deferred, off.refusals, off.deferred)
		}
		if less := observed.refusals < off.refusals/2; less || observed.deferred < off.deferred/2 {
			t.Errorf("%s: who only observes changes what is deferred: %d refusals and %d attempts, %d and %d without", x.provider, observed.refusals, observed.deferred, off.refusals, off.deferred)
		}
	}
}
