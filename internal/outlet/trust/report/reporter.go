package report

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/outlet/trust/dns"
	"kanmon/internal/outlet/trust/sts"
	"kanmon/internal/who/share"
)

// A Resolver asks the DNS.
type Resolver interface {
	Ask(ctx context.Context, name string, kind dns.Kind, by string) dns.Answer
	Known(name string, kind dns.Kind) (dns.Answer, bool)
}

// A Keeper has the policies of MTA-STS.
type Keeper interface {
	Look(domain, by string) (sts.Found, <-chan struct{})
}

// Options are what a [Reporter] is made of.
type Options struct {
	Socket   string // path of the collector's
	Resolver Resolver
	Policies Keeper // nil: there is no MTA-STS
	Log      *slog.Logger
}

// Bounds. What waits is told within seconds, or not at all.
const (
	mostWaiting  = 1024
	mostTelling  = 64 // of them at once: each asks the DNS first, which can take as long as askTime
	mostSessions = 16_384
	mostDomains  = 64 // of one session
	askTime      = 10 * time.Second
	sendTime     = 100 * time.Millisecond
)

// Whoever has as many places as are free gets no more: a tenant, and a recipients' domain, whose DNS may be silent to all tenants.
var (
	waitingBounds = share.Bounds{Most: mostWaiting, Reserve: mostWaiting}
	tellingBounds = share.Bounds{Most: mostTelling, Reserve: mostTelling}
)

// A Reporter tells a collector. It is safe for concurrent use.
type Reporter struct {
	o      Options
	ctx    context.Context // of questions
	cancel context.CancelFunc
	ended  sync.WaitGroup

	mu       sync.Mutex
	closed   bool
	waiting  parts                      // of all that is to be told
	telling  parts                      // of them, of what is being told
	queue    []*told                    // the rest, in the order in which it came
	sessions *share.Map[event.ID, []of] // what was told of those that run
	words    share.Lines                // of the log

	sent, left atomic.Uint64
}

// of is a connection, and a domain whose mail it had.
type of struct {
	leg    uint16
	domain string
}

// A told is what is told of one.
type told struct {
	domain, base, name, hello, from, to, detail, tenant string

	policy int
	why    event.TrustReason
}

// New makes a Reporter. Close it.
func New(o Options) *Reporter {
	r := &Reporter{o: o, sessions: share.NewMap[event.ID, []of](mostSessions)}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r
}

// Close ends it. What waits is not told.
func (r *Reporter) Close() {
	r.mu.Lock()
	r.closed, r.queue = true, nil
	r.mu.Unlock()
	r.cancel()
	r.ended.Wait()
}

// Counts returns how many datagrams were sent, and of how many connections nobody was told.
func (r *Reporter) Counts() (sent, left uint64) { return r.sent.Load(), r.left.Load() }

// Hear is for [event.Stream.Subscribe].
func (r *Reporter) Hear(f *event.Facts) {
	if f.Transaction != nil {
		recipients := f.Recipients
		if recipients == nil {
			recipients = f.Transaction.Recipients
		}
		var last *event.Trust
		for i := range recipients {
			if t := recipients[i].Trust; t != nil && t != last {
				last = t
				r.hear(f, t)
			}
		}
	}
	if f.End != nil && f.Session != nil {
		r.mu.Lock()
		r.sessions.Delete(f.Session.ID)
		r.mu.Unlock()
	}
}

// hear has a collector told of one domain on one connection, once.
func (r *Reporter) hear(f *event.Facts, t *event.Trust) {
	one := toldOf(f, t)
	if one == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.closed || !r.isNew(f, of{f.Session.Number, t.Domain}):
	case !r.waiting.take(one, waitingBounds):
		r.left.Add(1)
	case !r.seat(one):
		r.queue = append(r.queue, one)
	}
}

// isNew reports whether nobody was told of it. It is called with mu held.
func (r *Reporter) isNew(f *event.Facts, one of) bool {
	known, _ := r.sessions.Get(f.Session.ID)
	for _, was := range known {
		if was == one {
			return false
		}
	}
	if len(known) == mostDomains {
		r.left.Add(1)
		return false
	}
	r.sessions.Put(f.Session.ID, append(known, one), f.Tenant)
	return true
}

