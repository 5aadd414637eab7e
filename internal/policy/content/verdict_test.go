package content

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"kanmon/internal/event"
)

func spoke(action string, score float64) event.Scan {
	return event.Scan{Scanner: "rspamd", State: event.Scanned, Action: action, Score: score, Threshold: 15}
}

func silent(lack event.Lack) event.Scan {
	return event.Scan{Scanner: "clamd", State: event.ScanFailed, Lack: lack, Why: "why"}
}

var virus = event.Scan{Scanner: "clamd", State: event.Scanned, Virus: "Test.EICAR"}

// law: I24
func TestWhatFollows(t *testing.T) {
	clean := spoke("no action", 1)
	for _, c := range []struct {
		name      string
		scans     []event.Scan
		suspicion float64
		mild      string
		change    func(*Settings, *Tenant)
		want      event.Handling
		rule      string
	}{
		{name: "nobody was asked", want: event.HandleNot},
		{name: "clean", scans: []event.Scan{clean}, want: event.HandleAccept},
		{name: "greylist", scans: []event.Scan{spoke("greylist", 4)}, want: event.HandleAccept},
		{name: "an action of nobody's", scans: []event.Scan{spoke("teleport", 4)}, want: event.HandleAccept},
		{name: "add header", scans: []event.Scan{spoke("add header", 7)}, want: event.HandleDivert, rule: "on_spam"},
		{name: "rewrite subject", scans: []event.Scan{spoke("rewrite subject", 7)}, want: event.HandleDivert, rule: "on_spam"},
		{name: "quarantine", scans: []event.Scan{spoke("quarantine", 7)}, want: event.HandleDivert, rule: "on_spam"},
		{name: "no pool", scans: []event.Scan{spoke("add header", 7)}, change: func(s *Settings, _ *Tenant) { s.Pool = "" }, want: event.HandleAccept, rule: "on_spam"},
		{name: "soft reject", scans: []event.Scan{spoke("soft reject", 0)}, want: event.HandleDefer, rule: "on_soft_reject"},
		{name: "reject", scans: []event.Scan{spoke("reject", 20)}, want: event.HandleRefuse, rule: "on_reject"},
		{name: "discard", scans: []event.Scan{spoke("discard", 0)}, want: event.HandleRefuse, rule: "on_reject"},
		{name: "virus", scans: []event.Scan{clean, virus}, want: event.HandleRefuse, rule: "on_virus"},
		{name: "the strictest counts", scans: []event.Scan{spoke("add header", 7), spoke("reject", 15), clean}, want: event.HandleRefuse, rule: "on_reject"},
		{name: "the tenant's rules", scans: []event.Scan{spoke("reject", 20)}, change: func(_ *Settings, t *Tenant) { t.OnReject = event.HandleAccept }, want: event.HandleAccept, rule: "on_reject"},
		{name: "away, of the known", scans: []event.Scan{silent(event.LackUnavailable)}, suspicion: 0.1, want: event.HandleNot},
		{name: "away, of the doubtful", scans: []event.Scan{silent(event.LackUnavailable)}, suspicion: 0.3, want: event.HandleDefer, rule: "unavailable of clamd"},
		{name: "one is away, the other one has seen nothing", scans: []event.Scan{clean, silent(event.LackUnavailable)}, suspicion: 0.1, want: event.HandleAccept},
		{name: "one is away, the other one has seen nothing, of the doubtful", scans: []event.Scan{clean, silent(event.LackUnavailable)}, suspicion: 0.5, want: event.HandleDefer, rule: "unavailable of clamd"},
		{name: "one is away, the other one refuses", scans: []event.Scan{silent(event.LackUnavailable), spoke("reject", 20)}, suspicion: 0.5, want: event.HandleRefuse, rule: "on_reject"},
		{name: "busy", scans: []event.Scan{silent(event.LackBusy)}, suspicion: 0.9, want: event.HandleDefer, rule: "busy of clamd"},
		{name: "too large", scans: []event.Scan{silent(event.LackTooLarge)}, suspicion: 0.9, want: event.HandleDefer, rule: "too_large of clamd"},
		{
			name: "open for all", scans: []event.Scan{silent(event.LackUnavailable)}, suspicion: 0.9, want: event.HandleNot,
			change: func(s *Settings, _ *Tenant) { s.Scanners["clamd"].Lacks.Unavailable = AcceptAll },
		},
		{
			name: "closed for all", scans: []event.Scan{silent(event.LackBusy)}, want: event.HandleDefer, rule: "busy of clamd",
			change: func(s *Settings, _ *Tenant) { s.Scanners["clamd"].Lacks.Busy = DeferAll },
		},
		{
			name: "the tenant says otherwise", scans: []event.Scan{silent(event.LackBusy)}, want: event.HandleNot,
			change: func(s *Settings, t *Tenant) {
				open := AcceptAll
				s.Scanners["clamd"].Lacks.Busy, t.Lacks[2] = DeferAll, &open
			},
		},
		{name: "unfit is never accepted", scans: []event.Scan{clean, silent(event.LackUnfit)}, want: event.HandleDefer, rule: "unfit"},
		{
			name: "unfit, open for all", scans: []event.Scan{silent(event.LackUnfit)}, want: event.HandleDefer, rule: "unfit", mild: "a bounce",
			change: func(s *Settings, _ *Tenant) { s.Scanners["clamd"].Lacks = Lacks{AcceptAll, AcceptAll, AcceptAll} },
		},
		{name: "a bounce with spam", scans: []event.Scan{spoke("reject", 20)}, mild: "a bounce", want: event.HandleDivert, rule: "on_reject"},
		{name: "a report with a virus", scans: []event.Scan{virus}, mild: "a report", want: event.HandleDivert, rule: "on_virus"},
		{name: "a bounce that is put off", scans: []event.Scan{spoke("soft reject", 0)}, mild: "a bounce", want: event.HandleDivert, rule: "on_soft_reject"},
		{name: "a failed scan with points is no verdict", scans: []event.Scan{{Scanner: "rspamd", State: event.ScanFailed, Lack: event.LackUnavailable, Action: "no action", Score: 1, Threshold: 15}}, suspicion: 0.4, want: event.HandleDefer, rule: "unavailable of rspamd"},
	} {
		s, of := settings(), tenantOf(All)
		if c.change != nil {
			c.change(s, of)
		}
		v := s.Of(of, c.scans, c.suspicion, c.mild)
		if v.Handle != c.want || v.Rule != c.rule {
			t.Errorf("%s: %v by %q (%s), want %v by %q", c.name, v.Handle, v.Rule, v.Why, c.want, c.rule)
		}
	}
}

