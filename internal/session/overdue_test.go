package session_test

import (
	"bytes"
	"context"
	"fmt"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/session"
	"kanmon/internal/smtp/smtptest"
)

// waits keeps the waits that are told.
type waits struct {
	told []string
	last struct {
		event.Session
		event.Wait
	}
}

func (w *waits) Record(r *event.Record) {
	if n, ok := r.News.(event.Wait); ok {
		began := ""
		if n.Began {
			began = " began"
		}
		w.last.Session, w.last.Wait = r.Session, n
		w.told = append(w.told, fmt.Sprintf("%v %d %v%s", n.Phase, n.Transaction, n.Waited.Round(time.Second), began))
	}
	r.Release()
}

// A tarpit that does not answer is told of while it holds the session: after ten seconds, and at each doubling.
func TestSilentTarpitIsToldWhileItHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var told waits
		w.engine.Recorder = &told
		rcptsAt(&w.mx, smtptest.Delay(200*time.Second)+smtptest.Default)
		msa := smtptest.NewMSA(t, w.connect())
		msa.Expect(220)
		msa.Command("EHLO msa.example.com")
		msa.Command("MAIL FROM:<a@example.com>")
		msa.Command("RCPT TO:<b@example.net>")
		msa.Quit()
		w.close()
		if got, want := strings.Join(told.told, ", "), "rcpt 1 10s, rcpt 1 20s, rcpt 1 40s, rcpt 1 1m20s, rcpt 1 2m40s"; got != want {
			t.Errorf("told %q, want %q", got, want)
		}
	})
}

// What hears of a wait has a stack of its own, however much it needs, and a panic in it is its session's alone.
func TestWhoHearsOfAWaitHasAStackOfTheirOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		ears := new(ears)
		w.engine.Recorder = ears
		rcptsAt(&w.mx, smtptest.Delay(30*time.Second)+smtptest.Default)
		for range 2 {
			msa := smtptest.NewMSA(t, w.connect())
			msa.Expect(220)
			msa.Command("EHLO msa.example.com")
			msa.Command("MAIL FROM:<a@example.com>")
			if got := msa.Command("RCPT TO:<b@example.net>"); ears.broken.Load() != (got.Code == 421) {
				t.Errorf("the reply is %v", got)
			}
			msa.Quit()
			ears.broken.Store(true)
		}
		w.close()
		if ears.heard.Load() != 3 || ears.onSession.Load() != 0 {
			t.Errorf("%d waits were heard, %d of them on the session's stack; want 3 and none", ears.heard.Load(), ears.onSession.Load())
		}
	})
}

// ears hear of waits, and see on whose stack they are.
type ears struct {
	heard, onSession atomic.Int32
	broken           atomic.Bool
}

func (e *ears) Record(r *event.Record) {
	defer r.Release()
	if _, isWait := r.News.(event.Wait); !isWait {
		return
	}
	e.heard.Add(1)
	if bytes.Contains(debug.Stack(), []byte("converse")) {
		e.onSession.Add(1)
	}
	if e.broken.Load() {
		panic("injected where a wait is heard of")
	}
}

// Sessions that wait are looked at together: in the second in which each of fifty is due, ten times and not fifty.
func TestWaitsAreLookedAtTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var mu sync.Mutex
		told, at := 0, map[time.Time]bool{}
		w.engine.Recorder = recorderOf(func(r *event.Record) {
			mu.Lock()
			defer mu.Unlock()
			if n, ok := r.News.(event.Wait); ok {
				told++
				at[time.Now()] = true
				if late := n.Waited % event.FirstWait; late > 100*time.Millisecond {
					t.Errorf("told %v late", late)
				}
			}
		})
		rcptsAt(&w.mx, smtptest.Delay(15*time.Second)+smtptest.Default)
		w.engine.Dialer = dialFunc(func(ctx context.Context, r session.DialRequest) (session.Outbound, error) {
			mu.Lock()
			defer mu.Unlock()
			return w.dial(ctx, r)
		})
		var all sync.WaitGroup
		for i := range 50 {
			all.Go(func() {
				time.Sleep(time.Duration(i) * 19 * time.Millisecond)
				msa := smtptest.NewMSA(t, w.connect())
				msa.Expect(220)
				msa.Command("EHLO msa.example.com")
				msa.Command("MAIL FROM:<a@example.com>")
				msa.Command("RCPT TO:<b@example.net>")
				msa.Quit()
			})
		}
		all.Wait()
		w.close()
		if told != 50 || len(at) > 11 {
			t.Errorf("%d told at %d times", told, len(at))
		}
	})
}

