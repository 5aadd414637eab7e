package netns

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kanmon/test/netlab"
	"kanmon/test/traffic"
)

// A gateway of two, with what makes it one.
type gateway struct {
	*netlab.Host
	kanmon *netlab.Kanmon
	lan    string // its own address toward the MSAs
	vrrp   *netlab.Process
}

// A cluster is MSAs and gateways on one network, as docs/howto/cluster.md has them, and an MX behind a router.
type cluster struct {
	lab           *netlab.Lab
	msa, internet *netlab.Host
	router        *netlab.Host // of MSAs elsewhere; nil: there is none
	gateways      []*gateway
	number        atomic.Int64 // of mails

	mu     sync.Mutex
	taken  map[string]int     // by the MX
	from   map[netip.Addr]int // of them, by sending IP
	tries  map[string]int     // that were not accepted, by how they ended
	sure   []string           // that an MSA was told it may forget
	latest time.Time          // when the last of them began
}

const (
	nextHop    = "10.20.0.1"
	clusterMX  = "198.51.100.21"
	moveInTime = 2 * time.Minute // seconds, where scripts need no seconds to begin, as on a machine that has much else to do
)

func newCluster(t *testing.T, gateways int) *cluster {
	t.Helper()
	lab := newLab(t)
	w := &cluster{lab: lab, taken: map[string]int{}, from: map[netip.Addr]int{}, tries: map[string]int{}}
	host := func(name string) *netlab.Host {
		h, err := lab.Host(name)
		must(t, err)
		return h
	}
	prefix := func(text string) []netip.Prefix { return []netip.Prefix{netip.MustParsePrefix(text)} }
	w.internet, w.msa = host("internet"), host("msa")
	must(t, w.internet.Bridge("out0", prefix("203.0.113.254/24")...))
	must(t, w.internet.Bridge("lan0"))
	must(t, w.internet.Address("lo", netip.MustParsePrefix(clusterMX+"/32")))
	must(t, w.internet.Address("lo", netip.PrefixFrom(netlab.DNSServer, 32)))
	must(t, lab.Link(netlab.Port{Host: w.msa, Name: "lan", Addresses: prefix("10.20.0.11/24")}, netlab.Port{Host: w.internet, Name: "msa", Bridge: "lan0"}))
	must(t, w.msa.Route("default", netip.MustParseAddr(nextHop)))
	for i := range gateways {
		g := &gateway{Host: host(fmt.Sprintf("gw%d", i+1)), lan: fmt.Sprintf("10.20.0.%d", i+2)}
		w.gateways = append(w.gateways, g)
		must(t, lab.Link(netlab.Port{Host: g.Host, Name: "lan", Addresses: prefix(g.lan + "/24")}, netlab.Port{Host: w.internet, Name: g.Name + "l", Bridge: "lan0"}))
		must(t, lab.Link(netlab.Port{Host: g.Host, Name: "out", Addresses: prefix(fmt.Sprintf("203.0.113.%d/24", i+2))}, netlab.Port{Host: w.internet, Name: g.Name + "o", Bridge: "out0"}))
		must(t, g.Forward())
		must(t, g.Route("default", netip.MustParseAddr("203.0.113.254")))
		must(t, g.UseDNS(netlab.DNSServer))
	}
	var zone netlab.Zone
	zone.MX("v4.mx1.example", "mx1.example", 10)
	zone.Address("mx1.example", netip.MustParseAddr(clusterMX))
	must(t, w.internet.ServeDNS(zone))
	w.serve(t)
	return w
}

// serve has an MX take mail, and count it.
func (w *cluster) serve(t *testing.T) {
	t.Helper()
	listener, err := w.internet.Listen(clusterMX + ":25")
	must(t, err)
	mx, served := &traffic.MX{Name: "mx1.example", Took: func(c traffic.Copy) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.taken[c.Token]++
		w.from[c.Client]++
	}}, make(chan struct{})
	go func() {
		defer close(served)
		mx.Serve(listener)
	}()
	t.Cleanup(func() {
		_ = listener.Close()
		<-served
	})
}

// fileOf gives a file that the page shows: the fenced block that names it.
func fileOf(t *testing.T, page, name string) string {
	t.Helper()
	for block := range strings.SplitSeq(page, "\n```") {
		if _, file, fenced := strings.Cut(block, "\n"); fenced && strings.Contains(file, "# "+name) {
			return file + "\n"
		}
	}
	t.Fatalf("the page does not show %s", name)
	return ""
}

