package session_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/session"
	"kanmon/internal/smtp/smtptest"
)

// attackedSessions is how many sessions a run takes.
func attackedSessions() int {
	switch {
	case os.Getenv("KANMON_TRUST") == "full":
		return 10_000
	case raceDetector:
		return 120
	default:
		return 2_000
	}
}

// foundIn are the worlds in which something was found once: a sender was named where a mail before had been refused by the same verdict.
var foundIn = []int{193}

// asksFor are the domains that ask an MX to prove a name; free.test asks nothing.
var asksFor = map[string]string{"one.test": "mx.one.test", "two.test": "mx.two.test"}

// Random sessions on a path where each connection may be attacked: STARTTLS is stripped, the handshake breaks, the certificate is another
// one's, expired or of nobody's authority, it comes and goes with the name that is shown, and what a ticket brings back; the MX refuses the
// sending IP at any step, so that the mail goes on from another one, and mails move between them. Whatever comes of it, an MX that has not
// proved what a domain asks hears of no recipient there, and where all came in one group of no sender whose recipients are all of such
// domains, and gets no message for one.
//
// law: I22
func TestAttacksOnTLSOfDomainsThatAsk(t *testing.T) {
	const each = 20
	certs := attackCertificates(t)
	var tally attackTally
	begun := time.Now()
	t.Run("worker", func(t *testing.T) {
		for worker := range 2 {
			t.Run(fmt.Sprint(worker), func(t *testing.T) {
				t.Parallel()
				worlds := append([]int(nil), foundIn...)
				for world := range attackedSessions() / each {
					worlds = append(worlds, world)
				}
				for i := worker; i < len(worlds) && !t.Failed(); i += 2 {
					synctest.Test(t, func(t *testing.T) {
						w := newAttackWorld(t, uint64(worlds[i]), certs, &tally) //nolint:gosec // from 0 on
						for range each {
							w.session(t)
						}
					})
					if t.Failed() {
						t.Logf("in world %d", worlds[i])
					}
				}
			})
		}
	})
	t.Logf("%d sessions in %s, %d connections, %d in TLS, %d resumed: %d recipients named to MXs that had proved what was asked, %d to others 0, "+
		"senders 0; %d messages, %d recipients deferred by kanmon, %d rescued, %d mails on another connection",
		tally.sessions.Load(), time.Since(begun).Round(time.Second), tally.legs.Load(), tally.tls.Load(), tally.resumed.Load(), tally.named.Load(),
		tally.wrong.Load(), tally.messages.Load(), tally.deferred.Load(), tally.rescued.Load(), tally.replaced.Load())
	for name, n := range map[string]*atomic.Int64{
		"named": &tally.named, "messages": &tally.messages, "deferred": &tally.deferred, "rescued": &tally.rescued, "replaced": &tally.replaced, "resumed": &tally.resumed,
	} {
		if n.Load() == 0 {
			t.Errorf("the sessions did not reach what they are to show: %s", name)
		}
	}
}

type attackTally struct {
	sessions, legs, tls, resumed, named, wrong, messages, deferred, rescued, replaced atomic.Int64
}

// attackCertificates are by what they are called: the name that they prove, or what is wrong with them.
func attackCertificates(t *testing.T) map[string]tls.Certificate {
	of := func(o smtptest.CertificateOptions) tls.Certificate { return smtptest.Certificate(t, o) }
	return map[string]tls.Certificate{
		"mx.one.test": of(smtptest.CertificateOptions{Name: "mx.one.test"}), "mx.two.test": of(smtptest.CertificateOptions{Name: "mx.two.test"}),
		"another one's": of(smtptest.CertificateOptions{Name: "mx.evil.test"}), "expired": of(smtptest.CertificateOptions{Name: "mx.one.test", Expired: true}),
		"nobody's": of(smtptest.CertificateOptions{Name: "mx.one.test", SelfSigned: true}),
	}
}

// An attackWorld has one Trust and one store of tickets for all of its sessions.
type attackWorld struct {
	random *rand.Rand
	certs  map[string]tls.Certificate
	tally  *attackTally
	engine testEngine
	live   session.Live
	mails  map[string]attackedMail // by sender

	pipelining bool // of this session's MXs

	mu   sync.Mutex
	path *rand.Rand // what becomes of connections
	legs []*attackedLeg
}

type attackedMail struct {
	rcpts     []string
	pipelined bool
}

