package session_test

import (
	"context"
	"fmt"
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
	own "kanmon/internal/smtp/replies"
	"kanmon/internal/smtp/smtptest"
)

// contentFaults is how many random faults a run takes: `make content` asks for all of them.
func contentFaults() int {
	switch {
	case os.Getenv("KANMON_CONTENT") == "full":
		return 100_000
	case raceDetector:
		return 1_500
	default:
		return 6_000
	}
}

// Sessions of one to three mails each, which are judged in any lane by scanners that say anything, at any time, or never, give no room, or panic,
// on connections that are cut at any octet in any way, to MXs that refuse, hang up, say too much or take their time, while kanmon drains or a
// person ends the session. Whatever comes of it:
//
//   - who was told 2xx has been delivered, once, and who was told 5xx has not been;
//   - one attempt never puts two copies into a mailbox;
//   - what was refused, deferred or not judged in time has not been delivered, where the verdict is ahead of the delivery;
//   - what the verdict wants to leave from another pool has left from there, or not at all;
//   - nothing is left over: no octet, no place, no inspection that was not closed once.
//
// law: I1 I3 I4 I23 I24 I25 H1/MX-421 H2/replay H3/replay H4/MSA-lost H4/MX-421 H4/malformed H4b/MSA-lost H4b/MX-421 H4b/malformed H5/MSA-lost H6/MSA-lost T1/replay
func TestFaultsOverAllLanes(t *testing.T) {
	const workers, perBubble = 2, 50
	var tally contentTally
	begun := time.Now()
	t.Run("worker", func(t *testing.T) {
		for worker := range workers {
			t.Run(fmt.Sprint(worker), func(t *testing.T) {
				t.Parallel()
				for first := worker * perBubble; first < contentFaults() && !t.Failed(); first += workers * perBubble {
					synctest.Test(t, func(t *testing.T) {
						for seed := first; seed < first+perBubble && !t.Failed(); seed++ {
							newContentWalk(uint64(seed), &tally).run(t)
						}
					})
				}
			})
		}
	})
	t.Logf("%d faults in %s: %d mails, %d judged (behind %d, hold %d, tee %d), %d delivered, %d diverted, %d told nothing of a delivery; lost 0, doubled 0, "+
		"delivered where it was closed 0, octets and inspections left over 0",
		tally.faults.Load(), time.Since(begun).Round(time.Second), tally.mails.Load(), tally.judged.Load(), tally.lanes[event.LaneBehind].Load(),
		tally.lanes[event.LaneHold].Load(), tally.lanes[event.LaneTee].Load(), tally.delivered.Load(), tally.diverted.Load(), tally.unsure.Load())
	for _, n := range []*atomic.Int64{&tally.delivered, &tally.diverted, &tally.closed, &tally.lanes[1], &tally.lanes[2], &tally.lanes[3], &tally.panics} {
		if n.Load() == 0 {
			t.Error("the faults did not reach what they are to show")
		}
	}
}

// FuzzContentFault is one of them: to look at one that failed.
func FuzzContentFault(f *testing.F) {
	f.Add(uint64(1) << 32)
	var tally contentTally
	f.Fuzz(func(t *testing.T, seed uint64) {
		synctest.Test(t, func(t *testing.T) { newContentWalk(seed, &tally).run(t) })
	})
}

type contentTally struct {
	faults, mails, judged, delivered, diverted, unsure, closed, panics atomic.Int64

	lanes [event.LaneCount]atomic.Int64
}

// A contentWalk is one session.
type contentWalk struct {
	seed  uint64
	tally *contentTally
	rig   *rig
	far   smtptest.MX // that doubtful mail goes to
	all   []*walkInspection
	held  int // octets that are granted, and not given back
	dials int
	ends  []*smtptest.Conn

	mu     sync.Mutex // of what both peers use
	random *rand.Rand
	faults int // that this session may still have
	did    []string
}

func (w *contentWalk) intN(n int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.random.IntN(n)
}

func (w *contentWalk) note(what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.did = append(w.did, what)
}

func newContentWalk(seed uint64, tally *contentTally) *contentWalk {
	w := &contentWalk{seed: seed, random: rand.New(rand.NewPCG(seed, 18)), tally: tally, rig: newRig()}
	w.faults = 1 + w.intN(2)
	e := &w.rig.engine
	e.Gate, e.Judge, e.Mover, e.Dialer = w, w, w, w
	w.rig.mx.Reply, w.far.Reply = w.reply, w.reply
	return w
}

