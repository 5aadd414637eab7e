package netns

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kanmon/internal/event"
	"kanmon/internal/smtp/smtptest"
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

// measured are the tenants whose mail is measured. What the busy one loses of its records excuses nothing that is missing of theirs.
var measured = []string{"two", "three"}

// account gives how many mails of the measured tenants were acknowledged, are on record, and how many of their records were dropped: the records
// tell of what their file has lost before kanmon stopped, kanmon's own log of all that any file has lost, as far as it was read.
func (r *hangRig) account() (acknowledged, written, dropped int) {
	gaps, told := make(map[string]int), make(map[string]int)
	for record, err := range event.NewReader(strings.NewReader(r.records.text())).All() {
		if err != nil {
			continue // cut where it hung
		}
		switch {
		case record.Type == "dropped":
			gaps[record.Tenant] += int(record.Records)
		case record.Type == "transaction" && record.Outcome == "delivered" && !strings.HasSuffix(record.Sender, "@one.example"):
			written++
		}
	}
	for line := range strings.Lines(r.own.text()) {
		if strings.Contains(line, "dropped_total=") {
			for name, n := range lossesIn(line) {
				told[name] += n
			}
		}
	}
	for _, name := range measured {
		dropped += max(gaps[name], told[name])
	}
	return int(r.told.Load()), written, dropped
}

// lossesIn gives whose records a line of kanmon's own log says were dropped.
func lossesIn(line string) map[string]int {
	of := make(map[string]int)
	_, list, _ := strings.Cut(line, ` of="`)
	list, _, _ = strings.Cut(list, `"`)
	for one := range strings.SplitSeq(list, ", ") {
		if name, n, found := strings.Cut(one, ": "); found {
			of[name], _ = strconv.Atoi(n)
		}
	}
	return of
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
