package truth

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/event/journal"
	"kanmon/internal/policy"
	"kanmon/internal/policy/contain"
	"kanmon/internal/session"
	"kanmon/internal/smtp/replies"
	"kanmon/internal/smtp/smtptest"
	"kanmon/internal/who/whose"
)

var sendingIPs = []netip.Addr{netip.MustParseAddr("203.0.113.10"), netip.MustParseAddr("203.0.113.11"), netip.MustParseAddr("203.0.113.12")}

// A run is one session with what its ends logged.
type run struct {
	world  *world
	seed   uint64
	random *rand.Rand // of the network, the gate and the judge
	source netip.AddrPort
	moves  bool // some of its mail must leave from another sending IP
	msa    *msa
	begun  time.Time
	over   time.Time

	mu         sync.Mutex
	mxs        []*mx
	asked      []asked
	failed     int // dials
	refused    int // of them
	unanswered int // likewise
	observed   bool

	counts map[string]contain.Counts // by sender, as `account show` has them
}

// asked is what the gate has decided.
type asked struct {
	name     string
	step     event.Step
	rule     string
	delay    time.Duration
	refusing bool
}

// A world runs sessions through one engine and keeps what it has written of them.
type world struct {
	t       *testing.T
	engine  session.Engine
	live    session.Live
	tls     *tls.Config
	folder  string
	runs    map[netip.Addr]*run
	ordered []*run
	policy  *policy.Policy
	stream  event.Stream
	stills  []still        // in which this process is said to have stood still
	ends    sync.WaitGroup // MSAs, MXs and sessions
}

// newWorld runs sessions of these seeds, all at once.
func newWorld(t *testing.T, cert tls.Certificate, seeds []uint64) *world {
	w := &world{t: t, tls: tlsOfMX(cert), folder: t.TempDir(), runs: map[netip.Addr]*run{}}
	synctest.Test(t, func(t *testing.T) {
		book, err := journal.New(journal.Options{SessionLog: w.path("session.log"), JSON: w.path("records.json"), Identify: true, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		w.engine = session.Engine{Ways: ways{w}, Gate: w, Live: &w.live, Recorder: &w.stream, Log: slog.New(slog.DiscardHandler), Hostname: "gw.example"}
		w.policy, err = policy.New(policy.Options{Settings: policy.Settings{
			Identify: func(o session.Origin, _ *string) *whose.Owner {
				return &whose.Owner{Tenant: o.Source.Addr().String()}
			},
			Provider: func(a netip.Addr) string { return "mx:" + a.String() }, Active: true,
		}})
		if err != nil {
			t.Fatal(err)
		}
		w.stream.Replace(book)
		for i, seed := range seeds {
			w.newRun(i, seed)
		}
		rest := w.beat(seeds[0])
		for i, r := range w.ordered {
			seed := r.seed
			msaEnd, own := smtptest.Pair(r.source, w.destination(i))
			r.msa = newMSA(rand.New(rand.NewPCG(seed, 1)), fmt.Sprintf("msa%d.example", seed), msaEnd)
			w.ends.Go(r.msa.run)
			w.ends.Go(func() {
				w.engine.Serve(own, session.Origin{Source: r.source, Destination: w.destination(i)})
				r.over = time.Now()
			})
		}
		w.ends.Wait()
		rest()
		for _, r := range w.ordered {
			r.count(w.policy)
		}
		if err := w.policy.Close(); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := book.Close(ctx); err != nil {
			t.Fatal(err)
		}
	})
	return w
}

func (w *world) path(name string) string { return filepath.Join(w.folder, name) }

func (w *world) destination(i int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)}), 25)
}

func (w *world) newRun(i int, seed uint64) {
	random := rand.New(rand.NewPCG(seed, 2))
	r := &run{
		world: w, seed: seed, random: random, source: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 40000), begun: time.Now(),
		moves: random.IntN(4) == 0, observed: random.IntN(6) == 0,
	}
	w.runs[r.source.Addr()] = r
	w.ordered = append(w.ordered, r)
}

// right is the sending IP for a mail, as far as it is known.
func (r *run) right(req *session.DialRequest) netip.Addr {
	ip := sendingIPs[0]
	if r.moves && (len(req.Sender)+len(req.Recipient))%3 == 1 {
		ip = sendingIPs[1]
	}
	for _, other := range sendingIPs {
		if slices.Contains(req.Avoid, ip) {
			ip = other
		}
	}
	return ip
}

// The ways are those of a world's sessions.
type ways struct{ w *world }

// Enter implements [session.Ways].
func (ways ways) Enter(o session.Origin) session.Way {
	return way{ways.w, ways.w.runs[o.Source.Addr()], o.Destination}
}

type way struct {
	w  *world
	r  *run
	to netip.AddrPort
}