// law: I23
func TestNothingThatAScannerSaysMakesAMailEasier(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		one := rapid.Custom(func(t *rapid.T) event.Scan {
			s := event.Scan{Scanner: rapid.SampledFrom([]string{"rspamd", "clamd"}).Draw(t, "scanner")}
			s.State = rapid.SampledFrom([]event.ScanState{event.Scanned, event.ScanSkipped, event.ScanFailed}).Draw(t, "state")
			if s.State != event.Scanned {
				s.Lack = event.Lack(rapid.IntRange(1, int(event.LackCount)-1).Draw(t, "lack"))
				return s
			}
			s.Action = rapid.SampledFrom([]string{"no action", "greylist", "add header", "soft reject", "reject", "discard", "x"}).Draw(t, "action")
			s.Score, s.Threshold = rapid.Float64Range(-20, 40).Draw(t, "score"), 15
			if rapid.Bool().Draw(t, "infected") {
				s.Virus = "v"
			}
			return s
		})
		scans := rapid.SliceOfN(one, 0, 5).Draw(t, "scans")
		more := append(slices.Clone(scans), one.Draw(t, "one more"))
		doubt := rapid.Float64Range(0, 1).Draw(t, "suspicion")
		s, of := settings(), tenantOf(All)
		fewer, all := s.Of(of, scans, doubt, ""), s.Of(of, more, doubt, "")
		unheard := fewer.Handle == event.HandleAccept && all.Handle == event.HandleNot // who has said nothing takes a yes back
		if all.Handle < fewer.Handle && !unheard || all.P < fewer.P {
			t.Errorf("with one word more: %+v, was %+v", all, fewer)
		}
		slices.Reverse(more)
		if turned := s.Of(of, more, doubt, ""); turned.Handle != all.Handle || turned.P != all.P {
			t.Errorf("in another order: %+v, %+v", turned, all)
		}
		if higher := s.Of(of, more, math.Max(doubt, Doubtful), ""); higher.Handle < all.Handle {
			t.Errorf("with more suspicion: %+v, was %+v", higher, all)
		}
	})
}

func TestWhatPointsAreWorth(t *testing.T) {
	for _, c := range []struct {
		scan event.Scan
		want float64
	}{
		{spoke("no action", -3), 0},
		{spoke("no action", 0), 0},
		{spoke("no action", 3), 0.3},
		{spoke("add header", 6), 0.6},
		{spoke("add header", 10.5), 0.8},
		{spoke("add header", 1), 0.6},
		{spoke("reject", 15), 1},
		{spoke("reject", 3), 1},       // a rule of its own, whatever the points are
		{spoke("no action", 14), 0.6}, // its own settings say that it is nothing
		{virus, 1},
	} {
		if got := points(&c.scan); math.Abs(got-c.want) > 1e-9 {
			t.Errorf("%s of %v points, %q: %v, want %v", c.scan.Action, c.scan.Score, c.scan.Virus, got, c.want)
		}
	}
}

func TestReferencesCanBeSaidAndTyped(t *testing.T) {
	seen := map[string]bool{}
	for range 10_000 {
		r := NewReference()
		if len(r) != 9 || Reference(r) != r || seen[r] {
			t.Fatalf("%q", r)
		}
		seen[r] = true
	}
	for typed, want := range map[string]string{
		"7f3k-29cq": "7F3K-29CQ", "7F3K29CQ": "7F3K-29CQ", " 7f3k 29cq ": "7F3K-29CQ", "7F3K-29C": "", "7F3K-29C0": "", "bob@acme.example": "", "": "",
	} {
		if got := Reference(typed); got != want {
			t.Errorf("%q: %q, want %q", typed, got, want)
		}
	}
}
