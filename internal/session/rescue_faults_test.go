package session_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/session"
	"kanmon/internal/smtp/smtptest"
)

// manyIPs is twoIPs with any number of sending IPs, of which each meets an MX of its own.
type manyIPs struct {
	rig
	judge  listingJudge
	mxs    []*smtptest.MX
	dialed []int // which
	avoid  int   // longest list of IPs to avoid
	closed int
	conns  []net.Conn
}

func newManyIPs(n int) *manyIPs {
	r := &manyIPs{mxs: make([]*smtptest.MX, n)}
	for i := range r.mxs {
		r.mxs[i] = new(smtptest.MX)
	}
	r.judge.Judgement = session.Judgement{Rescue: true, Soften: true, Class: "ip_blocklisted", Rule: "test"}
	r.engine = session.Engine{Dialer: dialFunc(r.dial), Live: &r.live, Recorder: &r.log, Judge: &r.judge, Log: slog.New(slog.DiscardHandler)}
	return r
}

func (r *manyIPs) dial(_ context.Context, req session.DialRequest) (session.Outbound, error) {
	r.avoid = max(r.avoid, len(req.Avoid))
	for i, mx := range r.mxs {
		ip := netip.AddrFrom4([4]byte{203, 0, 113, byte(10 + i)})
		if slices.Contains(req.Avoid, ip) {
			continue
		}
		proxy, far := smtptest.Pair(netip.AddrPortFrom(ip, 50000), mxAddr)
		go mx.ServeConn(far)
		r.dialed, r.conns = append(r.dialed, i), append(r.conns, proxy)
		return session.Outbound{Conn: proxy, SendingIP: ip, Name: "out.example.jp", Closed: func() { r.closed++ }}, nil
	}
	return session.Outbound{}, session.ErrNoOtherIP
}

func (r *manyIPs) hello(t *testing.T) *smtptest.MSA {
	msa := r.msa(t)
	msa.Expect(220)
	msa.Command("EHLO msa.example.com")
	return msa
}

func bubble(test func(*testing.T)) func(*testing.T) {
	return func(t *testing.T) { synctest.Test(t, test) }
}

func finishSession(msa *smtptest.MSA) {
	_ = msa.Conn().Close()
	time.Sleep(3 * time.Hour)
}

const listed = "550 5.7.1 listed\r\n"

func always(verb, reply string) func(string, int) string {
	return func(v string, _ int) string {
		if v == verb {
			return reply
		}
		return smtptest.Default
	}
}

// I1: a 2xx that arrives before the dot is a protocol error, never an ack; also on the leg of a rescue.
func TestRescueEarlyAck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newManyIPs(2)
		r.mxs[0].Reply = always(".", listed)
		r.mxs[1].Reply = func(verb string, _ int) string {
			switch verb {
			case "DATA":
				return "354 go on\r\n250 2.0.0 early\r\n"
			case ".":
				return "550 5.1.0 no\r\n"
			}
			return smtptest.Default
		}
		msa := r.msa(t)
		got := msa.Deliver("a@example.com", []string{"b@example.net"}, []byte("text\r\n"), true)
		finishSession(msa)
		if got.All(smtptest.Accepted) && r.mxs[1].Mailbox.Len() == 0 {
			t.Errorf("acknowledged (%v) what no MX has", got.Replies)
		}
	})
}

// I12, A3: the sum of all attempts behind one command of the MSA is bounded; nothing is delivered that the MSA has given up.
func TestRescueDotRescuedBehindTheMSAsPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newManyIPs(2)
		r.mxs[0].Reply = always(".", smtptest.Delay(9*time.Minute)+listed)
		r.mxs[1].Reply = always(".", smtptest.Delay(5*time.Minute)+smtptest.Default)
		msa := r.msa(t)
		got := msa.Deliver("a@example.com", []string{"b@example.net"}, []byte("text\r\n"), true) // waits ten minutes for its dot
		finishSession(msa)
		if got.All(smtptest.Deferred) && r.mxs[1].Mailbox.Len() > 0 {
			t.Error("delivered, and still in the MSA's queue: the first MX had refused it")
		}
	})
}

// A hookedConn calls before ahead of each read and saw behind it.
type hookedConn struct {
	net.Conn
	before func()
	saw    func(p []byte)
}

func (c hookedConn) Read(p []byte) (int, error) {
	c.before()
	n, err := c.Conn.Read(p)
	c.saw(p[:n])
	return n, err
}

