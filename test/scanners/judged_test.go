package scanners

import (
	"fmt"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/policy/content"
	"kanmon/internal/policy/inspect"
	"kanmon/internal/policy/inspect/rspamd"
	"kanmon/internal/session"
)

// judging is a judge of mail that a real Rspamd and a real clamd scan.
func judging(t *testing.T, within time.Duration) (j *content.Judge, spam *program) {
	t.Helper()
	spam = startRspamd(t, setup{})
	r := inspect.NewRoom(inspect.Settings{Scanners: []inspect.Scanner{
		{Name: "rspamd", Engines: []inspect.Engine{spam.rspamd(t, rspamd.Settings{SettingsID: "outbound"})}, AtOnce: 8, Largest: 1 << 20, Within: within},
		{Name: "clamd", Engines: []inspect.Engine{startClamd(t, "", nil).clamd(t)}, AtOnce: 8, Largest: 1 << 20, Within: within},
	}})
	tenant := &content.Tenant{
		Mode: content.All, OnVirus: event.HandleRefuse, OnReject: event.HandleRefuse, OnSoftReject: event.HandleDefer, OnSpam: event.HandleDivert,
		Fields: []byte("Feedback-ID: acme\r\n"),
	}
	j = content.New(content.Options{
		Settings: content.Settings{
			Enforce: true, Hold: 1 << 20, Verdict: within, Dot: 2 * time.Minute, Pool: "risk", Tenants: map[string]*content.Tenant{"acme": tenant},
			Scanners: map[string]*content.Scanner{"rspamd": {Largest: 1 << 20}, "clamd": {Largest: 1 << 20}},
		},
		Scanners: r, Budget: inspect.NewBudget(64 << 20), Memory: content.NewMemory(),
	})
	t.Cleanup(func() {
		j.Close()
		r.Close()
	})
	return j, spam
}

// opinion has a message held and judged, as a session does.
func opinion(t *testing.T, j *content.Judge, suspicion float64, sender, text string) session.Opinion {
	t.Helper()
	i := j.Begin(content.Mail{Tenant: "acme", Account: "bob@acme.example", Suspicion: suspicion, New: true}, netip.MustParseAddr("192.0.2.25"))
	if ready := i.Room(1, 0); ready != nil {
		<-ready
	}
	if start := i.Start(); start.Lane != event.LaneHold || !i.Grow(len(text)) {
		t.Fatalf("not held: %+v", start)
	}
	i.Judge(session.Message{
		Session: 1, Number: 1, Source: netip.MustParseAddr("198.51.100.7"), Helo: "msa.acme.example", Sender: sender, Recipients: []string{"eve@example.net"},
		Octets: int64(len(text)), Open: func() io.Reader { return strings.NewReader(text) },
	})
	<-i.Done()
	o := i.Verdict()
	i.Close(session.Came{Done: o.Handle})
	return o
}

// What follows from what real scanners say of real messages. (S1, S2, S3, S9)
func TestWhatFollowsFromWhatRealScannersSay(t *testing.T) {
	j, _ := judging(t, 16*time.Second)
	for _, c := range []struct {
		name, sender, text string
		want               event.Handling
		says               string
	}{
		{"clean", "bob@acme.example", message(""), event.HandleAccept, ""},
		{"marked", "bob@acme.example", message("X-Test-Score: 7\r\n"), event.HandleDivert, ""},
		{"spam", "bob@acme.example", message("X-Test-Score: 12\r\n"), event.HandleRefuse, "this message was judged to be spam; reference "},
		{"GTUBE", "bob@acme.example", string(inspect.GTUBE()), event.HandleRefuse, "this message was judged to be spam; reference "},
		{"put off", "bob@acme.example", message("X-Test-Soft: 1\r\n"), event.HandleDefer, "this message was not accepted for the moment"},
		{"virus", "bob@acme.example", attached(virus(t), 1), event.HandleRefuse, "this message contains Test.EICAR.UNOFFICIAL; reference "},
		{"a bounce with spam", "", message("X-Test-Score: 12\r\n"), event.HandleDivert, ""},
	} {
		o := opinion(t, j, 0.1, c.sender, c.text)
		if o.Handle != c.want || c.says != "" && !strings.HasPrefix(o.Say.String(), c.says) || len(o.Told.Scans) != 2 || string(o.Fields) != "Feedback-ID: acme\r\n" {
			t.Errorf("%s: %v, %q, %+v", c.name, o.Handle, o.Say, o.Told)
		}
		if strings.Contains(o.Say.String(), "TEST_SCORE") || strings.Contains(o.Say.String(), "12") {
			t.Errorf("%s: the reply teaches: %q", c.name, o.Say)
		}
	}
}

// With Rspamd stopped mail of the known passes, and mail of the doubtful waits. (S6)
func TestWithRspamdStoppedTheKnownPassAndTheDoubtfulWait(t *testing.T) {
	const within = 700 * time.Millisecond
	j, spam := judging(t, within)
	until(t, 30*time.Second, "both scan in time", func() bool {
		o := opinion(t, j, 0.1, "bob@acme.example", message(fmt.Sprintf("X-Number: %d\r\n", time.Now().UnixNano())))
		return o.Told.Scans[0].State == event.Scanned && o.Told.Scans[1].State == event.Scanned
	})
	spam.pause(t)
	for n := range 10 {
		text := message(fmt.Sprintf("X-Number: %d\r\n", n))
		if o := opinion(t, j, 0.1, "bob@acme.example", text); o.Handle > event.HandleAccept || o.Told.Scans[0].State == event.Scanned {
			t.Errorf("%d, known: %+v", n, o.Told)
		}
		if o := opinion(t, j, 0.5, "bob@acme.example", text); o.Handle != event.HandleDefer || o.Say.Code() != 451 || o.Told.Rule != "unavailable of rspamd" {
			t.Errorf("%d, doubtful: %+v", n, o.Told)
		}
	}
	spam.resume(t)
	n := 100
	until(t, 20*time.Second, "a doubtful sender's mail passes", func() bool {
		n++
		return opinion(t, j, 0.5, "bob@acme.example", message(fmt.Sprintf("X-Number: %d\r\n", n))).Handle == event.HandleAccept
	})
}
