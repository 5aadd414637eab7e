package limit

import (
	"slices"

	"kanmon/internal/event/word"
)

// A Scope says whose use a rule counts. What a rule is applied to is the caller's choice of [Subject]; the scope's row
// says how to choose it.
type Scope uint8

// The scopes.
const (
	PerTenant Scope = iota
	PerAccount
	PerTenantProvider
	PerIPProvider // sending IP × provider
	scopeCount
)

// rows are all that tells scopes apart. A new scope is a row; where it needs a [Party], a [Place] or a [Moment] that
// there is not yet, whoever makes subjects of them has to know that, too.
var rows = [scopeCount]row{
	PerTenant: {word: "tenant", shown: "tenant", of: OfTenant, told: "your organisation"},

	PerAccount: {word: "account", shown: "account", of: OfAccount, told: "this account"},

	PerTenantProvider: {
		word: "tenant_provider", shown: "tenant × provider", of: OfTenant, at: AtProvider, told: "your organisation at this receiver",
		cannotDo: []Action{Block},
	},
	PerIPProvider: {
		word: "sending_ip_provider", shown: "sending IP × provider", of: OfIP, at: AtProvider, known: WithIP, told: "this receiver",
		cannotDo: []Action{Divert, Block},
	},
}

type row struct {
	word, shown string // in the configuration, and to people
	of          Party
	at          Place
	known       Moment
	told        string    // whose limit it is, to the MSA
	cannotCount []Measure // what is over, or not its own, when it is known whom it counts
	cannotDo    []Action  // likewise, or what would be done to more than it counts
}

// A Party is whose counter it is.
type Party uint8

// The parties.
const (
	OfTenant Party = iota
	OfAccount
	OfIP // a sending IP's, which tenants share
)

// A Place is where that counts which goes there only.
type Place uint8

// The places.
const (
	Anywhere Place = iota
	AtProvider
)

// A Moment is from when on it is known whom a scope counts.
type Moment uint8

// The moments.
const (
	WithSender Moment = iota // of the session, or of its mail
	WithIP                   // that it leaves from
)

// Of returns whose counter it is.
func (s Scope) Of() Party { return rows[s].of }

// At returns where that counts which goes there only.
func (s Scope) At() Place { return rows[s].at }

// Known returns from when on it is known whom the scope counts.
func (s Scope) Known() Moment { return rows[s].known }

// Told returns whose limit it is, as an MSA is told.
func (s Scope) Told() string { return rows[s].told }

// Counts reports whether the scope can count what is measured.
func (s Scope) Counts(m Measure) bool { return !slices.Contains(rows[s].cannotCount, m) }

// Can reports whether a limit of the scope can do this where it is reached.
func (s Scope) Can(a Action) bool { return !slices.Contains(rows[s].cannotDo, a) }

var (
	scopes      = wordsOf(func(r *row) string { return r.word })
	scopesShown = wordsOf(func(r *row) string { return r.shown })
)

func wordsOf(which func(*row) string) *word.Words[Scope] {
	var all []string
	for i := range rows {
		all = append(all, which(&rows[i]))
	}
	return word.List[Scope]("scope", all...)
}

// String returns the scope as people are shown it.
func (s Scope) String() string { return scopesShown.Text(s) }

// MarshalText writes the scope as the configuration has it.
func (s Scope) MarshalText() ([]byte, error) { return []byte(scopes.Text(s)), nil }

// UnmarshalText reads the scope as the configuration has it.
func (s *Scope) UnmarshalText(text []byte) error { return scopes.Read(text, s) }

// Words returns the scopes as the configuration has them.
func (Scope) Words() []string { return scopes.Words() }
