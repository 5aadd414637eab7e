package scanners

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/policy/inspect"
	"kanmon/internal/policy/inspect/rspamd"
)

// Rspamd's own actions, its score and its symbols come as it has them; the settings move its thresholds. (S2, S3)
func TestRspamdSaysWhatItThinks(t *testing.T) {
	p := startRspamd(t, setup{})
	e := p.rspamd(t, rspamd.Settings{SettingsID: "outbound"})
	for _, c := range []struct {
		text, action string
		score        float64
	}{
		{message(""), "no action", 0},
		{message("X-Test-Score: 7\r\n"), "add header", 7},
		{message("X-Test-Score: 12\r\n"), "reject", 12},
		{message("X-Test-Soft: 1\r\n"), "soft reject", 0},
		{string(inspect.GTUBE()), "reject", 15},
	} {
		got := e.Scan(t.Context(), mail(c.text))
		if got.State != event.Scanned || got.Action != c.action || got.Score != c.score {
			t.Errorf("%q: %+v", c.text, got)
		}
		if strings.Contains(c.text, "X-Test-Score") && (points(got, "TEST_SCORE") != c.score || got.Threshold != 10) {
			t.Errorf("%+v", got)
		}
	}
	// The same by its milter, which says no more than that it refuses, and by an Rspamd without settings.
	filter := milterAt(t, p.port+1)
	for text, want := range map[string]event.Scan{
		message(""):                        {Action: "no action"},
		message("X-Test-Score: 16\r\n"):    {Action: "reject", Code: 554},
		message("X-Test-Soft: 1\r\n"):      {Action: "soft reject", Code: 451},
		string(inspect.GTUBE()):            {Action: "reject", Code: 554},
		"X-Test-Score: 16\r\nno header":    {Action: "reject", Code: 554},
		message("X-Test-Score:   16 \r\n"): {Action: "reject", Code: 554},
		"X-Test-Score: 16\r\n\r\n":         {Action: "reject", Code: 554},
		"X-Test-Score: 16":                 {Action: "reject", Code: 554},
		"":                                 {Action: "no action"},
	} {
		if got := filter.Scan(t.Context(), mail(text)); got.State != event.Scanned || got.Action != want.Action || got.Code != want.Code {
			t.Errorf("milter, %q: %+v", text, got)
		}
	}
}

// Whatever the envelope: either Rspamd sees all of it, or it is not asked. IDN and UTF-8 are not lost. (S23)
func TestRspamdSeesTheWholeEnvelope(t *testing.T) {
	e := startRspamd(t, setup{}).rspamd(t, rspamd.Settings{})
	scanned, unfit := 0, 0
	for _, address := range []string{
		"a@b.example", "a..b@docomo.example", ".a@docomo.example", "a.@docomo.example", `"a b"@b.example`, `"a@b"@b.example`, `"a\"b"@b.example`, `"a\\b"@b.example`,
		"é@b.example", "é..x@bücher.example", "日本@日本.example", "a@[192.0.2.1]", "a@[IPv6:2001:db8::1]", "a@under_score.example", "a@b.example.", "postmaster",
		"@relay.example:a@b.example", "!#$%&'*+-/=?^_`{|}~@b.example", "a@localhost", "a@1.2.3.4", "a@x--y.example", `""@b.example`, "1@2.example",
		strings.Repeat("a", 64) + "@b.example", "a@" + strings.Repeat("b", 63) + ".example", "bounce+a=b.example@lists.example", "SRS0=xx=yy=b.example=a@c.example",
		"a(b)@c.example", "a[b]@c.example", "a,b@c.example", "a;b@c.example", "a:b@c.example", "a%b@c.example", "a!b@c.example", "%@b.example", "a\u3000b@c.example",
		"a b@b.example", "a@-b.example", "a@_b.example", `"a b"@@x`, "a\nb@b.example", "a@b.example\r\nRcpt: c@d.example", "a\x00b@c.example", "a@b..example", "a@", "",
	} {
		m := mail(message("X-Test-Rcpts: 1\r\n"))
		m.Sender, m.Recipients, m.Account = address, []string{address, "second@mx.example", address}, "account"
		got := e.Scan(t.Context(), m)
		switch {
		case got.Lack == event.LackUnfit:
			unfit++
		case got.State != event.Scanned:
			t.Errorf("%q: %+v", address, got)
		case points(got, "TEST_RCPTS") != 3 || points(got, "TEST_FROM") != 1 || points(got, "TEST_USER") != float64(len("account")):
			t.Errorf("%q: %+v", address, got.Symbols)
		default:
			scanned++
		}
	}
	t.Logf("%d were scanned, %d could not be put to it", scanned, unfit)
	if scanned < 30 || unfit < 8 {
		t.Error("one of both is too rare")
	}
	m := mail(message("X-Test-Rcpts: 1\r\n"))
	m.Recipients = nil
	for i := range 1500 {
		m.Recipients = append(m.Recipients, fmt.Sprintf("recipient-number-%d@a-rather-long-domain-name.example", i))
	}
	if got := e.Scan(t.Context(), m); points(got, "TEST_RCPTS") != 1000 {
		t.Errorf("1,500 recipients: %+v", got)
	}
}