// start runs kanmon and keepalived on both gateways as the page has it.
func (w *cluster) start(t *testing.T) {
	t.Helper()
	text, err := os.ReadFile("../../docs/howto/cluster.md")
	must(t, err)
	page := string(text)
	tools, err := netlab.FindTools("vrrp")
	must(t, err)
	for i, g := range w.gateways {
		g.kanmon, err = netlab.NewKanmon(g.Host, "")
		must(t, err)
		must(t, g.kanmon.Write(fileOf(t, page, "/etc/kanmon/kanmon.toml")+"\n[drain]\nidle = \"10s\" # the test has no minute\n"))
		g.kanmon.User = netlab.UnprivilegedUser
		for _, variable := range []string{"STATE_DIRECTORY", "LOGS_DIRECTORY", "RUNTIME_DIRECTORY"} {
			g.kanmon.Env = append(g.kanmon.Env, variable+"="+g.kanmon.Folder())
		}
		rules(t, g.kanmon, "apply")
		must(t, g.kanmon.Start())
		script := filepath.Join(g.Dir, "lead-back")
		must(t, os.WriteFile(script, []byte(fileOf(t, page, "/etc/keepalived/lead-back")), 0o755))
		conf := fileOf(t, page, "/etc/keepalived/keepalived.conf")
		for _, command := range []string{"ready", "sessions"} {
			conf = strings.ReplaceAll(conf, "/usr/bin/kanmon "+command, fmt.Sprintf("%s %s --socket %s", netlab.Program(), command, g.kanmon.Socket()))
		}
		conf = strings.ReplaceAll(conf, "/etc/keepalived/lead-back", script)
		if i == 1 {
			conf = strings.NewReplacer("10.20.0.2", "10.20.0.3", "10.20.0.3", "10.20.0.2", "110", "100").Replace(conf)
		}
		file := filepath.Join(g.Dir, "keepalived.conf")
		must(t, os.WriteFile(file, []byte(conf), 0o644))
		g.vrrp, err = g.Start(netlab.Command{Name: "keepalived", Env: append(tools.Env(), "PATH="+filepath.Dir(tools.Path("../../bin/ping"))+":"+os.Getenv("PATH")), Args: []string{
			tools.Path("keepalived"), "--dont-fork", "--log-console", "--log-detail", "--vrrp", "-f", file,
			"-p", filepath.Join(g.Dir, "keepalived.pid"), "-r", filepath.Join(g.Dir, "vrrp.pid"),
		}})
		must(t, err)
		if i == 0 {
			w.waitFor(t, 0, nextHop, "203.0.113.10") // it was first, and keeps it
		}
	}
}

