package journal

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/event"
)

func decisionRecord(tenant, account, did, why string) *event.Record {
	r := newRecord()
	r.Decisions = append(r.Decisions[:0], event.Decided{Step: event.StepMail, Note: event.Note{
		Did: did, Tenant: tenant, Account: account, Rule: "limit hour", Why: why,
	}})
	return r
}

// decisionsOf gives the decisions of a stream: whose, which, and for how many a line stands.
func decisionsOf(t *testing.T, stream string) (lines []string, counted map[string]int) {
	t.Helper()
	counted = map[string]int{}
	for d, err := range event.NewReader(strings.NewReader(stream)).All() {
		if err != nil {
			t.Fatal(err)
		}
		if d.Type == "decision" {
			lines = append(lines, fmt.Sprint(d.Account, " ", d.Action, " ", d.Cause, " ", d.Count))
			counted[d.Account+" "+d.Action] += max(1, d.Count)
		}
	}
	return lines, counted
}

// A limit that is only observed is on record when it begins to matter, and while it goes on once in ten minutes with how often it was. What was
// done to a mail is on record for each.
func TestObservedLimitsAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newPipeFile()
		j := mustStart(t, Options{}, to(jsonSheet, f))
		const seconds = 25 * 60
		for i := range seconds {
			j.Record(decisionRecord("acme", "busy", "would_delay", fmt.Sprint(i)))
			if i%500 == 0 {
				j.Record(decisionRecord("acme", "busy", "deferred", fmt.Sprint(i)))
			}
			if i == 700 { // a change
				j.Record(decisionRecord("acme", "busy", "would_defer", fmt.Sprint(i)))
			}
			time.Sleep(time.Second)
		}
		closeNow(t, j)
		lines, counted := decisionsOf(t, f.String())
		if counted["busy would_delay"] != seconds || counted["busy would_defer"] != 1 || counted["busy deferred"] != 3 {
			t.Errorf("counted %v", counted)
		}
		if len(lines) != 4+1+3 {
			t.Errorf("%d lines: %q", len(lines), lines)
		}
		if lines[0] != "busy would_delay 0 0" || !strings.HasPrefix(lines[len(lines)-1], fmt.Sprint("busy would_delay ", seconds-1, " ")) {
			t.Errorf("%q", lines)
		}
	})
}

// What is over is written with its count when its time is over, though nothing comes any more, and then it is forgotten.
func TestCountIsWrittenWithoutAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newPipeFile()
		j := mustStart(t, Options{}, to(jsonSheet, f))
		for i := range 5 {
			j.Record(decisionRecord("acme", "once", "would_delay", fmt.Sprint(i)))
			time.Sleep(time.Second)
		}
		time.Sleep(repeatAfter + 2*time.Minute)
		synctest.Wait()
		if lines, _ := decisionsOf(t, f.String()); len(lines) != 2 || lines[1] != "once would_delay 4 4" {
			t.Errorf("%q", lines)
		}
		time.Sleep(2 * repeatAfter)
		synctest.Wait()
		if n := len(j.format.repeats); n != 0 {
			t.Errorf("%d are remembered", n)
		}
		closeNow(t, j)
	})
}

// Made-up accounts cannot make kanmon remember without bound, and nothing of anybody is left out.
func TestRepeatsAreBounded(t *testing.T) {
	f := newFormatter(Options{Addresses: AddressesClear, HashKey: nil})
	var stream strings.Builder
	for i := range 3 * maxRepeats {
		r := decisionRecord("acme", fmt.Sprint("account", i/2), "would_delay", "")
		f.begin(r)
		stream.Write(f.json(r))
	}
	if n := len(f.repeats); n > maxRepeats {
		t.Errorf("%d are remembered", n)
	}
	f.repeats.due(time.Now(), true, func(_ string, line []byte) { stream.Write(line) })
	_, counted := decisionsOf(t, stream.String())
	if len(counted) != 3*maxRepeats/2 {
		t.Errorf("%d accounts", len(counted))
	}
	for account, n := range counted {
		if n != 2 {
			t.Errorf("%s: %d", account, n)
		}
	}
}
