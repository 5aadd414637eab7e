package watch

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"kanmon/internal/event"
)

// An Answerer looks names and addresses up; a [Resolver] is one.
type Answerer interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
	LookupAddr(ctx context.Context, address string) ([]string, error)
}

// failure is how a question has failed.
type failure = net.DNSError

// mostName is how long a name in the DNS is at most.
const mostName = 253

// mostNames is how many names of a PTR are looked at.
const mostNames = 4

// Names are how a sending IP is called. What nobody could answer is in Unasked, and says neither yes nor no.
type Names struct {
	PTR     []string
	Back    bool // one of them leads back to the IP
	Same    bool // the EHLO name is one of them
	Leads   bool // the EHLO name leads to the IP
	Unasked []Unasked

	PTRKnown, BackKnown, LeadsKnown bool
}

// Unasked is a question without an answer.
type Unasked struct {
	What string
	Err  error
}

// LookUp asks for the names of an IP, and where they lead.
func LookUp(ctx context.Context, r Answerer, own Own) (n Names) {
	found, err := r.LookupAddr(ctx, own.IP.String())
	if err != nil && !Missing(err) {
		n.Unasked = append(n.Unasked, Unasked{"the PTR of " + own.IP.String(), err})
		return n
	}
	for _, name := range found {
		n.PTR = append(n.PTR, event.Printable(strings.ToLower(strings.TrimSuffix(name, ".")), mostName))
	}
	// An answer has them in any order: of many always the same are looked at, and first that which kanmon says itself.
	slices.SortFunc(n.PTR, func(a, b string) int {
		if own, other := strings.EqualFold(a, own.EHLO), strings.EqualFold(b, own.EHLO); own != other {
			return map[bool]int{true: -1, false: 1}[own]
		}
		return strings.Compare(a, b)
	})
	n.PTR = slices.Compact(n.PTR)
	n.PTR = n.PTR[:min(len(n.PTR), mostNames)]
	n.PTRKnown = true
	n.Same = slices.ContainsFunc(n.PTR, func(name string) bool { return strings.EqualFold(name, own.EHLO) })
	n.Back, n.BackKnown = n.anyLeadsTo(ctx, r, n.PTR, own.IP)
	n.Leads, n.LeadsKnown = n.anyLeadsTo(ctx, r, []string{own.EHLO}, own.IP)
	return n
}

// anyLeadsTo reports whether a name has an address; known is false where a name could not be asked about.
func (n *Names) anyLeadsTo(ctx context.Context, r Answerer, names []string, a netip.Addr) (leads, known bool) {
	known = true
	network := "ip4"
	if a.Is6() {
		network = "ip6"
	}
	for _, name := range names {
		found, err := r.LookupNetIP(ctx, network, name)
		if err != nil && !Missing(err) {
			n.Unasked = append(n.Unasked, Unasked{"the address of " + name, err})
			known = false
		}
		if slices.Contains(found, a) {
			return true, true
		}
	}
	return false, known
}

// Missing reports whether an error says that there is no such name.
func Missing(err error) bool {
	var dns *net.DNSError
	return errors.As(err, &dns) && dns.IsNotFound
}

// Sight says how the names are: the first thing that is wrong, as receivers look at them. Why says it in words.
func (n *Names) Sight(own Own) (sight event.Sight, why string) {
	ptr := strings.Join(n.PTR, ", ")
	switch {
	case !n.PTRKnown:
		return event.SightUnknown, ""
	case len(n.PTR) == 0:
		return event.SightNoPTR, own.IP.String() + " has no PTR"
	case n.BackKnown && !n.Back:
		return event.SightElsewhere, fmt.Sprintf("the PTR of %s is %s, which does not lead back to it", own.IP, ptr)
	case !n.Same:
		return event.SightOtherName, fmt.Sprintf("kanmon says EHLO %s, and the PTR of %s is %s", own.EHLO, own.IP, ptr)
	case n.LeadsKnown && !n.Leads:
		return event.SightNotResolved, fmt.Sprintf("%s does not lead to %s", own.EHLO, own.IP)
	case !n.BackKnown || !n.LeadsKnown:
		return event.SightUnknown, ""
	}
	return event.SightNamed, ""
}

// confirmed is how long is waited until what is bad is asked again: a zone that is just being written says nothing for a moment.
const confirmed = time.Minute

// watchNames looks at the names of all IPs, again and again, until ctx ends.
func (r *round) watchNames(ctx context.Context) {
	for first := true; ; first = false {
		began := time.Now()
		for _, own := range r.IPs {
			if !pause(ctx, r.gap(first)) {
				return
			}
			r.lookAt(ctx, own)
		}
		if !r.rest(ctx, began) {
			return
		}
	}
}

// lookAt notes how the names of an IP are. What has become bad is asked twice.
func (r *round) lookAt(ctx context.Context, own Own) {
	now, why := r.names(ctx, own)
	at := about{ip: own.IP}
	if now.State.Bad() && now.State != r.w.stateOf(at) {
		if !pause(ctx, confirmed) {
			return
		}
		again, whyNot := r.names(ctx, own)
		if again.State != now.State {
			now, why = Seen{}, "answers differ from minute to minute"
			if !again.State.Bad() {
				now, why = again, whyNot
			}
		}
	}
	if ctx.Err() != nil {
		return
	}
	if now.State == event.SightUnknown {
		r.w.silent(at, why)
		return
	}
	r.w.note(now)
}

// names asks once. Where there is no answer why says so.
func (r *round) names(ctx context.Context, own Own) (now Seen, why string) {
	limited, done := context.WithTimeout(ctx, askTime)
	defer done()
	n := LookUp(limited, r.resolver, own)
	now = Seen{IP: own.IP, Names: n.PTR}
	if now.State, now.Why = n.Sight(own); now.State == event.SightUnknown && len(n.Unasked) > 0 {
		why = event.Printable(fmt.Sprintf("%s: %v", n.Unasked[0].What, n.Unasked[0].Err), 2*mostName)
	}
	return now, why
}

func (w *Watch) stateOf(at about) event.Sight {
	w.mu.Lock()
	defer w.mu.Unlock()
	if s := w.seen[at]; s != nil {
		return s.State
	}
	return event.SightUnknown
}
