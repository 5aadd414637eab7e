package standing

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/who/witness"
)

// A weight is what a piece of evidence can do.
type weight uint8

const (
	nothing   weight = iota
	throttles        // slow down
	may              // suspend, with enough others
	yes              // suspend
)

// A blame is what a refusal's scope makes of it here.
type blame uint8

const (
	_         blame = iota // nobody has thought about it: a test fails
	ofOthers               // it is about a tenant, a message, a recipient or the receiver
	ofNobody               // it does not say whom it is about: the words about our IP count, a limit does not
	ofIP                   // it is about our IP
	ofNetwork              // and about its neighbours
)

var blames = [event.ScopeCount]blame{
	event.Unscoped:         ofNobody,
	event.ScopeUnknown:     ofNobody,
	event.ScopeIP:          ofIP,
	event.ScopeNetblock:    ofNetwork,
	event.ScopeConnections: ofIP,
	event.ScopeHost:        ofOthers, // names that the operator has to mend; another IP's pause would not help
	event.ScopeSender:      ofOthers,
	event.ScopeMessage:     ofOthers,
	event.ScopeTransaction: ofOthers,
	event.ScopeRecipient:   ofOthers,
	event.ScopeReceiver:    ofOthers,
	event.ScopeProtocol:    ofOthers,
}

// AboutIP reports whether a refusal of a scope meets whatever leaves from our IP.
func AboutIP(s event.Scope) bool { return blames[s] == ofIP || blames[s] == ofNetwork }

// A burden is what a class is evidence of. Whether a reply suspends, its verdict says (Evidence.Suspend): a class alone only slows.
type burden uint8

const (
	_     burden = iota // nobody has thought about it: a test fails
	light               // by itself it slows nothing
	slows               // there is too much of us
)

var burdens = [event.ClassCount]burden{
	event.Unjudged:          light,
	event.NoRefusal:         light,
	event.IPBlocklisted:     light,
	event.IPReputation:      light,
	event.Throttled:         slows,
	event.Greylisted:        light,
	event.DNSIdentity:       light,
	event.AuthFailed:        light,
	event.SenderRejected:    light,
	event.ContentRejected:   light,
	event.RecipientInvalid:  light,
	event.MailboxFull:       light,
	event.RecipientPolicy:   light,
	event.MessageTooBig:     light,
	event.RelayDenied:       light,
	event.TLSRequired:       light,
	event.SystemError:       light,
	event.PolicyUnspecified: light,
	event.SilentDial:        light,
	event.SilentReset:       light,
}

// A worth is what a list's weight makes of a listing.
type worth struct {
	known bool // else nobody has thought about it: a test fails
	alone bool // it suspends by itself. Not: small or careless lists, and services that have ended, of which stale answers remain
	asked bool // it is one of the table, and still there: it can be asked
}

var worths = [event.WeightCount]worth{
	event.WeightUnknown: {known: true, alone: true},
	event.WeightStrong:  {known: true, alone: true, asked: true},
	event.WeightWeak:    {known: true, asked: true},
	event.WeightClosed:  {known: true},
	event.WeightRange:   {known: true, alone: true, asked: true},
}

func (ev *Evidence) weigh() (w weight, slowed bool) {
	whom := blames[ev.Scope]
	if ev.Own || whom == ofOthers {
		return nothing, false
	}
	slowed = burdens[ev.Class] == slows && whom != ofNobody
	switch ev.Suspend {
	case event.SuspendYes:
		if len(ev.Lists) > 0 && !slices.ContainsFunc(ev.Lists, func(l List) bool { return worths[l.Weight].alone }) {
			return may, slowed
		}
		return yes, slowed
	case event.SuspendMay:
		if !ev.Contained {
			return may, slowed
		}
	}
	if slowed {
		return throttles, true
	}
	return nothing, false
}

