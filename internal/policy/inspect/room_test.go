package inspect

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/event"
)

// A fake is an engine that does what a test says.
type fake struct {
	scan    func(ctx context.Context, m *Mail) event.Scan
	ping    func() error
	lingers bool
	scans   atomic.Int32
	pings   atomic.Int32
}

func (f *fake) Scan(ctx context.Context, m *Mail) event.Scan {
	f.scans.Add(1)
	return f.scan(ctx, m)
}

func (f *fake) Ping(context.Context) error {
	f.pings.Add(1)
	if f.ping == nil {
		return nil
	}
	return f.ping()
}

func (f *fake) Probe(context.Context) []Proof { return []Proof{{What: "is a fake"}} }
func (f *fake) Lingers() bool                 { return f.lingers }

var clean = event.Scan{State: event.Scanned, Action: ActionNone}

func says(said event.Scan) *fake {
	return &fake{scan: func(context.Context, *Mail) event.Scan { return said }}
}

// takes says something after a time, and ends with ctx.
func takes(d time.Duration, said event.Scan) *fake {
	return &fake{scan: func(ctx context.Context, _ *Mail) event.Scan {
		select {
		case <-time.After(d):
			return said
		case <-ctx.Done():
			return Failed(event.LackUnavailable, "%v", ctx.Err())
		}
	}}
}

// lingering is one that goes on when nobody waits, as clamd does.
func lingering(d time.Duration, said event.Scan) *fake {
	f := takes(d, said)
	f.lingers = true
	return f
}

func room(t *testing.T, scanners ...Scanner) *Room {
	t.Helper()
	r := NewRoom(Settings{Scanners: scanners})
	t.Cleanup(r.Close)
	return r
}

func one(engines ...Engine) Scanner {
	return Scanner{Name: "s", Engines: engines, AtOnce: 4, Within: 16 * time.Second}
}

var number atomic.Int32

// mail is one that no other one is like.
func mail(tenant string) Mail {
	return message(tenant, fmt.Sprintf("Subject: %d\r\n\r\ntext\r\n", number.Add(1)))
}

func message(tenant, text string) Mail {
	return Mail{
		ID: "1", Tenant: tenant, Account: "a@" + tenant + ".example", Sender: "a@b.example", Recipients: []string{"c@d.example"},
		Octets: int64(len(text)), Open: func() io.Reader { return strings.NewReader(text) },
	}
}

// All scanners are asked at the same time, about the same octets, and their scans are in the order of the configuration.
func TestScannersAreAskedAtTheSameTimeAboutTheSameOctets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var read []string
		engine := func(action string) *fake {
			return &fake{scan: func(_ context.Context, m *Mail) event.Scan {
				text, _ := io.ReadAll(m.Open())
				mu.Lock()
				read = append(read, string(text))
				mu.Unlock()
				time.Sleep(2 * time.Second)
				return event.Scan{State: event.Scanned, Action: action}
			}}
		}
		r := room(t, Scanner{Name: "one", Engines: []Engine{engine("x")}, AtOnce: 1, Within: time.Minute},
			Scanner{Name: "two", Engines: []Engine{engine("y")}, AtOnce: 1, Within: time.Minute},
			Scanner{Name: "three", Engines: []Engine{engine("z")}, AtOnce: 1, Within: time.Minute})
		began := time.Now()
		m := message("a", "Subject: x\r\n\r\n.\r\n..\r\n")
		m.Scanners = []string{"three", "one"}
		got := r.Inspect(t.Context(), m)
		if took := time.Since(began); took != 2*time.Second {
			t.Errorf("it took %v", took)
		}
		if len(got) != 2 || got[0].Scanner != "one" || got[0].Action != "x" || got[1].Scanner != "three" || got[1].Took != event.Micros(2e6) {
			t.Errorf("%+v", got)
		}
		if want := "Subject: x\r\n\r\n.\r\n..\r\n"; !slices.Equal(read, []string{want, want}) {
			t.Errorf("they have read %q", read)
		}
	})
}

// A message that is larger than the scanner takes is not put to it, not even its beginning.
func TestWhatIsTooLargeIsNotPutToTheScanner(t *testing.T) {
	e := says(clean)
	s := one(e)
	s.Largest = 10
	got := room(t, s).Inspect(t.Context(), message("a", "12345678901"))
	if got[0].State != event.ScanSkipped || got[0].Lack != event.LackTooLarge || e.scans.Load() != 0 {
		t.Errorf("%+v, %d scans", got, e.scans.Load())
	}
}

