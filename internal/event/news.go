package event

import (
	"fmt"
	"net/netip"
	"time"
)

// News is what happened beside the mail itself: [Gateway], [Heartbeat], [Order], [Changed], [Wait], [Finding],
// [Sighting], [Judged].
type News interface{ cause() Cause }

// A Cause says in which session news had its cause. The zero Cause is of news that has none, or none that is known.
type Cause struct {
	Session     ID
	Transaction int // 0: none
}

func (c Cause) cause() Cause { return c }

type uncaused struct{}

func (uncaused) cause() Cause { return Cause{} }

// A Gateway is a step in the life of this process.
type Gateway struct {
	uncaused
	Did        GatewayStep
	Version    string
	SendingIPs int
	Sessions   int    // under way
	Rules      string // how the firewall rules stand that lead mail here
	Why        string // with ReloadRefused
	Unclean    *Run   // with Started: the run before, where that has not ended with Stopped; nil: it has, or that is not known
}

// A Run is what is known of another run of this gateway, by its last line on record.
type Run struct {
	Name string // as all its lines have it: when it was started
	Line uint64
	At   time.Time
}

// A GatewayStep is what the process did.
type GatewayStep uint8

// The steps of a gateway.
const (
	Started GatewayStep = iota
	Reloaded
	ReloadRefused // the configuration before goes on
	Draining      // no new sessions
	Stopped       // the last line of a run that was not killed
	RulesChanged  // the firewall rules that lead mail here stand in another way than was told last
	Left          // a reload has the records elsewhere, or nowhere, from here on: the run goes on, and not where this stands
)

// String returns the step as it stands in the records.
func (s GatewayStep) String() string {
	return [...]string{"start", "reload", "reload_refused", "drain", "stop", "rules", "leave"}[s]
}

// A Heartbeat is told each minute: where it is missing, the process was not there, or hung.
type Heartbeat struct {
	uncaused
	Up       time.Duration
	Sessions int           // under way
	Dropped  uint64        // records lost since the process began
	Stalled  time.Duration // the process stood still, since it began
}

// An Order is what a person had kanmon do, or a limit that blocks.
type Order struct {
	Cause    // of a limit that blocks
	By       string
	Rule     bool // By is a limit
	Did      string
	Tenant   string
	Account  string
	IP       netip.Addr // of an order about a sending IP
	Provider string     // where; "": everywhere
	Before   string
	After    string
	Why      string
	Unkept   bool // it holds, and could not be saved
}

// Changed is a decision of kanmon's own about a sending IP or a sender, which holds for the mail to come.
type Changed struct {
	Cause
	Share    float64    // of the traffic that a slowed IP may take
	Owner    string     // tenant whose mail has led to it, if that is another than Tenant
	IP       netip.Addr // whose standing has changed
	Provider string     // where; "": everywhere
	Tenant   string     // whose level has changed
	Account  string     // of the tenant; "": its own
	State    string     // of the standing, or the level
	Was      string     // before, if that is known
	Would    bool       // it is only observed
	Until    time.Time
	By       string
	Rule     string
	Why      string
}

// A Wait is something of the MX that has not come yet: a connection, a handshake, a reply or, in [PhaseBody], room for
// more of a message. It is told after ten seconds, and each time that its length has doubled, so that what never ends
// counts as well. Whence and where to is said by the session that it is told of, also of a connection that is not there
// yet.
type Wait struct {
	Cause
	Phase  Phase
	Waited time.Duration // so far; in PhaseBody for all of the message
	Began  bool          // a part of it has come
	Pieces uint8         // that this came in
	First  time.Duration // from the command to the first octet of it
	Tenant string        // whose mail it is, as far as is known
	Resent uint16        // segments that the kernel has sent again in the connection so far
	RTT    Micros        // a round trip; 0: not known

	InAll   time.Duration // that the MX has been waited for on this connection for the mail at hand, its opening included, where that was for it
	Stalled time.Duration // of Waited this process stood still

	RcptsRefused int           // of the mail at hand: see [Transaction]
	Size         int64         // octets of its message, as far as they have come
	Window       time.Duration // that the MX's window has kept octets of it so far
}

// FirstWait is from when on a wait is told of.
const FirstWait = 10 * time.Second

// A Finding is what the times of mail tell of a sending IP, by docs/why/timing.md.
type Finding struct {
	uncaused
	Did      FindingStep
	Scope    string        // whom it concerns, in words
	Phase    string        // what is slow
	IP       netip.Addr    // the zero Addr: all
	Provider string        // "": several
	Host     string        // with the scope "one host"
	Tenant   string        // with the scope "one tenant"
	Since    time.Time     // the first mail that it rests on
	Mails    int           // of the IP at the provider since then
	Tenants  int           // whose mail was slow
	Here     time.Duration // what such a phase takes there; 0: not known
	Others   time.Duration // from other sending IPs, likewise
	Before   time.Duration // from this one before, likewise
	Refuses  float64       // of connections, with the phase "refused": which part the provider usually refuses
	Acted    string        // what is done about it
}

// String says in a line what there is to know.
func (f *Finding) String() string {
	where := []string{"all sending IPs", "several providers"}
	if f.IP.IsValid() {
		where[0] = f.IP.String()
	}
	if f.Provider != "" {
		where[1] = f.Provider
	}
	text := fmt.Sprintf("timing, %s: %s at %s, phase %s, %s", f.Did, where[0], where[1], f.Phase, f.Scope)
	for _, part := range [...]string{f.Host, f.Tenant} {
		if part != "" {
			text += " (" + part + ")"
		}
	}
	for _, took := range [...]struct {
		what string
		d    time.Duration
	}{{"here", f.Here}, {"other IPs", f.Others}, {"before", f.Before}} {
		if took.d > 0 {
			text += fmt.Sprintf(", %s %.1f s", took.what, took.d.Seconds())
		}
	}
	text += fmt.Sprintf(", %d mails", f.Mails)
	if f.Tenants > 0 { // of refused connections nobody knows whose mail it was to be
		text += fmt.Sprintf(" of %d tenants", f.Tenants)
	}
	return text + "; " + f.Acted
}

// A FindingStep is what has become of a finding.
type FindingStep uint8

// The steps of a finding.
const (
	FindingBegun     FindingStep = iota
	FindingContinued             // it has come back before long, or concerns somebody else
	FindingActed                 // what is done about it has changed
	FindingCleared
)

// String gives the step as it stands in the records.
func (s FindingStep) String() string {
	return [...]string{"begun", "continued", "acted", "cleared"}[s]
}