// S6': the dot read from the MSA and not yet written is withheld if the MSA has gone.
func TestRescueDotOfALostMSAIsWithheld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTwoIPs()
		r.mx.Reply = always(".", listed)
		inBody := false
		r.engine.Dialer = hookedSecond(r, func() {
			if inBody {
				inBody = false
				time.Sleep(time.Minute) // an MX that is slow to read
			}
		}, func(p []byte) { inBody = bytes.HasSuffix(p, []byte("DATA\r\n")) })
		msa := r.msa(t)
		msa.Wait = 30 * time.Second
		got := msa.Deliver("a@example.com", []string{"b@example.net"}, bytes.Repeat([]byte("0123456789\r\n"), 16_000), true)
		finishSession(msa)
		if !got.All(smtptest.Deferred) || r.second.Mailbox.Len() > 0 {
			t.Errorf("%v, %d delivered behind the MSA's back", got.Verdicts, r.second.Mailbox.Len())
		}
	})
}

// hookedSecond is r's dialer with hooks in the reads of the second MX.
func hookedSecond(r *twoIPs, before func(), saw func([]byte)) dialFunc {
	return func(ctx context.Context, req session.DialRequest) (session.Outbound, error) {
		if len(req.Avoid) == 0 {
			return r.dial(ctx, req)
		}
		proxy, mx := smtptest.Pair(netip.AddrPortFrom(sendingIPs[1], 50000), mxAddr)
		go r.second.ServeConn(hookedConn{mx, before, saw})
		return session.Outbound{Conn: proxy, SendingIP: sendingIPs[1], Name: "out1.example.jp"}, nil
	}
}

// Drain cuts what is left; it must not crash the process (every other session loses its last words).
func TestRescueKillDuringSecondRescue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newManyIPs(1)
		r.mxs[0].Reply = always("RCPT", listed)
		dials := 0
		r.engine.Dialer = dialFunc(func(ctx context.Context, req session.DialRequest) (session.Outbound, error) {
			if dials++; dials == 3 {
				<-ctx.Done()
				return session.Outbound{}, ctx.Err()
			}
			return r.dial(ctx, req)
		})
		msa := r.hello(t)
		msa.Pipeline("MAIL FROM:<a@example.com>", "RCPT TO:<b@example.net>") // nobody to rescue: the leg is taken back
		msa.Pipeline("RSET")
		msa.Send("MAIL FROM:<a@example.com>", "RCPT TO:<b@example.net>") // set aside again, the dial hangs
		time.Sleep(5 * time.Second)
		func() {
			defer func() {
				if p := recover(); p != nil {
					t.Errorf("Drain panicked: %v", p)
				}
			}()
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			_ = r.live.Drain(ctx)
		}()
		finishSession(msa)
	})
}

// no mail without TLS. The state of one attempt's TLS passes for that of the next.
func TestRescueTLSRequiredOnEachAttempt(t *testing.T) {
	cert := smtptest.Certificate(t, smtptest.CertificateOptions{})
	for _, rule := range []session.TLSRule{session.TLSRequire, session.TLSOpportunistic} {
		t.Run(fmt.Sprint(rule), bubble(func(t *testing.T) {
			r := newManyIPs(3)
			for _, mx := range r.mxs {
				mx.TLS = newTLSServer(cert)
			}
			r.engine.Destination = func(netip.Addr) session.Destination { return session.Destination{TLS: rule} }
			r.mxs[0].Reply = always("RCPT", listed)
			r.mxs[1].Reply = always("MAIL", listed)
			msa := r.msa(t)
			msa.Deliver("a@example.com", []string{"b@example.net"}, []byte("text\r\n"), true)
			finishSession(msa)
			for _, m := range r.mxs[2].Mailbox.Transactions() {
				if !m.TLS {
					t.Errorf("rule %d: delivered in plain text to an MX that offers TLS: %q", rule, r.mxs[2].Mailbox.Commands())
				}
			}
		}))
	}
}

// Plain text only where that connection's TLS failed; another sending IP's failure is not this one's.
func TestRescuePlainDoesNotLeak(t *testing.T) {
	cert := smtptest.Certificate(t, smtptest.CertificateOptions{})
	synctest.Test(t, func(t *testing.T) {
		r := newManyIPs(3)
		for _, mx := range r.mxs {
			mx.TLS = newTLSServer(cert)
		}
		r.mxs[0].Reply = always("RCPT", listed)
		r.mxs[1].Reply = func(verb string, _ int) string {
			switch verb {
			case "STARTTLS":
				return "454 4.7.0 not now\r\n"
			case "MAIL":
				return listed
			}
			return smtptest.Default
		}
		msa := r.msa(t)
		msa.Deliver("a@example.com", []string{"b@example.net"}, []byte("text\r\n"), true)
		finishSession(msa)
		if !slices.Contains(r.mxs[2].Mailbox.Commands(), "STARTTLS") {
			t.Errorf("TLS was not even tried: %q", r.mxs[2].Mailbox.Commands())
		}
	})
}

