package timing_test

import (
	"testing"
	"time"

	"kanmon/internal/event/timing"
)

// restricted is a world in which RCPT of one key takes 5 s longer, and that is found.
func restricted(t *testing.T, seed uint64) *world {
	t.Helper()
	w := newWorld(t, seed, 4)
	w.run(history)
	w.trouble = func(o *timing.Observation) {
		if key(o) {
			add(o, timing.Rcpt, 5)
		}
	}
	if told := here(w.run(24 * time.Hour)); len(told) != 1 {
		t.Fatalf("%d findings, it has to be one: %+v", len(told), told)
	}
	return w
}

func TestAFindingSaysWhatItRestsOn(t *testing.T) {
	w := restricted(t, 1)
	f := here(w.told)[0]
	if f.Phase != timing.Rcpt && f.Phase != timing.Data {
		t.Errorf("phase %v", f.Phase)
	}
	if f.Here < 4 || f.Here > 6 || f.Others > 1 || f.Before > 1 || f.Before <= 0 {
		t.Errorf("here %.1f s, others %.1f s, before %.1f s; it has to be about 5, less than 1, less than 1", f.Here, f.Others, f.Before)
	}
	if f.Mails < 3 || f.Mails > 20 || f.Tenants < 2 || !f.Since.Before(f.At) {
		t.Errorf("%+v", f)
	}
}

func TestAFindingEndsWithTheRestrictionAndIsNotRaisedWhileItLasts(t *testing.T) {
	w := restricted(t, 2)
	if told := here(w.run(3 * 24 * time.Hour)); len(told) > 0 {
		t.Errorf("raised anew while it lasts: %+v", told)
	}
	w.trouble = nil
	told := w.run(24 * time.Hour)
	if len(told) != 1 || told[0].Change != timing.Cleared || told[0].IP != ip(1) {
		t.Errorf("after its end: %+v, it has to be cleared once", told)
	}
	if w.d.MayAct(ip(1), provider(2)) {
		t.Error("it may be acted on after its end")
	}
}

// Mail that was on its way when a tarpit began has one phase of its replies dripped: that is nothing against the finding that mail behind it has made.
func TestMailThatATarpitMetOnItsWayEndsNoFinding(t *testing.T) {
	w := newWorld(t, 4, 4)
	w.run(history)
	from := func(dripped uint16) []timing.Finding {
		o := w.next()
		o.IP, o.Provider, o.Dripped = ip(1), provider(2), dripped
		return w.observe(&o)
	}
	from(1<<timing.Data | 1<<timing.Dot)
	if told := here(from(1<<timing.Data | 1<<timing.Dot)); len(told) != 1 {
		t.Fatalf("%+v, it has to be one finding", told)
	}
	for range 8 {
		if told := from(1 << timing.Dot); len(told) > 0 {
			t.Fatalf("told by mail that was on its way: %+v", told)
		}
	}
	for range 8 {
		from(0)
	}
	if last := w.told[len(w.told)-1]; last.Change != timing.Cleared {
		t.Errorf("mail that nothing was dripped of ends nothing: %+v", last)
	}
}

func TestAFindingThatComesBackContinues(t *testing.T) {
	w := restricted(t, 3)
	trouble := w.trouble
	w.trouble = nil
	for cleared := false; !cleared; {
		from := len(w.told)
		w.send()
		for _, f := range w.told[from:] {
			cleared = cleared || f.Change == timing.Cleared
		}
	}
	w.trouble = trouble
	told := w.run(4 * time.Hour)
	if len(told) != 1 || told[0].Change != timing.Continued || told[0].Scope != timing.ThisIPHere {
		t.Errorf("%+v, it has to be one that continues", told)
	}
}

func TestAFindingWithoutMailEnds(t *testing.T) {
	w := restricted(t, 4)
	w.trouble = func(o *timing.Observation) {
		if key(o) {
			o.IP = ip(0)
		}
	}
	told := w.run(2 * timing.Forgets)
	if len(told) != 1 || told[0].Change != timing.Cleared {
		t.Errorf("%+v, it has to be cleared", told)
	}
}

