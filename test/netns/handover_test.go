package netns

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"kanmon/internal/smtp/smtptest"
	"kanmon/test/netlab"
)

// A handoverPlan says how much of everything there is. `make gateways` does all of it, `make test` a sample.
type handoverPlan struct {
	rate     int // connections a second
	reloads  int
	upgrades int
	failing  int // of the upgrades: the new one is killed before it is ready
	killed   int // of the upgrades: the old one is killed while it lets sessions end
	full     int // of the upgrades: sessions that idle are waited for as by default
}

func handoverPlanNow() handoverPlan {
	if os.Getenv("KANMON_GATEWAYS") == "full" {
		return handoverPlan{rate: 200, reloads: 1000, upgrades: 20, failing: 5, killed: 3, full: 2}
	}
	return handoverPlan{rate: 60, reloads: 20, upgrades: 5, failing: 2, killed: 1}
}

// A handoverRig is tenants that send all the time, and processes of kanmon that take over from each other behind one socket.
type handoverRig struct {
	t      *testing.T
	plan   handoverPlan
	world  *netlab.Outbound
	kanmon *netlab.Kanmon
	mx     *smtptest.MX
	socket net.Listener
	slots  int

	active, draining *netlab.Slot

	sends   sync.WaitGroup
	over    chan struct{}
	killing atomic.Bool // an old one has just been killed

	mu    sync.Mutex
	count handoverCount
	waits []time.Duration // from connect to banner
	sent  map[string]bool // bodies; true: acknowledged
}

// A handoverCount is what the MSAs have met.
type handoverCount struct {
	connections, refused, reset, closing, broken, brokenByKill, mails int
	how                                                               []string // the first that were broken
}

const handoverTables = `
[intercept]
mode    = "redirect"
listen  = ["[::]:10025"]
sources = ["10.20.0.0/16"]
mark    = 0x2525

[[tenant]]
name    = "one"
sources = ["10.20.1.0/24"]

[[tenant]]
name    = "two"
sources = ["10.20.2.0/24"]

[[sender_limit]]
name    = "hourly"
per     = "tenant"
count   = "messages"
limit   = 10000000
every   = "1h"
enforce = true
`

func newHandoverRig(t *testing.T) *handoverRig {
	t.Parallel()
	world := newOutbound(t, netlab.OutboundOptions{Tenants: 2, MXs: 1})
	r := &handoverRig{t: t, plan: handoverPlanNow(), world: world, over: make(chan struct{}), sent: map[string]bool{}}
	l, err := world.MXs[0].Listen("0.0.0.0:25")
	must(t, err)
	r.mx = &smtptest.MX{OnlyHashes: true, Reply: func(verb string, _ int) string {
		if verb == "." {
			return smtptest.Delay(time.Duration(rand.IntN(60))*time.Millisecond) + smtptest.Default
		}
		return smtptest.Default
	}}
	go r.mx.Serve(l)
	t.Cleanup(func() { _ = l.Close() })
	r.socket, err = world.Gateway.Listen("[::]:10025")
	must(t, err)
	t.Cleanup(func() { _ = r.socket.Close() })
	r.kanmon = newKanmon(t, world)
	r.configure("2s", "10s")
	rules(t, r.kanmon, "apply")
	r.active = r.start()
	must(t, r.active.WaitReady(30*time.Second))
	return r
}

func (r *handoverRig) configure(idle, soft string) {
	folder := r.kanmon.Folder()
	must(r.t, r.kanmon.Configure(handoverTables+sendingIPs+otherSendingIPs+fmt.Sprintf(
		"\n[drain]\nidle = %q\nsoft = %q\n[standing]\nfile = %q\n[senders]\nfile = %q\n[admin]\nsocket = %q\n", idle, soft, folder+"/standing.db", folder+"/senders.db", r.kanmon.Socket())))
}

func (r *handoverRig) start() *netlab.Slot {
	r.slots++
	s, err := r.kanmon.StartSlot(fmt.Sprintf("kanmon-%d", r.slots), r.socket)
	must(r.t, err)
	return s
}

// load opens connections until the rig is over.
func (r *handoverRig) load() {
	gap := time.NewTicker(time.Second / time.Duration(r.plan.rate))
	defer gap.Stop()
	for n := 0; ; n++ {
		select {
		case <-gap.C:
			r.sends.Go(func() { r.session(n) })
		case <-r.over:
			return
		}
	}
}

// handoverPause is the longest that an MSA idles between two mails.
const handoverPause = 1500 * time.Millisecond

