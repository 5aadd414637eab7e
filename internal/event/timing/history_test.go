package timing_test

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"time"

	"kanmon/internal/event/timing"
)

// reborn gives the world a detector that knows what the one before has exported.
func (w *world) reborn() []timing.Row {
	rows := w.d.Export(time.Time{})
	w.d = timing.New()
	w.d.Import(w.now, rows)
	return rows
}

// What was learnt is the same behind an export and an import.
func TestWhatWasLearntIsExportedAndImported(t *testing.T) {
	w := newWorld(t, 1, 4)
	w.run(30 * time.Hour)
	before := w.reborn()
	after := map[string]string{}
	for _, r := range w.d.Export(time.Time{}) {
		after[r.IP+" "+r.Provider] = r.Seen.Round(time.Second).String() + string(r.Data)
	}
	if len(before) != 16 || len(after) != 16 {
		t.Errorf("%d rows, and behind the import %d", len(before), len(after))
	}
	for _, r := range before {
		if v, known := w.d.Look(r.IP, r.Provider); !known || !v.History || !w.d.Knows(r.IP, r.Provider) {
			t.Errorf("%s at %s has no history", r.IP, r.Provider)
		}
		if was, is := r.Seen.Round(time.Second).String()+string(r.Data), after[r.IP+" "+r.Provider]; was != is {
			t.Errorf("%s at %s was %s, and is %s", r.IP, r.Provider, was, is)
		}
		if len(r.Data) > 4096 {
			t.Errorf("%d octets", len(r.Data))
		}
	}
	if rows := w.d.Export(w.now.Add(time.Second)); len(rows) != 0 {
		t.Errorf("%d rows, although there was no mail", len(rows))
	}
}

// Behind an import a restriction is found as without a restart, and what is calm stays calm.
func TestAnImportFindsAsBefore(t *testing.T) {
	const runs = 5
	found, again, untrue := 0, 0, 0
	for seed := range uint64(runs) {
		for _, restart := range []bool{false, true} {
			w := newWorld(t, seed, 4)
			w.run(30 * time.Hour)
			if restart {
				w.reborn()
			}
			untrue += len(here(w.run(12 * time.Hour)))
			w.trouble = func(o *timing.Observation) {
				if key(o) {
					add(o, timing.Rcpt, 5)
				}
			}
			switch n := len(here(w.run(2 * time.Hour))); {
			case n > 0 && restart:
				again++
			case n > 0:
				found++
			}
		}
	}
	if found < runs-1 || again < found-1 || untrue > 1 {
		t.Errorf("of %d restrictions %d were found, %d behind a restart; %d false findings", runs, found, again, untrue)
	}
}

// What is no row of a detector's is left out, and counted.
func TestSenselessRowsAreLeftOut(t *testing.T) {
	w := newWorld(t, 1, 2)
	w.run(24 * time.Hour)
	rows := w.d.Export(time.Time{})
	one := rows[0]
	with := func(change func(*timing.Row)) timing.Row {
		r := one
		r.Data = bytes.Clone(one.Data)
		change(&r)
		return r
	}
	for name, r := range map[string]timing.Row{
		"no IP":       with(func(r *timing.Row) { r.IP = "" }),
		"no provider": with(func(r *timing.Row) { r.Provider = "" }),
		"no data":     with(func(r *timing.Row) { r.Data = nil }),
		"another's":   with(func(r *timing.Row) { r.Data[0] = '2' }),
		"cut":         with(func(r *timing.Row) { r.Data = r.Data[:len(r.Data)/2] }),
		"empty":       with(func(r *timing.Row) { r.Data = []byte("1{}") }),
		"a phase less": with(func(r *timing.Row) {
			r.Data = bytes.Replace(r.Data, []byte(`"beside":[`), []byte(`"beside":[],"x":[`), 1)
		}),
		"beyond reason":  with(func(r *timing.Row) { r.Data = bytes.Replace(r.Data, []byte(`"base":[`), []byte(`"base":[1e30,`), 1) }),
		"a negative one": with(func(r *timing.Row) { r.Data = bytes.Replace(r.Data, []byte(`"mails":`), []byte(`"mails":-`), 1) }),
		"no share":       with(func(r *timing.Row) { r.Data = bytes.Replace(r.Data, []byte(`"turned":`), []byte(`"turned":9`), 1) }),
	} {
		d := timing.New()
		if senseless := d.Import(w.now, []timing.Row{r, rows[1]}); senseless != 1 || d.Keys() != 1 {
			t.Errorf("%s: %d senseless, %d keys", name, senseless, d.Keys())
		}
	}
	if d := timing.New(); d.Import(w.now, []timing.Row{one, one}) != 1 {
		t.Error("a key twice")
	}
	if d := timing.New(); d.Import(w.now.Add(-time.Hour), rows) != 0 || d.Keys() != len(rows) {
		t.Error("rows of a clock that was ahead")
	}
}

// Whatever a file has in it, mail is timed.
func TestRowsThatWereDamaged(t *testing.T) {
	w := newWorld(t, 1, 2)
	w.run(24 * time.Hour)
	rows := w.d.Export(time.Time{})
	r := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		damaged := make([]timing.Row, len(rows))
		for i := range rows {
			damaged[i] = rows[i]
			damaged[i].Data = bytes.Clone(rows[i].Data)
			for range 1 + r.IntN(4) {
				damaged[i].Data[1+r.IntN(len(damaged[i].Data)-1)] = "0123456789.-e,[]{}:\"x"[r.IntN(21)]
			}
		}
		w.d = timing.New()
		w.d.Import(w.now, damaged)
		for range 200 {
			w.send()
		}
	}
}

// The newest rows have room first.
func TestOnlyAsManyRowsAsThereIsRoom(t *testing.T) {
	w := newWorld(t, 1, 1)
	w.run(24 * time.Hour)
	one := w.d.Export(time.Time{})[0]
	rows := make([]timing.Row, timing.MaxKeys+10)
	for i := range rows {
		rows[i] = one
		rows[i].Provider, rows[i].Seen = "mx:"+time.Duration(i).String(), w.now.Add(-time.Duration(i)*time.Second)
	}
	d := timing.New()
	if d.Import(w.now, rows); d.Keys() != timing.MaxKeys || !d.Knows(one.IP, rows[0].Provider) || d.Knows(one.IP, rows[len(rows)-1].Provider) {
		t.Errorf("%d keys", d.Keys())
	}
}

func BenchmarkExport(b *testing.B) {
	w, mails := mailsOf(nil, 5000)
	for i := range mails {
		w.d.Observe(&mails[i])
	}
	keys := len(w.d.Export(time.Time{}))
	for b.Loop() {
		w.d.Export(time.Time{})
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*keys), "ns/key")
}