// I9: a replay target offers all that the transaction used. This one was inside TLS.
func TestRescueKeepsTLS(t *testing.T) {
	cert := smtptest.Certificate(t, smtptest.CertificateOptions{})
	for _, offered := range []bool{false, true} {
		t.Run(fmt.Sprint(offered), bubble(func(t *testing.T) {
			r := newManyIPs(2)
			r.mxs[0].TLS = newTLSServer(cert)
			r.mxs[0].Reply = always("RCPT", listed)
			if offered {
				r.mxs[1].TLS = newTLSServer(cert)
				r.mxs[1].Reply = always("STARTTLS", "454 4.7.0 not now\r\n")
			}
			msa := r.msa(t)
			msa.Deliver("a@example.com", []string{"b@example.net"}, []byte("text\r\n"), true)
			finishSession(msa)
			if m := r.mxs[1].Mailbox.Transactions(); len(m) > 0 && !m[0].TLS {
				t.Errorf("STARTTLS offered %t: a transaction that began in TLS went on in plain text", offered)
			}
		}))
	}
}

// S2/TLS: after a handshake that failed on one sending IP, a destination that must have TLS is served by the next that has it.
func TestRescueNoMailDoesNotLeak(t *testing.T) {
	cert := smtptest.Certificate(t, smtptest.CertificateOptions{})
	synctest.Test(t, func(t *testing.T) {
		r := newManyIPs(3)
		for _, mx := range r.mxs {
			mx.TLS = newTLSServer(cert)
		}
		r.engine.Destination = func(netip.Addr) session.Destination { return session.Destination{TLS: session.TLSRequire} }
		r.mxs[0].Reply = always("RCPT", listed)
		r.mxs[1].Reply = always("STARTTLS", "454 4.7.0 not now\r\n")
		msa := r.msa(t)
		got := msa.Deliver("a@example.com", []string{"b@example.net"}, []byte("text\r\n"), true)
		finishSession(msa)
		if !got.All(smtptest.Accepted) {
			t.Errorf("%v; the third has TLS: %q", got.Replies, r.mxs[2].Mailbox.Commands())
		}
	})
}

// I6, I7: one command, one reply. EHLO may end a group (A7); it is no line of the group, and an empty line went in its place.
func TestRescueEHLOBehindARescuedCommand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newManyIPs(2)
		r.mxs[0].Reply = always("RCPT", listed)
		msa := r.hello(t)
		msa.Command("MAIL FROM:<a@example.com>")
		got := msa.Pipeline("RCPT TO:<b@example.net>", "EHLO msa.example.com")
		finishSession(msa)
		if slices.Contains(r.mxs[1].Mailbox.Commands(), "") || got[1].Code != 250 {
			t.Errorf("the MX was sent %q; replies %v", r.mxs[1].Mailbox.Commands(), got)
		}
	})
}

// PIPELINING: where the MX lacks it, commands are sent one by one (4.5: never early, the MX would punish our IP).
func TestRescueNoPipeliningAtTheOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTwoIPs()
		r.mx.Reply = always("MAIL", listed)
		r.second.Keywords = slices.DeleteFunc(smtptest.DefaultKeywords(), func(k string) bool { return k == "PIPELINING" })
		r.engine.Dialer = hookedSecond(r, func() {}, func(p []byte) {
			if bytes.Count(p, []byte("\r\n")) > 1 && !bytes.Contains(p, []byte("text")) {
				t.Errorf("sent at once to an MX without PIPELINING: %q", p)
			}
		})
		msa := r.msa(t)
		msa.Deliver("a@example.com", []string{"b@example.net"}, []byte("text\r\n"), true)
		finishSession(msa)
	})
}