// The octets that Rspamd judges are the message's, to the last one, with lines that begin with a dot, without an end, without a body, empty,
// with octets 0 and lone CR and LF. (S15, S22)
func TestRspamdGetsTheOctets(t *testing.T) {
	e := startRspamd(t, setup{}).rspamd(t, rspamd.Settings{})
	for name, text := range map[string]string{
		"dots":        message("X-Test-Octets: 1\r\n") + ".\r\n..\r\n.x\r\n",
		"no end":      message("X-Test-Octets: 1\r\n") + "no end",
		"no body":     "X-Test-Octets: 1\r\n\r\n",
		"header only": "X-Test-Octets: 1\r\n",
		"octets":      message("X-Test-Octets: 1\r\n") + "\x00\xff\r\r\n\n\x80\r\n",
		"1 MiB":       message("X-Test-Octets: 1\r\n") + strings.Repeat("0123456789abcd\r\n", 1<<16),
	} {
		got := e.Scan(t.Context(), mail(text))
		if got.State != event.Scanned || points(got, "TEST_OCTETS") != octets(text) {
			t.Errorf("%s: %+v, want %v", name, got, octets(text))
		}
	}
	for _, text := range []string{"", "\r\n", "no header at all\r\n"} {
		if got := e.Scan(t.Context(), mail(text)); got.State != event.Scanned || got.Action != "no action" {
			t.Errorf("%q: %+v", text, got)
		}
	}
}

// A stopped Rspamd: each mail has an answer in time, behind five of them nobody waits, and it is there again when it goes on. (S6)
func TestAStoppedRspamdIsAway(t *testing.T) {
	p := startRspamd(t, setup{})
	const within = 700 * time.Millisecond
	r := room(t, p.rspamd(t, rspamd.Settings{}), inspect.Scanner{AtOnce: 64, Within: within}, nil)
	scan := func(n int) (event.Scan, time.Duration) {
		began := time.Now()
		got := r.Inspect(t.Context(), *mail(message(fmt.Sprintf("X-Number: %d\r\n", n))))
		return got[0], time.Since(began)
	}
	until(t, 30*time.Second, "it scans in time", func() bool { got, _ := scan(int(time.Now().UnixNano())); return got.State == event.Scanned })
	p.pause(t)
	away := 0
	for n := range 40 {
		got, took := scan(n)
		switch {
		case got.State == event.Scanned:
			t.Fatalf("%d: %+v", n, got)
		case got.State == event.ScanSkipped && took > 50*time.Millisecond:
			t.Errorf("%d: %+v after %v", n, got, took)
		case got.State == event.ScanSkipped:
			away++
		case took > within+3*time.Second:
			t.Errorf("%d: %+v after %v", n, got, took)
		}
	}
	if away < 34 {
		t.Errorf("nobody waited %d times of 40", away)
	}
	p.resume(t)
	n := 100
	until(t, 20*time.Second, "it is there again", func() bool {
		n++
		got, _ := scan(n)
		return got.State == event.Scanned
	})
	until(t, 10*time.Second, "all places are back", func() bool { return r.State()[0].Taken == 0 && r.State()[0].Away.IsZero() })
}

