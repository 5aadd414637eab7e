package daemon

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"kanmon/internal/admin"
	"kanmon/internal/config"
	"kanmon/internal/event"
	"kanmon/internal/outlet/standing"
	"kanmon/internal/smtp/smtptest"
)

// idsOf are the problems by their names.
func idsOf(all []admin.Problem) (ids []string) {
	for _, p := range all {
		ids = append(ids, p.ID)
	}
	return ids
}

// Where all is as it should be nothing is told; each thing that is not is, and is over when it is over.
func TestStatusSaysWhatIsNotNormal(t *testing.T) {
	const missing = "[[sending_ip]]\naddress = '203.0.113.9'\nehlo = 'nine.example.jp'\n"
	limited := sending("here") + "[limits]\nsessions = 2\nsessions_reserve = 0\n[journal]\nrecords = 'DIR/records.jsonl'\n"
	w := newWorld(t, listenTable+limited+missing+"floating = true\n")
	w.start()
	o := &operator{w.daemon}
	expect := func(when string, want ...string) admin.Status {
		t.Helper()
		s := o.Status()
		if got := idsOf(s.Problems); !slices.Equal(got, want) {
			t.Errorf("%s not normal is %q, want %q: %+v", when, got, want, s.Problems)
		}
		return s
	}
	if s := expect("at the start"); s.SessionsMost != 2 || s.IPs != (admin.IPCounts{Configured: 2, Standby: 1}) {
		t.Errorf("at the start: %+v", s)
	}

	_, err := w.daemon.ReloadFrom(t.Context(), func() (*config.Config, error) { return nil, errors.New("kanmon.toml:3: no such key\n  3 | colour = 1") })
	if err == nil {
		t.Fatal("reloaded")
	}
	if s := expect("behind a refused reload", "reload"); !strings.HasSuffix(s.Problems[0].What, ": kanmon.toml:3: no such key") {
		t.Errorf("it says %q", s.Problems[0].What)
	}
	if err := w.daemon.Reload(t.Context(), w.with(limited+missing)); err != nil {
		t.Fatal(err)
	}
	expect("without a sending IP", "absent")
	if err := w.daemon.Reload(t.Context(), w.with(limited)); err != nil {
		t.Fatal(err)
	}
	expect("with all of them")

	first, second := w.session(), w.session()
	first.Expect(220)
	second.Expect(220)
	waitUntil(t, "they are seen to wait for the MSA", func() bool {
		all, err := o.Sessions(admin.SessionQuery{State: event.SpentOnMSA.String(), Most: 9})
		return err == nil && all.Matching == 2 && all.Held == 0 && all.Running == 2
	})
	expect("with all sessions that there can be", "sessions")
	w.session().Expect(421)
	waitUntil(t, "the refusal has been read", func() bool { return w.daemon.live.Refused() == 1 })
	expect("with one more", "sessions", "refused")
	for _, msa := range []*smtptest.MSA{first, second} {
		if err := msa.Quit(); err != nil {
			t.Error(err)
		}
	}
	waitUntil(t, "they have gone", func() bool { return w.daemon.live.Count() == 0 })
	expect("behind them", "refused")

	r := event.NewRecord()
	r.Lines = make([]event.Line, 1<<19) // more than there is room for
	w.daemon.journalInUse().Record(r)
	expect("with a lost record", "refused", "records")
	for range latelyMinutes + 1 { // have passed
		w.daemon.lately.note(w.daemon.lost())
	}
	expect("ten minutes later")

	w.daemon.stream.Subscribe("a test", func(*event.Facts) { panic("it breaks") })
	w.daemon.tellStep(event.Reloaded, nil)
	expect("with a listener that broke", "defect")
	w.stop()
}

// A sending IP that a provider, or everybody, does not take is not normal; what a person ordered is, and what one MX of a stranger says.
func TestSuspendedByEvidenceIsNotNormal(t *testing.T) {
	ip := netip.MustParseAddr("203.0.113.10")
	at := func(provider string, state standing.State, by string) standing.Standing {
		return standing.Standing{Key: standing.Key{IP: ip, Provider: provider}, State: state, By: by, Reason: "2 replies say so"}
	}
	got := suspended([]standing.Standing{
		at("docomo", standing.Suspended, standing.ByEvidence), at("google", standing.Suspended, standing.ByOperator+" alice"), at("yahoo", standing.Slowed, standing.ByEvidence),
		at("mx:192.0.2.25", standing.Suspended, standing.ByEvidence), at("microsoft", standing.Probing, standing.ByCheck),
	})
	if len(got) != 2 || !strings.Contains(got[0].What, "suspended at docomo: 2 replies say so") || !strings.Contains(got[1].What, "probing at microsoft") {
		t.Errorf("%+v", got)
	}
}

// However many there are, those that are listed are the first of all.
func TestTheFirstSessionsAreListed(t *testing.T) {
	top := topSessions{most: 3}
	for i := range 5000 {
		top.add(&admin.Session{Session: fmt.Sprint(i), Held: i%2 == 0, For: float64(i * 7919 % 5000)})
	}
	for i, s := range top.list() {
		if want := float64(4998 - 2*i); s.For != want && s.For != want+1 || !s.Held {
			t.Errorf("%d: %+v", i, s)
		}
	}
	if len(top.list()) != 3 {
		t.Errorf("%d are listed", len(top.list()))
	}
}

// A state that there is not is answered with those that there are.
func TestNoSessionIsAsleep(t *testing.T) {
	o := &operator{&Daemon{cfg: new(config.Config)}}
	if _, err := o.Sessions(admin.SessionQuery{State: "asleep"}); err == nil || !strings.Contains(err.Error(), `"asleep" is no state of a session: want one of ["kanmon" "msa"`) {
		t.Errorf("asked for those asleep: %v", err)
	}
}
