package event

import (
	"sync"
	"time"
)

// A Record is what a session hands over: when a transaction ended, when the session ended,
// or, with neither, when the session waits long and its log lines should be seen now.
type Record struct {
	At          time.Time // when it was told; zero: not yet
	Tenant      string    // whose mail it is of, as far as is known: nobody's records keep another's out
	Account     string    // of the mail at hand, or of the last one, as far as is known: not sanitised
	Session     Session
	Lines       []Line       // in order; each line of a session is in exactly one record
	Names       []Span       // people that no Line names and no Transaction here: mailboxes, or commands with further addresses
	Actions     []Action     // in order; each action of a session is in exactly one record
	Decisions   []Decided    // in order; each decision of a session is in exactly one record
	Transaction *Transaction // nil if none ended
	End         *End         // nil if the session goes on

	News News // nil unless that is all that it tells

	Texts Texts // what the spans are pieces of

	Took  time.Duration // of the Transaction: from its MAIL to its end
	Spent Spent         // what that went to

	trans Transaction
	end   End
	facts Facts
}

// Text returns the octets of a span of this record. They are valid until Release.
func (r *Record) Text(s Span) []byte { return r.Texts.Of(s) }

// Add copies text into the record, as far as it is kept, and gives its span.
func (r *Record) Add(text []byte) Span { return r.Texts.Add(text, MaxText) }

// OwnTransaction is memory of the record's own for a transaction that is being gathered. It is told of once Transaction points to it.
func (r *Record) OwnTransaction() *Transaction { return &r.trans }

// OwnEnd is the same for the end of a session.
func (r *Record) OwnEnd() *End { return &r.end }

// Octets is how many octets of text are in the record.
func (r *Record) Octets() int { return len(r.Texts) }

// NewRecord returns an empty record.
func NewRecord() *Record { return recordPool.Get().(*Record) }

// Release gives the record back for reuse. Nothing of it may be touched afterwards.
func (r *Record) Release() {
	if cap(r.Texts) > maxPooledText || cap(r.Lines) > maxPooledLines || cap(r.Names) > maxPooledLines || cap(r.trans.Recipients) > maxPooledRcpts {
		return
	}
	rcpts, opening, legs := r.trans.Recipients[:0], r.end.Opening[:0], r.end.Legs[:0]
	*r = Record{Lines: r.Lines[:0], Names: r.Names[:0], Actions: r.Actions[:0], Decisions: r.Decisions[:0], Texts: r.Texts[:0]}
	clear(legs[:cap(legs)]) // names of certificates, errors
	r.trans.Recipients, r.end.Opening, r.end.Legs = rcpts, opening, legs
	recordPool.Put(r)
}

// These keep records swollen by long replies and many recipients from staying in memory.
const (
	maxPooledText  = 16 << 10
	maxPooledLines = 512
	maxPooledRcpts = 128
)

var recordPool = sync.Pool{New: func() any { return new(Record) }}