// fault reports whether one happens now, of those that the session has.
func (w *contentWalk) fault(one int, what string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.faults == 0 || w.random.IntN(one) > 0 {
		return false
	}
	w.faults--
	w.tally.faults.Add(1)
	w.did = append(w.did, what)
	return true
}

// Dial implements session.Way.
func (w *contentWalk) Dial(_ context.Context, req session.DialRequest) (session.Outbound, error) {
	ip, mx := sendingIPs[0], &w.rig.mx
	if req.Pool != "" {
		ip, mx = sendingIPs[1], &w.far
	} else if slices.Contains(req.Avoid, ip) {
		ip = thirdIP
	}
	if req.Rescue && slices.Contains(req.Avoid, ip) || w.fault(12, "no other IP") {
		return session.Outbound{}, session.ErrNoOtherIP
	}
	proxy, far := smtptest.Pair(netip.AddrPortFrom(ip, 50000), mxAddr)
	w.cuts(proxy, far, "MX leg")
	w.ends = append(w.ends, far)
	go mx.ServeConn(far)
	return session.Outbound{Conn: proxy, SendingIP: ip, Name: "out.example.jp"}, nil
}

var thirdIP = netip.MustParseAddr("198.51.100.77")

// cuts may have a connection cut at some octet.
func (w *contentWalk) cuts(near, far *smtptest.Conn, what string) {
	if !w.fault(3, what) {
		return
	}
	how := []smtptest.Cut{smtptest.FIN, smtptest.RST, smtptest.Stall}[w.intN(3)]
	end := []*smtptest.Conn{near, far}[w.intN(2)]
	at := w.intN([]int{400, 2000, 40000}[w.intN(3)])
	end.CutWriteAfter(at, how)
	w.note(fmt.Sprint(how, " ", at))
}

func (w *contentWalk) MayStay(req session.DialRequest, ip netip.Addr) bool {
	return (req.Pool != "") == (ip == sendingIPs[1])
}

func (w *contentWalk) Judge(r session.MXRefusal) session.Judgement {
	return session.Judgement{Rescue: strings.Contains(string(r.Text), "listed"), Class: event.PolicyUnspecified}
}
func (*contentWalk) Accepted(netip.Addr) {}

// reply is what an MX says.
func (w *contentWalk) reply(verb string, _ int) string {
	odd := []string{
		"451 4.3.0 later\r\n", "550 5.7.1 no\r\n", "550 5.7.1 your IP is listed\r\n", "421 4.3.2 going down\r\n" + smtptest.CloseConn, "250 ok\r\n250 ok\r\n",
		"gibberish\r\n", smtptest.CloseConn, smtptest.ResetConn, smtptest.Delay(3*time.Minute) + smtptest.Default, "554 5.7.1 no\r\n" + smtptest.CloseConn,
	}
	one := 25
	if verb == "." {
		one = 6
	}
	switch {
	case verb == "QUIT" || verb == "EHLO" && w.dials == 0 || !w.fault(one, verb):
		return smtptest.Default
	case verb == "." && w.intN(3) == 0:
		return smtptest.Accept + odd[6+w.intN(2)]
	}
	reply := odd[w.intN(len(odd))]
	w.note(reply)
	return reply
}

// The gate lets everything pass.
func (w *contentWalk) Enter(session.Origin) session.Pass { return w }
func (*contentWalk) Tell(session.News)                   {}
func (*contentWalk) Close()                              {}

func (w *contentWalk) Ask(q session.Question) session.Decision {
	if q.Step != event.StepContent || w.intN(8) == 0 {
		return session.Decision{}
	}
	i := &walkInspection{walk: w, done: make(chan struct{})}
	w.all = append(w.all, i)
	return session.Decision{Inspect: i}
}

// A walkInspection says what it likes.
type walkInspection struct {
	walk     *contentWalk
	lane     event.Lane
	shut     bool // refused, or deferred, for want of room
	judged   string
	handle   event.Handling // that was said; HandleNot: nothing was, in time
	said     bool
	fields   string
	done     chan struct{}
	grown    int
	closings int
}

func (i *walkInspection) mayPanic(where string) {
	if i.closings > 0 {
		panic(where + " behind Close")
	}
	if i.walk.fault(60, "panic in "+where) {
		i.walk.tally.panics.Add(1)
		panic("a defect in " + where)
	}
}

