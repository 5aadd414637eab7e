package content

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/policy/inspect"
	"kanmon/internal/session"
	"kanmon/internal/smtp/replies"
)

// An Inspection is how one message is judged. It implements [session.Inspection]. The session's goroutine calls it; the scanners' has scan alone.
type Inspection struct {
	judge  *Judge
	tenant *Tenant
	mail   Mail
	mx     netip.Addr
	choice

	hold   *inspect.Hold
	grown  int64
	begun  time.Time // the message's end
	done   chan struct{}
	cancel context.CancelFunc
	result Verdict // behind done, as is told
	told   *event.Content

	mu      sync.Mutex
	closed  bool // by the session
	running bool // the scanners may read the message
	given   bool // the room is given back
}

// Named says whose message it is, once a field of its header has told. What is against the account that the envelope names stays against it.
func (i *Inspection) Named(m Mail) {
	m.Suspicion = max(m.Suspicion, i.mail.Suspicion)
	m.Contained = m.Contained || i.mail.Contained
	m.Size, m.Replied, m.WasSlow, m.Number = i.mail.Size, i.mail.Replied, i.mail.WasSlow, i.mail.Number
	i.mail = m
}

// Room implements [session.Inspection]. A message that nobody is to wait for does not wait for room.
func (i *Inspection) Room(_ int, replied time.Duration) <-chan struct{} {
	i.mail.Replied = max(i.mail.Replied, replied)
	if i.lane == event.LaneHold {
		i.mayNotHold(&i.judge.o.Settings, &i.mail)
	}
	if i.refusesSize() {
		return nil
	}
	octets := min(i.mail.Size, i.most())
	if i.tooLarge { // if that is true all of it will be asked for, and none be used
		octets = 0
	}
	i.hold = i.judge.o.Budget.Ask(i.mail.Tenant, octets)
	ready := i.hold.Ready()
	if ready != nil && i.lane == event.LaneBehind {
		i.hold.Give()
		return nil
	}
	return ready
}

// refusesSize reports whether a message is refused for the size that its sender has announced. Where such messages go on unjudged what is
// announced is not believed: a sender who says a large number would have nothing scanned.
func (i *Inspection) refusesSize() bool {
	return i.tooLarge && i.without(event.LackTooLarge, "").Refuse != session.RefuseNot
}

// most is how large a message may become that is kept.
func (i *Inspection) most() int64 {
	if i.lane == event.LaneHold {
		return min(i.judge.o.Hold, i.judge.o.largest(i.tenant))
	}
	return i.judge.o.largest(i.tenant)
}

// Start implements [session.Inspection].
func (i *Inspection) Start() session.Start {
	switch {
	case i.refusesSize():
		return i.without(event.LackTooLarge, fmt.Sprintf("%d octets are announced", i.mail.Size))
	case !i.hold.Granted():
		return i.without(event.LackBusy, "no memory for the message")
	}
	return session.Start{Lane: i.lane, Dot: i.judge.o.Dot, Pause: i.within() + teeSlack, Told: i.unjudged()}
}

// within is how long the scanners have. Behind it the rules for a message without a verdict hold, which the session does not know.
func (i *Inspection) within() time.Duration {
	if i.lane == event.LaneTee {
		return min(teePause, i.judge.o.Verdict)
	}
	return i.judge.o.Verdict
}

// unjudged is what there is to tell of a message whose verdict is yet to come.
func (i *Inspection) unjudged() *event.Content {
	return &event.Content{Lane: i.lane, Wanted: i.wanted, Why: i.why}
}

// Grow implements [session.Inspection].
func (i *Inspection) Grow(octets int) bool {
	if i.tooLarge = i.grown+int64(octets) > i.most(); i.tooLarge || !i.hold.Grow(int64(octets)) {
		return false
	}
	i.grown += int64(octets)
	return true
}

// Full implements [session.Inspection].
func (i *Inspection) Full() session.Start {
	if i.tooLarge {
		if i.lane == event.LaneHold {
			i.judge.o.Memory.tookTooLong(i.mx, i.mail.Size, i.mail.Tenant, i.judge.o.Clock())
		}
		return i.without(event.LackTooLarge, fmt.Sprintf("more than %d octets", i.most()))
	}
	return i.without(event.LackBusy, "no more memory for the message")
}

// without says what becomes of a message that no scanner is asked about: as if each had said that it lacks what it needs.
func (i *Inspection) without(lack event.Lack, why string) session.Start {
	s, told := &i.judge.o.Settings, i.unjudged()
	for _, name := range s.asked(i.tenant) {
		told.Scans = append(told.Scans, event.Scan{Scanner: name, State: event.ScanSkipped, Lack: lack, Why: why})
	}
	v := s.Of(i.tenant, told.Scans, i.mail.Suspicion, "")
	told.Verdict, told.Rule = v.Handle, v.Rule
	if told.Wanted == event.LaneOff {
		told.Wanted = i.lane
	}
	told.Lane = event.LaneOff
	if v.Handle < event.HandleDefer || !s.Enforce || i.lane == event.LaneBehind {
		told.Done = event.HandleAccept
		return session.Start{Told: told}
	}
	told.Done, told.Reference = event.HandleDefer, NewReference()
	say := v.say(told.Reference)
	if lack == event.LackBusy {
		told.Reference, say = "", replies.NoRoomToScan.Say()
	}
	return session.Start{Refuse: session.RefuseNow, Say: say, Told: told}
}