// What is told of a wait says how long its mail has waited in all: replies to pipelined commands are waited for together, and a connection is opened for
// its first mail.
func TestAWaitSaysWhatItsMailHasWaitedInAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var inAll []string
		w.engine.Recorder = recorderOf(func(r *event.Record) {
			if n, ok := r.News.(event.Wait); ok {
				inAll = append(inAll, fmt.Sprintf("%v %v", n.Phase, n.InAll.Round(time.Second)))
			}
			r.Release()
		})
		w.mx.Reply = func(verb string, n int) string {
			switch {
			case verb == "EHLO":
				return smtptest.Delay(7*time.Second) + "250-mx.example\r\n250 PIPELINING\r\n"
			case verb == "MAIL" && n == 1:
				return smtptest.Delay(5*time.Second) + smtptest.Default
			case verb == "RCPT", verb == "DATA" && n == 1:
				return smtptest.Delay(11*time.Second) + smtptest.Default
			}
			return smtptest.Default
		}
		msa := smtptest.NewMSA(t, w.connect())
		for range 2 {
			msa.Deliver("a@example.com", []string{"b@example.net"}, []byte("text\r\n"), true)
			time.Sleep(time.Minute)
		}
		msa.Quit()
		w.close()
		if got, want := strings.Join(inAll, ", "), "rcpt 22s, data 33s, rcpt 10s"; got != want {
			t.Errorf("told %q, want %q", got, want)
		}
	})
}

// One that drips is told of, too, and what an MX answers in time is not.
func TestDrippingReplyIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var told waits
		w.engine.Recorder = &told
		drops := ""
		for range 15 {
			drops += smtptest.Delay(3*time.Second) + "250-drop\r\n"
		}
		rcptsAt(&w.mx, drops+"250 at last\r\n")
		msa := smtptest.NewMSA(t, w.connect())
		msa.Expect(220)
		msa.Command("EHLO msa.example.com")
		msa.Command("MAIL FROM:<a@example.com>")
		msa.Command("RCPT TO:<b@example.net>")
		msa.Quit()
		w.close()
		if len(told.told) != 3 {
			t.Fatalf("told %q", told.told)
		}
		for _, one := range told.told {
			if !strings.HasPrefix(one, "rcpt 1 ") || !strings.HasSuffix(one, " began") {
				t.Errorf("told %q", one)
			}
		}
	})
}

// A dial that hangs is told of as well.
func TestHangingDialIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var told waits
		w.engine.Recorder = &told
		w.engine.Dialer = dialFunc(func(ctx context.Context, r session.DialRequest) (session.Outbound, error) {
			time.Sleep(25 * time.Second)
			return w.dial(ctx, r)
		})
		msa := smtptest.NewMSA(t, w.connect())
		msa.Expect(220)
		msa.Quit()
		w.close()
		if got := strings.Join(told.told, ", "); got != "dial 0 10s, dial 0 20s" {
			t.Errorf("told %q", got)
		}
	})
}

// A wait says what is known of it so far: as what goes on record when it ends, so that what never ends counts as well.
func TestWaitSaysWhatIsKnownSoFar(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var told waits
		w.engine.Recorder = &told
		w.engine.Gate = whoseGate{}
		w.mx.Reply = func(verb string, n int) string {
			switch {
			case verb == "RCPT" && n == 2:
				return "550 5.1.1 unknown\r\n"
			case verb == ".":
				return smtptest.Delay(2*time.Second) + stuttered("250 2.0.0 queued\r\n", time.Second)
			}
			return smtptest.Default
		}
		w.engine.Dialer = dialFunc(func(ctx context.Context, r session.DialRequest) (session.Outbound, error) {
			out, err := w.dial(ctx, r)
			out.Conn, out.Way = wireOf(out.Conn, 7), &event.Way{Tenant: "of the connection", Provider: "docomo"}
			return out, err
		})
		msa := smtptest.NewMSA(t, w.connect())
		msa.Deliver("a@example.com", []string{"b@example.net", "nobody@example.net"}, []byte("text\r\n"), true)
		msa.Quit()
		w.close()
		if len(told.told) != 1 || told.told[0] != "dot 1 11s began" {
			t.Fatalf("told %q", told.told)
		}
		of := told.last
		if of.SendingIP != ownIP || of.Way.Provider != "docomo" || of.Destination != mxAddr || of.Tenant != "acme" {
			t.Errorf("of %s at %s of %s, %s's", of.SendingIP, of.Way.Provider, of.Destination, of.Tenant)
		}
		if of.Pieces < 6 || of.Pieces > 8 || of.First != 3*time.Second || of.Resent != 7 || of.RTT.Duration() != 45*time.Millisecond {
			t.Errorf("%d pieces, the first behind %s, %d resent, round trip %s", of.Pieces, of.First, of.Resent, of.RTT.Duration())
		}
		if of.RcptsRefused != 1 || of.Size != 6 || of.Window != 0 {
			t.Errorf("%d refused, %d octets, kept for %s", of.RcptsRefused, of.Size, of.Window)
		}
	})
}

