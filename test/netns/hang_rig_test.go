package netns

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"net/textproto"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kanmon/internal/smtptest"
	"kanmon/test/netlab"
)

// A hangRig is kanmon with three tenants, whose mail goes to an MX each. The first tenant does what makes kanmon log, look names up and
// write; the others' mail is measured.
type hangRig struct {
	t      *testing.T
	world  *netlab.Outbound
	kanmon *netlab.Kanmon

	sessions, records, own *tap

	mails   sync.WaitGroup
	over    chan struct{}
	mu      sync.Mutex
	sampled *samples // of the window; nil: between two
	begun   time.Time
	told    atomic.Int64 // mails of the measured tenants that were acknowledged
}

// samples are times of MAIL, RCPT and the dot.
type samples [3][]time.Duration

const (
	hangWorkers = 3                     // connections of each measured tenant
	hangMX      = 10 * time.Millisecond // that an MX takes for a reply

	hangPatience = 30 * time.Second // of an MSA
)

func newHangRig(t *testing.T) *hangRig {
	lab, err := netlab.New(t.Name())
	must(t, err)
	t.Cleanup(func() {
		if err := lab.Close(); err != nil {
			t.Errorf("close the lab: %v", err)
		}
	})
	world, err := netlab.NewOutbound(lab, netlab.OutboundOptions{Tenants: 3, MXs: 3})
	must(t, err)
	r := &hangRig{t: t, world: world, over: make(chan struct{})}
	for i, host := range world.MXs {
		r.serveMX(host, i == 0)
	}
	r.kanmon = newKanmon(t, world)
	must(t, r.kanmon.Configure(r.configuration(20)))
	r.sessions, r.records = r.fifo("session.log"), r.fifo("records.jsonl")
	r.own, r.kanmon.Output = r.pipe()
	rules(t, r.kanmon, "apply")
	must(t, r.kanmon.Start())
	must(t, r.kanmon.Output.Close())
	return r
}

func (r *hangRig) configuration(badCommands int) string {
	folder := r.kanmon.Folder()
	text := forwardedRedirect + sendingIPs + otherSendingIPs + fmt.Sprintf(`
[drain]
timeout = %q

[limits]
bad_commands = %d

[standing]
file = %q

[senders]
file = %q

[admin]
socket = %q

[[sender_limit]]
name   = "busy"
per    = "account"
count  = "messages"
limit  = 5
burst  = 5
every  = "1h"
tenant = "one"
action = "block"

[[route]]
tenant   = "one"
provider = "google"
pool     = "default"

[pool.default]
ips = ["203.0.113.10", "2001:db8:71::10", "203.0.113.11", "2001:db8:71::11"]
`, hangDrain, badCommands, filepath.Join(folder, "standing.db"), filepath.Join(folder, "senders.db"), filepath.Join(folder, "admin.sock"))
	for i, name := range []string{"one", "two", "three"} {
		text += fmt.Sprintf("\n[[tenant]]\nname = %q\nsources = [\"10.20.%d.0/24\"]\n", name, i+1)
	}
	return text
}

// serveMX serves an MX. A talkative one offers a keyword that nobody knows in each session, and has something against our IPs now and then.
func (r *hangRig) serveMX(host *netlab.Host, talkative bool) {
	l, err := host.Listen("0.0.0.0:25")
	must(r.t, err)
	mx := &smtptest.MX{OnlyHashes: true, Reply: func(verb string, _ int) string {
		switch verb {
		case "EHLO":
			if talkative {
				return fmt.Sprintf("250-mx.example\r\n250-PIPELINING\r\n250 NEW%d\r\n", rand.Uint64())
			}
		case "RCPT":
			if talkative && rand.IntN(5) == 0 {
				return "550 5.7.1 Service unavailable; client [203.0.113.10] blocked using zen.spamhaus.org\r\n"
			}
			return smtptest.Delay(hangMX) + smtptest.Default
		case "MAIL", ".":
			return smtptest.Delay(hangMX) + smtptest.Default
		}
		return smtptest.Default
	}}
	served := make(chan struct{})
	go func() { defer close(served); mx.Serve(l) }()
	r.t.Cleanup(func() { _ = l.Close() })
}

