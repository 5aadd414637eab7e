package journal

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/event"
)

// A succession is of journals that write to one file, each behind the one before.
type succession struct {
	t     *testing.T
	path  string
	files Files
	last  *Journal
}

func newSuccession(t *testing.T) *succession {
	return &succession{t: t, path: filepath.Join(t.TempDir(), "records.jsonl")}
}

func (s *succession) next(o Options) *Journal {
	s.t.Helper()
	o.JSON, o.Files, o.Log, o.Behind = s.path, &s.files, quiet, s.last
	j, err := New(o)
	if err != nil {
		s.t.Fatal(err)
	}
	s.last = j
	return j
}

// close ends a journal as long as that may take.
func (s *succession) close(j *Journal) (closed <-chan struct{}) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := j.Close(context.Background()); err != nil {
			s.t.Error(err)
		}
	}()
	return done
}

// told gives the sessions on record and which gateway wrote them, and whatever is missing.
func (s *succession) told() (lines []string) {
	s.t.Helper()
	for e, err := range event.NewReader(strings.NewReader(readFile(s.t, s.path))).All() {
		if err != nil {
			s.t.Fatal(err)
		}
		lines = append(lines, fmt.Sprintf("%s %s %d", e.Gateway, e.Type, e.Session))
	}
	return lines
}

func ofSession(id event.ID) *event.Record {
	r := transactionRecord("a@b.example")
	r.Session.ID = id
	return r
}

// A journal that is to follow another writes nothing before that one has written all, however long that takes; one that is given up before its
// turn ends at once, and whoever comes behind it waits for the one before it all the same.
func TestAJournalWaitsForTheOneBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSuccession(t)
		first := s.next(Options{Gateway: "gw1", Run: start})
		second := s.next(Options{Gateway: "gw2", Run: start})
		unused := s.next(Options{Gateway: "gw3", Run: start})
		last := s.next(Options{Gateway: "gw4", Run: start})
		second.Record(ofSession(2))
		last.Record(ofSession(3))
		began := time.Now()
		<-s.close(unused)
		if took := time.Since(began); took > time.Second {
			t.Errorf("closing the one that was not used took %v", took)
		}
		closed := s.close(second)
		time.Sleep(time.Minute)
		first.Record(ofSession(1))
		<-s.close(first)
		<-closed
		<-s.close(last)
		if got, want := s.told(), []string{"gw1 transaction 1", "gw2 transaction 2", "gw4 transaction 3"}; !slices.Equal(got, want) {
			t.Errorf("written %q, want %q", got, want)
		}
	})
}

// Who is named in a session that goes on is hidden by the journal that comes with a reload as by the one before.
func TestTheNextJournalKnowsWhomToHide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSuccession(t)
		first := s.next(Options{Gateway: "gw1", Run: start, Addresses: AddressesDomain})
		refusal := func() *event.Record {
			r := newRecord()
			r.Actions = append(r.Actions, event.Action{Code: 550, Reply: r.Add([]byte("550 5.7.1 joe.bloggs: listed"))})
			return r
		}
		named := refusal()
		named.Names = append(named.Names, named.Add([]byte("joe.bloggs@example.net")))
		first.Record(named)
		unused := s.next(Options{Gateway: "gw2", Run: start, Addresses: AddressesDomain})
		last := s.next(Options{Gateway: "gw3", Run: start, Addresses: AddressesDomain})
		<-s.close(unused)
		last.Record(refusal())
		<-s.close(first)
		<-s.close(last)
		if text := readFile(t, s.path); strings.Count(text, ": listed") != 2 || strings.Contains(text, "joe") {
			t.Error(text)
		}
	})
}

// Where nothing that came to a journal has found room before its turn, the next line says so.
func TestWhatIsLostBeforeTheTurnIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSuccession(t)
		first := s.next(Options{Gateway: "gw1", Run: start})
		second := s.next(Options{Gateway: "gw2", Run: start, QueueBytes: 16})
		second.Record(ofSession(2))
		closed := s.close(second)
		synctest.Wait()
		<-s.close(first)
		<-closed
		if got, want := s.told(), []string{"gw2 dropped 0"}; !slices.Equal(got, want) || s.files.Dropped() != 1 {
			t.Errorf("written %q, want %q; %d dropped", got, want, s.files.Dropped())
		}
	})
}

// A journal is known to be given up only once its queue takes nothing more: a record that came in between would be neither written nor counted.
func TestNoRecordVanishesWhileAJournalIsGivenUp(t *testing.T) {
	s := newSuccession(t)
	first, second := s.next(Options{}), s.next(Options{})
	second.queue.mu.Lock()
	closed := s.close(second)
	select {
	case <-second.closing:
		t.Error("given up while its queue takes records")
	case <-time.After(50 * time.Millisecond):
	}
	second.queue.mu.Unlock()
	<-closed
	<-s.close(first)
}