func newAttackWorld(t *testing.T, seed uint64, certs map[string]tls.Certificate, tally *attackTally) *attackWorld {
	w := &attackWorld{random: rand.New(rand.NewPCG(seed, 17)), path: rand.New(rand.NewPCG(seed, 18)), certs: certs, tally: tally, mails: map[string]attackedMail{}}
	w.engine.Engine = session.Engine{Live: &w.live, Recorder: w, TLSToMX: session.ClientTLS(), Log: slog.New(slog.DiscardHandler), Trust: newEarnest(t, asksFor)}
	w.engine.leaves(dialFunc(w.dial))
	judge := &listingJudge{Judgement: session.Judgement{Rescue: true, SoftenTo: 450, Class: event.IPBlocklisted, Rule: "test"}}
	w.engine.Judge, w.engine.Mover = judge, w
	return w
}

// Record implements [session.Recorder].
func (w *attackWorld) Record(r *event.Record) {
	for _, a := range r.Actions {
		if a.Did == event.Rescued {
			w.tally.rescued.Add(1)
		}
	}
	r.Release()
}

// right is the sending IP for a mail: that of b… is the second one's, and so is that to two.test of c….
func (w *attackWorld) right(req session.DialRequest) netip.Addr {
	if strings.HasPrefix(req.Sender, "b") || strings.HasPrefix(req.Sender, "c") && strings.HasSuffix(req.Recipient, "@two.test") {
		return legIP(1)
	}
	return legIP(0)
}

// MayStay implements [session.Way].
func (w *attackWorld) MayStay(req session.DialRequest, ip netip.Addr) bool {
	return ip == w.right(req) || slices.Contains(req.Avoid, w.right(req))
}

func (w *attackWorld) dial(_ context.Context, req session.DialRequest) (session.Outbound, error) {
	ip := w.right(req)
	if req.From.IsValid() {
		ip = req.From
	}
	for i := 0; slices.Contains(req.Avoid, ip) && !req.From.IsValid(); i++ {
		if ip = legIP(i); i > 2 {
			return session.Outbound{}, session.ErrNoOtherIP
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	leg := w.newLeg()
	w.legs = append(w.legs, leg)
	proxy, far := smtptest.Pair(netip.AddrPortFrom(ip, 50000), mxAddr)
	go leg.mx.ServeConn(far)
	return session.Outbound{Conn: proxy, SendingIP: ip, Name: "out.example.jp"}, nil
}

// An attackedLeg is one connection to an MX, or to who stands on the way.
type attackedLeg struct {
	mx      smtptest.MX
	mu      sync.Mutex
	proves  string // the name, or what is wrong with the certificate; "": none was shown
	resumed bool
}

// newLeg makes one. Half of them are the MX itself, which shows the certificate that it is asked for.
func (w *attackWorld) newLeg() *attackedLeg {
	leg := &attackedLeg{}
	leg.mx.Keywords = []string{"8BITMIME"}
	if w.pipelining {
		leg.mx.Keywords = append(leg.mx.Keywords, "PIPELINING")
	}
	random := rand.New(rand.NewPCG(w.path.Uint64(), 5))
	shown := []string{"another one's", "expired", "nobody's", "mx.one.test", "mx.two.test"}[random.IntN(5)]
	kind := random.IntN(10)
	if kind > 0 {
		leg.mx.TLS = leg.config(func(hello *tls.ClientHelloInfo) (string, error) {
			_, has := w.certs[hello.ServerName]
			switch {
			case kind == 1 && hello.ServerName != "":
				return "", errNoSuchName
			case kind >= 5 && has:
				return hello.ServerName, nil
			}
			return shown, nil
		}, w.certs)
	}
	listed := random.IntN(3) == 0
	leg.mx.Reply = func(verb string, _ int) string {
		switch {
		case kind == 2 && verb == "STARTTLS":
			return "220 go\r\n" + smtptest.CloseConn
		case listed && verb != "EHLO" && verb != "STARTTLS" && random.IntN(4) == 0:
			return listedAt(verb)
		}
		return smtptest.Default
	}
	return leg
}

func listedAt(verb string) string {
	if verb == "QUIT" || verb == "RSET" || verb == "NOOP" {
		return smtptest.Default
	}
	return listed
}

// config shows the certificates that choose says. What a ticket stands for is in the ticket.
func (l *attackedLeg) config(choose func(*tls.ClientHelloInfo) (string, error), certs map[string]tls.Certificate) *tls.Config {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	c.SetSessionTicketKeys([][32]byte{{7}}) // whoever stands there has the keys of all
	c.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		name, err := choose(hello)
		if err != nil {
			return nil, err
		}
		l.shows(name, false)
		cert := certs[name]
		return &cert, nil
	}
	c.WrapSession = func(cs tls.ConnectionState, ss *tls.SessionState) ([]byte, error) {
		ss.Extra = append(ss.Extra[:0:0], []byte(l.shown()))
		return c.EncryptTicket(cs, ss)
	}
	c.UnwrapSession = func(ticket []byte, cs tls.ConnectionState) (*tls.SessionState, error) {
		ss, err := c.DecryptTicket(ticket, cs)
		if err == nil && ss != nil && len(ss.Extra) == 1 {
			l.shows(string(ss.Extra[0]), true)
		}
		return ss, err
	}
	return c
}

func (l *attackedLeg) shows(what string, resumed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.proves, l.resumed = what, resumed
}

func (l *attackedLeg) shown() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.proves
}

