package traffic

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// serve runs an MX on the loopback interface and gives a way to it.
func serve(t *testing.T, mx *MX) func() net.Conn {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() { mx.Serve(l) })
	t.Cleanup(func() {
		_ = l.Close()
		serving.Wait()
	})
	return func() net.Conn {
		conn, err := net.Dial("tcp4", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		return conn
	}
}

func open(t *testing.T, conn net.Conn, options Options) *Session {
	t.Helper()
	options.Name, options.Patience = "msa.example", 5*time.Second
	s, err := Open(conn, options)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Mail that arrives as it should leaves nothing to complain of: pipelined, step by step, and with its sending side closed.
func TestMailArrivesAsItWasSent(t *testing.T) {
	ledger := NewLedger()
	dial := serve(t, &MX{Name: "mx.example", Took: ledger.Took})
	for i, options := range []Options{{}, {Stepwise: true}, {HalfShut: true}} {
		s := open(t, dial(), options)
		mail := NewMail("T"+string(rune('a'+i)), "a@example.com", []string{"b@mx.example", "c@mx.example"}, 5000)
		ledger.Enter("all", "", mail)
		o := s.Send(mail, time.Now())
		ledger.Ended(mail, o)
		if !o.Accepted() || tokenIn([]byte(o.Text)) != mail.Token || o.DotSent.Before(o.Began) || o.Ended.Before(o.DotSent) {
			t.Errorf("%+v: %+v", options, o)
		}
		s.Quit()
		ledger.Recorded(mail.Token)
	}
	awaitCopies(t, ledger, 3)
	if a := ledger.Audit("all"); a.Accepted != 3 || a.Wrong() != 0 || a.Unrecorded+a.Repeated != 0 {
		t.Errorf("%+v", a)
	}
	if times := ledger.Times("all", time.Time{}, time.Now()); len(times.Whole) != 3 || times.Whole[0] < times.Dot[0] {
		t.Errorf("%+v", times)
	}
}

// awaitCopies waits until MXs have told of so many messages: they do so behind their reply.
func awaitCopies(t *testing.T, l *Ledger, n int) {
	t.Helper()
	for until := time.Now().Add(5 * time.Second); time.Now().Before(until); time.Sleep(time.Millisecond) {
		l.mu.Lock()
		have := 0
		for _, e := range l.mails {
			have += len(e.copies)
		}
		l.mu.Unlock()
		if have == n {
			return
		}
	}
	t.Fatalf("%d copies did not arrive", n)
}

// An MX is as unpleasant as it is told to be, at each step.
func TestMXBehaves(t *testing.T) {
	for _, c := range []struct {
		at     string
		answer Answer
		step   string
		code   int
	}{
		{"MAIL", Answer{Text: "550 5.1.8 no"}, StepMail, 550},
		{"RCPT", Answer{Text: "450 4.2.0 later"}, StepRcpt, 450},
		{"DATA", Answer{Text: "421 4.3.2 bye", Then: Close}, StepData, 421},
		{"BODY", Answer{Text: "554 5.7.1 spam", Then: Close}, StepDot, 554},
		{".", Answer{Text: "554 5.7.1 spam"}, StepDot, 554},
		{".", Answer{Then: Vanish}, StepDot, 0},
		{".", Answer{Then: Reset}, StepDot, 0},
	} {
		dial := serve(t, &MX{Name: "mx.example", MidBody: 100, Behave: func(_ *Visit, step, _ string) Answer {
			if step == c.at {
				return c.answer
			}
			return Answer{}
		}})
		s := open(t, dial(), Options{Stepwise: true})
		if o := s.Send(NewMail("T1", "a@example.com", []string{"b@mx.example"}, 300), time.Now()); o.Step != c.step || o.Code != c.code {
			t.Errorf("%s %+v: %+v", c.at, c.answer, o)
		}
		s.Close()
	}
}

// Each way in which mail goes wrong has a name of its own in the audit.
func TestAuditFindsWhatIsWrong(t *testing.T) {
	mail := NewMail("T1", "a@example.com", []string{"b@mx.example"}, 300)
	accepted, refused := Outcome{Step: StepDot, Code: 250}, Outcome{Step: StepDot, Code: 451}
	arrived := func(ok bool) Copy { return Copy{Token: "T1", Sum: mail.Sum(), Accepted: ok} }
	again := NewMail("T2", "a@example.com", []string{"b@mx.example"}, 300)
	for _, c := range []struct {
		name string
		told Outcome
		do   func(*Ledger)
		want Audit
	}{
		{"lost", accepted, func(*Ledger) {}, Audit{Lost: 1}},
		{"false", accepted, func(l *Ledger) { l.Took(arrived(false)) }, Audit{False: 1}},
		{"reversed", refused, func(l *Ledger) { l.Took(arrived(true)); l.Recorded("T1") }, Audit{Doubled: 1}},
		{"left", Outcome{Step: StepDot}, func(l *Ledger) { l.Took(arrived(true)); l.GaveUp(mail); l.Recorded("T1") }, Audit{}},
		{"twice", accepted, func(l *Ledger) { l.Took(arrived(true)); l.Took(arrived(true)); l.Recorded("T1") }, Audit{Doubled: 1}},
		{"changed", accepted, func(l *Ledger) { l.Took(Copy{Token: "T1", Accepted: true}); l.Recorded("T1") }, Audit{Changed: 1}},
		{"from nowhere", refused, func(l *Ledger) { l.Took(Copy{Token: "T9"}) }, Audit{Odd: 1}},
		{"not on record", accepted, func(l *Ledger) { l.Took(arrived(true)) }, Audit{Unrecorded: 1}},
		{"twice on record", accepted, func(l *Ledger) { l.Took(arrived(true)); l.Recorded("T1"); l.Recorded("T1") }, Audit{Repeated: 1}},
		{"refused", refused, func(l *Ledger) { l.Took(arrived(false)) }, Audit{}},
		{"two attempts", accepted, func(l *Ledger) {
			l.Enter("", "M", again)
			l.Ended(again, accepted)
			l.Took(arrived(true))
			l.Took(Copy{Token: "T2", Sum: again.Sum(), Accepted: true})
			l.Recorded("T1")
			l.Recorded("T2")
		}, Audit{Doubled: 1}},
	} {
		l := NewLedger()
		l.Enter("", "M", mail)
		l.Ended(mail, c.told)
		c.do(l)
		a := l.Audit("")
		a.Mails, a.Accepted, a.Unaccepted, a.Examples = 0, 0, 0, nil
		if !same(a, c.want) {
			t.Errorf("%s: %+v", c.name, a)
		}
	}
}

func same(a, b Audit) bool {
	return a.Lost == b.Lost && a.False == b.False && a.Doubled == b.Doubled && a.Changed == b.Changed && a.Odd == b.Odd &&
		a.Unrecorded == b.Unrecorded && a.Repeated == b.Repeated
}

func TestRecordsAreRead(t *testing.T) {
	l := NewLedger()
	mail := NewMail("T1", "a@example.com", []string{"b@mx.example"}, 300)
	l.Enter("", "", mail)
	file := filepath.Join(t.TempDir(), "records.jsonl")
	lines := []string{
		`{"type":"transaction","dot":{"code":250,"text":"250 2.0.0 Ok: queued as T1"},"outcome":"delivered"}`,
		`{"type":"transaction","outcome":"refused"}`,
		`{"type":"dropped","time":"2026-07-01T00:00:00.000Z","records":17,"tenant":"acme"}`,
		`{"type":"dropped","time":"2026-07-01T00:00:00.000Z","records":2,"tenant":"beta"}`,
		`{"type":"dropped","time":"2026-07-01T00:00:00.000Z","records":4,"source":"10.0.0.1"}`,
		`{"type":"dropped","time":"2026-07-01T00:00:00.000Z","records":8}`,
		`{"type":"dropped","time":"2026-07-01T00:00:00.000Z","records":1,"tenant":"acme"}`,
		`{"type":"transaction","outcome":"delivered"{"type":"session"}`,
		`"type":"session"}`,
	}
	if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var r Records
	if err := r.ReadRecords(file, l); err != nil {
		t.Fatal(err)
	}
	if r.Lines != 9 || r.Torn != 2 || l.mails["T1"].records != 1 {
		t.Errorf("%+v, %d records of the mail", r, l.mails["T1"].records)
	}
	if r.AllDropped() != 32 || r.DroppedOf("acme") != 18 || r.DroppedOf("acme", "beta", "gamma") != 20 {
		t.Errorf("dropped: %v", r.Dropped)
	}
}