// S5: a refused DATA ends the transaction. Its recipients are not said again, and the next MAIL is not nested in it.
func TestRefusedTransactionIsNotReplayed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newManyIPs(2)
		r.mxs[0].Reply = func(verb string, n int) string {
			switch {
			case verb == "DATA":
				return "554 5.6.0 not this one\r\n"
			case verb == "MAIL" && n == 2:
				return listed
			}
			return smtptest.Default
		}
		msa := r.hello(t)
		msa.Pipeline("MAIL FROM:<a@example.com>", "RCPT TO:<b@example.net>", "DATA")
		got := msa.Command("MAIL FROM:<c@example.com>")
		finishSession(msa)
		if got.Class() == 5 {
			t.Errorf("a listing has become a bounce: %s; the other MX was sent %q", got, r.mxs[1].Mailbox.Commands())
		}
	})
}

// I12: all attempts hidden behind one command take no more than 240 s together.
func TestRescueSumOfAttempts(t *testing.T) {
	replies := map[string]struct {
		attempts int
		reply    func(int) func(string, int) string
	}{
		"slow reply to the command said again": {2, func(i int) func(string, int) string {
			return always("RCPT", smtptest.Delay([]time.Duration{0, 280 * time.Second, 290 * time.Second}[i])+listed)
		}},
		"each EHLO prolongs it": {10, func(i int) func(string, int) string {
			if i == 0 {
				return always("RCPT", listed)
			}
			return func(verb string, _ int) string {
				switch verb {
				case "EHLO":
					return smtptest.Delay(500*time.Millisecond) + smtptest.Default
				case "MAIL":
					return smtptest.Delay(29*time.Second) + listed
				}
				return smtptest.Default
			}
		}},
	}
	for name, c := range replies {
		t.Run(name, bubble(func(t *testing.T) {
			r := newManyIPs(c.attempts + 1)
			r.engine.Rescue.Attempts = c.attempts
			for i, mx := range r.mxs {
				mx.Reply = c.reply(i)
			}
			msa := r.hello(t)
			msa.Command("MAIL FROM:<a@example.com>")
			begun := time.Now()
			msa.Command("RCPT TO:<b@example.net>")
			if took := time.Since(begun); took > 240*time.Second {
				t.Errorf("%s behind one RCPT", took)
			}
			finishSession(msa)
		}))
	}
}

// fuseJudge panics at its n-th question, or when told of a message.
type fuseJudge struct {
	listingJudge
	question, told fuse
}

func (j *fuseJudge) Judge(r session.MXRefusal) session.Judgement {
	j.question.use("Judge")
	return j.listingJudge.Judge(r)
}

func (j *fuseJudge) Accepted(netip.AddrPort, netip.Addr) { j.told.use("Accepted") }

// I4: a panic ends its session; both legs are closed and the dialler is told, also of the leg that is set aside.
func TestRescuePanicWithALegSetAside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newManyIPs(2)
		judge := &fuseJudge{listingJudge: r.judge}
		judge.question.at = 2
		r.engine.Judge = judge
		r.mxs[0].Reply, r.mxs[1].Reply = always("RCPT", listed), always("MAIL", listed)
		msa := r.msa(t)
		msa.Deliver("a@example.com", []string{"b@example.net"}, []byte("text\r\n"), true)
		finishSession(msa)
		if r.closed != len(r.dialed) || len(r.dialed) != 2 {
			t.Errorf("%d connections opened, %d closed", len(r.dialed), r.closed)
		}
		for _, c := range r.conns {
			_ = c.Close() // what leaked would keep the MX, and the test, waiting
		}
	})
}

// Bounded: an IP that this MX has refused in this session is not tried again (DialRequest.Avoid), and the list does not grow.
func TestRescueRefusedIPsAreRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newManyIPs(2)
		r.engine.Rescue.Attempts = 1
		r.mxs[0].Reply, r.mxs[1].Reply = always("RCPT", listed), always("MAIL", listed)
		msa := r.hello(t)
		const mails = 50
		for range mails {
			msa.Pipeline("MAIL FROM:<a@example.com>", "RCPT TO:<b@example.net>", "RSET")
		}
		finishSession(msa)
		if len(r.dialed) > 2 || r.avoid > 2 {
			t.Errorf("%d mails: %d connections, %d IPs to avoid of 2 there are", mails, len(r.dialed), r.avoid)
		}
	})
}

// 452 over kanmon's own limit; else the envelope that is kept grows without bound.
func TestRecipientsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newManyIPs(1)
		r.engine.Limits.Recipients = 5
		msa := r.hello(t)
		accepted := 0
		for range 4 {
			msa.Command("MAIL FROM:<a@example.com>") // 503 from the second on
			for range 5 {
				if msa.Command("RCPT TO:<b@example.net>").Code == 250 {
					accepted++
				}
			}
		}
		finishSession(msa)
		if accepted > 5 {
			t.Errorf("%d recipients in one transaction, 5 allowed", accepted)
		}
	})
}