// session is a connection of an MSA with one mail or some, now and then with a pause between them.
func (r *handoverRig) session(n int) {
	host := r.world.MSAs[n%2]
	begun := time.Now()
	conn, err := host.DialFrom(netlab.MSAAddr(1+n%2, false), netip.AddrPortFrom(netlab.MXAddr(1, false), 25), 20*time.Second)
	if err != nil {
		r.note(func(c *handoverCount) { c.connections++; c.refused++ })
		return
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(begun.Add(60 * time.Second))
	in := bufio.NewReader(conn)
	code, err := readCode(in)
	r.note(func(c *handoverCount) {
		c.connections++
		switch {
		case err != nil:
			c.reset++
		case code == "421":
			c.closing++
		default:
			r.waits = append(r.waits, time.Since(begun))
		}
	})
	if err != nil || code != "220" || !r.says(conn, in, "EHLO msa.example", "250") {
		return
	}
	for m := range 1 + rand.IntN(3) {
		if m > 0 && rand.IntN(4) == 0 {
			time.Sleep(rand.N(handoverPause))
		}
		if !r.mail(conn, in, fmt.Sprintf("%d-%d", n, m)) {
			return
		}
	}
	_, _ = conn.Write([]byte("QUIT\r\n"))
}

func (r *handoverRig) mail(conn net.Conn, in *bufio.Reader, name string) bool {
	if !r.says(conn, in, "MAIL FROM:<a@one.example>", "250") || !r.says(conn, in, "RCPT TO:<b@v4.mx1.example>", "250") || !r.says(conn, in, "DATA", "354") {
		return false
	}
	body := "Subject: " + name + "\r\n\r\nHello.\r\n"
	r.note(func(*handoverCount) { r.sent[body] = false })
	if !r.says(conn, in, strings.TrimSuffix(body, "\r\n")+"\r\n.", "250") {
		return false
	}
	r.note(func(c *handoverCount) { c.mails++; r.sent[body] = true })
	return true
}

// says writes a line and reads the reply to it. Another reply, or none, is noted.
func (r *handoverRig) says(conn net.Conn, in *bufio.Reader, line, want string) bool {
	_, err := conn.Write([]byte(line + "\r\n"))
	code := ""
	if err == nil {
		code, err = readCode(in)
	}
	if err == nil && code == want {
		return true
	}
	r.note(func(c *handoverCount) {
		switch {
		case err == nil && code == "421":
			c.closing++
		case r.killing.Load():
			c.brokenByKill++
		default:
			if c.broken++; len(c.how) < 10 {
				c.how = append(c.how, fmt.Sprintf("%.20s: %q, %v", line, code, err))
			}
		}
	})
	return false
}

func readCode(in *bufio.Reader) (string, error) {
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return "", err
		}
		if len(line) < 4 || line[3] != '-' {
			return line[:min(len(line), 3)], nil
		}
	}
}

func (r *handoverRig) note(do func(*handoverCount)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	do(&r.count)
}

// state is what must be the same before and after.
func (r *handoverRig) state() string {
	ips, err := r.kanmon.IP("list", "--json")
	must(r.t, err)
	accounts, err := r.kanmon.Account("list", "--json")
	must(r.t, err)
	return ofSeconds.ReplaceAllString(ips+accounts, "Z") // a file has times by the millisecond
}

var ofSeconds = regexp.MustCompile(`:\d\d\.\d+Z`)

// upgrade has a new process take over. Where it is to fail, it is killed at a random moment before it is ready.
func (r *handoverRig) upgrade(fails bool) {
	r.t.Helper()
	next := r.start()
	if fails {
		time.Sleep(time.Duration(rand.IntN(250)) * time.Millisecond)
		if !next.IsReady() {
			next.Kill()
			return
		}
	}
	must(r.t, next.WaitReady(30*time.Second))
	r.draining, r.active = r.active, next
}

// settleOld waits until the old process has ended by itself.
func (r *handoverRig) settleOld(within time.Duration) {
	r.t.Helper()
	if r.draining == nil {
		return
	}
	select {
	case <-r.draining.Done():
		if _, err := r.draining.Ended(); err != nil {
			r.t.Errorf("an old kanmon has ended with %v:\n%s", err, r.draining.Log())
		}
	case <-time.After(within):
		r.t.Fatalf("an old kanmon has not ended within %s:\n%s", within, r.draining.Log())
	}
	r.draining = nil
}

