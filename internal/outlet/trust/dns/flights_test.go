package dns

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	miekg "github.com/miekg/dns"
)

// However many ask, a question is asked once.
//
// tls-A26
func TestAThousandAskOnce(t *testing.T) {
	inWorld(t, Settings{}, func(t *testing.T, w *world) {
		w.zone().Delay(300 * time.Millisecond)
		time.Sleep(time.Second)
		began := time.Now()
		var all sync.WaitGroup
		for i := range 1000 {
			all.Go(func() {
				if a := w.Ask(context.Background(), "signed.test", TypeMX, fmt.Sprint(i%7)); a.Outcome != Found {
					t.Errorf("%+v", a)
				}
			})
		}
		all.Wait()
		if asked := w.zone().Asked("signed.test. MX"); asked != 1 || time.Since(began) != 300*time.Millisecond {
			t.Errorf("asked %d times, in %s", asked, time.Since(began))
		}
	})
}

// Who does not wait any more does not end the question for others, and the answer is there for who comes later.
func TestAQuestionOutlivesWhoAskedFirst(t *testing.T) {
	inWorld(t, Settings{}, func(t *testing.T, w *world) {
		w.zone().Delay(time.Second)
		time.Sleep(2 * time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		var all sync.WaitGroup
		all.Go(func() {
			time.Sleep(50 * time.Millisecond)
			w.want("signed.test", TypeMX, Found, true)
		})
		if a := w.Ask(ctx, "signed.test", TypeMX, ""); a.Outcome != Failed || !errors.Is(a.Err, context.DeadlineExceeded) {
			t.Errorf("%+v", a)
		}
		all.Wait()
		if asked := w.zone().Asked("signed.test. MX"); asked != 1 {
			t.Errorf("asked %d times", asked)
		}
	})
}

// A failure is the answer of whoever waits for it, and is kept for half a minute. Then the next question goes out.
func TestAFailedQuestionIsNoAnswerForLong(t *testing.T) {
	inWorld(t, Settings{}, func(t *testing.T, w *world) {
		w.zone().Set(t, zone, "signed.test. SERVFAIL")
		w.want("signed.test", TypeMX, Failed, false)
		w.zone().Set(t, zone)
		time.Sleep(29 * time.Second)
		w.want("signed.test", TypeMX, Failed, false)
		time.Sleep(time.Second)
		w.want("signed.test", TypeMX, Found, true)
	})
}

// One tenant's questions take half of the places, and another one's still get one. That there is no place is not kept.
//
// tls-A5
func TestATenantHasItsPartOfTheQuestions(t *testing.T) {
	inWorld(t, Settings{}, func(t *testing.T, w *world) {
		w.ask("signed.test", TypeMX)
		var all sync.WaitGroup
		var mu sync.Mutex
		busy := 0
		for i := range 2 * most {
			name := fmt.Sprintf("d%d.test", i)
			w.zone().Handle(name+".", func(miekg.ResponseWriter, *miekg.Msg) {})
			all.Go(func() {
				a := w.Ask(context.Background(), name, TypeMX, "greedy")
				mu.Lock()
				defer mu.Unlock()
				if errors.Is(a.Err, ErrBusy) {
					busy++
				}
			})
		}
		time.Sleep(time.Second)
		mu.Lock()
		if busy != 2*most-most/2 {
			t.Errorf("%d were turned away, want %d", busy, 2*most-most/2)
		}
		mu.Unlock()
		if a := w.Ask(t.Context(), "mx1.signed.test", TypeA, "modest"); a.Outcome != Found {
			t.Errorf("another tenant: %+v", a)
		}
		all.Wait()
		for i := range 2 * most {
			w.zone().Handle(fmt.Sprintf("d%d.test.", i), nil)
		}
		time.Sleep(minute)
		w.want("d1.test", TypeMX, NoName, true)
		if w.places.All() != 0 || len(w.flights) != 0 {
			t.Errorf("%d places, %d questions are left", w.places.All(), len(w.flights))
		}
	})
}

// What strangers bring has bounds, in number and in octets, and a tenant that asks for much does not drive out what others asked for.
//
// tls-A4
func TestWhatIsKeptIsBounded(t *testing.T) {
	m := newMemory()
	now := time.Now()
	a := Answer{Outcome: Found, Heard: now, Until: now.Add(time.Hour)}
	for i := range 100 {
		m.put(question{fmt.Sprintf("mine%d.test", i), TypeMX}, a, "modest")
	}
	for i := range mostSmall + 100 {
		m.put(question{fmt.Sprintf("d%d.test", i), TypeMX}, a, "greedy")
	}
	large := a
	large.TXT = []string{strings.Repeat("x", largeFrom)}
	for i := range 3 * mostLarge {
		m.put(question{fmt.Sprintf("large%d.test", i), TypeTXT}, large, "greedy")
	}
	if m.small.Len() != mostSmall || m.large.Len() != mostLarge {
		t.Errorf("%d small and %d large ones", m.small.Len(), m.large.Len())
	}
	for i := range 100 {
		if m.get(question{fmt.Sprintf("mine%d.test", i), TypeMX}) == nil {
			t.Fatalf("mine%d.test was driven out", i)
		}
	}
	q := question{"mine0.test", TypeMX}
	m.put(q, large, "modest")
	m.put(q, a, "modest")
	if _, twice := m.large.Get(q); twice || m.get(q) == nil {
		t.Error("an answer that has become small is where the large ones are")
	}
}

// What is known costs no allocation.
func TestKnownDoesNotAllocate(t *testing.T) {
	inWorld(t, Settings{}, func(t *testing.T, w *world) {
		w.ask("signed.test", TypeMX)
		if n := testing.AllocsPerRun(100, func() {
			_, _ = w.Known("signed.test", TypeMX)
			_, _ = w.Known("signed.test.", TypeMX)
			_, _ = w.Known("unknown.test", TypeMX)
		}); n != 0 {
			t.Errorf("%v allocations", n)
		}
	})
}

func BenchmarkKnown(b *testing.B) {
	m := newMemory()
	now := time.Now()
	for i := range mostSmall {
		m.put(question{fmt.Sprintf("d%d.test", i), TypeMX}, Answer{Outcome: Found, Heard: now, Until: now.Add(time.Hour)}, "a")
	}
	c := &Client{known: m}
	b.ReportAllocs()
	for b.Loop() {
		if _, known := c.Known("d4711.test", TypeMX); !known {
			b.Fatal("not known")
		}
	}
}