// moved waits for what keepalived does.
func moved(t *testing.T, what string, condition func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), moveInTime)
	defer cancel()
	for !condition() {
		select {
		case <-ctx.Done():
			t.Fatalf("not seen within %s: %s", moveInTime, what)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (w *cluster) has(gateway int, address string) bool {
	all, err := w.gateways[gateway].Run("ip", "-4", "-o", "address", "show")
	return err == nil && strings.Contains(all, " "+address+"/")
}

// waitFor waits until a gateway has addresses.
func (w *cluster) waitFor(t *testing.T, gateway int, addresses ...string) {
	t.Helper()
	for _, address := range addresses {
		moved(t, address+" is on "+w.gateways[gateway].Name, func() bool { return w.has(gateway, address) })
	}
}

// load keeps sending, each mail until it is accepted, as MSAs with queues do.
func (w *cluster) load() (stop func()) {
	const senders = 10
	var all sync.WaitGroup
	ended := make(chan struct{})
	for domain := range senders {
		all.Go(func() {
			for {
				select {
				case <-ended:
					return
				case <-time.After(50 * time.Millisecond):
				}
				for !w.send(fmt.Sprintf("a@d%d.example", domain)) {
					time.Sleep(100 * time.Millisecond) // before the MSA's next try
				}
			}
		})
	}
	return func() {
		close(ended)
		all.Wait()
	}
}

func (w *cluster) send(from string) bool { return w.sendFrom("10.20.0.11", from) }

func (w *cluster) sendFrom(msa, from string) bool {
	began := time.Now()
	token := strconv.FormatInt(w.number.Add(1), 10)
	o := func() traffic.Outcome {
		conn, err := w.msa.DialFrom(netip.MustParseAddr(msa), netip.MustParseAddrPort(clusterMX+":25"), 2*time.Second)
		if err != nil {
			return traffic.Unopened(began, err)
		}
		defer func() { _ = conn.Close() }()
		s, err := traffic.Open(conn, traffic.Options{Name: "msa.example", Patience: 20 * time.Second})
		if err != nil {
			return traffic.Unopened(began, err)
		}
		o := s.Send(traffic.NewMail(token, from, []string{"b@v4.mx1.example"}, 500), began)
		s.Quit()
		return o
	}()
	w.mu.Lock()
	defer w.mu.Unlock()
	if o.Accepted() {
		w.sure = append(w.sure, token)
		if began.After(w.latest) {
			w.latest = began
		}
	} else {
		w.tries[fmt.Sprintf("%s %d", o.Step, o.Code)]++
	}
	return o.Accepted()
}

// sent is how many mails have gone from a sending IP.
func (w *cluster) sent(ip string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.from[netip.MustParseAddr(ip)]
}

// acceptedBehind reports whether a mail that began behind a time was accepted.
func (w *cluster) acceptedBehind(at time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.latest.After(at)
}

// lost counts the mails that an MSA may have forgotten and the MX has not, and those that it has twice.
func (w *cluster) lost() (sure, lost, twice int, tries map[string]int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, token := range w.sure {
		switch n := w.taken[token]; {
		case n == 0:
			lost++
		case n > 1:
			twice++
		}
	}
	return len(w.sure), lost, twice, maps.Clone(w.tries)
}

// hold begins sessions that are in the middle of a message.
func (w *cluster) hold(t *testing.T, n int) (held []*client) {
	t.Helper()
	for range n {
		conn, err := w.msa.Dial(net.JoinHostPort(clusterMX, "25"), 5*time.Second)
		must(t, err)
		c := newClient(t, conn)
		must(t, conn.SetDeadline(time.Now().Add(3*moveInTime)))
		c.begin(t, "b@v4.mx1.example")
		c.write(t, []byte("Received: by client.example\r\nX-Token: "+strconv.FormatInt(w.number.Add(1), 10)+"\r\n\r\nhalf\r\n"))
		held = append(held, c)
	}
	return held
}

// finish ends the messages that were begun, and counts the sessions that broke, by how.
func finish(held []*client) (broken int, how map[string]int) {
	how = map[string]int{}
	for _, c := range held {
		for _, step := range []struct{ say, want string }{{".", "250"}, {"QUIT", "221"}} {
			if reply, err := c.try(step.say); err != nil || !strings.HasPrefix(reply, step.want) {
				broken++
				how[fmt.Sprintf("%s: %s %v", step.say, reply, err)]++
				break
			}
		}
	}
	return broken, how
}

// leadsBack shows the rules that lead sessions back from a gateway, and what they have met.
func (w *cluster) leadsBack(gateway int) string {
	rules, err := w.gateways[gateway].Run("nft", "list", "table", "ip", "lead_back")
	return fmt.Sprint(rules, err)
}

// Two gateways as docs/howto/cluster.md sets them up, under steady mail: one is killed, and its sessions break, no others; the other one hands over, and none
// of its sessions does. Mail goes through the gateway that is left within seconds, and none is lost.
//
// page: docs/howto/cluster.md
func TestTwoGatewaysByVRRP(t *testing.T) {
	t.Parallel()
	const held = 10
	w := newCluster(t, 2)
	w.start(t)
	if list, err := w.gateways[1].kanmon.IP("list", "--socket", w.gateways[1].kanmon.Socket()); err != nil || !strings.Contains(list, "standby") {
		t.Errorf("ip list of the gateway that stands by (%v):\n%s", err, list)
	}
	stop := w.load()
	moved(t, "mail through gateway 1", func() bool { return w.sent("203.0.113.2")+w.sent("203.0.113.10") > 20 })

	cut := w.hold(t, held)
	killed := time.Now()
	w.gateways[0].kanmon.Kill()
	moved(t, "mail through gateway 2", func() bool { return w.acceptedBehind(killed) })
	first := time.Since(killed)
	w.waitFor(t, 1, nextHop, "203.0.113.10")
	if broken, how := finish(cut); broken != held {
		t.Errorf("%d of %d sessions of the gateway that was killed broke: %v", broken, held, how)
	}
	t.Logf("killed: %d of %d sessions under way broke, all its own; the next mail went through the other gateway after %s, both addresses were there after %s",
		held, held, first.Round(10*time.Millisecond), time.Since(killed).Round(10*time.Millisecond))

	must(t, w.gateways[0].kanmon.Start())
	moved(t, "gateway 1 is ready to take over", func() bool { return strings.Count(w.gateways[0].vrrp.Log(), "(msa) Entering BACKUP") > 1 })
	kept := w.hold(t, held)
	before := w.sent("203.0.113.2")
	drained := time.Now()
	_, err := w.gateways[1].kanmon.Ask("handover", "--socket", w.gateways[1].kanmon.Socket())
	must(t, err)
	moved(t, "mail through gateway 1", func() bool { return w.sent("203.0.113.2") > before })
	first = time.Since(drained)
	w.waitFor(t, 0, nextHop)
	if w.has(0, "203.0.113.10") {
		t.Error("the sending IP moved before its sessions had ended")
	}
	if broken, how := finish(kept); broken != 0 {
		t.Errorf("%d of %d sessions of the gateway that handed over broke: %v; rules of the other one:\n%s", broken, held, how, w.leadsBack(0))
	}
	select {
	case <-w.gateways[1].kanmon.Done():
	case <-time.After(moveInTime):
		t.Error("kanmon did not end behind its handover")
	}
	ended := time.Since(drained)
	w.waitFor(t, 0, "203.0.113.10")
	t.Logf("handed over: 0 of %d sessions under way broke; the next mail went through the other gateway after %s; kanmon ended after %s, its sending IP was at the other one after %s",
		held, first.Round(10*time.Millisecond), ended.Round(10*time.Millisecond), time.Since(drained).Round(10*time.Millisecond))
	stop()
	sure, lost, twice, tries := w.lost()
	t.Logf("%d mails accepted: lost %d, twice %d; tries that the MSAs repeated ended at %v", sure, lost, twice, tries)
	if lost != 0 {
		t.Errorf("%d mails were lost", lost)
	}
}

// Two gateways send from one IP at the same time, each from its own ports, as docs/howto/cluster.md sets it up: a router without any state gives each the
// packets that are its own. One that stops takes nothing from the other.
//
// page: docs/howto/cluster.md
func TestTwoGatewaysShareASendingIP(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/howto/cluster.md")
	must(t, err)
	_, recipe, _ := strings.Cut(string(text), "\n## One sending IP on several gateways\n")
	w := newCluster(t, 2)
	w.run(t, w.internet, fileOf(t, recipe, "on the router"))
	for i, g := range w.gateways {
		w.run(t, g.Host, fileOf(t, recipe, "on each gateway"))
		g.kanmon, err = netlab.NewKanmon(g.Host, "")
		must(t, err)
		conf := fileOf(t, recipe, "/etc/kanmon/kanmon.toml")
		if i == 1 {
			conf = strings.ReplaceAll(conf, "20000-29999", "30000-39999")
		}
		must(t, g.kanmon.Configure(conf))
		rules(t, g.kanmon, "apply")
		must(t, g.kanmon.Start())
		source := netip.AddrFrom4([4]byte{10, 20, 0, byte(21 + i)})
		must(t, w.msa.Address("lan", netip.PrefixFrom(source, 24)))
		must(t, w.msa.IP(fmt.Sprintf("rule add from %s lookup %d", source, 21+i)))
		must(t, w.msa.IP(fmt.Sprintf("route add default via %s table %d", g.lan, 21+i)))
	}
	const mails = 100
	var all sync.WaitGroup
	send := func(gateway int) {
		for range mails {
			if !w.sendFrom(fmt.Sprintf("10.20.0.%d", 21+gateway), "a@acme.example") {
				t.Errorf("gateway %d: a mail was not accepted", gateway+1)
				return
			}
		}
	}
	for i := range w.gateways {
		all.Go(func() { send(i) })
	}
	all.Wait()
	if n := w.sent("203.0.113.50"); n != 2*mails {
		t.Errorf("the MX has %d mails from the address that both have, want %d", n, 2*mails)
	}
	for i, g := range w.gateways {
		own := regexp.MustCompile(`connected to \S+ from 203\.0\.113\.50:` + []string{"2", "3"}[i] + `\d{4}\n`)
		eventually(t, fmt.Sprintf("gateway %d has connected %d times from its own ports", i+1, mails), func() bool {
			return len(own.FindAllString(g.kanmon.SessionLog(), -1)) == mails
		})
	}
	must(t, w.gateways[1].kanmon.Stop(10*time.Second))
	send(0)
}

// run runs commands, a line each.
func (w *cluster) run(t *testing.T, host *netlab.Host, lines string) {
	t.Helper()
	for line := range strings.Lines(lines) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			_, err := host.Run("sh", "-ec", line)
			must(t, err)
		}
	}
}

