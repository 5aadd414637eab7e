package timing_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"kanmon/internal/event/timing"
)

// restart gives the world a detector that knows what the one before has kept, so much later.
func (w *world) restart(later time.Duration) []timing.Stood {
	rows := w.d.ExportStanding(time.Time{}, func(ip, provider string) string { return "kept of " + ip + " at " + provider })
	w.now = w.now.Add(later)
	w.d = timing.New()
	stood, senseless := w.d.ImportStanding(w.now, rows)
	if senseless > 0 {
		w.t.Errorf("%d rows make no sense", senseless)
	}
	return stood
}

// standing gives a world in which something stands against the key that tests restrict.
func standing(t *testing.T, seed uint64, restrict func(o *timing.Observation)) *world {
	w := newWorld(t, seed, 4)
	w.run(30 * time.Hour)
	w.told = nil
	w.trouble = func(o *timing.Observation) {
		if key(o) {
			restrict(o)
		}
	}
	for range 3000 {
		if len(here(w.told)) > 0 {
			return w
		}
		w.send()
	}
	t.Fatal("nothing found")
	return nil
}

func slowRcpt(o *timing.Observation) { add(o, timing.Rcpt, 8) }

func drip(o *timing.Observation) {
	if !o.Refused {
		o.Dripped |= 1<<timing.Mail | 1<<timing.Rcpt
		add(o, timing.Mail, 9)
		add(o, timing.Rcpt, 9)
	}
}

// What stands goes on behind a restart as it was: with its since, its times and its tenants, told anew by nobody, and it may be acted on at once. It ends
// by ordinary mail, as it would have.
func TestWhatStandsOutlivesTheDetector(t *testing.T) {
	for name, restrict := range map[string]func(*timing.Observation){"rcpt": slowRcpt, "drip": drip, "refused": func(o *timing.Observation) {
		if o.New {
			refuse(o)
		}
	}} {
		t.Run(name, func(t *testing.T) {
			w := standing(t, 1, restrict)
			before, _ := w.d.Look(ip(1), provider(2))
			stood := w.restart(20 * time.Minute)
			if len(stood) != 1 || stood[0].Also != fmt.Sprintf("kept of %s at %s", ip(1), provider(2)) || stood[0].Finding.Change != timing.Begun {
				t.Fatalf("stood: %+v", stood)
			}
			after, _ := w.d.Look(ip(1), provider(2))
			if !after.Told || after.Finding.Scope != timing.ThisIPHere || after.Finding.Phase != before.Finding.Phase || after.Finding.Tenants != before.Finding.Tenants ||
				after.Finding.Mails != before.Finding.Mails || after.Finding.Since.Sub(before.Finding.Since).Abs() > time.Second {
				t.Errorf("it was %+v\nand is %+v", before, after)
			}
			if was, is := before.Finding.Here, after.Finding.Here; was < .9*is || was > 1.1*is {
				t.Errorf("here it took %v s, and takes %v", was, is)
			}
			if !w.d.MayAct(ip(1), provider(2)) {
				t.Error("it may not be acted on")
			}
			if again := here(w.run(2 * time.Hour)); len(again) > 0 {
				t.Errorf("found anew: %+v", again)
			}
			if v, _ := w.d.Look(ip(1), provider(2)); !v.Told {
				t.Error("it has ended although nothing has changed")
			}
			w.trouble = nil
			told := w.run(24 * time.Hour)
			if v, _ := w.d.Look(ip(1), provider(2)); v.Told || !slices.ContainsFunc(told, func(f timing.Finding) bool { return f.Change == timing.Cleared }) {
				t.Error("it never ends")
			}
		})
	}
}

