package session_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/session"
)

// walks is how many a run takes.
func walks() int {
	switch {
	case inFull():
		return 2_000_000
	case raceDetector:
		return 4_000
	default:
		return 120_000
	}
}

// A walk is one session: an MSA says MAIL, RCPT, DATA, messages, RSET, EHLO, HELO, NOOP, QUIT and junk in any order, pipelined or not,
// to an MX that takes everything, or what RFC 5321 lets it, or what it likes; with and without a gate, with sending IPs that a mail must
// move to, with an MX that has no TLS where it must be, with none at all. Whatever comes of it:
//
//   - nothing reaches an MX that was not admitted at MAIL, and at RCPT, and nothing at all one that must have TLS and has none;
//   - every message that an MX may have taken has its record, with the sender that it was admitted for;
//   - each command has one reply, its own, and each 2xx is the MX's, also where the content of messages is judged;
//   - no line of a message is taken for a command, and no command for a line of a message.
//
// law: I1 I4 I5 I6 I7 I11 I16 B9 N-e
func TestModelOfAdmittedMail(t *testing.T) {
	const workers = 2
	var tally walkTally
	begun := time.Now()
	t.Run("worker", func(t *testing.T) {
		for n := range workers {
			t.Run(fmt.Sprint(n), func(t *testing.T) {
				t.Parallel()
				for seed := n; seed < walks(); seed += workers {
					if w := newWalk(uint64(seed)); !w.run(t, &tally) {
						return
					}
				}
			})
		}
	})
	t.Logf("%d walks in %s: %d commands, %d MAILs refused by kanmon, %d RCPTs and DATAs behind none; %d messages at MXs, %d taken, "+
		"%d walks that begin without an MX, %d messages judged; let through 0, without a record 0",
		tally.walks.Load(), time.Since(begun).Round(time.Second/10), tally.commands.Load(), tally.refused.Load(), tally.stray.Load(),
		tally.messages.Load(), tally.taken.Load(), tally.noLeg.Load(), tally.inspected.Load())
	for _, n := range []*atomic.Int64{&tally.refused, &tally.stray, &tally.messages, &tally.taken, &tally.noLeg, &tally.inspected} {
		if n.Load() == 0 {
			t.Error("the walks did not reach what they are to show")
		}
	}
}

// FuzzModelWalk is one walk: to look at one that failed, and for seeds beyond those of the test.
func FuzzModelWalk(f *testing.F) {
	f.Add(uint64(1) << 32)
	var tally walkTally
	f.Fuzz(func(t *testing.T, seed uint64) { newWalk(seed).run(t, &tally) })
}

type walkTally struct {
	walks, commands, refused, stray, messages, taken, noLeg, inspected atomic.Int64
}

// walk is one session with its world.
type walk struct {
	seed      uint64
	random    *rand.Rand
	msa       *walkMSA
	mxs       []*walkMX
	gate      *walkGate // nil: none
	moves     bool      // there are two sending IPs, and mail for which the other one is right
	suspended bool      // no sending IP may be used until the sender is known
	require   bool      // TLS must be, and no MX has it
	engine    testEngine
	live      session.Live
	records   []walkRecord

	inspections, unclosed int
}

type walkRecord struct {
	sender  string
	outcome event.Outcome
}

// Record implements [session.Recorder].
func (w *walk) Record(r *event.Record) {
	if tx := r.Transaction; tx != nil {
		w.records = append(w.records, walkRecord{string(r.Text(tx.Sender)), tx.Outcome})
	}
	r.Release()
}