// Whoever waits has an answer when the scanner's time is over; the verdict that comes behind it is told, and until then its place is taken.
func TestALateVerdictIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []event.Scan
		e := lingering(20*time.Second, event.Scan{State: event.Scanned, Action: ActionReject, Score: 20})
		r := NewRoom(Settings{Scanners: []Scanner{one(e)}, Late: func(m Mail, s event.Scan) {
			if m.Account != "a@a.example" {
				t.Errorf("told of %q", m.Account)
			}
			told = append(told, s)
		}})
		defer r.Close()
		began := time.Now()
		got := r.Inspect(t.Context(), mail("a"))
		if got[0].State != event.ScanFailed || got[0].Lack != event.LackUnavailable || time.Since(began) != 16*time.Second {
			t.Errorf("%+v after %v", got, time.Since(began))
		}
		if st := r.State()[0]; st.Taken != 1 || st.Abandoned != 1 {
			t.Errorf("%+v", st)
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if len(told) != 1 || told[0].Action != ActionReject || told[0].Scanner != "s" {
			t.Errorf("told %+v", told)
		}
		if st := r.State()[0]; st.Taken != 0 || st.Abandoned != 0 {
			t.Errorf("%+v", st)
		}
	})
}

// A scan that nobody waits for holds its place for twice the scanner's time at most.
func TestAScanHoldsItsPlaceTwiceItsTimeAtMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := room(t, one(lingering(time.Hour, clean)))
		r.Inspect(t.Context(), mail("a"))
		time.Sleep(16*time.Second - 1)
		if st := r.State()[0]; st.Taken != 1 {
			t.Errorf("before: %+v", st)
		}
		time.Sleep(2 * time.Nanosecond)
		synctest.Wait()
		if st := r.State()[0]; st.Taken != 0 || st.Abandoned != 0 {
			t.Errorf("behind: %+v", st)
		}
	})
}

// Whoever gives up has a scan given up by a scanner that notices, and not by one that goes on all the same.
func TestAScanIsGivenUpWithWhoeverWaited(t *testing.T) {
	for _, lingers := range []bool{false, true} {
		t.Run(fmt.Sprint("lingers ", lingers), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := takes(10*time.Second, clean)
				e.lingers = lingers
				r := room(t, one(e))
				ctx, cancel := context.WithCancel(t.Context())
				time.AfterFunc(time.Second, cancel)
				began := time.Now()
				got := r.Inspect(ctx, mail("a"))
				if got[0].State != event.ScanFailed || time.Since(began) != time.Second {
					t.Errorf("%+v after %v", got, time.Since(began))
				}
				synctest.Wait()
				if st := r.State()[0]; st.Taken == 1 != lingers {
					t.Errorf("%+v", st)
				}
				if state, _, _ := r.scanners[0].upstreams[0].breaker.show(); state != there {
					t.Error("whoever gives up says nothing of the scanner")
				}
			})
		})
	}
}

// Behind the return of Inspect the message's memory is somebody else's: a scan that goes on reads nothing of it.
func TestNobodyReadsAMessageBehindItsInspection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		result := make(chan error, 1)
		e := &fake{lingers: true, scan: func(_ context.Context, m *Mail) event.Scan {
			from := m.Open()
			_, _ = io.ReadFull(from, make([]byte, 3))
			time.Sleep(20 * time.Second)
			_, err := io.ReadAll(from)
			result <- err
			return clean
		}}
		r := room(t, one(e))
		r.Inspect(t.Context(), message("a", "Subject: x\r\n\r\nmuch more"))
		if err := <-result; !errors.Is(err, errShut) {
			t.Errorf("it reads on: %v", err)
		}
	})
}

// What a scanner's answer does to the program that reads it is that scan's trouble alone.
func TestAPanicIsAFailedScan(t *testing.T) {
	r := room(t, one(&fake{scan: func(context.Context, *Mail) event.Scan { panic("index out of range") }}))
	if got := r.Inspect(t.Context(), mail("a")); got[0].Lack != event.LackUnavailable || got[0].State != event.ScanFailed {
		t.Errorf("%+v", got)
	}
	if st := r.State()[0]; st.Taken != 0 {
		t.Errorf("%+v", st)
	}
}