// A day without mail has ended it, as without a restart; what comes back soon behind that continues.
func TestWhatHadNoMailForADayHasEnded(t *testing.T) {
	w := standing(t, 1, slowRcpt)
	since, _ := w.d.Look(ip(1), provider(2))
	stood := w.restart(timing.Forgets + time.Minute)
	if len(stood) != 1 || stood[0].Finding.Change != timing.Cleared || stood[0].Finding.Since.Sub(since.Finding.Since).Abs() > time.Second {
		t.Fatalf("stood: %+v", stood)
	}
	if v, _ := w.d.Look(ip(1), provider(2)); v.Told || w.d.MayAct(ip(1), provider(2)) {
		t.Error("it still stands")
	}
	told := w.run(4 * time.Hour)
	if len(told) == 0 || told[0].Change != timing.Continued {
		t.Errorf("told: %+v", told)
	}
}

// So it is with what ended before the restart.
func TestWhatEndedLatelyContinuesBehindARestart(t *testing.T) {
	w := standing(t, 1, slowRcpt)
	w.trouble = nil
	for range 5000 {
		if v, _ := w.d.Look(ip(1), provider(2)); !v.Told {
			break
		}
		w.send()
	}
	if stood := w.restart(time.Minute); len(stood) != 0 {
		t.Fatalf("stood: %+v", stood)
	}
	w.trouble = func(o *timing.Observation) {
		if key(o) {
			slowRcpt(o)
		}
	}
	if told := w.run(4 * time.Hour); len(told) == 0 || told[0].Change != timing.Continued {
		t.Errorf("told: %+v", told)
	}
}

// A finding that is wider than a provider goes on as well.
func TestWhatIsWidelySlowOutlivesTheDetector(t *testing.T) {
	for name, all := range map[string]bool{"an IP everywhere": false, "everything": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 1, 4)
			w.run(30 * time.Hour)
			w.told = nil
			w.trouble = func(o *timing.Observation) {
				if all || o.IP == ip(1) {
					add(o, timing.Rcpt, 8)
				}
			}
			want := timing.ThisIPEverywhere
			if all {
				want = timing.Everything
			}
			is := func(f timing.Finding) bool { return f.Scope == want }
			for range 3000 {
				if slices.ContainsFunc(w.told, is) {
					break
				}
				w.send()
			}
			stood := w.restart(time.Minute)
			if i := slices.IndexFunc(stood, func(s timing.Stood) bool { return is(s.Finding) && s.Finding.Change == timing.Begun }); i < 0 {
				t.Fatalf("stood: %+v", stood)
			}
			w.told = nil
			if w.run(time.Hour); slices.ContainsFunc(w.told, is) {
				t.Errorf("told anew: %+v", w.told)
			}
			w.trouble = nil
			if w.run(6 * time.Hour); !slices.ContainsFunc(w.told, func(f timing.Finding) bool { return is(f) && f.Change == timing.Cleared }) {
				t.Error("it never ends")
			}
		})
	}
}

