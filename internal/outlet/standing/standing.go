package standing

import (
	"fmt"
	"net/netip"
	"strings"
	"time"
	"unicode"

	"kanmon/internal/event"
	"kanmon/internal/event/word"
	"kanmon/internal/who/witness"
)

// Every is the provider of a standing that is of the whole IP.
const Every = "*"

// A Key says whose standing it is.
type Key struct {
	IP       netip.Addr
	Provider string // a provider's name, or the MX ("mx:192.0.2.25") where none is known; a part of either ("google/example.net"); or Every
}

// At is the key of a part of a provider: a recipient domain, or one of its MXs. A single reply suspends an IP there, as
// long as the reply may be what one of the provider's customers has written.
func (k Key) At(place string) Key { return Key{k.IP, k.Provider + partMark + place} }

const partMark = "/"

// Split returns the provider of a key, and which part of it is meant; "" for all of it.
func Split(provider string) (whole, place string) {
	whole, place, _ = strings.Cut(provider, partMark)
	return whole, place
}

func (k Key) part() bool { return strings.Contains(k.Provider, partMark) }

// strange reports that there can be any number of such keys.
func (k Key) strange() bool { return k.part() || strings.HasPrefix(k.Provider, witness.Strange) }

func (k Key) String() string { return k.IP.String() + " " + k.Provider }

func (k Key) normal() Key {
	k.IP = k.IP.Unmap()
	return k
}

func (k Key) valid() bool {
	return k.IP.IsValid() && k.Provider != "" && len(k.Provider) <= maxKey &&
		strings.IndexFunc(k.Provider, func(r rune) bool { return !unicode.IsPrint(r) }) < 0
}

// A State is what may be sent.
type State uint8

// The states.
const (
	Active    State = iota // everything
	Slowed                 // a share of the traffic
	Suspended              // nothing until T, then one session as a probe
	Probing                // nothing but that one session
	Stopped                // nothing, until an operator says otherwise
)

var states = word.List[State]("state", "active", "slowed", "suspended", "probing", "stopped")

func (s State) String() string { return states.Text(s) }

// Values of Standing.By. That of an operator is followed by a blank and who it was.
const (
	ByEvidence = "evidence" // replies of the provider's own MXs
	ByCheck    = "dnsbl"    // a listing that a query of our own confirmed
	ByNetblock = "netblock" // a reply about the network around a neighbour
	ByOperator = "operator"
)

// A Standing is what is thought of a key. A Book gives copies.
type Standing struct {
	Key
	State State
	// Since is when state, share or Until were last set. Until is when a suspended key may be probed, a slowed one gets
	// more, a probe that says nothing is given up; zero for the other states.
	Since, Until time.Time
	Reason       string        // for humans
	Rule         string        // the classifier's rule that the deciding reply fell under
	Sample       string        // that reply: printable, bounded
	Lists        []List        // block lists that were named
	Strikes      int           // suspensions since the key was last active for Numbers.Forget
	Length       time.Duration // of the last of them; the next one is twice as long
	Share        float64       // of the traffic it may take, 0 to 1
	By           string
}

func (s Standing) String() string {
	return fmt.Sprintf("%v: %v, share %v, since %v until %v, strikes %d, last %v, lists %v, by %s: %s", s.Key, s.State, s.Share,
		s.Since.Format(time.RFC3339), s.Until.Format(time.RFC3339), s.Strikes, s.Length, s.Lists, s.By, s.Reason)
}

func (s *Standing) byHand() bool {
	return s.By == ByOperator || strings.HasPrefix(s.By, ByOperator+" ")
}

// blank reports that there is nothing to remember.
func (s *Standing) blank() bool { return s.State == Active && s.Strikes == 0 && len(s.Lists) == 0 }

// onWall returns the copy to show and to store. In here times keep their monotonic reading, so that a step of the wall
// clock moves no deadline; outside, only what the wall clock says now means anything.
func (s *Standing) onWall(now time.Time) Standing {
	out := *s
	out.Lists = append([]List(nil), s.Lists...)
	if !s.Until.IsZero() {
		out.Until = now.Add(s.Until.Sub(now)).Round(0)
	}
	if !s.Since.IsZero() {
		out.Since = now.Add(s.Since.Sub(now)).Round(0)
	}
	return out
}

// A List is a block list.
type List struct {
	Name      string // "spamhaus-sbl"
	Zone      string // of a public DNSBL; "" if it cannot be asked
	Weight    event.Weight
	Confirmed bool // a query of our own found the IP there
}

func (l List) String() string {
	if l.Zone != "" {
		return l.Zone
	}
	return l.Name
}

// Evidence is a refusal by an MX, already classified. A reply that quotes an address that is not ours must come with
// event.SuspendNo: whoever classifies sees that, and it is not looked for again.
type Evidence struct {
	Session     uint64 // in which it was heard, as whoever tells of it counts; 0: in none
	IP          netip.Addr
	Provider    string
	Tenant      string
	Destination string // domain of the recipient; the MX, before one is known
	Witness     string // who of the provider's customers that is (package witness); "": Destination tells
	Place       string // where only a part of the provider has spoken: which (Key.At); "": all of it
	Nobodys     bool   // nobody can tell which customer has spoken, or whether the provider has: it counts for none of them
	Again       bool   // another IP has met the same message's word: where Place says it counts for this one, too, and nowhere beyond
	Speaker     string // the organisation that has answered
	Message     uint64 // which message it was; 0: one by itself
	Class       event.Class
	Scope       event.Scope // what it is about: blamed has those that count
	Suspend     event.Suspend
	Lists       []List // named by the reply
	Rule        string
	Sample      string // the reply
	Own         bool   // made by kanmon itself: not evidence
	Final       bool   // a 5xx: the IP is shut out, not only asked to wait
	Contained   bool   // whoever sent the mail is contained: a doubt is then about that, not about the IP

	// What cannot be told apart here: the gateway has but one tenant, the provider but one recipient domain.
	OneTenant, OneDestination bool
}

func (ev *Evidence) key() Key { return Key{ev.IP, ev.Provider}.normal() }

// EvidenceSeen is a piece of evidence that was counted, as [Book.Show] gives it.
type EvidenceSeen struct {
	At                  time.Time
	Tenant, Destination string
	Class               event.Class // event.NoRefusal: the probe that was let in
	Scope               event.Scope
	Suspend             event.Suspend
	Rule, Sample        string
	Lists               []string
}

// An Answer to whether a session may use an IP. The zero value is No.
type Answer uint8

// The answers.
const (
	No    Answer = iota
	Yes          // as far as Permit.Share goes
	Probe        // this session alone; it must be ended by Succeeded, Observe or Abandon
)

func (a Answer) String() string {
	return [...]string{"no", "yes", "probe"}[min(int(a), 2)]
}

// A Permit is the answer of [Book.May].
type Permit struct {
	Answer Answer
	State  State
	Share  float64   // of the traffic that would go here, 0 to 1: whoever chooses among IPs weighs with it
	Until  time.Time // No: when to ask again; zero if only an operator can change it
	Why    string
	Probe  uint64 // with the answer Probe: its number
}

var permitted = Permit{Answer: Yes, State: Active, Share: 1}

// Bounds, in octets, of what is kept of strangers' texts.
const (
	maxName   = 255
	maxKey    = 64 + 1 + maxName // a provider, and a place there
	maxSample = 256
)
