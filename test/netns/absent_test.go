package netns

import (
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kanmon/test/netlab"
	"kanmon/test/traffic"
)

// A pooledWorld is a gateway with three IPv4 sending IPs in one pool, of which the third is on an interface of its own,
// that can be taken down, and an MX that notes where mail comes from.
type pooledWorld struct {
	*netlab.Outbound
	kanmon *netlab.Kanmon
	number atomic.Int64 // of mails
	visits atomic.Int64 // to the MX

	mu   sync.Mutex
	last map[netip.Addr]time.Time // when a message came from a sending IP
}

func newPooledWorld(t *testing.T) *pooledWorld {
	t.Helper()
	t.Parallel()
	w := &pooledWorld{Outbound: newOutbound(t, netlab.OutboundOptions{Tenants: 1, MXs: 1}), last: map[netip.Addr]time.Time{}}
	for _, command := range []string{
		"link add spare0 type veth peer name spare1", "link set spare1 up", "link set spare0 up", "address add " + thirdSendingIPv4.String() + "/32 dev spare0",
	} {
		must(t, w.Gateway.IP(command))
	}
	listener, err := w.MXs[0].Listen(netip.AddrPortFrom(netlab.MXAddr(1, false), 25).String())
	must(t, err)
	mx, served := &traffic.MX{Name: "mx1.example", Took: w.took, Behave: w.behave}, make(chan struct{})
	go func() {
		defer close(served)
		mx.Serve(listener)
	}()
	t.Cleanup(func() {
		_ = listener.Close()
		<-served
	})
	w.kanmon = newKanmon(t, w.Outbound)
	must(t, w.kanmon.Configure(w.config(forwardedRedirect)))
	rules(t, w.kanmon, "apply")
	return w
}

func (w *pooledWorld) config(intercept string) string {
	return intercept + sendingIPs + otherSendingIPs + `
[[sending_ip]]
address = "203.0.113.12"
ehlo    = "out12.example"

[pool.default] # the senders' domains decide
ips = ["203.0.113.10", "203.0.113.11", "203.0.113.12", "2001:db8:71::10", "2001:db8:71::11"]

[admin]
socket = "` + w.kanmon.Socket() + `"
`
}

func (w *pooledWorld) took(c traffic.Copy) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.last[c.Client] = time.Now()
}

func (w *pooledWorld) behave(_ *traffic.Visit, step, _ string) traffic.Answer {
	if step == "BANNER" {
		w.visits.Add(1)
	}
	return traffic.Answer{}
}

func (w *pooledWorld) lastFrom(ip netip.Addr) time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last[ip]
}

// send sends a mail in a session of its own.
func (w *pooledWorld) send(domain int) traffic.Outcome {
	began := time.Now()
	conn, err := w.MSAs[0].Dial(netip.AddrPortFrom(netlab.MXAddr(1, false), 25).String(), 10*time.Second)
	if err != nil {
		return traffic.Unopened(began, err)
	}
	defer func() { _ = conn.Close() }()
	s, err := traffic.Open(conn, traffic.Options{Name: "msa1.example", Patience: 20 * time.Second})
	if err != nil {
		return traffic.Unopened(began, err)
	}
	o := s.Send(traffic.NewMail(fmt.Sprint(w.number.Add(1)), fmt.Sprintf("a@d%d.example", domain), []string{"b@" + netlab.Domain(1, false)}, 500), began)
	s.Quit()
	return o
}

// load keeps sending, as many domains as there are senders, until the function it gives is called, which gives all that became of the mails.
func (w *pooledWorld) load() (stop func() []traffic.Outcome) {
	const senders = 12
	var all sync.WaitGroup
	var mu sync.Mutex
	var outcomes []traffic.Outcome
	ended := make(chan struct{})
	for domain := range senders {
		all.Go(func() {
			for {
				select {
				case <-ended:
					return
				case <-time.After(20 * time.Millisecond):
				}
				o := w.send(domain)
				mu.Lock()
				outcomes = append(outcomes, o)
				mu.Unlock()
			}
		})
	}
	return func() []traffic.Outcome {
		close(ended)
		all.Wait()
		return outcomes
	}
}

var logTime = regexp.MustCompile(`^time=(\S+) `)

// logged gives when kanmon logged the first line with a text behind a time.
func (w *pooledWorld) logged(t *testing.T, behind time.Time, text string) (at time.Time) {
	t.Helper()
	eventually(t, text+" in kanmon's log", func() bool {
		for line := range strings.Lines(w.kanmon.Log()) {
			if m := logTime.FindStringSubmatch(line); m != nil && strings.Contains(line, text) {
				if when, err := time.Parse(time.RFC3339, m[1]); err == nil && !when.Before(behind.Truncate(time.Millisecond)) {
					at = when
					return true
				}
			}
		}
		return false
	})
	return at
}

