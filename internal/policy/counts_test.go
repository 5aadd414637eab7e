package policy

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kanmon/internal/policy/contain"
	"kanmon/internal/session"
	"kanmon/internal/who/witness"
)

// audit-D19: what was counted of a sender in the last hour and day is the same behind a restart, in the file as well; and a recipient or receiver whom
// it has counted is no other one then.
func TestCountsOutliveTheProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "senders.db")
	settings := settingsWith()
	settings.Witness = func(mx netip.Addr, domain string) witness.Receiver { return witness.Receiver{MX: mx, Domain: domain} }
	to := many(30)
	refused := map[string]string{to[0]: "recipient_invalid", to[1]: "recipient_invalid", to[2]: "recipient_invalid"}
	kanmon := func(at time.Time) (*rig, *visit) {
		r := newRigAt(t, settings, open(t, path), at)
		v, d := r.enter("10.0.1.1", mx)
		if d.Refuse != session.RefuseNot {
			t.Fatalf("%+v", d)
		}
		return r, v
	}
	first, v := kanmon(time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC))
	v.send(bob.Account, to, nil)
	for range 25 * 60 { // until it is known
		first.Pass(time.Minute)
		first.detector.Tick()
	}
	v.send(bob.Account, to, refused)
	before := map[contain.Subject]contain.Explanation{bob: first.Explain(bob), acme: first.Explain(acme)}
	v.Close()
	if err := first.saveAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	second, v := kanmon(first.Now().Add(time.Minute))
	defer v.Close()
	for s, x := range before {
		y := second.Explain(s)
		if diff := cmp.Diff([]any{x.Hour, x.Day, x.Distinct, x.Counting}, []any{y.Hour, y.Day, y.Distinct, y.Counting}); diff != "" || x.Day.Unknown != 3 || len(y.Samples) != 3 {
			t.Errorf("%v, with %d replies:\n%s", s, len(y.Samples), diff)
		}
	}
	v.send(bob.Account, to, refused)
	v.send(bob.Account, to, refused)
	x := second.Explain(bob)
	if x.Day.Unknown != 9 || x.Distinct != before[bob].Distinct {
		t.Errorf("to the same: %d unknown in the day, want 9; %d distinct recipients, before %d", x.Day.Unknown, x.Distinct, before[bob].Distinct)
	}
	for _, reading := range x.Readings {
		if reading.Signal == contain.UnknownRecipients && reading.Providers != 1 {
			t.Errorf("one receiver is %d behind a restart: %+v", reading.Providers, reading)
		}
	}
}

// audit-E1: five hundred senders that have changed cost what they did with their counts: their rows are small.
func TestRowsWithCountsAreSmall(t *testing.T) {
	f := newFull(t, 500)
	defer f.Close()
	for i := range 20 {
		f.mail(0, 500)
		if i == 0 {
			f.keepAll(t)
		}
	}
	f.keepAll(t)
	var octets, rows int
	if err := f.kept.Store.(*SQLite).db.QueryRow("SELECT sum(length(state)), count(*) FROM policy_sender WHERE account != ''").Scan(&octets, &rows); err != nil {
		t.Fatal(err)
	}
	each := fmt.Sprintf("%d octets in each of %d rows, beside the history", octets/rows, rows)
	if t.Log(each); octets/rows > 1000 {
		t.Errorf("%s: want no more than 1,000", each)
	}
}
