package timing_test

import (
	"testing"
	"time"

	"kanmon/internal/event/timing"
)

func (w *world) look(i, p int) timing.View {
	w.t.Helper()
	v, ok := w.d.Look(ip(i), provider(p))
	if !ok {
		w.t.Fatalf("nothing is known of %s at %s", ip(i), provider(p))
	}
	return v
}

func TestALookSaysWhatHasBeenTold(t *testing.T) {
	w := restricted(t, 11)
	v := w.look(1, 2)
	f := v.Finding
	if !v.Told || f.Scope != timing.ThisIPHere || f.Phase != timing.Rcpt && f.Phase != timing.Data || f.Here < 4 || f.Here > 6 || f.Others > 1 || f.Before > 1 || f.Mails < 20 || f.Since != here(w.told)[0].Since {
		t.Errorf("%+v", v)
	}
	if v := w.look(0, 2); v.Told || v.Finding.Scope != 0 || !v.History || v.Others != 3 {
		t.Errorf("an IP that is not restricted: %+v", v)
	}
	if _, ok := w.d.Look(ip(1), "nobody"); ok {
		t.Error("something is known of a provider that was never sent to")
	}
}

func TestALookSaysWhatIsSuspectedBeforeItIsTold(t *testing.T) {
	w := newWorld(t, 12, 4)
	w.run(history)
	w.trouble = func(o *timing.Observation) {
		if key(o) {
			add(o, timing.Rcpt, 5)
		}
	}
	suspected := timing.View{}
	for end := w.now.Add(24 * time.Hour); len(here(w.told)) == 0 && w.now.Before(end); {
		if v := w.look(1, 2); v.Finding.Scope != 0 {
			suspected = v
		}
		w.send()
	}
	f := suspected.Finding
	if suspected.Told || f.Scope == 0 || f.Evidence < 5 || f.Since.IsZero() || f.Mails == 0 {
		t.Errorf("before it was told: %+v", suspected)
	}
}

func TestALookSaysWhyWhatIsSlowIsNotTold(t *testing.T) {
	for name, c := range map[string]struct {
		ips  int
		slow func(o *timing.Observation)
		want timing.Scope
	}{
		"nobody to compare with": {1, func(o *timing.Observation) { add(o, timing.Rcpt, 20) }, timing.Unpaired},
		"too little to be worth a word": {4, func(o *timing.Observation) {
			if o.Took[timing.Banner] > 0 {
				o.Took[timing.Banner] += .35
			}
		}, timing.Small},
	} {
		w := newWorld(t, 13, c.ips)
		w.run(history)
		w.trouble = func(o *timing.Observation) {
			if o.IP == ip(c.ips/2) && o.Provider == provider(2) {
				c.slow(o)
			}
		}
		w.run(3 * time.Hour)
		v := w.look(c.ips/2, 2)
		f := v.Finding
		if v.Told || f.Scope != c.want || f.Here < f.Before+.2 || len(here(w.told)) > 0 {
			t.Errorf("%s: %+v, it has to be %q and not told", name, v, c.want)
		}
	}
}