// octets behind the 220 to STARTTLS: abort and alarm; on any leg.
func TestRescueInjectionIsCounted(t *testing.T) {
	cert := smtptest.Certificate(t, smtptest.CertificateOptions{})
	synctest.Test(t, func(t *testing.T) {
		r := newManyIPs(2)
		r.mxs[0].Reply = always("RCPT", listed)
		r.mxs[1].TLS = newTLSServer(cert)
		r.mxs[1].Reply = always("STARTTLS", "220 go\r\n250 injected\r\n"+smtptest.CloseConn)
		msa := r.msa(t)
		msa.Deliver("a@example.com", []string{"b@example.net"}, []byte("text\r\n"), true)
		finishSession(msa)
		if r.live.Counters().Injected != 1 {
			t.Errorf("%+v", r.live.Counters())
		}
	})
}

// Judge: "is told of every refusal as it comes", and of nothing else.
func TestRescueJudgeIsAskedOfRefusalsOnly(t *testing.T) {
	t.Run("no refusal", bubble(func(t *testing.T) {
		r := newManyIPs(2)
		r.mxs[0].Reply = always(".", listed)
		r.mxs[1].Reply = always("DATA", "250 2.0.0 what?\r\n")
		msa := r.msa(t)
		msa.Deliver("a@example.com", []string{"b@example.net"}, []byte("text\r\n"), true)
		finishSession(msa)
		for _, a := range r.judge.asked {
			if a.Code != 0 && a.Code < 400 {
				t.Errorf("asked about %d at %s", a.Code, a.Phase)
			}
		}
	}))
	t.Run("second EHLO", bubble(func(t *testing.T) {
		r := newManyIPs(1)
		r.mxs[0].Reply = refuseAt("EHLO", 2, listed)
		msa := r.hello(t)
		got := msa.Command("EHLO msa.example.com") // answered from what is known
		finishSession(msa)
		if len(r.judge.asked) != 0 || got.Code != 250 {
			t.Errorf("asked %d times; the second EHLO got %s", len(r.judge.asked), got)
		}
	}))
}

// Observe mode leaves the connection as it is: there is no sending IP to change.
func TestRescueObserveMode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		r.engine.Judge = &listingJudge{Judgement: session.Judgement{Rescue: true}}
		r.mx.Reply = always("RCPT", listed)
		msa := r.msa(t)
		msa.Deliver("a@example.com", []string{"b@example.net"}, []byte("text\r\n"), true)
		finishSession(msa)
		if r.dials() != 1 {
			t.Errorf("%d connections from the one address there is", r.dials())
		}
	})
}

// kept keeps what a session recorded.
type kept struct {
	mu       sync.Mutex
	lines    []string
	actions  []string
	outcomes []event.Outcome
	end      event.Session
}

func (k *kept) Record(r *event.Record) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, l := range r.Lines {
		k.lines = append(k.lines, l.Mark.String()+" "+string(r.Text(l.Text)))
	}
	for _, a := range r.Actions {
		k.actions = append(k.actions, fmt.Sprintf("%s %s %d", a.Did, a.Phase, a.Code))
	}
	if r.Transaction != nil {
		k.outcomes = append(k.outcomes, r.Transaction.Outcome)
	}
	k.end = r.Session
	r.Release()
}

func recordedRescue(t *testing.T, set func(r *manyIPs)) (k *kept, got smtptest.Delivery) {
	k = new(kept)
	synctest.Test(t, func(t *testing.T) {
		r := newManyIPs(2)
		r.engine.Recorder = k
		r.mxs[0].Reply = always("RCPT", listed)
		set(r)
		msa := r.msa(t)
		got = msa.Deliver("a@example.com", []string{"b@example.net"}, []byte("text\r\n"), true)
		_ = msa.Quit()
		time.Sleep(3 * time.Hour)
	})
	return k, got
}

// docs/ref/record.md: what came from the MX and ended at kanmon is a line of the session log.
func TestRescueRefusalIsInTheSessionLog(t *testing.T) {
	k, _ := recordedRescue(t, func(*manyIPs) {})
	if !slices.Contains(k.lines, "|< 550 5.7.1 listed") {
		t.Errorf("no line of the refusal:\n%s", strings.Join(k.lines, "\n"))
	}
}

