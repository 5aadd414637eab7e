package slow

import (
	"bytes"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/store/keep"
)

// A shelf is a store in memory.
type shelf struct {
	mu     sync.Mutex
	rows   map[string]keep.Row
	broken error
	saves  int
}

func (s *shelf) Load() (rows []keep.Row, ignored int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Values(s.rows)), 0, s.broken
}

func (s *shelf) Save(changed []keep.Row) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.saves++
	if s.broken != nil {
		return s.broken
	}
	for _, r := range changed {
		if s.rows[r.Key] = r; r.Gone {
			delete(s.rows, r.Key)
		}
	}
	return nil
}

// breaks has it take nothing from now on; nil: it does again.
func (s *shelf) breaks(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broken = err
}

func (s *shelf) String() string { return "shelf" }

// What is usual outlives the process: the next one finds a restriction that begins with it, and nothing where there is none.
func TestWhatIsUsualOutlivesTheProcess(t *testing.T) {
	for _, restricted := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			g, store := newGateway(t, Tell, 4), &shelf{rows: map[string]keep.Row{}}
			g.end()
			g.begin(Tell, store)
			g.sends(1500, never)
			g.end()
			if len(store.rows) < 16 {
				t.Fatalf("%d rows kept", len(store.rows))
			}
			g.begin(Tell, store)
			k := Key{g.ips[1], google}
			if restricted {
				g.restrict(k.IP, 5*time.Second)
			}
			mails, held := g.sends(400, func() bool { return isFound(g.of(k)) })
			if held != restricted || len(g.told) > 0 != restricted {
				t.Errorf("restricted %v: found %v after %d mails of all: %+v", restricted, held, mails, g.told)
			}
		})
	}
}

// It is written once an hour as far as it has changed, and not at all where nothing has; a disk that fails is told of once, and tried again.
func TestWhatIsUsualIsWrittenOnceAnHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		g, store := newGateway(t, Tell, 2), &shelf{rows: map[string]keep.Row{}}
		g.end()
		g.log = slog.New(slog.NewTextHandler(&log, nil))
		g.begin(Tell, store)
		hours := func(n int) {
			time.Sleep(time.Duration(n) * saveEvery)
			synctest.Wait()
		}
		for range 100 {
			time.Sleep(time.Second)
			g.sendFrom(g.ips[0], google)
		}
		store.breaks(errors.New("the disk is full"))
		hours(3)
		if told := strings.Count(log.String(), "not written"); told != 1 || store.saves < 2 {
			t.Errorf("%d tries, told %d times", store.saves, told)
		}
		store.breaks(nil)
		hours(1)
		if saves := store.saves; len(store.rows) == 0 {
			t.Error("not written when the disk works again")
		} else if hours(3); store.saves != saves {
			t.Errorf("written %d times although nothing has changed", store.saves-saves)
		}
	})
}

// Rows that make no sense are told of, and forgotten; of what the detector has forgotten the rows go.
func TestSenselessRowsAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		old := keep.Row{Key: "203.0.113.99 old", Value: "1{}", Put: time.Now().Add(-2 * keptFor)}
		store := &shelf{rows: map[string]keep.Row{
			old.Key: old, "203.0.113.10 google": {Key: "203.0.113.10 google", Value: "1{", Put: time.Now()}, "": {Put: time.Now()},
		}}
		w := New(Options{Store: store, Log: slog.New(slog.NewTextHandler(&log, nil))})
		w.Configure(Settings{})
		if !strings.Contains(log.String(), "count=2") {
			t.Errorf("told %q", log.String())
		}
		if err := w.Close(); err != nil || len(store.rows) != 0 {
			t.Errorf("%v; left: %v", err, store.rows)
		}
	})
}

// What a store cannot give is learnt anew.
func TestAStoreThatCannotBeRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		w := New(Options{Store: &shelf{rows: map[string]keep.Row{}, broken: errors.New("garbage")}, Log: slog.New(slog.NewTextHandler(&log, nil))})
		w.Configure(Settings{})
		if !w.On() || !strings.Contains(log.String(), "garbage") {
			t.Errorf("on %v: %q", w.On(), log.String())
		}
		if err := w.Close(); err != nil { // nothing has been learnt
			t.Error(err)
		}
	})
}