// Observe takes a refusal into account, and gives the standings that it changed. What is not about our IP changes
// nothing and is not kept.
func (b *Book) Observe(ev Evidence) (changed []Standing) {
	w, slowed := ev.weigh()
	k := ev.key()
	if w == nothing || !k.valid() || k.Provider == Every {
		return nil
	}
	ev.bound()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.hearing = ev.Session
	defer func() { b.hearing = 0 }()
	now := b.clock()
	e := b.entryBy(k, ev.Tenant, now)
	b.adjust(e, now)
	before := e.Standing
	if b.wholeOf(k.IP, now) != nil {
		b.judge(e, now)
	}
	e.see(&ev, now)
	b.touch(e, now)
	whole := ev
	if ev.oneCustomer(e) {
		whole.OneDestination = false // there may be others, of which nothing has been heard yet
	}
	switch {
	case !ev.Nobodys && (!ev.Again || ev.Place == ""):
		b.act(e, e, &whole, w, slowed, now)
	case e.State == Probing && w >= may:
		b.set(e, now, Suspended, b.policy(k.Provider).ProbeRetry) // it has told nothing; the next one may
	}
	if before.State == Probing && e.State == Suspended {
		b.tried(e, "refused")
	}
	if e.differs(&before) {
		changed = append(changed, e.onWall(now))
	}
	if !ev.Nobodys && e.State != Suspended && ev.Place != "" && (w == yes || w == may && ev.oneCustomer(e)) {
		changed = append(changed, b.actAt(k.At(ev.Place), e, &ev, w, now)...)
	}
	if blames[ev.Scope] == ofNetwork && !ev.Nobodys && (ev.ofAll(e) || e.State == Suspended) {
		changed = append(changed, b.slowNeighbours(k, &ev, now)...)
	}
	named := []*entry{e}
	if ev.Place != "" {
		if part := b.entry(k.At(ev.Place)); part != nil {
			named = append(named, part)
		}
	}
	for _, l := range ev.Lists {
		for _, e := range named {
			b.ask(e, l, source{ev.Tenant, cmp.Or(ev.Speaker, ev.Provider)}, now)
		}
	}
	return changed
}

func (e *entry) differs(before *Standing) bool {
	return before.State != e.State || before.Share != e.Share || !before.Until.Equal(e.Until) || before.Strikes != e.Strikes
}

// oneCustomer reports whether a reply is that of the only recipient domain that is known at an MX of no known provider.
func (ev *Evidence) oneCustomer(e *entry) bool {
	return ev.OneDestination && ev.Place != "" && strings.HasPrefix(e.Provider, witness.Strange)
}

// act moves the state as the evidence demands. Counting goes on in every state; what is by hand stays. What was accepted is counted of the
// provider as a whole.
func (b *Book) act(e, whole *entry, ev *Evidence, w weight, slowed bool, now time.Time) {
	p := b.policy(e.Provider)
	wantsListed, wantsThrottled := p.Listed, p.Throttled
	if ev.Place != "" && !e.part() {
		wantsListed = wantsListed.byTwo()
	}
	if !ev.ofAll(e) {
		wantsThrottled = wantsThrottled.byTwo()
	}
	listed := w == yes && e.listed.add(wantsListed, ev, now)
	refused := w >= may && e.refused.add(p.Refused, ev, now)
	throttled := slowed && (e.throttled.add(wantsThrottled, ev, now) || ev.Final && ev.ofAll(e))
	if w >= may {
		e.countRefusal(p.Refused.Within, now)
	}
	first := p.RefusedFirst
	if w == yes {
		first = p.ListedFirst
	}
	switch {
	case e.State == Stopped || e.State == Suspended && e.byHand():
	case e.State == Suspended:
		if w >= may && e.sole != nil && e.sole.message != ev.Message {
			e.sole = nil
		}
		b.prolong(e, ev, listed, first, now)
	case e.State == Probing && ev.Place != "" && w >= may && !listed && !refused:
		b.set(e, now, Suspended, p.ProbeRetry) // it told of one customer of the provider; the next one tells more
	case e.State == Probing:
		if w >= may {
			b.suspend(e, ev, first, now)
		}
	case listed, refused && whole.mostlyRefused(p.RefusedPart):
		b.suspend(e, ev, first, now)
	case throttled:
		b.cut(e, ev, p, now)
	}
}

// ofAll reports whether a reply speaks for all of the key. At an MX that is no known provider's all words are about that MX.
func (ev *Evidence) ofAll(e *entry) bool {
	return ev.Place == "" || e.part() || strings.HasPrefix(e.Provider, witness.Strange)
}

// actAt suspends an IP at the part of a provider that has spoken. There it waits for no probe: what has run out is over, and the next
// reply suspends for twice as long.
func (b *Book) actAt(k Key, whole *entry, ev *Evidence, w weight, now time.Time) []Standing {
	if !k.valid() {
		return nil
	}
	e := b.entryBy(k, ev.Tenant, now)
	b.adjust(e, now)
	b.endPart(e, now)
	before := e.Standing
	e.see(ev, now)
	b.touch(e, now)
	b.act(e, whole, ev, w, false, now)
	if !e.differs(&before) {
		return nil
	}
	return []Standing{e.onWall(now)}
}

func (b *Book) endPart(e *entry, now time.Time) {
	if e.part() && e.State == Suspended && !now.Before(e.Until) {
		b.activate(e, now, "over")
	}
}