func newWalk(seed uint64) *walk {
	random := rand.New(rand.NewPCG(seed, 3))
	w := &walk{seed: seed, random: random, msa: &walkMSA{random: random, groups: 2 + random.IntN(6)}}
	if random.IntN(4) == 0 {
		w.msa.chunk = 1 + random.IntN(60)
	}
	w.engine.Engine = session.Engine{Live: &w.live, Recorder: w, Log: slog.New(slog.DiscardHandler)}
	w.engine.leaves(dialFunc(w.dial))
	if random.IntN(3) > 0 {
		w.gate = &walkGate{passed: map[string]bool{}, shut: random.IntN(20) == 0}
		w.engine.Gate = w.gate
	}
	switch random.IntN(4) {
	case 0:
		w.require = true
		w.engine.Destination = func(netip.Addr) session.Destination { return session.Destination{TLS: session.TLSRequire} }
	case 1, 2:
		w.moves, w.suspended = true, random.IntN(4) == 0
		w.engine.Mover, w.engine.Judge = w, w
	}
	if w.engine.Observe = !w.moves; w.gate != nil && w.moves && random.IntN(2) == 0 {
		w.gate.inspects = func() session.Inspection {
			w.inspections++
			w.unclosed++
			return swiftInspection{random, &w.unclosed}
		}
	}
	return w
}

func (w *walk) dial(_ context.Context, req session.DialRequest) (session.Outbound, error) {
	ip := w.right(req)
	switch {
	case w.suspended && !req.SenderKnown, !ip.IsValid():
		return session.Outbound{}, session.ErrSuspended
	case req.Rescue && slices.Contains(req.Avoid, ip):
		return session.Outbound{}, session.ErrNoOtherIP
	}
	mx := &walkMX{random: w.random, kind: mxKind(w.random.IntN(3)), pipelining: w.random.IntN(5) > 0, listed: w.moves && w.random.IntN(3) == 0}
	if mx.kind == mxScripted && w.random.IntN(30) == 0 {
		mx.out, mx.ended = []byte("554 re (connected)\r\n"), true
	} else {
		mx.out = []byte("220 re (connected)\r\n")
	}
	w.mxs = append(w.mxs, mx)
	out := session.Outbound{Conn: mx}
	if w.moves || w.require {
		out.SendingIP, out.Name = ip, "out.example"
	}
	return out, nil
}

// right is the sending IP for a mail, as far as it is known; the zero Addr: there is none.
func (w *walk) right(req session.DialRequest) netip.Addr {
	ip := sendingIPs[0]
	for _, name := range []string{req.Sender, req.Recipient} {
		switch {
		case !w.moves:
		case strings.HasSuffix(name, "@nowhere.example"):
			return netip.Addr{}
		case strings.HasSuffix(name, "@second.example"):
			ip = sendingIPs[1]
		}
	}
	if slices.Contains(req.Avoid, ip) {
		return sendingIPs[slices.Index(sendingIPs[:2], ip)^1]
	}
	return ip
}

// MayStay implements [session.Way].
func (w *walk) MayStay(req session.DialRequest, ip netip.Addr) bool { return w.right(req) == ip }

// Judge implements [session.Way].
func (*walk) Judge(r session.MXRefusal) session.Judgement {
	return session.Judgement{Rescue: strings.Contains(string(r.Text), "listed:"), Class: event.PolicyUnspecified}
}

// Accepted implements [session.Way].
func (*walk) Accepted(netip.Addr) {}

// run walks, and reports whether all was as it must be.
func (w *walk) run(t *testing.T, tally *walkTally) bool {
	w.engine.Serve(w.msa, session.Origin{Source: msaAddr, Destination: mxAddr})
	w.msa.hear()
	err := w.msa.wrong
	if err == nil {
		err = w.judge(tally)
	}
	if err != nil {
		t.Errorf("seed %d: %v\nMSA said and heard:\n%srecords: %+v", w.seed, err, printTalk(w.msa.talk), w.records)
		for i, mx := range w.mxs {
			t.Logf("MX %d of kind %d, leg closed: %t, left over %q:", i, mx.kind, mx.closed, mx.in)
			for _, h := range mx.heard {
				t.Logf("  write %d %.200q %.200q -> %.200q", h.write, h.line, h.body, h.reply)
			}
		}
	}
	return err == nil
}

var walkAddress = regexp.MustCompile(`[mr][0-9]+@[a-z]+\.example`)