// Another upstream is asked where the first one has failed early, and not where half of the time is over.
func TestAnotherUpstreamIsAskedEarlyAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct {
			after time.Duration
			lack  event.Lack
			want  event.ScanState
		}{
			{0, event.LackUnavailable, event.Scanned},
			{7 * time.Second, event.LackBusy, event.Scanned},
			{9 * time.Second, event.LackUnavailable, event.ScanFailed},
			{0, event.LackTooLarge, event.ScanFailed},
			{0, event.LackUnfit, event.ScanFailed},
		} {
			bad, good := takes(c.after, Failed(c.lack, "so")), says(clean)
			r := room(t, one(good, bad)) // the turn begins with the second one
			if got := r.Inspect(t.Context(), mail("a")); got[0].State != c.want {
				t.Errorf("%+v: %+v, %d and %d scans", c, got, bad.scans.Load(), good.scans.Load())
			}
		}
	})
}

// The same message of the same account is scanned once: its copies meanwhile and its next tries hear the same.
func TestAVerdictIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := takes(time.Second, event.Scan{State: event.Scanned, Action: ActionReject, Score: 15})
		r := room(t, one(e))
		trace := func(n int) string {
			return fmt.Sprintf("Received: by x with id %d;\r\n\tto day\r\nDATE: day %d\r\n", n, n)
		}
		var all sync.WaitGroup
		for i := range 200 {
			all.Go(func() {
				got := r.Inspect(t.Context(), message("a", trace(i)+"Subject: x\r\n\r\nspam\r\n"))
				if got[0].Action != ActionReject {
					t.Errorf("%+v", got)
				}
			})
		}
		all.Wait()
		if got := r.Inspect(t.Context(), message("a", trace(7)+"Subject: x\r\n\r\nspam\r\n")); !got[0].Cached || got[0].Took != 0 || e.scans.Load() != 1 {
			t.Errorf("%+v, %d scans", got, e.scans.Load())
		}
		for name, m := range map[string]Mail{
			"another text":    message("a", trace(7)+"Subject: x\r\n\r\nSpam\r\n"),
			"another tenant":  message("b", trace(7)+"Subject: x\r\n\r\nspam\r\n"),
			"in the body":     message("a", "Subject: x\r\n\r\nDate: 1\r\nspam\r\n"),
			"in the body too": message("a", "Subject: x\r\n\r\nDate: 2\r\nspam\r\n"),
			"a long trace":    message("a", "Received: "+strings.Repeat("x", 1000)+"\r\nSubject: x\r\n\r\nspam\r\n"),
			"another long":    message("a", "Received: "+strings.Repeat("y", 1000)+"\r\nSubject: x\r\n\r\nspam\r\n"),
			"folded long":     message("a", "Received: x\r\n "+strings.Repeat("y", 1000)+"\r\nSubject: x\r\n\r\nspam\r\n"),
			"folded longer":   message("a", "Received: x\r\n "+strings.Repeat("z", 1000)+"\r\nSubject: x\r\n\r\nspam\r\n"),
			"ends for some":   message("a", "Received: x\r\n \r\n one text\r\nSubject: x\r\n\r\nspam\r\n"),
			"ends, another":   message("a", "Received: x\r\n \r\n another text\r\nSubject: x\r\n\r\nspam\r\n"),
			"bare CR":         message("a", "Received: x\rSubject: one\r\nSubject: x\r\n\r\nspam\r\n"),
			"bare CR, other":  message("a", "Received: x\rSubject: two\r\nSubject: x\r\n\r\nspam\r\n"),
			"other account":   func() Mail { m := message("a", trace(7)+"Subject: x\r\n\r\nspam\r\n"); m.Account = "b"; return m }(),
		} {
			if got := r.Inspect(t.Context(), m); got[0].Cached {
				t.Errorf("%s: from memory", name)
			}
		}
		r.Forget("a", "a@a.example")
		if got := r.Inspect(t.Context(), message("a", trace(7)+"Subject: x\r\n\r\nspam\r\n")); got[0].Cached {
			t.Error("it was to be forgotten")
		}
		r.Forget("a", "")
		if got := r.Inspect(t.Context(), message("a", trace(7)+"Subject: x\r\n\r\nspam\r\n")); got[0].Cached {
			t.Error("all of the tenant's were to be forgotten")
		}
		time.Sleep(verdictTime)
		if got := r.Inspect(t.Context(), message("a", trace(7)+"Subject: x\r\n\r\nspam\r\n")); got[0].Cached {
			t.Error("it is too old")
		}
	})
}

