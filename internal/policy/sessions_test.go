package policy

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/policy/contain"
	"kanmon/internal/policy/limit"
	"kanmon/internal/session"
	"kanmon/internal/smtp/smtptest"
)

// A course is real sessions of MSAs that do what they like, to MXs that answer as they like, with a Policy for their gate.
type course struct {
	*rig
	engine session.Engine
	live   session.Live
	random *rand.Rand
	ips    []netip.Addr
	mxs    [2]smtptest.MX // what each sending IP meets
}

func newCourse(r *rig, seed uint64) *course {
	c := &course{rig: r, random: rand.New(rand.NewPCG(seed, 0)), ips: []netip.Addr{ours, second}}
	c.engine = session.Engine{Ways: c, Gate: r.Gate(), Live: &c.live, Log: slog.New(slog.DiscardHandler)}
	for i := range c.mxs {
		c.mxs[i].Reply = c.reply
	}
	return c
}

// reply is the MXs': most often what is usual. Where they have the dot they say what they have done with the message.
func (c *course) reply(verb string, _ int) string {
	refusals := []string{"550 5.7.1 listed\r\n", "451 4.7.1 listed\r\n", "550 5.1.1 no such user\r\n", "451 4.3.0 not now\r\n"}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch n := c.random.IntN(60); {
	case n < 4:
		return refusals[n]
	case n == 4 && verb != ".":
		return smtptest.CloseConn
	case n == 5:
		return smtptest.Delay(3*time.Second) + smtptest.Default
	case n == 6 && verb != "DATA": // behind a 354 nobody would know what became of the dot
		return smtptest.Default + smtptest.CloseConn
	case n == 7:
		return "421 4.3.2 listed\r\n" + smtptest.CloseConn
	}
	return smtptest.Default
}

// Enter implements [session.Ways].
func (c *course) Enter(session.Origin) session.Way { return c }

func (c *course) Close() {}

func (c *course) Dial(_ context.Context, req session.DialRequest) (session.Outbound, error) {
	for i, ip := range c.ips {
		if slices.Contains(req.Avoid, ip) || !req.Rescue && c.MayStay(req, ip).Moves {
			continue
		}
		near, far := smtptest.Pair(netip.AddrPortFrom(ip, 50000), mx)
		go c.mxs[i].ServeConn(far)
		return session.Outbound{Conn: near, SendingIP: ip, Name: "out.example.jp"}, nil
	}
	return session.Outbound{}, session.ErrNoOtherIP
}

// MayStay lets mail of a0@… and mail to r0@… leave from the second sending IP only.
func (c *course) MayStay(req session.DialRequest, ip netip.Addr) session.Stay {
	stays := slices.Contains(req.Avoid, ip) || (ip == second) == (strings.HasPrefix(req.Sender, "a0@") || strings.HasPrefix(req.Recipient, "r0@"))
	return session.Stay{Moves: !stays}
}

func (*course) MayAdd(netip.Addr) (stays session.Stay) { return stays }

func (*course) Judge(r session.MXRefusal) session.Judgement {
	if !strings.Contains(string(r.Text), "listed") {
		return session.Judgement{Class: event.SystemError}
	}
	return session.Judgement{Rescue: true, SoftenTo: session.Temporary(r.Code), Class: event.SystemError}
}

func (*course) Accepted(netip.Addr) {}

// lines are what an MSA says until it has had enough: in order or not, one by one or together, a message behind a DATA that may fail.
func (c *course) lines() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	pick := func(of ...string) string { return of[c.random.IntN(len(of))] }
	lines := []string{"EHLO msa.example.com\r\n"}
	for range 5 + c.random.IntN(40) {
		mail := fmt.Sprintf("MAIL FROM:<a%d@acme.example>\r\n", c.random.IntN(3))
		rcpt := fmt.Sprintf("RCPT TO:<r%d@example.net>\r\n", c.random.IntN(4))
		lines = append(lines, pick(mail, mail, rcpt, rcpt, "DATA\r\n", "DATA\r\n", mail+rcpt, mail+rcpt+rcpt+"DATA\r\n", mail+rcpt+"DATA\r\n", mail+mail+rcpt,
			"RSET\r\n", "NOOP\r\n", "EHLO again.example.com\r\n", "MAIL FROM:<caf\xe9@acme.example>\r\n", "RSET\r\n"+mail+rcpt))
	}
	return append(lines, pick("QUIT\r\n", "", ""))
}

