package history

import (
	"context"
	"time"

	"kanmon/internal/event"
)

// A Store keeps what happened. Several may read while one writes. Whatever keeps it behaves the same: package historytest says how.
type Store interface {
	// Add keeps lines, counts those that it did not have yet, and notes how far their source has been read: all of it or nothing, a day at a
	// time, and the mark with the last. There may be no lines, and of the source "" there is no mark. A line without an entry is no record: it
	// is counted, each time.
	Add(ctx context.Context, lines []Line, source string, read Mark) error
	// Mark says how far a source has been read.
	Mark(ctx context.Context, source string) (Mark, error)
	// Prune takes away what is older than is to be kept, or more.
	Prune(ctx context.Context, now time.Time, keep Keep) (Pruned, error)

	// Attempts gives attempts, the newest first.
	Attempts(ctx context.Context, of Filter, page Page) ([]Attempt, Next, error)
	// Attempt gives one with everything that its line has. The error is ErrGone where it is not kept, or no more.
	Attempt(ctx context.Context, key Key) (*Attempt, *event.Entry, error)
	// Session gives all lines of a session that are kept, in order.
	Session(ctx context.Context, id event.ID) ([]event.Entry, error)
	// Mails gives mails, each with its attempts, that with the newest attempt first.
	Mails(ctx context.Context, of Filter, page Page) ([]Mail, Next, error)
	// Counts adds up attempts by time and by what is asked for.
	Counts(ctx context.Context, of CountsOf) ([]Count, error)
	// Times adds up how long phases took.
	Times(ctx context.Context, of TimesOf) ([]Times, error)
	// Shapes groups refusals by meaning and shape, the most frequent first.
	Shapes(ctx context.Context, of Filter, page Page) ([]Shape, Next, error)
	// Events gives news: standing, levels, orders, findings, steps of the gateways, gaps. The newest first.
	Events(ctx context.Context, of EventsOf, page Page) ([]event.Entry, Next, error)
	// Waiting counts, by provider and age, mails whose last attempt was deferred and that have not been seen since.
	Waiting(ctx context.Context, of Filter, now time.Time) ([]Waiting, error)
	// Searched notes who has looked for whom; Searches gives it, the newest first.
	Searched(ctx context.Context, s Search) error
	Searches(ctx context.Context, page Page) ([]Search, Next, error)
	// Status says what there is.
	Status(ctx context.Context) (Status, error)

	Close() error
}