func (i *walkInspection) Room(int, time.Duration) <-chan struct{} {
	i.mayPanic("Room")
	if i.walk.intN(3) > 0 {
		return nil
	}
	ready := make(chan struct{})
	time.AfterFunc(time.Duration(i.walk.intN(25))*time.Second, func() { close(ready) })
	return ready
}

func (i *walkInspection) Start() session.Start {
	i.mayPanic("Start")
	s := session.Start{Lane: event.Lane(i.walk.intN(int(event.LaneCount))), Dot: time.Minute}
	if i.walk.intN(3) == 0 {
		s.Lane = event.LaneHold
	}
	if i.lane = s.Lane; i.walk.fault(10, "no room") {
		s.Refuse = session.Refuse(1 + i.walk.intN(2))
		i.shut = true
	}
	i.walk.tally.lanes[i.lane].Add(1)
	return s
}

func (i *walkInspection) Grow(n int) bool {
	i.mayPanic("Grow")
	if i.walk.fault(15, "full") {
		return false
	}
	i.grown += n
	i.walk.held += n
	return true
}

func (i *walkInspection) Full() session.Start {
	s := session.Start{}
	if i.lane != event.LaneBehind && i.walk.intN(2) == 0 {
		s.Refuse, i.shut = session.RefuseNow, true
	}
	i.lane = event.LaneOff
	return s
}

func (i *walkInspection) Judge(m session.Message) {
	i.mayPanic("Judge")
	i.walk.tally.judged.Add(1)
	text := make([]byte, m.Octets+1)
	n, _ := m.Open().Read(text)
	i.judged = string(text[:n])
	if i.walk.fault(6, "never") {
		return
	}
	time.AfterFunc(time.Duration(i.walk.intN(2)*i.walk.intN(12_000))*time.Millisecond, func() { close(i.done) })
}

func (i *walkInspection) Done() <-chan struct{} { return i.done }

func (i *walkInspection) Verdict() session.Opinion {
	i.mayPanic("Verdict")
	i.said = true
	i.handle = []event.Handling{event.HandleNot, event.HandleAccept, event.HandleAccept, event.HandleDivert, event.HandleDefer, event.HandleRefuse}[i.walk.intN(6)]
	o := session.Opinion{Handle: i.handle, Pool: "doubtful", Say: own.LimitReached.Say("this account", "content", "1", "retry later")}
	if i.walk.intN(4) == 0 && i.lane == event.LaneHold {
		i.fields = "X-Tag: acme\r\n"
		o.Fields = []byte(i.fields)
	}
	return o
}

func (i *walkInspection) Close(session.Came) {
	i.closings++
	i.walk.held -= i.grown
}

// isShut reports whether the message must not have been delivered.
func (i *walkInspection) isShut() bool {
	ahead := i.lane == event.LaneHold || i.lane == event.LaneTee
	return i.shut || ahead && (!i.said || i.handle >= event.HandleDefer)
}

// run delivers, and looks at what came of it.
func (w *contentWalk) run(t *testing.T) {
	conn, proxy, ended := w.rig.connect()
	w.cuts(conn, proxy, "MSA leg")
	if w.fault(12, "drain") {
		stop, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		time.AfterFunc(time.Duration(w.intN(20_000))*time.Millisecond, func() { go func() { _ = w.rig.live.Drain(stop) }() })
	}
	if w.fault(12, "order") {
		time.AfterFunc(time.Duration(w.intN(20_000))*time.Millisecond, func() {
			for seen := range w.rig.live.All() {
				go w.rig.live.End(t.Context(), seen.ID, "a person")
			}
		})
	}
	msa := smtptest.NewMSA(t, conn)
	for n := range 1 + w.intN(3) {
		before := len(w.all)
		body := w.body(n)
		d := msa.Deliver("a@example.com", []string{"b@example.net"}, body, w.intN(2) == 0)
		w.dials = 1
		if d.Err != nil {
			_ = conn.Close()
			<-ended
		}
		synctest.Wait()
		if wrong := w.judge(body, w.all[before:], d); wrong != "" {
			t.Errorf("seed %d, mail %d: %s; %v, dot sent %t, %v; faults: %q", w.seed, n+1, wrong, d.Verdicts, d.DotSent, d.Replies, w.did)
		}
		if d.Err != nil {
			break
		}
	}
	_ = msa.Quit()
	select {
	case <-ended:
	case <-time.After(2 * time.Hour):
		t.Errorf("seed %d: the session does not end; faults: %q", w.seed, w.did)
	}
	for _, end := range w.ends {
		end.Reset() // nobody else ends a connection that is stalled
	}
	time.Sleep(10 * time.Minute) // an MX that takes its time ends, too
	synctest.Wait()
	w.nothingIsLeft(t)
}