// Three gateways behind a router that gives each MSA to one of them by its address, as docs/howto/cluster.md sets it up. One is taken away: its sessions break, those
// of the others go on where they are, and every MSA gets through again.
//
// page: docs/howto/cluster.md
func TestThreeGatewaysByECMP(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/howto/cluster.md")
	must(t, err)
	_, recipe, _ := strings.Cut(string(text), "\n## More than two, without VRRP\n")
	w := newCluster(t, 3)
	const msas = 15
	far := w.behindRouter(t, fileOf(t, recipe, "on the router of the MSAs"), msas)
	for i, g := range w.gateways {
		must(t, g.Route("10.30.0.0/24", netip.MustParseAddr("10.20.0.254")))
		g.kanmon, err = netlab.NewKanmon(g.Host, "")
		must(t, err)
		must(t, g.kanmon.Configure(fmt.Sprintf("[intercept]\nsources = [\"10.30.0.0/16\"]\n[[sending_ip]]\naddress = \"203.0.113.%d\"\nehlo = \"gw%d.example\"\n", i+2, i+1)))
		rules(t, g.kanmon, "apply")
		must(t, g.kanmon.Start())
	}
	began := make(map[int][]*client) // by gateway
	for n := range msas {
		conn, err := far.DialFrom(netip.AddrFrom4([4]byte{10, 30, 0, byte(11 + n)}), netip.MustParseAddrPort(clusterMX+":25"), 10*time.Second)
		must(t, err)
		c := newClient(t, conn)
		c.command(t, "EHLO msa.example", 250)
		at := w.gatewayOf(t, conn)
		began[at] = append(began[at], c)
	}
	if len(began) != 3 {
		t.Fatalf("the MSAs are led to %d gateways", len(began))
	}
	w.gateways[2].kanmon.Kill()
	must(t, w.router.IP("nexthop del id 3"))
	for at, clients := range began {
		var asking sync.WaitGroup
		var broken atomic.Int64
		for _, c := range clients {
			must(t, c.conn.SetDeadline(time.Now().Add(5*time.Second)))
			asking.Go(func() {
				if reply, err := c.try("NOOP"); err != nil || !strings.HasPrefix(reply, "250") {
					broken.Add(1)
				}
			})
		}
		asking.Wait()
		want := 0
		if at == 2 {
			want = len(clients)
		}
		if n := int(broken.Load()); n != want {
			t.Errorf("gateway %d: %d of %d sessions broke, want %d", at+1, n, len(clients), want)
		}
		t.Logf("gateway %d: %d of %d sessions broke", at+1, broken.Load(), len(clients))
	}
	for n := range msas {
		conn, err := far.DialFrom(netip.AddrFrom4([4]byte{10, 30, 0, byte(11 + n)}), netip.MustParseAddrPort(clusterMX+":25"), 10*time.Second)
		must(t, err)
		newClient(t, conn)
		_ = conn.Close()
	}
}