// Where Rspamd's time has run out, or a part of it has failed, its "no action" is none. Its task_timeout need not be known. (S7)
func TestARspamdThatHasNotSeenAllGivesNoVerdict(t *testing.T) {
	e := startRspamd(t, setup{options: "task_timeout = 1s;"}).rspamd(t, rspamd.Settings{})
	for _, fields := range []string{"X-Test-Busy: 1.5\r\n", "X-Test-Fail: 1\r\n"} {
		got := e.Scan(t.Context(), mail(message(fields)))
		if got.State != event.ScanFailed || got.Lack != event.LackUnavailable || !strings.HasPrefix(got.Why, "incomplete: ") || got.Action != "no action" {
			t.Errorf("%q: %+v", fields, got)
		}
	}
	got := e.Scan(t.Context(), mail(message("X-Test-Fail: 1\r\nX-Test-Score: 20\r\n")))
	if got.State != event.Scanned || got.Action != "reject" {
		t.Errorf("%+v", got)
	}
}

// Fifty at once at an Rspamd of one task at a time: what it does not take is busy, never clean, and nobody waits for ever. (S8)
func TestAFullRspamdIsBusy(t *testing.T) {
	p := startRspamd(t, setup{worker: "count = 1; max_tasks = 1;"})
	r := room(t, p.rspamd(t, rspamd.Settings{}), inspect.Scanner{AtOnce: 50, Within: 4 * time.Second}, nil)
	var all sync.WaitGroup
	var refused, busy, other atomic.Int32
	for i := range 50 {
		all.Go(func() {
			began := time.Now()
			got := r.Inspect(t.Context(), *mail(message(fmt.Sprintf("X-Number: %d\r\nX-Test-Score: 20\r\nX-Test-Busy: 0.1\r\n", i))))[0]
			if took := time.Since(began); took > 9*time.Second+3*time.Second {
				t.Errorf("after %v: %+v", took, got)
			}
			switch {
			case got.State == event.Scanned && got.Action == "reject":
				refused.Add(1)
			case got.State == event.Scanned:
				t.Errorf("clean: %+v", got)
			case got.Lack == event.LackBusy:
				busy.Add(1)
			default:
				other.Add(1)
			}
		})
	}
	all.Wait()
	t.Logf("%d refused, %d busy, %d otherwise without a verdict", refused.Load(), busy.Load(), other.Load())
	if refused.Load() == 0 {
		t.Error("none has a verdict")
	}
	until(t, 10*time.Second, "all places are back", func() bool { return r.State()[0].Taken == 0 })
}

// A message that Rspamd's max_message refuses is too large: not away, not clean. (S11)
func TestALargeMessageIsTooLargeForRspamd(t *testing.T) {
	e := startRspamd(t, setup{options: "max_message = 1mb;"}).rspamd(t, rspamd.Settings{})
	for _, n := range []int{5 << 20, 20 << 20} {
		got := e.Scan(t.Context(), mail(message("")+strings.Repeat("x", n)))
		if got.State != event.ScanFailed || got.Lack != event.LackTooLarge {
			t.Errorf("%d octets: %+v", n, got)
		}
	}
	if got := e.Scan(t.Context(), mail(message("")+strings.Repeat("x", 1<<19))); got.State != event.Scanned {
		t.Errorf("%+v", got)
	}
}