// Judge implements [session.Inspection].
func (i *Inspection) Judge(m session.Message) {
	ctx, cancel := context.WithTimeout(context.Background(), i.within())
	i.begun, i.cancel, i.done, i.running = i.judge.o.Clock(), cancel, make(chan struct{}), true
	mail := inspect.Mail{
		ID: fmt.Sprintf("%s-%d", m.Session, m.Number), Tenant: i.mail.Tenant, Account: i.mail.Account, Source: m.Source, Helo: m.Helo, Sender: m.Sender,
		Recipients: m.Recipients, UTF8: m.UTF8, SendingIP: m.SendingIP, Octets: m.Octets, Open: m.Open, Scanners: i.tenant.Scanners,
	}
	i.judge.running.Go(func() {
		defer i.ended()
		defer close(i.done)
		defer cancel()
		i.scan(ctx, &m, mail)
	})
}

// scan has the message scanned, and tells whoever is to hear of it.
func (i *Inspection) scan(ctx context.Context, m *session.Message, mail inspect.Mail) {
	s := &i.judge.o.Settings
	mild := exemption(m.Sender, m.Recipients, m.Unlisted, i.mail.Forwarded, m.Open)
	scans := i.put(ctx, m, mail)
	v := s.Of(i.tenant, scans, i.mail.Suspicion, mild)
	if i.mail.Allowed && v.Seen && v.Handle > event.HandleAccept {
		v = s.allowed(i.tenant, scans, v, mild)
	}
	told := i.unjudged()
	told.Verdict, told.Rule, told.Octets, told.Scans = v.Handle, v.Rule, m.Octets, scans
	if v.Why != "" {
		told.Why = v.Why
	}
	if v.Handle > event.HandleAccept {
		told.Reference = NewReference()
	}
	told.Done = event.HandleAccept
	if i.lane != event.LaneBehind {
		told.Done = v.Handle
	}
	i.result, i.told = v, told
	o := &Outcome{
		At: i.judge.o.Clock(), Session: m.Session, Transaction: m.Number, Tenant: i.mail.Tenant, Account: i.mail.Account, Enforced: s.Enforce,
		Mild: mild != "", Allowed: i.mail.Allowed, Seen: v.Seen, P: v.P, Virus: len(v.Found) > 0,
	}
	if i.lane == event.LaneBehind {
		o.Content = told
	}
	if v.Seen || o.Content != nil {
		i.judge.o.Heard(o)
	}
}

// put puts the message to the scanners. Whoever is not told whom a message goes to judges another one: that is no way around them where somebody
// waits. The gate sees to it that this does not come to be (session.Decision, Whole), but for a DATA that the MX has refused before.
func (i *Inspection) put(ctx context.Context, m *session.Message, mail inspect.Mail) (scans []event.Scan) {
	if m.Unlisted == 0 || i.lane == event.LaneBehind {
		return i.judge.o.Scanners.Inspect(ctx, mail)
	}
	for _, name := range i.judge.o.asked(i.tenant) {
		scans = append(scans, event.Scan{Scanner: name, State: event.ScanSkipped, Lack: event.LackUnfit, Why: fmt.Sprintf("%d recipients are not known any more", m.Unlisted)})
	}
	return scans
}

// Done implements [session.Inspection].
func (i *Inspection) Done() <-chan struct{} { return i.done }

// Verdict implements [session.Inspection].
func (i *Inspection) Verdict() session.Opinion {
	o := session.Opinion{Handle: i.result.Handle, Told: i.told}
	switch i.result.Handle {
	case event.HandleDivert:
		if i.lane == event.LaneTee { // the message is on its way from another pool
			o.Handle, o.Told.Done = event.HandleAccept, event.HandleAccept
			o.Told.Why += "; not diverted: its MX has the beginning already"
			break
		}
		o.Pool = i.judge.o.Pool
	case event.HandleDefer, event.HandleRefuse:
		o.Say = i.result.say(i.told.Reference)
	}
	if i.lane == event.LaneHold {
		o.Fields = i.tenant.Fields
	}
	return o
}

// Close implements [session.Inspection].
func (i *Inspection) Close(came session.Came) {
	s := &i.judge.o
	if i.lane == event.LaneHold && !i.begun.IsZero() && came.Code == 0 && s.Clock().Sub(i.begun) >= s.Dot {
		s.Memory.tookTooLong(i.mx, i.mail.Size, i.mail.Tenant, s.Clock())
	}
	if i.cancel != nil && i.lane != event.LaneBehind {
		i.cancel() // nobody waits for it
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.closed = true
	i.giveBack()
}

// ended is called when no scanner reads the message any more.
func (i *Inspection) ended() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.running = false
	i.giveBack()
}

// giveBack gives the room back when nobody has the message any more; mu is held.
func (i *Inspection) giveBack() {
	if i.closed && !i.running && !i.given && i.hold != nil {
		i.given = true
		i.hold.Give()
	}
}