// docs/ref/record.md: tls_mx, phases and outcome say what the session at hand had.
func TestRescueRecord(t *testing.T) {
	cert := smtptest.Certificate(t, smtptest.CertificateOptions{})
	k, _ := recordedRescue(t, func(r *manyIPs) {
		for i, mx := range r.mxs {
			mx.TLS = newTLSServer(cert)
			mx.Reply = func(verb string, n int) string {
				switch {
				case verb == "STARTTLS":
					return "454 4.7.0 not now\r\n"
				case verb == "RCPT" && i == 0:
					return listed
				}
				return smtptest.Default
			}
		}
	})
	if k.end.MX.State != event.TLSDowngraded {
		t.Errorf("tls_mx is %s: offered, failed, plain text", k.end.MX.State)
	}
	k, _ = recordedRescue(t, func(r *manyIPs) {
		r.mxs[0].TLS = newTLSServer(cert)
		r.mxs[0].Reply = func(verb string, _ int) string {
			switch verb {
			case "EHLO":
				return smtptest.Delay(time.Second) + smtptest.Default
			case "RCPT":
				return listed
			}
			return smtptest.Default
		}
	})
	if k.end.MX.State == event.TLSNone && k.end.Phases[event.PhaseEHLOTLS] > 0 {
		t.Error("no TLS, and a time for EHLO inside it")
	}
	k, got := recordedRescue(t, func(r *manyIPs) { r.judge.Rescue = false })
	if got.Replies[0].Class() == 4 && k.outcomes[0] != event.OutcomeDeferred {
		t.Errorf("the MSA was told %s; outcome %s (of a softened dot it is deferred)", got.Replies[0], k.outcomes[0])
	}
}

// docs/ref/record.md: softened means that the MSA was given a 4xx in place of the 5xx.
func TestRescueNothingWasSoftened(t *testing.T) {
	cert := smtptest.Certificate(t, smtptest.CertificateOptions{})
	k, _ := recordedRescue(t, func(r *manyIPs) {
		r.mxs[0].TLS = newTLSServer(cert)
		r.mxs[0].Reply = always("STARTTLS", "554 5.7.1 no TLS today\r\n")
		dial, dials := r.engine.Dialer, 0
		r.engine.Dialer = dialFunc(func(ctx context.Context, req session.DialRequest) (session.Outbound, error) {
			switch dials++; dials {
			case 1:
				return dial.Dial(ctx, req)
			case 2:
				return session.Outbound{SendingIP: sendingIPs[0]}, syscall.ECONNREFUSED
			default:
				return session.Outbound{}, session.ErrNoOtherIP
			}
		})
	})
	if slices.Contains(k.actions, "softened dial 554") {
		t.Errorf("recorded %q: the 554 was to STARTTLS, and kept from the MSA", k.actions)
	}
}

// I2: the record of a message that was taken and told of says delivered, whatever the judge does then.
func TestRescueAcceptedPanics(t *testing.T) {
	k, got := recordedRescue(t, func(r *manyIPs) {
		judge := &fuseJudge{}
		judge.told.at = 1
		r.engine.Judge, r.mxs[0].Reply = judge, nil
	})
	if got.All(smtptest.Accepted) && !slices.Equal(k.outcomes, []event.Outcome{event.OutcomeDelivered}) {
		t.Errorf("acknowledged; outcome %v", k.outcomes)
	}
}

// An MX that says more behind its refusal of the dot may have taken the message: it is not sent again, whenever the rest comes.
//
// law: I3 B12
func TestRefusedDotThatGoesOnIsNotRescued(t *testing.T) {
	for _, pause := range []string{"", smtptest.Delay(20 * time.Millisecond)} {
		synctest.Test(t, func(t *testing.T) {
			r := newTwoIPs()
			r.mx.Reply = refuseAt(".", 1, "550 5.7.1 listed\r\n"+pause+"250 2.0.0 queued\r\n")
			r.second.Reply = func(verb string, _ int) string {
				if verb == "EHLO" {
					return smtptest.Delay(50*time.Millisecond) + smtptest.Default
				}
				return smtptest.Default
			}
			msa := r.msa(t)
			d := msa.Deliver("a@example.com", []string{"b@example.net"}, []byte("text\r\n"), false)
			if d.All(smtptest.Accepted) {
				t.Errorf("%+v", d)
			}
			_ = msa.Quit()
			synctest.Wait()
			if n := r.second.Mailbox.Len(); n != 0 {
				t.Errorf("the message was sent again, and taken %d times", n)
			}
		})
	}
}