// A probe finds settings that are not there, a kanmon.lua that is not there, and finds nothing where all is well. (S24)
func TestAProbeFindsWhatRspamdHides(t *testing.T) {
	failing := func(e *rspamd.Engine) string {
		var all []string
		for _, p := range e.Probe(t.Context()) {
			if p.Err != nil {
				all = append(all, p.What+": "+p.Err.Error())
			}
		}
		return strings.Join(all, "\n")
	}
	p := startRspamd(t, setup{})
	if got := failing(p.rspamd(t, rspamd.Settings{SettingsID: "outbound"})); got != "" {
		t.Errorf("all is well, and: %s", got)
	}
	if got := failing(p.rspamd(t, rspamd.Settings{SettingsID: "elsewhere"})); !strings.HasPrefix(got, "has the settings elsewhere in force") {
		t.Errorf("other settings: %q", got)
	}
	bare := startRspamd(t, setup{bare: true})
	if got := failing(bare.rspamd(t, rspamd.Settings{SettingsID: "outbound"})); strings.Count(got, "\n") != 4 {
		t.Errorf("no kanmon.lua: %q", got)
	}
	if got := failing(p.rspamd(t, rspamd.Settings{Address: "http://127.0.0.1:1"})); !strings.HasPrefix(got, "answers: ") {
		t.Errorf("nobody there: %q", got)
	}
}

// A worker that is busy for seconds while thirty mails are put to it: each ends in time, what is said late is told, and all places come back;
// so they do where the room is closed in the middle. (S25)
func TestABusyRspamdIsLateAndNotLost(t *testing.T) {
	for _, closed := range []bool{false, true} {
		t.Run(fmt.Sprint("closed ", closed), func(t *testing.T) {
			p := startRspamd(t, setup{worker: "count = 1;"})
			const within = 8 * time.Second
			var late atomic.Int32
			p.rspamd(t, rspamd.Settings{}).Scan(t.Context(), mail(message(""))) // the first one takes it longer
			r := room(t, p.rspamd(t, rspamd.Settings{}), inspect.Scanner{AtOnce: 64, Within: within}, func(_ inspect.Mail, s event.Scan) {
				if s.Action == "reject" {
					late.Add(1)
				}
			})
			var all sync.WaitGroup
			all.Go(func() { r.Inspect(t.Context(), *mail(message("X-Test-Busy: 9\r\n"))) })
			until(t, 5*time.Second, "it is busy", func() bool { return r.State()[0].Taken == 1 })
			time.Sleep(200 * time.Millisecond) // the worker has it, and nothing outside shows that
			var ended atomic.Int32
			for i := range 30 {
				all.Go(func() {
					began := time.Now()
					got := r.Inspect(t.Context(), *mail(message(fmt.Sprintf("X-Number: %d\r\nX-Test-Score: 20\r\n", i))))[0]
					if took := time.Since(began); took > within+4*time.Second {
						t.Errorf("after %v: %+v", took, got)
					}
					if got.State == event.Scanned && got.Action != "reject" {
						t.Errorf("clean: %+v", got)
					}
					ended.Add(1)
				})
			}
			if closed {
				time.Sleep(500 * time.Millisecond)
				began := time.Now()
				r.Close()
				if took := time.Since(began); took > 4*time.Second {
					t.Errorf("closing took %v", took)
				}
			}
			all.Wait()
			until(t, within+10*time.Second, "all places are back", func() bool { return r.State()[0].Taken == 0 })
			if n := late.Load(); !closed && n == 0 {
				t.Errorf("%d late verdicts", n)
			}
		})
	}
}

// By a Unix socket as by TCP; and one that is killed in the middle of a scan gives no verdict.
func TestRspamdByAUnixSocketAndKilled(t *testing.T) {
	p := startRspamd(t, setup{unix: "/run/rspamd-test.sock"})
	e := p.rspamd(t, rspamd.Settings{Address: "unix:/run/rspamd-test.sock"})
	if got := e.Scan(t.Context(), mail(message("X-Test-Score: 7\r\n"))); got.Action != "add header" {
		t.Errorf("%+v", got)
	}
	result := make(chan event.Scan, 1)
	go func() { result <- e.Scan(t.Context(), mail(message("X-Test-Busy: 8\r\n"))) }()
	time.Sleep(500 * time.Millisecond)
	p.Kill()
	if got := <-result; got.State == event.Scanned {
		t.Errorf("killed: %+v", got)
	}
}