// whoseGate says whose each mail is, and has nothing against any.
type whoseGate struct{ session.Pass }

func (whoseGate) Enter(session.Origin) session.Pass { return whoseGate{} }
func (whoseGate) Ask(session.Question) session.Decision {
	return session.Decision{Whose: "acme", Sender: "a@example.com"}
}
func (whoseGate) Tell(session.News) {}
func (whoseGate) Close()            {}

// Of a dial that hangs it is told from which sending IP, and at which provider, as soon as that is chosen.
func TestHangingDialSaysWhence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var told waits
		w.engine.Recorder = &told
		w.engine.Dialer = dialFunc(func(ctx context.Context, r session.DialRequest) (session.Outbound, error) {
			r.Leaving.Why(&event.Way{Tenant: "acme", Provider: "docomo"})
			r.Leaving.From(ownIP)
			time.Sleep(15 * time.Second)
			return w.dial(ctx, r)
		})
		msa := smtptest.NewMSA(t, w.connect())
		msa.Expect(220)
		msa.Quit()
		w.close()
		of := told.last
		if len(told.told) != 1 || of.SendingIP != ownIP || of.Way == nil || of.Way.Provider != "docomo" || of.Tenant != "acme" {
			t.Errorf("told %q, of %s, %+v", told.told, of.SendingIP, of.Way)
		}
	})
}

// A message that the MX's window keeps is told of, too: for how long so far, and how much of it has come.
func TestMessageKeptByTheWindowIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newReading(t, 4<<10, 500*time.Microsecond)
		var told waits
		w.engine.Recorder = &told
		msa := smtptest.NewMSA(t, w.connect())
		msa.Deliver("a@example.com", []string{"b@example.net"}, bodyOf(96_000), true)
		msa.Quit()
		w.close()
		if got, want := strings.Join(told.told, ", "), "body 1 10s, body 1 20s, body 1 41s"; got != want {
			t.Errorf("told %q, want %q", got, want)
		}
		if m := told.last; m.Window < 40*time.Second || m.Size < 60_000 {
			t.Errorf("kept for %s, %d octets", m.Window, m.Size)
		}
	})
}

// Where nobody writes the dialogue down it is not gathered, and what came of it is told all the same.
func TestFactsAreToldWithoutTheDialogue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var stream event.Stream
		w.engine.Recorder = &stream
		var heard []string
		stream.Subscribe("test", func(f *event.Facts) {
			if f.Transaction != nil {
				heard = append(heard, fmt.Sprintf("%s %v %d", f.Text(f.Transaction.Sender), f.Transaction.Outcome, f.Results[event.FateDelivered]))
			}
			if f.End != nil {
				heard = append(heard, fmt.Sprintf("%s %d", f.End.Reason, f.End.Delivered))
			}
		})
		later := &lines{}
		stream.Replace(later)
		msa := smtptest.NewMSA(t, w.connect())
		msa.Deliver("a@example.com", []string{"b@example.net", "c@example.net"}, []byte("text\r\n"), false)
		time.Sleep(10 * time.Second) // a wait hands over what there is
		msa.Deliver("d@example.com", []string{"b@example.net"}, []byte("text\r\n"), false)
		msa.Quit()
		w.close()
		if got := strings.Join(heard, ", "); got != "a@example.com delivered 2, d@example.com delivered 1, quit 2" {
			t.Errorf("heard %q", got)
		}
		if later.lines != 0 || later.records != 3 {
			t.Errorf("%d lines in %d records", later.lines, later.records)
		}
	})
}

// lines is a Later that wants no dialogue, and counts it.
type lines struct{ lines, records int }

func (l *lines) Record(r *event.Record) {
	l.lines += len(r.Lines)
	l.records++
	r.Release()
}

func (*lines) Dialogue() bool { return false }
func (*lines) Identity() bool { return false }