// Dial implements [session.Way].
func (way way) Dial(ctx context.Context, req session.DialRequest) (session.Outbound, error) {
	w, r := way.w, way.r
	r.mu.Lock()
	defer r.mu.Unlock()
	ip := r.right(&req)
	if req.Rescue && slices.Contains(req.Avoid, ip) {
		return session.Outbound{}, session.ErrNoOtherIP
	}
	if r.observed {
		ip = netip.Addr{}
	}
	if r.random.IntN(4) == 0 {
		time.Sleep(time.Duration(r.random.IntN(1500)) * time.Millisecond)
	}
	switch r.random.IntN(60) {
	case 0:
		r.failed++
		r.refused++
		return session.Outbound{SendingIP: ip}, os.NewSyscallError("connect", syscall.ECONNREFUSED)
	case 1:
		r.failed++
		r.unanswered++
		<-ctx.Done()
		return session.Outbound{SendingIP: ip}, ctx.Err()
	}
	from := ip
	if !from.IsValid() {
		from = netip.MustParseAddr("203.0.113.99")
	}
	proxy, far := smtptest.Pair(netip.AddrPortFrom(from, uint16(50000+len(r.mxs))), way.to)
	m := newMX(rand.New(rand.NewPCG(r.seed, uint64(10+len(r.mxs)+r.failed))), len(r.mxs)+1, from, far, w.tls)
	r.mxs = append(r.mxs, m)
	w.ends.Go(m.run)
	out := session.Outbound{Conn: proxy, SendingIP: ip}
	if ip.IsValid() {
		out.Name = "out." + strings.ReplaceAll(ip.String(), ".", "-") + ".example"
	}
	return out, nil
}

// MayStay implements [session.Way].
func (way way) MayStay(req session.DialRequest, ip netip.Addr) session.Stay {
	r := way.r
	r.mu.Lock()
	defer r.mu.Unlock()
	return session.Stay{Moves: ip.IsValid() && r.right(&req) != ip}
}

// MayAdd implements [session.Way].
func (way) MayAdd(netip.Addr) (stays session.Stay) { return stays }

// Judge implements [session.Way].
func (way) Judge(refusal session.MXRefusal) session.Judgement {
	text := string(refusal.Text)
	switch {
	case strings.Contains(text, "listed:"):
		return session.Judgement{Rescue: refusal.SendingIP.IsValid() && !refusal.Stuck, SoftenTo: session.Temporary(refusal.Code), Class: event.IPBlocklisted, Scope: event.ScopeIP, Rule: "listed", Lists: []string{"LIST"}}
	case strings.Contains(text, "soft:"):
		return session.Judgement{SoftenTo: session.Temporary(refusal.Code), Class: event.IPReputation, Scope: event.ScopeNetblock, Rule: "soft"}
	case refusal.Code == 0:
		return session.Judgement{Class: event.SilentDial}
	}
	return session.Judgement{Class: event.PolicyUnspecified, Rule: "none"}
}

// Accepted implements [session.Way].
func (way) Accepted(netip.Addr) {}

// Close implements [session.Way].
func (way) Close() {}

// count keeps what is counted of each sender.
func (r *run) count(p *policy.Policy) {
	r.counts = map[string]contain.Counts{}
	for _, s := range r.msa.talk {
		if sender := s.mailbox(); s.verb() == "MAIL" {
			r.counts[sender] = p.Explain(contain.Subject{Tenant: r.source.Addr().String(), Account: sender}).Day
		}
	}
}

// Enter implements [session.Gate].
func (w *world) Enter(o session.Origin) session.Pass {
	return &pass{w.policy.Gate().Enter(o), w.runs[o.Source.Addr()]}
}

// pass is that of a real policy, which counts, behind one that decides by the domain: limited.example is refused for now, forbidden.example
// for good, slow.example is held for seven seconds.
type pass struct {
	session.Pass
	run *run
}

func (p *pass) Ask(q session.Question) session.Decision {
	name := ""
	switch q.Step {
	case event.StepMail:
		name = q.Sender
	case event.StepRecipient:
		name = q.Recipient
	}
	d, a := session.Decision{}, asked{name: name, step: q.Step}
	_, domain, _ := strings.Cut(name, "@")
	a.rule = "limit " + strings.TrimSuffix(domain, ".example")
	var did string
	switch domain {
	case "limited.example":
		d.Refuse, d.Say, did = session.RefuseNow, replies.LimitReached.Say("this account", "1 message per hour", "limited", "retry later"), "deferred"
	case "forbidden.example":
		d.Refuse, d.Say, did = session.RefuseForGood, replies.LimitReached.Say("this account", "0 messages per hour", "forbidden", "never"), "rejected"
	case "slow.example":
		d.Delay, did = 7*time.Second, "delayed"
	default:
		return p.Pass.Ask(q)
	}
	if d.Refuse == session.RefuseNot {
		own := p.Pass.Ask(q)
		d.Whose, d.Sender = own.Whose, own.Sender
	}
	a.delay, a.refusing = d.Delay, d.Refuse != session.RefuseNot
	d.Notes = []event.Note{{Did: did, Tenant: "t", Account: name, Rule: a.rule, Why: "1 of 1"}}
	p.run.mu.Lock()
	p.run.asked = append(p.run.asked, a)
	p.run.mu.Unlock()
	return d
}