// Only a verdict that holds is kept: not a failure, and not that it should come again.
func TestWhatDoesNotHoldIsNotKept(t *testing.T) {
	for _, said := range []event.Scan{
		Failed(event.LackUnavailable, "so"), Unfit("so"), {State: event.Scanned, Action: ActionSoftReject}, {State: event.Scanned, Action: ActionGreylist},
	} {
		e := says(said)
		r := room(t, one(e))
		for range 2 {
			r.Inspect(t.Context(), message("a", "x"))
		}
		if e.scans.Load() != 2 {
			t.Errorf("%+v is kept", said)
		}
	}
}

// Whoever waits for somebody else's scan of the same message scans it himself when that one gives up.
func TestACopyIsScannedWhenTheFirstGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := takes(5*time.Second, clean)
		r := room(t, one(e))
		first, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		all.Go(func() { r.Inspect(first, message("a", "x")) })
		synctest.Wait()
		all.Go(func() {
			if got := r.Inspect(t.Context(), message("a", "x")); got[0].State != event.Scanned {
				t.Errorf("%+v", got)
			}
		})
		time.Sleep(time.Second)
		cancel()
		all.Wait()
	})
}

// Close ends what is under way, whoever waits, and what comes behind it has no verdict.
func TestCloseEndsAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRoom(Settings{Scanners: []Scanner{one(lingering(time.Hour, clean))}})
		var all sync.WaitGroup
		all.Go(func() {
			if got := r.Inspect(t.Context(), mail("a")); got[0].State == event.Scanned {
				t.Errorf("%+v", got)
			}
		})
		synctest.Wait()
		r.Close()
		all.Wait()
		if got := r.Inspect(t.Context(), mail("a")); got[0].State != event.ScanSkipped || got[0].Scanner != "s" {
			t.Errorf("%+v", got)
		}
	})
}

// Proofs bear the name of their scanner, and a panic is none.
func TestProofsBearTheirScannersName(t *testing.T) {
	got := room(t, one(says(clean))).Probe(t.Context())
	if len(got) != 1 || got[0].Scanner != "s" || got[0].Err != nil {
		t.Errorf("%+v", got)
	}
}

// The messages of probes have CRLF alone, and what is to be found in them.
func TestMessagesOfProbes(t *testing.T) {
	for _, m := range [][]byte{Ordinary("X: y\r\n"), GTUBE(), EICAR()} {
		if bytes.Contains(bytes.ReplaceAll(m, []byte("\r\n"), nil), []byte("\n")) || bytes.Contains(bytes.ReplaceAll(m, []byte("\r\n"), nil), []byte("\r")) {
			t.Errorf("%q", m)
		}
	}
	if !bytes.Contains(GTUBE(), []byte("GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL")) || !bytes.Contains(EICAR(), []byte("EICAR-STANDARD-"+"ANTIVIRUS-TEST-FILE")) {
		t.Error("nothing is to be found in them")
	}
}

func TestParseAddress(t *testing.T) {
	for text, want := range map[string]Address{
		"unix:/run/x.sock":         {Network: "unix", Host: "/run/x.sock"},
		"unix:///run/x.sock":       {Network: "unix", Host: "/run/x.sock"},
		"tcp://127.0.0.1:3310":     {Network: "tcp", Host: "127.0.0.1:3310"},
		"http://[::1]":             {Network: "tcp", Host: "[::1]:99"},
		"https://scan.example:1/":  {Network: "tcp", Host: "scan.example:1", TLS: true},
		"":                         {},
		"127.0.0.1:3310":           {},
		"unix:run/x":               {},
		"http://127.0.0.1/checkv2": {},
		"http://u:p@127.0.0.1":     {},
		"ftp://127.0.0.1":          {},
		"tcp://":                   {},
	} {
		got, err := ParseAddress(text, "99")
		if got != want || (err == nil) != (want != Address{}) {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
}