// toldOf is what is told; nil: nothing is.
func toldOf(f *event.Facts, t *event.Trust) *told {
	mx := &f.Session.MX
	one := &told{domain: t.Domain, name: t.Name, tenant: f.Tenant, policy: policyNone}
	switch t.Policy {
	case event.TrustNone:
		if mx.State != event.TLSOn {
			one.why = event.NoStartTLS
		}
	case event.TrustTesting, event.TrustSTS:
		one.policy = policySTS
	case event.TrustDANE, event.TrustEncrypted:
		one.policy, one.base = policyTLSA, t.Name
	default: // nobody knows, or the operator has decided
		return nil
	}
	if t.Verdict == event.TrustRefused || t.Verdict == event.TrustWouldRefuse {
		if t.Why.Standard() == "" || t.Policy == event.TrustTesting && t.ServerName == "" && ofCertificate[t.Why] {
			return nil // our own fault: of a policy that is being tested no name was shown to the MX, which may have shown another certificate
		}
		one.why = t.Why
	}
	if one.why != event.TrustWhyNot {
		one.from, one.to = f.Session.Local.Addr().Unmap().String(), f.Session.Destination.Addr().Unmap().String()
		one.detail = event.Printable(t.Detail, mostText)
		if mx.Err != "" && one.why == event.NoStartTLS {
			one.detail = event.Printable(mx.Err, mostText)
		}
	}
	return one
}

// ofCertificate are reasons that a name in the handshake can change.
var ofCertificate = map[event.TrustReason]bool{event.HostMismatch: true, event.NotTrusted: true, event.Expired: true, event.ValidationFailure: true}

// seat has one told of, if there is a place for it. It is called with mu held.
func (r *Reporter) seat(one *told) bool {
	if !r.telling.take(one, tellingBounds) {
		return false
	}
	r.ended.Go(func() {
		r.tell(one)
		r.leave(one)
	})
	return true
}

// leave gives the places of one back that was told of, to whoever has waited longest of those who may have one.
func (r *Reporter) leave(one *told) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.telling.give(one)
	r.waiting.give(one)
	if !r.closed {
		r.queue = slices.DeleteFunc(r.queue, r.seat)
	}
}

// tell asks whether the domain wants reports, and sends the datagram.
func (r *Reporter) tell(one *told) {
	ctx, cancel := context.WithTimeout(r.ctx, askTime)
	defer cancel()
	a := r.o.Resolver.Ask(ctx, "_smtp._tls."+one.domain, dns.TypeTXT, one.tenant)
	record, wants := recordOf(a.TXT)
	if !wants {
		return
	}
	lines, hosts := r.policyOf(one)
	data, err := one.encode(record, lines, hosts)
	if err == nil {
		err = r.send(data)
	}
	if err == nil {
		r.sent.Add(1)
		return
	}
	r.left.Add(1)
	r.mu.Lock()
	defer r.mu.Unlock()
	if left, tell := r.words.Tell(time.Now()); tell && r.o.Log != nil {
		r.o.Log.Warn("the collector of TLS reports is not told", "socket", r.o.Socket, "error", err, "left_out", left)
	}
}

// policyOf is the policy as it was published, as far as it is still known.
func (r *Reporter) policyOf(one *told) (lines, hosts []string) {
	switch one.policy {
	case policySTS:
		if r.o.Policies != nil {
			if found, _ := r.o.Policies.Look(one.domain, one.tenant); found.Policy != nil {
				return found.Policy.Lines, found.Policy.MX
			}
		}
	case policyTLSA:
		a, _ := r.o.Resolver.Known("_25._tcp."+one.base, dns.TypeTLSA)
		for i := range a.TLSA {
			t := &a.TLSA[i]
			lines = append(lines, fmt.Sprintf("%d %d %d %X", t.Usage, t.Selector, t.Type, t.Data[:min(len(t.Data), mostText)]))
		}
	}
	return lines, nil
}

// send writes a datagram to the socket as it is now: whoever reads there may have begun anew. A socket that is full is not waited for.
func (r *Reporter) send(data []byte) error {
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: r.o.Socket, Net: "unixgram"})
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetWriteDeadline(time.Now().Add(sendTime)); err != nil {
		return err
	}
	_, err = conn.Write(data)
	return err
}
