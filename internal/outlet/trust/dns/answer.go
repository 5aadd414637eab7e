package dns

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	miekg "github.com/miekg/dns"
)

// A Kind is a type of records.
type Kind uint16

// The kinds that are asked for.
const (
	TypeA     = Kind(miekg.TypeA)
	TypeAAAA  = Kind(miekg.TypeAAAA)
	TypeCNAME = Kind(miekg.TypeCNAME)
	TypeMX    = Kind(miekg.TypeMX)
	TypePTR   = Kind(miekg.TypePTR)
	TypeSOA   = Kind(miekg.TypeSOA) // of the answer only the Outcome is of use
	TypeTLSA  = Kind(miekg.TypeTLSA)
	TypeTXT   = Kind(miekg.TypeTXT)
)

// String returns the kind as zone files write it.
func (k Kind) String() string { return miekg.Type(k).String() }

// An Outcome is what has come of a question.
type Outcome uint8

// The outcomes. Only Failed says nothing about what there is.
const (
	Failed Outcome = iota // nobody knows: no answer in time, SERVFAIL, REFUSED, NOTIMP, bogus, malformed, cut short and no TCP
	Found
	NoData // the name exists, without such records
	NoName // the name does not exist
)

// String returns the outcome for people.
func (o Outcome) String() string {
	return [...]string{"failed", "found", "no such records", "no such name"}[min(int(o), int(NoName))]
}

// An MX is one of a domain.
type MX struct {
	Host       string // lower case, no trailing dot; "": a null MX (RFC 7505)
	Preference uint16
}

// A TLSA is one record of RFC 6698. One whose data is too short for its type is there, and of no use.
type TLSA struct {
	Usage, Selector, Type uint8
	Data                  []byte
}

// An Answer is what has come of one question. What is in it belongs to all who have it: do not change it.
type Answer struct {
	Outcome Outcome
	Secure  bool   // a resolver that is trusted to validate has validated all of it, aliases and absence too
	Unsure  bool   // it is not Secure, and comes from a resolver that has stopped validating: nobody knows whether it should be
	Name    string // owner of the records, where aliases end; lower case, no trailing dot
	Aliased bool   // there was an alias

	MX    []MX // best first, at most 32
	Addrs []netip.Addr
	TLSA  []TLSA
	TXT   []string // strings of one record joined
	PTR   []string // lower case, no trailing dot
	CNAME string   // asked for as such

	Truncated bool // there were more records than are kept: what is not here may be there
	Bogus     bool // with Failed: the resolver says that validation failed

	Heard time.Time // when it came
	Until time.Time // it may be used until then
	Err   error     // with Failed: why, for people
}

// A Count is one of what has come of questions that servers were asked.
type Count struct {
	Kind    Kind
	Outcome Outcome
	Bogus   bool
}

// failed is the answer where there is none.
func failed(err error) Answer { return Answer{Err: err} }

// What is kept of one answer.
const (
	mostMX      = 32
	mostRecords = 64
	mostOctets  = 16 << 10
)

// trim leaves what is kept of an answer: the best MXs, and of anything else the first.
func (a *Answer) trim() {
	slices.SortStableFunc(a.MX, func(x, y MX) int { return cmp.Or(cmp.Compare(x.Preference, y.Preference), cmp.Compare(x.Host, y.Host)) })
	room := mostOctets
	a.MX = few(a, a.MX, mostMX, &room, func(mx MX) int { return len(mx.Host) })
	a.Addrs = few(a, a.Addrs, mostRecords, &room, func(netip.Addr) int { return 16 })
	a.TLSA = few(a, a.TLSA, mostRecords, &room, func(r TLSA) int { return len(r.Data) })
	a.TXT = few(a, a.TXT, mostRecords, &room, func(text string) int { return len(text) })
	a.PTR = few(a, a.PTR, mostRecords, &room, func(name string) int { return len(name) })
}

// few returns as many records as may be kept, and notes whether there were more. What is left out is not held in memory.
func few[T any](a *Answer, list []T, most int, room *int, size func(T) int) []T {
	for i := range list {
		*room -= size(list[i])
		if i == most || *room < 0 {
			a.Truncated = true
			return slices.Clone(list[:i])
		}
	}
	return list
}

// size is about how many octets an answer takes.
func (a *Answer) size() int {
	n := len(a.Name) + len(a.CNAME) + 24*len(a.MX) + 24*len(a.Addrs) + 32*len(a.TLSA) + 16*(len(a.TXT)+len(a.PTR))
	for i := range a.MX {
		n += len(a.MX[i].Host)
	}
	for i := range a.TLSA {
		n += len(a.TLSA[i].Data)
	}
	for _, list := range [...][]string{a.TXT, a.PTR} {
		for _, text := range list {
			n += len(text)
		}
	}
	return n
}