// A timedMSA is an MSA that takes the time.
type timedMSA struct {
	*textproto.Reader
	net.Conn
}

func (r *hangRig) connect(tenant int) (timedMSA, error) {
	conn, err := r.world.MSAs[tenant].Dial(netip.AddrPortFrom(netlab.MXAddr(tenant+1, false), 25).String(), 5*time.Second)
	if err != nil {
		return timedMSA{}, err
	}
	c := timedMSA{textproto.NewReader(bufio.NewReader(conn)), conn}
	_ = conn.SetDeadline(time.Now().Add(hangPatience))
	if _, _, err = c.ReadResponse(2); err == nil {
		_, err = c.say("EHLO msa.example", 2)
	}
	return c, err
}

// say sends a command and gives the time that its reply took.
func (c timedMSA) say(line string, class int) (took time.Duration, err error) {
	begun := time.Now()
	_ = c.SetDeadline(begun.Add(hangPatience))
	if _, err = c.Write([]byte(line + "\r\n")); err == nil {
		_, _, err = c.ReadResponse(class)
	}
	return time.Since(begun), err
}

// mail sends one mail and gives the times of MAIL, RCPT and the dot.
func (c timedMSA) mail(from, to string) (took [3]time.Duration, err error) {
	if took[0], err = c.say("MAIL FROM:<"+from+">", 2); err != nil {
		return took, err
	}
	if took[1], err = c.say("RCPT TO:<"+to+">", 2); err != nil {
		return took, err
	}
	if _, err = c.say("DATA", 3); err != nil {
		return took, err
	}
	took[2], err = c.say("Subject: hello\r\n\r\ntext\r\n.", 2)
	return took, err
}

// load lets the tenants send until endLoad.
func (r *hangRig) load() {
	for tenant := 1; tenant <= 2; tenant++ {
		for worker := range hangWorkers {
			r.mails.Go(func() { r.steady(tenant, worker) })
		}
	}
	for range 2 {
		r.mails.Go(r.busy)
	}
}

// steady sends mail after mail on one connection.
func (r *hangRig) steady(tenant, worker int) {
	c, err := r.connect(tenant)
	for n := 0; err == nil && !r.isOver(); n++ {
		var took [3]time.Duration
		took, err = c.mail(fmt.Sprintf("user%d@t%d.example", worker, tenant), fmt.Sprintf("reader%d@%s", n, netlab.Domain(tenant+1, false)))
		if err != nil {
			break
		}
		r.told.Add(1)
		r.mu.Lock()
		if r.sampled != nil {
			for i := range took {
				r.sampled[i] = append(r.sampled[i], took[i])
			}
		}
		r.mu.Unlock()
	}
	if err != nil {
		r.t.Errorf("mail of tenant %d: %v", tenant+1, err)
		return
	}
	_, _ = c.say("QUIT", 2)
	_ = c.Close()
}

// busy sends mail of ever new accounts to ever new domains, until each account is blocked. What becomes of it does not matter.
func (r *hangRig) busy() {
	for !r.isOver() {
		c, err := r.connect(0)
		account := rand.Uint64()
		for range 8 {
			if err == nil && !r.isOver() {
				_, err = c.mail(fmt.Sprintf("u%d@one.example", account), fmt.Sprintf("x@d%d.example", rand.Uint64()))
			}
			if refused := (*textproto.Error)(nil); errors.As(err, &refused) {
				_, err = c.say("RSET", 2)
			}
		}
		if c.Conn != nil {
			_ = c.Close()
		}
	}
}

func (r *hangRig) isOver() bool {
	select {
	case <-r.over:
		return true
	default:
		return false
	}
}

func (r *hangRig) endLoad() {
	close(r.over)
	r.mails.Wait()
}

// begin begins a window.
func (r *hangRig) begin() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sampled, r.begun = new(samples), time.Now()
}

// end ends it and gives its 95th percentiles.
func (r *hangRig) end() (f figures) {
	r.mu.Lock()
	s := r.sampled
	r.sampled = nil
	r.mu.Unlock()
	for i, times := range s {
		f[i] = time.Since(r.begun) // nothing came back at all
		if slices.Sort(times); len(times) > 0 {
			f[i] = times[len(times)*95/100]
		}
	}
	return f
}