func (w *contentWalk) nothingIsLeft(t *testing.T) {
	for _, i := range w.all {
		if i.closings != 1 {
			t.Errorf("seed %d: an inspection was closed %d times; faults: %q", w.seed, i.closings, w.did)
		}
	}
	if kept := session.KeptOctets(&w.rig.live); w.held != 0 || kept != 0 || w.rig.live.Count() != 0 {
		t.Errorf("seed %d: %d octets of content, %d of rescue, %d sessions left; faults: %q", w.seed, w.held, kept, w.rig.live.Count(), w.did)
	}
	for _, p := range w.rig.log.panics() {
		if !strings.Contains(p, "a defect in ") {
			t.Errorf("seed %d: %s; faults: %q", w.seed, p, w.did)
		}
	}
}

func (w *contentWalk) body(n int) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "Subject: mail %d of %d\r\n\r\n.dot\r\n", n, w.seed)
	for range w.intN([]int{2, 100, 900}[w.intN(3)]) {
		b.WriteString("..The quick brown fox jumps over.\r\n")
	}
	return []byte(b.String())
}

// judge says what is wrong with what came of one mail; "" if nothing is.
func (w *contentWalk) judge(body []byte, of []*walkInspection, d smtptest.Delivery) string {
	w.tally.mails.Add(1)
	var i *walkInspection
	sent := body
	if len(of) > 0 {
		i = of[len(of)-1]
		sent = append([]byte(i.fields), body...)
		if i.judged != "" && i.judged != string(body) {
			return fmt.Sprintf("the scanner had %.200q, not %.200q", i.judged, body)
		}
	}
	near, far := w.rig.mx.Mailbox.Count(sent), w.far.Mailbox.Count(sent)
	copies := near + far
	switch told := d.Verdicts[0]; {
	case copies > 1:
		return fmt.Sprintf("doubled: %d copies", copies)
	case told == smtptest.Accepted && copies == 0:
		return "lost"
	case told == smtptest.Bounced && copies > 0:
		return "returned, and delivered"
	case copies > 0 && told == smtptest.Deferred:
		w.tally.unsure.Add(1)
	case copies > 0:
		w.tally.delivered.Add(1)
	}
	if i == nil {
		return ""
	}
	if i.isShut() {
		if w.tally.closed.Add(1); copies > 0 {
			return fmt.Sprintf("delivered in lane %s where it was closed (refused %t, verdict %q)", i.lane, i.shut, i.handle)
		}
	}
	if i.lane == event.LaneHold && i.handle == event.HandleDivert {
		if w.tally.diverted.Add(int64(far)); near > 0 {
			return "diverted, and delivered from the other pool"
		}
	}
	return ""
}

// The scanners have a message as its receiver has it, in whatever pieces it came.
func TestContentIsUnstuffed(t *testing.T) {
	for stuffed, want := range map[string]string{
		"":                            "",
		"..\r\n":                      ".\r\n",
		".a\r\n..b\r\nc.\r\n":         "a\r\n.b\r\nc.\r\n",
		"a\n.b\r\n":                   "a\n.b\r\n",
		"a\r.b\r\n":                   "a\r.b\r\n",
		"\r\n..\r\n...\r\n":           "\r\n.\r\n..\r\n",
		strings.Repeat("..x\r\n", 50): strings.Repeat(".x\r\n", 50),
	} {
		for size := 1; size <= len(stuffed)+1; size++ {
			var pieces [][]byte
			for rest := []byte(stuffed); len(rest) > 0; rest = rest[min(size, len(rest)):] {
				pieces = append(pieces, rest[:min(size, len(rest))])
			}
			for _, most := range []int{1, 3, 1000} {
				if got := session.Unstuffed(pieces, most); got != want {
					t.Errorf("%q in pieces of %d, read by %d: %q, want %q", stuffed, size, most, got, want)
				}
			}
		}
	}
}
