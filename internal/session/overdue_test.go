package session_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/session"
	"kanmon/internal/smtp/smtptest"
)

// waits keeps the waits that are told.
type waits struct{ told []string }

func (w *waits) Record(r *event.Record) {
	if n, ok := r.News.(event.Wait); ok {
		began := ""
		if n.Began {
			began = " began"
		}
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