func TestOneMailInTwentyIsKept(t *testing.T) {
	w := restricted(t, 5)
	kept := 0
	for range 1000 {
		if w.d.Keep(ip(1), provider(2)) {
			kept++
		}
	}
	if kept != 50 {
		t.Errorf("%d of 1000 kept, it has to be 50", kept)
	}
	if !w.d.Keep(ip(0), provider(2)) {
		t.Error("mail of an IP without finding is not kept")
	}
}

func TestItMayBeActedOnFewerThanHalfOfThreeIPsAtLeast(t *testing.T) {
	w := restricted(t, 6)
	if !w.d.MayAct(ip(1), provider(2)) || w.d.MayAct(ip(0), provider(2)) || w.d.MayAct(ip(1), provider(1)) {
		t.Error("it has to be acted on for that IP there, and for nothing else")
	}
	two := newWorld(t, 6, 2)
	two.run(history)
	two.trouble = func(o *timing.Observation) {
		if key(o) {
			o.Dripped = 1<<timing.Mail | 1<<timing.Dot
		}
	}
	if told := here(two.run(24 * time.Hour)); len(told) == 0 {
		t.Error("with two IPs drip is not told")
	}
	if two.d.MayAct(ip(1), provider(2)) {
		t.Error("with two IPs it may be acted on")
	}
}

func TestWithOneIPOnlyDripIsTold(t *testing.T) {
	w := newWorld(t, 7, 1)
	w.run(history)
	w.trouble = func(o *timing.Observation) {
		if o.Provider == provider(2) {
			add(o, timing.Rcpt, 20)
			add(o, timing.Dot, 20)
		}
	}
	if told := w.run(24 * time.Hour); len(told) > 0 {
		t.Errorf("%+v", told)
	}
	w.trouble = func(o *timing.Observation) {
		if o.Provider == provider(2) {
			o.Dripped = 1<<timing.Mail | 1<<timing.Dot
		}
	}
	if told := here(w.run(2 * time.Hour)); len(told) != 1 || told[0].Phase != timing.Dripped {
		t.Errorf("%+v, it has to be drip", told)
	}
}

// Drip rests on the mail since the first that was dripped, and on those whose mail that was.
func TestADripFindingTellsWhatItRestsOn(t *testing.T) {
	w := newWorld(t, 7, 1)
	w.providers = 1
	w.run(time.Hour)
	var told []timing.Finding
	var began time.Time
	for i, dripped := range []string{"a", "", "b", "b"} {
		o := w.next()
		if dripped != "" {
			o.Tenant, o.Dripped = dripped, 1<<timing.Mail|1<<timing.Dot
		}
		if i == 0 {
			began = o.At
		}
		told = append(told, w.d.Observe(&o)...)
	}
	if len(told) != 1 || told[0].Phase != timing.Dripped || told[0].Mails != 4 || told[0].Tenants != 2 || told[0].Since.Sub(began).Abs() > time.Second {
		t.Errorf("told %+v, want one of 4 mails since %v, of which 2 tenants' was slow", told, began)
	}
	if v, _ := w.d.Look(ip(0), provider(0)); v.Finding.Mails != 4 || v.Finding.Tenants != 2 {
		t.Errorf("shown %+v", v.Finding)
	}
}

func TestDripAtEverybodyIsNotARestriction(t *testing.T) {
	w := newWorld(t, 8, 4)
	w.trouble = func(o *timing.Observation) {
		if o.Provider == provider(2) {
			o.Dripped = 1<<timing.Mail | 1<<timing.Dot
		}
	}
	if told := here(w.run(48 * time.Hour)); len(told) > 1 { // the first IP to be dripped at has nobody beside it
		t.Errorf("%+v", told)
	}
}
