package contain

import "kanmon/internal/event/word"

// A Kind is what an operator has said that an account is. It changes what is evidence. Nothing that a sender chooses makes it one.
type Kind uint8

// The kinds.
const (
	Plain     Kind = iota // a person, or a program
	List                  // sends one message to many recipients
	Forwarder             // passes on what others have written
)

var kindWords = word.List[Kind]("kind", "none", "list", "forwarder")

func (k Kind) String() string { return kindWords.Text(k) }

// MarshalText returns the name, as JSON has it.
func (k Kind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads a kind by its name.
func (k *Kind) UnmarshalText(text []byte) error { return kindWords.Read(text, k) }

// Words returns what else than plain an account can be.
func (Kind) Words() []string { return kindWords.Words()[List:] }

// Traits are what the envelope sender of a mail shows. They are the sender's choice: they make texts, never levels.
type Traits uint8

// The traits.
const (
	NamesRecipient Traits = 1 << iota // VERP
	WasForwarded                      // SRS
	OwnDomain                         // its domain is one of the tenant's
)

// Mark tells which accounts are of which kind from now on; the tenant "" is all. Each event says it, too.
func (d *Detector) Mark(tenant string, of func(tenant, account string) Kind) {
	d.each(tenant, func(a *entry) { d.become(a, of(a.Tenant, a.Account)) })
}

// become makes an account one of a kind. A list or forwarder that is contained does not contain its tenant.
func (d *Detector) become(e *entry, k Kind) {
	if e.kind == k {
		return
	}
	e.kind, e.once = k, nil
	e.recount()
	if e.stored { // what was counted of a list is not kept
		d.mark(e)
	}
}

// once is what an account that is a list or a forwarder has given evidence of: (message, provider) and recipients, in this half of the day
// and the one before. Of many, the older half is forgotten sooner, and then counts again.
type once struct {
	now, before map[uint64]uint8
	turn        int32
}

// mostOnce bounds each half. With both, an account costs 400 KiB at most.
const mostOnce = 4096

// What was counted of one.
const (
	asCase uint8 = 1 << iota
	asBad
)

// note returns what is new of it, and remembers it.
func (o *once) note(minute int32, key uint64, what uint8) (fresh uint8) {
	if turn := minute / halfDay; turn != o.turn {
		if o.before = o.now; turn != o.turn+1 {
			o.before = nil
		}
		o.now, o.turn = nil, turn
	}
	if len(o.now) >= mostOnce {
		o.before, o.now = o.now, nil
	}
	known := o.now[key] | o.before[key]
	if fresh = what &^ known; fresh != 0 {
		if o.now == nil {
			o.now = map[uint64]uint8{}
		}
		o.now[key] = known | what
	}
	return fresh
}

// countOnce takes out of an event what its account has given evidence of already: a list's message that a provider refuses for each of a
// thousand recipients is one refused message, and a recipient who does not exist is one, however many messages go there.
func (d *Detector) countOnce(a *entry, ev *fact) {
	if a.once == nil {
		a.once = &once{turn: d.time.minute / halfDay}
	}
	if ev.n[judged] > 0 {
		d.countNew(a, ev, mix(ev.message^d.hash(ev.provider), d.seed), judged, content)
	}
	if ev.n[answered] > 0 && ev.reached {
		d.countNew(a, ev, ^mix(ev.hash, d.seed), answered, unknown)
	}
	if ev.bad == Content && ev.n[content] == 0 || ev.bad == UnknownRecipients && ev.n[unknown] == 0 {
		ev.bad = ""
	}
}

// countNew leaves in an event what is new of a case, and of a bad one.
func (d *Detector) countNew(a *entry, ev *fact, key uint64, cases, bad counter) {
	what := asCase
	if ev.n[bad] > 0 {
		what |= asBad
	}
	fresh := a.once.note(d.time.minute, key, what)
	if fresh&asCase == 0 {
		ev.n[cases] = 0
	}
	if fresh&asBad == 0 {
		ev.n[bad] = 0
	}
}
