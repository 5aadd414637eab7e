package event_test

import (
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"kanmon/internal/event"
)

// kept is a Later that keeps what it gets.
type kept struct {
	talks   bool
	mu      sync.Mutex
	records []*event.Record
}

func (k *kept) Record(r *event.Record) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.records = append(k.records, r)
}

func (k *kept) Dialogue() bool { return k.talks }
func (k *kept) Identity() bool { return k.talks }

// ofRecipients gives the record of a transaction whose recipients were answered so.
func ofRecipients(codes ...int) *event.Record {
	r := event.NewRecord()
	t := r.OwnTransaction()
	*t = event.Transaction{Number: 1, Sender: r.Add([]byte("a@b.example")), Dot: event.Reply{Code: 250}, Outcome: event.OutcomeDelivered, Recipients: t.Recipients[:0]}
	for _, code := range codes {
		t.Recipients = append(t.Recipients, event.Recipient{Reply: event.Reply{Code: code}})
	}
	r.Transaction = t
	return r
}

// A subscriber hears of facts on the goroutine of whoever tells, also where nothing is written anywhere; of dialogue alone it hears nothing.
func TestSubscribersHearFactsAtOnce(t *testing.T) {
	var s event.Stream
	var heard []string
	leave := s.Subscribe("test", func(f *event.Facts) {
		switch {
		case f.Transaction != nil:
			heard = append(heard, fmt.Sprintf("%s %v %v", f.Text(f.Transaction.Sender), f.Transaction.Outcome, f.Results))
		case f.News != nil:
			heard = append(heard, fmt.Sprintf("%T", f.News))
		default:
			heard = append(heard, "?")
		}
	})
	s.Record(ofRecipients(250, 250, 451, 550))
	talk := event.NewRecord()
	talk.Lines = append(talk.Lines, event.Line{Text: talk.Add([]byte("EHLO x"))})
	s.Record(talk)
	s.Tell(event.Heartbeat{Sessions: 3})
	leave()
	s.Tell(event.Heartbeat{Sessions: 4})
	want := "a@b.example delivered [0 2 1 1 0], event.Heartbeat"
	if got := strings.Join(heard, ", "); got != want {
		t.Errorf("heard %q, want %q", got, want)
	}
}

// Nobody has to look at a thousand recipients between two replies: above fifty there are only their numbers.
func TestManyRecipientsAreToldInNumbers(t *testing.T) {
	var s event.Stream
	var got []string
	s.Subscribe("test", func(f *event.Facts) {
		got = append(got, fmt.Sprint(len(f.Recipients), f.Results[event.FateDelivered], f.Transaction.MoreRcpts))
	})
	s.Record(ofRecipients(make50(250)...))
	s.Record(ofRecipients(append(make50(250), 250)...))
	more := ofRecipients(250)
	more.Transaction.MoreRcpts = 7
	s.Record(more)
	if want := "50 50 0, 0 51 0, 0 1 7"; strings.Join(got, ", ") != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func make50(code int) []int {
	codes := make([]int, event.MostRecipients)
	for i := range codes {
		codes[i] = code
	}
	return codes
}

// A subscriber that panics is switched off, counted and told; the others, the records and whoever tells go on.
func TestSubscriberThatPanicsIsSwitchedOff(t *testing.T) {
	var log strings.Builder
	s := event.Stream{Log: slog.New(slog.NewTextHandler(&log, nil))}
	var later kept
	s.Replace(&later)
	calls, others := 0, 0
	s.Subscribe("broken", func(*event.Facts) { calls++; panic("a defect") })
	s.Subscribe("sound", func(*event.Facts) { others++ })
	for range 3 {
		s.Record(ofRecipients(250))
	}
	if calls != 1 || others != 3 || len(later.records) != 3 || s.Off() != 1 {
		t.Errorf("%d calls of the broken one, %d of the other, %d records, %d off", calls, others, len(later.records), s.Off())
	}
	if !strings.Contains(log.String(), "listener=broken") || !strings.Contains(log.String(), "a defect") {
		t.Errorf("log: %s", &log)
	}
}

// A reload exchanges what is behind the stream while sessions tell: each record goes to one of the two, and none after Replace to the first.
func TestReplaceLosesNothing(t *testing.T) {
	var s event.Stream
	laters := make([]kept, 8)
	s.Replace(&laters[0])
	const tellers, each = 8, 500
	var all sync.WaitGroup
	for range tellers {
		all.Go(func() {
			for range each {
				s.Record(ofRecipients(250))
			}
		})
	}
	for i := range laters[1:] {
		s.Replace(&laters[i+1])
		before := &laters[i]
		before.mu.Lock()
		n := len(before.records)
		before.mu.Unlock()
		all.Go(func() {
			s.Tell(event.Heartbeat{})
			before.mu.Lock()
			defer before.mu.Unlock()
			if len(before.records) != n {
				t.Errorf("the one before got %d more", len(before.records)-n)
			}
		})
	}
	all.Wait()
	sum := 0
	for i := range laters {
		sum += len(laters[i].records)
	}
	if want := tellers*each + len(laters) - 1; sum != want {
		t.Errorf("%d records, want %d", sum, want)
	}
}

// The dialogue is wanted only as long as somebody is there who writes it down.
func TestDialogueIsWantedByWhoWritesIt(t *testing.T) {
	var s event.Stream
	for i, step := range []struct {
		later event.Later
		want  bool
	}{{nil, false}, {&kept{}, false}, {&kept{talks: true}, true}, {&kept{}, false}, {&kept{talks: true}, true}, {nil, false}} {
		if i > 0 {
			s.Replace(step.later)
		}
		if s.Dialogue() != step.want || s.Identity() != step.want {
			t.Errorf("step %d: dialogue %v, identity %v", i, s.Dialogue(), s.Identity())
		}
	}
}

func BenchmarkSubscribers(b *testing.B) {
	var s event.Stream
	n := 0
	for range 3 {
		s.Subscribe("count", func(f *event.Facts) { n += f.Results[event.FateDelivered] })
	}
	b.ReportAllocs()
	for b.Loop() {
		s.Record(ofRecipients(250))
	}
}

// Whoever overhears has the dialogue told, and who is to be hidden in it told anew: whoever sees the one sees the other.
func TestWhatIsOverheardIsTold(t *testing.T) {
	var s event.Stream
	s.Replace(&kept{})
	before := s.Listeners()
	if s.Dialogue() {
		t.Fatal("told to one who does not want it")
	}
	first, second := s.Overhear(), s.Overhear()
	if !s.Dialogue() || s.Identity() || s.Listeners() == before {
		t.Errorf("overheard: dialogue %v, identity %v, listeners %d, before %d", s.Dialogue(), s.Identity(), s.Listeners(), before)
	}
	s.Replace(&kept{talks: true})
	s.Replace(&kept{})
	first()
	if !s.Dialogue() {
		t.Error("one still overhears")
	}
	heard := s.Listeners()
	second()
	if s.Dialogue() || s.Listeners() == heard {
		t.Error("nobody overhears")
	}
}