// Upgrades and reloads under load: no connection is refused or reset, nobody is told 421, no mail is lost or comes twice, and what stands
// against sending IPs and senders is the same before and after. Processes that die before they are ready change nothing; where an old one is
// killed, its own sessions are broken, and no others.
func TestUpgradesUnderLoad(t *testing.T) {
	r := newHandoverRig(t)
	_, err := r.kanmon.IP("suspend", "203.0.113.11", "--provider", "google", "--for", "20h", "--reason", "a test")
	must(t, err)
	_, err = r.kanmon.Account("block", "spam@one.example", "--tenant", "one", "--reason", "a test")
	must(t, err)
	before := r.state()
	go r.load()

	reloads := make(chan int)
	go func() { reloads <- r.reloadNowAndThen() }()
	steps := make([]string, r.plan.upgrades)
	for i := range steps {
		switch {
		case i < r.plan.failing:
			steps[i] = "fails"
		case i < r.plan.failing+r.plan.killed:
			steps[i] = "kill"
		}
	}
	rand.Shuffle(len(steps), func(i, j int) { steps[i], steps[j] = steps[j], steps[i] })
	for i, step := range steps {
		time.Sleep(time.Duration(500+rand.IntN(1000)) * time.Millisecond)
		r.upgrade(step == "fails")
		if step == "kill" && r.draining != nil {
			r.killOld()
		}
		r.settleOld(60 * time.Second)
		if after := r.state(); after != before {
			t.Errorf("upgrade %d (%s): it stands\n%s\nwant\n%s", i+1, step, after, before)
		}
	}
	for range r.plan.full {
		r.configure("60s", "330s")
		must(t, r.active.Signal(syscall.SIGHUP))
		time.Sleep(2 * time.Second)
		begun, idles := time.Now(), r.idleSession()
		r.upgrade(false)
		r.settleOld(400 * time.Second)
		if took := time.Since(begun); took < 50*time.Second {
			t.Errorf("an old kanmon has ended after %s, and a session that has idled for less than a minute with it", took)
		}
		must(t, idles.Close())
		t.Logf("with the times that are usual an old kanmon has ended after %s", time.Since(begun).Round(time.Second))
	}
	done := <-reloads
	close(r.over)
	r.sends.Wait()
	r.report(done)
}

// idleSession is one that an MSA keeps, and says nothing on.
func (r *handoverRig) idleSession() net.Conn {
	conn, err := r.world.MSAs[0].DialFrom(netlab.MSAAddr(1, false), netip.AddrPortFrom(netlab.MXAddr(1, false), 25), 20*time.Second)
	must(r.t, err)
	in := bufio.NewReader(conn)
	code, err := readCode(in)
	if must(r.t, err); code != "220" || !r.says(conn, in, "EHLO msa.example", "250") {
		r.t.Errorf("an MSA that is to idle was told %q", code)
	}
	return conn
}

func (r *handoverRig) killOld() {
	time.Sleep(time.Duration(rand.IntN(300)) * time.Millisecond)
	r.killing.Store(true)
	r.draining.Kill()
	r.draining = nil
	time.Sleep(2 * handoverPause) // its MSAs hear of it when they go on
	r.killing.Store(false)
}

// reloadNowAndThen sends SIGHUP to the kanmon that runs, each twentieth time with a configuration that is wrong.
func (r *handoverRig) reloadNowAndThen() (done int) {
	for ; done < r.plan.reloads; done++ {
		time.Sleep(time.Duration(10+rand.IntN(290)) * time.Millisecond)
		_, _ = r.kanmon.Ask("reload") // refused while another one takes over
	}
	return done
}

func (r *handoverRig) report(reloads int) {
	t := r.t
	got := map[string]int{}
	for _, m := range r.mx.Mailbox.Transactions() {
		got[fmt.Sprintf("%x", m.SHA256)]++
	}
	lost, twice, unsaid := 0, 0, 0
	r.mu.Lock()
	defer r.mu.Unlock()
	for body, acknowledged := range r.sent {
		switch n := got[fmt.Sprintf("%x", sha256.Sum256([]byte(body)))]; {
		case acknowledged && n == 0:
			lost++
		case n > 1:
			twice++
		case !acknowledged && n > 0:
			unsaid++
		}
	}
	slices.Sort(r.waits)
	c := r.count
	t.Logf("%d upgrades (%d that failed, %d with the old one killed), %d reloads, %d connections, %d mails: refused %d, reset before the banner %d, "+
		"421 %d, broken %d (%d by kills), lost %d, twice %d, accepted by the MX and not acknowledged %d; until the banner: 99th percentile %s, longest %s",
		r.plan.upgrades+r.plan.full, r.plan.failing, r.plan.killed, reloads, c.connections, c.mails, c.refused, c.reset, c.closing, c.broken+c.brokenByKill,
		c.brokenByKill, lost, twice, unsaid, r.waits[len(r.waits)*99/100], r.waits[len(r.waits)-1])
	if c.refused+c.reset+c.closing+c.broken+lost+twice > 0 {
		t.Errorf("mail has noticed the upgrades: %q", c.how)
	}
	if c.mails < c.connections/2 {
		t.Error("there was hardly any mail")
	}
}