// session is one of an MSA, with some mails, of which each is looked for at the MXs.
func (w *attackWorld) session(t *testing.T) {
	w.legs, w.pipelining = nil, w.random.IntN(3) > 0
	w.tally.sessions.Add(1)
	near, far := smtptest.Pair(msaAddr, mxAddr)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		w.engine.Serve(far, session.Origin{Source: msaAddr, Destination: mxAddr})
	}()
	msa := smtptest.NewMSA(t, near)
	for range 1 + w.random.IntN(4) {
		from := fmt.Sprintf("%s%d@example.com", []string{"a", "b", "c"}[w.random.IntN(3)], len(w.mails))
		mail := attackedMail{pipelined: w.pipelining && w.random.IntN(4) > 0}
		for range 1 + w.random.IntN(3) {
			mail.rcpts = append(mail.rcpts, fmt.Sprintf("r%d@%s", len(mail.rcpts), []string{"one.test", "one.test", "two.test", "free.test"}[w.random.IntN(4)]))
		}
		w.mails[from] = mail
		before := w.connections()
		got := msa.Deliver(from, mail.rcpts, []byte("text\r\n"), mail.pipelined)
		if before > 0 && w.connections() > before {
			w.tally.replaced.Add(1)
		}
		for _, reply := range got.Replies {
			if reply.Code == 451 && strings.Contains(reply.String(), "kanmon: ") {
				w.tally.deferred.Add(1)
			}
		}
		if got.Err != nil {
			break
		}
		time.Sleep(time.Duration(w.random.IntN(90)) * time.Second)
	}
	_ = msa.Quit()
	<-ended
	time.Sleep(time.Minute)
	synctest.Wait()
	for i, leg := range w.legs {
		if err := w.judgeLeg(leg); err != nil {
			t.Errorf("connection %d of %d, which has shown %q: %v\n%s", i, len(w.legs), leg.shown(), err, strings.Join(leg.mx.Mailbox.Commands(), "\n"))
		}
	}
}

// connections is how many there were of this session.
func (w *attackWorld) connections() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.legs)
}

// judgeLeg looks at all that was said on one connection.
func (w *attackWorld) judgeLeg(leg *attackedLeg) error {
	w.tally.legs.Add(1)
	if leg.shown() != "" {
		w.tally.tls.Add(1)
	}
	if leg.resumed {
		w.tally.resumed.Add(1)
	}
	var wrong []error
	for _, line := range leg.mx.Mailbox.Commands() {
		_, name, _ := strings.Cut(strings.TrimSuffix(line, ">"), ":<")
		switch {
		case strings.HasPrefix(line, "RCPT"):
			wrong = append(wrong, w.judgeRecipient(leg, name))
		case strings.HasPrefix(line, "MAIL"):
			mail := w.mails[name]
			proved := func(rcpt string) bool { return w.judgeRecipient(leg, rcpt) == nil }
			if mail.pipelined && !slices.ContainsFunc(mail.rcpts, proved) {
				wrong = append(wrong, fmt.Errorf("it has heard of the sender %s", name))
			}
		}
	}
	for _, tx := range leg.mx.Mailbox.Transactions() {
		w.tally.messages.Add(1)
		for _, rcpt := range tx.Recipients {
			wrong = append(wrong, w.judgeRecipient(leg, rcpt))
		}
	}
	err := errors.Join(wrong...)
	if err != nil {
		w.tally.wrong.Add(1)
	}
	return err
}

// judgeRecipient says what is wrong with naming a recipient on a connection.
func (w *attackWorld) judgeRecipient(leg *attackedLeg, rcpt string) error {
	_, domain, _ := strings.Cut(rcpt, "@")
	switch asked := asksFor[domain]; {
	case asked == "":
	case leg.shown() != asked:
		return fmt.Errorf("%s was named", rcpt)
	default:
		w.tally.named.Add(1)
	}
	return nil
}