// behindRouter makes so many MSAs on a network of their own, and their router.
func (w *cluster) behindRouter(t *testing.T, commands string, msas int) *netlab.Host {
	t.Helper()
	far, err := w.lab.Host("far")
	must(t, err)
	w.router, err = w.lab.Host("router")
	must(t, err)
	prefix := func(text string) []netip.Prefix { return []netip.Prefix{netip.MustParsePrefix(text)} }
	must(t, w.lab.Link(netlab.Port{Host: far, Name: "lan", Addresses: prefix("10.30.0.10/24")}, netlab.Port{Host: w.router, Name: "msas", Addresses: prefix("10.30.0.254/24")}))
	must(t, w.lab.Link(netlab.Port{Host: w.router, Name: "lan", Addresses: prefix("10.20.0.254/24")}, netlab.Port{Host: w.internet, Name: "rtl", Bridge: "lan0"}))
	must(t, w.router.Forward())
	must(t, far.Route("default", netip.MustParseAddr("10.30.0.254")))
	for n := range msas {
		must(t, far.Address("lan", netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 30, 0, byte(11 + n)}), 24)))
	}
	w.run(t, w.router, commands)
	return far
}

// gatewayOf is which gateway has a session.
func (w *cluster) gatewayOf(t *testing.T, conn net.Conn) (at int) {
	t.Helper()
	source := conn.LocalAddr().String()
	eventually(t, "a gateway has the session of "+source, func() bool {
		for i, g := range w.gateways {
			if strings.Contains(g.kanmon.SessionLog(), "connected from "+source+"\n") {
				at = i
				return true
			}
		}
		return false
	})
	return at
}