// reload changes the configuration and gives how long it took until a session saw that.
func (r *hangRig) reload() time.Duration {
	must(r.t, r.kanmon.Configure(r.configuration(2)))
	begun := time.Now()
	must(r.t, r.kanmon.Reload())
	for time.Since(begun) < 2*hangStop {
		c, err := r.connect(1)
		for range 3 {
			if err == nil {
				_, err = c.say("BAD", 5)
			}
		}
		if c.Conn != nil {
			_ = c.Close()
		}
		if err != nil {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	return time.Since(begun)
}

// stop stops kanmon and gives how long that took.
func (r *hangRig) stop() time.Duration {
	begun := time.Now()
	must(r.t, r.kanmon.Terminate())
	select {
	case <-r.kanmon.Done():
	case <-time.After(2 * (hangDrain + hangStop)):
		r.t.Error("kanmon does not end")
		_ = r.kanmon.Stop(time.Second)
	}
	return time.Since(begun)
}

// account gives how many mails of the measured tenants were acknowledged, are on record, and how many records were dropped.
func (r *hangRig) account() (acknowledged, written, dropped int) {
	for line := range strings.Lines(r.records.text()) {
		var record struct {
			Type, Outcome, Sender string
			Records               int
		}
		if json.Unmarshal([]byte(line), &record) != nil {
			continue // cut where it hung
		}
		switch {
		case record.Type == "dropped":
			dropped += record.Records
		case record.Type == "transaction" && record.Outcome == "delivered" && !strings.HasSuffix(record.Sender, "@one.example"):
			written++
		}
	}
	for line := range strings.Lines(r.own.text()) {
		if _, total, found := strings.Cut(line, "dropped_total="); found {
			n := 0
			_, _ = fmt.Sscan(total, &n)
			dropped = max(dropped, n)
		}
	}
	return int(r.told.Load()), written, dropped
}

// A tap reads what kanmon writes, as long as it is not stopped.
type tap struct {
	flow  sync.Mutex // held while nobody reads
	ended chan struct{}
	read  strings.Builder
}

// stop lets nobody read until end is called.
func (p *tap) stop() (end func()) {
	p.flow.Lock()
	return p.flow.Unlock
}

// text gives all that was read, once kanmon has ended.
func (p *tap) text() string {
	<-p.ended
	return p.read.String()
}

// drain reads a pipe, which is made as small as can be: so it is full soon when nobody does.
func (r *hangRig) drain(from *os.File) *tap {
	_, err := unix.FcntlInt(from.Fd(), unix.F_SETPIPE_SZ, 4096)
	must(r.t, err)
	p := &tap{ended: make(chan struct{})}
	go func() {
		defer close(p.ended)
		defer func() { _ = from.Close() }()
		buffer := make([]byte, 64<<10)
		for {
			n, err := from.Read(buffer)
			p.flow.Lock() // whoever is stopped has read what there was, and reads no more
			p.read.Write(buffer[:n])
			p.flow.Unlock()
			if err != nil {
				return
			}
		}
	}()
	return p
}

// fifo makes one in kanmon's folder. The reader's end is open before kanmon writes.
func (r *hangRig) fifo(name string) *tap {
	path := filepath.Join(r.kanmon.Folder(), name)
	must(r.t, syscall.Mkfifo(path, 0o600))
	both, err := os.OpenFile(path, os.O_RDWR, 0) // opening the one end would wait for the other
	must(r.t, err)
	reader, err := os.OpenFile(path, os.O_RDONLY, 0)
	must(r.t, err)
	r.t.Cleanup(func() { _ = both.Close() })
	tap := r.drain(reader)
	go func() {
		<-r.over
		<-r.kanmon.Done()
		_ = both.Close() // now the end can be seen
	}()
	return tap
}

func (r *hangRig) pipe() (*tap, *os.File) {
	reader, writer, err := os.Pipe()
	must(r.t, err)
	return r.drain(reader), writer
}