// says writes, and waits for what may come of it; or it hangs up somewhere in between.
func (c *course) says(conn io.Writer, text string) bool {
	c.mu.Lock()
	n := len(text)
	hangUp := c.random.IntN(60) == 0
	if hangUp {
		n = c.random.IntN(n + 1)
	}
	c.mu.Unlock()
	_, err := io.WriteString(conn, text[:n])
	if !hangUp {
		time.Sleep(patienceOfMSA)
	}
	return err == nil && !hangUp
}

// patienceOfMSA is enough for whatever is held, tried again or waited for. All courses end long before the limits forget a mail.
const patienceOfMSA = 45 * time.Second

// serve plays a session.
func (c *course) serve() {
	conn, near := smtptest.Pair(addrPort("10.0.1.1"), mx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c.engine.Serve(near, session.Origin{Source: addrPort("10.0.1.1"), Destination: mx})
	}()
	heard := make(chan string, 1)
	go func() {
		var last string
		for buf := make([]byte, 4096); ; {
			n, err := conn.Read(buf)
			if err != nil {
				close(heard)
				return
			}
			last = string(buf[:n])
			select {
			case <-heard:
			default:
			}
			heard <- last
		}
	}()
	for _, line := range c.lines() {
		if !c.says(conn, line) {
			break
		}
		said, ok := <-heard
		if !ok {
			break
		}
		if i := strings.LastIndex(strings.TrimSuffix(said, "\r\n"), "\n"); strings.HasPrefix(said[i+1:], "354") {
			if message := "Subject: x\r\n\r\ntext\r\n.\r\n"; !c.says(conn, message) {
				break
			}
			<-heard
		}
	}
	_ = conn.Close()
	<-ended
	for range heard { // until it is closed
	}
}

// What is counted is what was delivered: for tenant, account and sending IP, whatever sessions go through. Nothing is held when they are over.
func TestCountedIsDelivered(t *testing.T) {
	long := func(r *limit.Rule) { r.Per = limit.Longest }
	places := func(r *limit.Rule) { r.Measure, r.Per, r.Burst = limit.Sessions, 0, 0 }
	for seed := range uint64(300) {
		synctest.Test(t, func(t *testing.T) {
			tenant, account, ip := rule("tenant", limit.PerTenant, 60, long), rule("account", limit.PerAccount, 60, long), rule("ip", limit.PerIPProvider, 60, long)
			all := []*Limit{tenant, account, ip, rule("t", limit.PerTenant, 90, places), rule("a", limit.PerAccount, 90, places), rule("i", limit.PerIPProvider, 90, places)}
			if seed%3 == 1 {
				slow := rule("slow", limit.PerIPProvider, 20, func(r *limit.Rule) { r.Burst = 2 })
				slow.Action = limit.Delay
				all = append(all, slow)
			}
			p, err := New(Options{Settings: settingsWith(all...)})
			if err != nil {
				t.Fatal(err)
			}
			c := newCourse(rigOf(t, p), seed)
			for range 3 {
				c.serve()
			}
			time.Sleep(time.Minute) // for MXs that are slow
			c.check(t, seed, ip, all[5])
			if err := p.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func (c *course) check(t *testing.T, seed uint64, ip, place *Limit) {
	total, by := int64(0), map[string]int64{}
	for i := range c.mxs {
		here := c.mxs[i].Mailbox.Transactions()
		for _, tx := range here {
			by[tx.Sender]++
		}
		if n := c.usedBy(ip, c.ips[i].String()); n != int64(len(here)) {
			t.Errorf("seed %d: %d delivered from sending IP %d, %d counted", seed, len(here), i, n)
		}
		if n := c.usedBy(place, c.ips[i].String()); n != 0 {
			t.Errorf("seed %d: sending IP %d has %d sessions", seed, i, n)
		}
		total += int64(len(here))
	}
	acme := contain.Subject{Tenant: "acme"}
	if n := c.used(acme, "tenant"); n != total || c.used(acme, "t") != 0 || len(c.delayedNow) != 0 {
		t.Errorf("seed %d: %d delivered, %d counted; %d sessions, held %v", seed, total, n, c.used(acme, "t"), c.delayedNow)
	}
	for i := range 3 {
		name := fmt.Sprintf("a%d@acme.example", i)
		s := contain.Subject{Tenant: "acme", Account: name}
		if n := c.used(s, "account"); n != by[name] || c.used(s, "a") != 0 {
			t.Errorf("seed %d: %s has delivered %d, %d counted; %d sessions", seed, name, by[name], n, c.used(s, "a"))
		}
		if x := c.Explain(s); int64(x.Day.Delivered) != by[name] {
			t.Errorf("seed %d: %s has delivered %d, the detector knows of %d", seed, name, by[name], x.Day.Delivered)
		}
	}
}