// TestAddressGoneUnderLoad takes sending IPs away under steady mail, by "ip address del" and by taking an interface down: no session that begins
// behind it is refused, nobody's standing suffers, and all is as before when they are back.
//
// trouble-O01 firstday-7 law: I13 S0/replay
func TestAddressGoneUnderLoad(t *testing.T) {
	w := newPooledWorld(t)
	must(t, w.kanmon.Start())
	stop := w.load()
	eventually(t, "mail from all sending IPs", func() bool {
		return !w.lastFrom(netlab.SendingIPv4).IsZero() && !w.lastFrom(netlab.OtherSendingIPv4).IsZero() && !w.lastFrom(thirdSendingIPv4).IsZero()
	})
	var gone []time.Time
	for _, step := range []struct {
		ip         netip.Addr
		take, give string
	}{
		{netlab.SendingIPv4, "address del 203.0.113.10/32 dev out0", "address add 203.0.113.10/32 dev out0"},
		{thirdSendingIPv4, "link set spare0 down", "link set spare0 up"},
	} {
		before := time.Now()
		must(t, w.Gateway.IP(step.take))
		gone = append(gone, time.Now())
		noticed := w.logged(t, before, "sending IP is absent: no mail leaves from it until it is back\" ip="+step.ip.String())
		if list, err := w.kanmon.IP("list"); err != nil || !strings.Contains(list, step.ip.String()+" ") || !strings.Contains(list, "absent") {
			t.Errorf("ip list (%v):\n%s", err, list)
		}
		number := w.number.Load()
		eventually(t, "a hundred mails without it", func() bool { return w.number.Load() > number+100 })
		back := time.Now()
		must(t, w.Gateway.IP(step.give))
		known := w.logged(t, back, "sending IP is back: mail leaves from it again\" ip="+step.ip.String())
		eventually(t, "mail from it again", func() bool { return w.lastFrom(step.ip).After(back) })
		t.Logf("ip %s: noticed after %s; back: known after %s, first mail after %s", step.take, noticed.Sub(before).Round(time.Millisecond),
			max(0, known.Sub(back)).Round(time.Millisecond), w.lastFrom(step.ip).Sub(back).Round(time.Millisecond))
	}
	outcomes := stop()
	refused := map[string]int{}
	for _, o := range outcomes {
		if !o.Accepted() {
			refused[fmt.Sprintf("%s %d %s", o.Step, o.Code, o.Text)]++
			// A session that was under way may have lost its connection to the MX.
			if !slices.ContainsFunc(gone, func(at time.Time) bool { return o.Began.Before(at) && o.Ended.After(at.Add(-time.Second)) }) {
				t.Errorf("a session that began at %s, when the address was gone, ended at %s: %d %s", o.Began.Format(time.StampMilli), o.Step, o.Code, o.Text)
			}
		}
	}
	t.Logf("%d sessions; not accepted, of those under way: %v", len(outcomes), slices.Sorted(maps.Keys(refused)))
	if list, err := w.kanmon.IP("list"); err != nil || !strings.Contains(list, "every sending IP is active everywhere") {
		t.Errorf("somebody's standing has suffered (%v):\n%s", err, list)
	}
	if records := w.kanmon.Records(); strings.Contains(records, `"rescued"`) {
		t.Error("a rescue was spent")
	}
}

// TestSourcePortsUsedUp uses up the source ports of sending IPs toward one MX: the next of the pool takes the sessions, and only when none has a port is mail deferred,
// at MAIL, until one is free again.
//
// trouble-O09 law: I13
func TestSourcePortsUsedUp(t *testing.T) {
	const ports = 16
	w := newPooledWorld(t)
	must(t, w.Gateway.Sysctl("net.ipv4.ip_local_port_range", fmt.Sprintf("50000 %d", 50000+ports-1)))
	must(t, w.Gateway.Sysctl("net.ipv4.tcp_tw_reuse", "1")) // else a port may be free after a minute only
	must(t, w.kanmon.Start())
	to := netip.AddrPortFrom(netlab.MXAddr(1, false), 25)
	open := func() *client {
		t.Helper()
		conn, err := w.MSAs[0].Dial(to.String(), 5*time.Second)
		must(t, err)
		return newClient(t, conn)
	}
	var held []*client
	begun := time.Now()
	for range 3 * ports {
		held = append(held, open())
	}
	t.Logf("%d sessions to one MX from 3 sending IPs with %d ports each, in %s", len(held), ports, time.Since(begun).Round(time.Millisecond))
	if n := int(w.visits.Load()); n != len(held) {
		t.Errorf("%d of %d sessions have reached the MX", n, len(held))
	}
	late := open()
	late.command(t, "EHLO msa1.example", 250)
	if reply, err := late.try("MAIL FROM:<a@d1.example>"); err != nil && reply == "" || !strings.HasPrefix(reply, "451 4.4.5 kanmon: too many connections") {
		t.Errorf("without a port: %q (%v)", reply, err)
	}
	begun = time.Now()
	held[0].command(t, "QUIT", 221)
	eventually(t, "the session goes on with the port that is free", func() bool {
		reply, _ := late.try("MAIL FROM:<a@d1.example>")
		return strings.HasPrefix(reply, "250 ")
	})
	t.Logf("a port was free, and used after %s", time.Since(begun).Round(time.Millisecond))
	if list, err := w.kanmon.IP("list"); err != nil || !strings.Contains(list, "every sending IP is active everywhere") {
		t.Errorf("somebody's standing has suffered (%v):\n%s", err, list)
	}
}