// What makes no sense in a row is no finding, and no reason to forget what is usual; an import of what is usual alone takes no finding over.
func TestSenselessFindingsAreNone(t *testing.T) {
	w := standing(t, 1, slowRcpt)
	rows := w.d.ExportStanding(time.Time{}, func(string, string) string { return "" })
	i := slices.IndexFunc(rows, func(r timing.Row) bool { return r.IP == ip(1) && r.Provider == provider(2) })
	for _, change := range [][2]string{
		{`"scope":"this IP here"`, `"scope":"small"`},
		{`"scope":"this IP here"`, `"scope":"another"`},
		{`"scope":"this IP here"`, `"scope":7`},
		{`"phase":"rcpt"`, `"phase":"lunch"`},
		{`"ln_r":[`, `"ln_r":[99,`},
		{`"ln_r":[`, `"ln_r":[],"x":[`},
		{`"parts":[[`, `"parts":[[1e9,`},
		{`"lately":"`, `"lately":"AAAA`},
		{`"lately":"`, `"lately":"CQAAAAAAAAAJAAAAAAAAAAkAAAAAAAAA`}, // a fourth lot
		{`"stands":{`, `"stands":[],"x":{`},
		{`"stands":{`, `"stands":{"wide":{"phase":"drip"},`},
		{`"stands":{`, `"stands":{"ended":{"scope":"","phase":"rcpt"},`},
		{`"stands":{`, `"stands":{"drip":-1,`},
	} {
		r := rows[i]
		r.Data = bytes.Replace(bytes.Clone(r.Data), []byte(change[0]), []byte(change[1]), 1)
		if bytes.Equal(r.Data, rows[i].Data) {
			t.Fatalf("there is no %s in %s", change[0], r.Data)
		}
		d := timing.New()
		stood, senseless := d.ImportStanding(w.now, []timing.Row{r})
		if v, known := d.Look(r.IP, r.Provider); len(stood) > 0 || senseless != 1 || !known || !v.History || v.Told {
			t.Errorf("%v: stood %+v, %d make no sense, %+v", change, stood, senseless, v)
		}
	}
	d := timing.New()
	if senseless := d.Import(w.now, rows); senseless > 0 {
		t.Errorf("%d make no sense", senseless)
	}
	if v, _ := d.Look(ip(1), provider(2)); v.Told || !v.History {
		t.Errorf("imported: %+v", v)
	}
	if usual := w.d.Export(time.Time{}); slices.ContainsFunc(usual, func(r timing.Row) bool { return bytes.Contains(r.Data, []byte("stands")) }) {
		t.Error("what is usual has what stands in it")
	}
}

// Whatever a file has in it, mail is timed.
func TestFindingsThatWereDamaged(t *testing.T) {
	w := standing(t, 1, slowRcpt)
	rows := w.d.ExportStanding(time.Time{}, func(string, string) string { return "moved 1m0s" })
	i := slices.IndexFunc(rows, func(r timing.Row) bool { return r.IP == ip(1) && r.Provider == provider(2) })
	r, taken := rand.New(rand.NewPCG(1, 2)), 0
	from := bytes.Index(rows[i].Data, []byte(`"stands"`))
	for range 1000 {
		damaged := slices.Clone(rows)
		damaged[i].Data = bytes.Clone(rows[i].Data)
		for range 1 + r.IntN(3) {
			damaged[i].Data[from+r.IntN(len(damaged[i].Data)-from)] = "0123456789.-e,[]{}:\"xAz="[r.IntN(24)]
		}
		w.d = timing.New()
		if stood, _ := w.d.ImportStanding(w.now, damaged); len(stood) > 0 {
			taken++
		}
		for range 100 {
			w.send()
		}
	}
	if taken == 0 || taken == 1000 {
		t.Errorf("%d of 1000 were taken over", taken)
	}
}

// A row has room in a file of state, and keys of which nothing is usual yet are there as long as something stands against one of them: by how many there are
// it is said whether anything follows.
func TestRowsOfWhatStands(t *testing.T) {
	none := func(string, string) string { return "" }
	w := newWorld(t, 1, 3)
	w.tenants = 1000
	for i := range 3 {
		o := w.next()
		o.IP, o.Provider = ip(i), provider(0)
		w.observe(&o)
	}
	for range 3 {
		o := w.next()
		o.IP, o.Provider = ip(1), provider(0)
		drip(&o)
		w.observe(&o)
	}
	rows := w.d.ExportStanding(time.Time{}, none)
	if len(rows) != 3 || len(rows[0].Data) > 4096 || !w.d.Knows(ip(0), provider(0)) || w.d.Knows(ip(0), provider(1)) {
		t.Errorf("%d rows, with %d octets", len(rows), len(rows[0].Data))
	}
	if stood := w.restart(time.Minute); len(stood) != 1 || !w.d.MayAct(ip(1), provider(0)) {
		t.Errorf("stood: %+v; it may be acted on: %v", stood, w.d.MayAct(ip(1), provider(0)))
	}
	big := standing(t, 2, slowRcpt)
	for _, r := range big.d.ExportStanding(time.Time{}, none) {
		if len(r.Data) > 4096 {
			t.Errorf("%d octets", len(r.Data))
		}
	}
}