// suspend suspends for first, or for twice as long as the last time if that was not long ago.
func (b *Book) suspend(e *entry, ev *Evidence, first time.Duration, now time.Time) {
	e.forgetStrikes(b.policy(e.Provider).Forget, now)
	before := e.Standing
	e.Strikes++
	e.Length = b.bounded(e, max(first, 2*e.Length))
	e.explain(ev, "refused for our IP")
	e.Lists = slices.Clone(e.Lists)
	e.addLists(ev.Lists)
	b.set(e, now, Suspended, e.Length)
	if len(e.listed.replies) > 0 && e.listed.only(ev.Message) && len(e.refused.tenants) <= 1 {
		e.sole = &sole{ev.Message, before}
	}
}

// prolong makes a suspension as long as a clearer reply, from a session that was under way, would have made it. It is no
// further strike: nothing was tried.
func (b *Book) prolong(e *entry, ev *Evidence, listed bool, first time.Duration, now time.Time) {
	if !listed {
		return
	}
	named := e.addLists(ev.Lists)
	switch {
	case first > e.Length:
		e.Length = b.bounded(e, first)
		e.explain(ev, "refused for our IP")
		alone := e.sole
		b.set(e, now, Suspended, e.Length)
		e.sole = alone
	case named:
		b.note(e, now)
	}
}

func (b *Book) bounded(e *entry, d time.Duration) time.Duration {
	return min(d, b.policy(e.Provider).Longest)
}

// cut makes the share smaller and holds it: twice as long each time.
func (b *Book) cut(e *entry, ev *Evidence, p *Numbers, now time.Time) {
	share, hold := 1.0, p.ThrottleHold
	if e.State == Slowed {
		if now.Sub(e.Since) < p.ThrottleSettle {
			return
		}
		share, hold = e.Share, max(hold, 2*e.Until.Sub(e.Since))
	}
	e.throttled = meter{}
	e.successes = 0
	e.Share = max(share*p.ThrottleFactor, min(share, p.ThrottleFloor))
	e.explain(ev, "throttled")
	if ev.Final { // it is mostly one tenant's doing: whose, an operator must know
		e.Reason = "throttled for good, at mail of " + ev.Tenant
	}
	b.set(e, now, Slowed, min(hold, p.Longest))
}

// slowNeighbours cools the sending IPs of the netblock that a reply speaks of. Each reply does so once per hold: what a
// neighbour may take depends on its own replies.
func (b *Book) slowNeighbours(k Key, ev *Evidence, now time.Time) (changed []Standing) {
	p := b.policy(k.Provider)
	block := b.settings.Block.Of(k.IP)
	for _, ip := range b.settings.Neighbours {
		ip = ip.Unmap()
		if ip == k.IP || !block.Contains(ip) {
			continue
		}
		e := b.entryFor(Key{ip, k.Provider}, now)
		b.adjust(e, now)
		if e.State != Active && (e.State != Slowed || e.Share <= p.NeighbourShare) {
			continue
		}
		e.explain(ev, "the netblock of "+k.IP.String()+" is refused")
		e.By = ByNetblock
		e.Share, e.successes = p.NeighbourShare, 0
		b.set(e, now, Slowed, p.NeighbourHold)
		changed = append(changed, e.onWall(now))
	}
	return changed
}

// A Block says how large the network around an IP is that receivers take for one owner's: lengths of its prefix, by family. The
// zero Block has the usual ones, 24 and 48.
type Block struct{ V4, V6 int }

// Of returns that network.
func (b Block) Of(ip netip.Addr) netip.Prefix {
	ip = ip.Unmap()
	bits := cmp.Or(b.V6, 48)
	if ip.Is4() {
		bits = cmp.Or(b.V4, 24)
	}
	return netip.PrefixFrom(ip.WithZone(""), bits).Masked()
}

// bound cuts what is kept of a stranger's words.
func (ev *Evidence) bound() {
	ev.Tenant, ev.Destination = event.Printable(ev.Tenant, maxName), event.Printable(ev.Destination, maxName)
	ev.Witness, ev.Place, ev.Speaker = event.Printable(ev.Witness, maxName), event.Printable(ev.Place, maxName), event.Printable(ev.Speaker, maxName)
	ev.Rule, ev.Sample = event.Printable(ev.Rule, maxName), event.Printable(ev.Sample, maxSample)
	lists := make([]List, 0, min(len(ev.Lists), maxLists))
	for _, l := range ev.Lists[:min(len(ev.Lists), maxLists)] {
		lists = append(lists, List{Name: event.Printable(l.Name, 64), Zone: strings.ToLower(event.Printable(l.Zone, maxName)), Weight: l.Weight})
	}
	ev.Lists = lists
}

const maxLists = 8
