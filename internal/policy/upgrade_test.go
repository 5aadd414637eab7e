package policy

import (
	"database/sql"
	"fmt"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"kanmon/internal/policy/contain"
	"kanmon/internal/policy/limit"
)

// fileOf makes a file as the kanmon wrote it that had so many steps of the schema.
func fileOf(t testing.TB, version int, statements ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "senders.db")
	db, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	all := []string{"CREATE TABLE policy_schema (version INTEGER NOT NULL)"}
	for i := range version {
		all = append(all, schema.Steps[i], fmt.Sprintf("INSERT INTO policy_schema VALUES (%d)", i+1))
	}
	for _, statement := range append(all, statements...) {
		if _, err := db.Exec(statement); err != nil {
			t.Fatalf("%v: %s", err, statement)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// A file of a kanmon before has its state and its audit in the new one, and what limits did is known as such.
func TestAFileOfBeforeIsBroughtUpToDate(t *testing.T) {
	path := fileOf(t, 1,
		`INSERT INTO policy_state VALUES (1, '{"containment": {"version": 1, "subjects": [{"tenant": "acme", "account": "bob@acme.example", "level": "normal",
			"block": {"by": "limit hour", "why": "x", "at": "2026-01-01T00:00:00Z"}, "known": 1, "usual": [{}, {}]}]}}')`,
		`INSERT INTO policy_audit (at_ms, made_by, tenant, account, did, was, became, why) VALUES (1, 'alice', 'acme', '', 'exempt', '', '', ''),
			(2, 'limit hour', 'acme', 'bob@acme.example', 'block', '', '', '')`)
	p, err := over(open(t, path))
	if err != nil {
		t.Fatal(err)
	}
	if x := p.Explain(bob); x.Block == nil || !x.Block.Rule {
		t.Errorf("%+v", x.Block)
	}
	all, err := p.Audit(acme, netip.Addr{}, 10)
	if err != nil || len(all) != 2 || all[0].Rule || !all[1].Rule {
		t.Errorf("%+v, %v", all, err)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}

// whole is a state in pieces and orders, as the kanmon before rows wrote them: of a saving that came to its end, of one that did not, and of what
// was said since.
var whole = []string{
	`INSERT INTO policy_saved VALUES (1, 7)`,
	`INSERT INTO policy_part VALUES
	(7, 1, '{"limits":{"version":1,"taken":"2026-07-01T09:30:00.123456789Z","debts":null},
		"containment":{"version":1,"at":"2026-07-01T09:30:00.5Z","subjects":null},
		"given":[{"tenant":"acme","account":"bob@acme.example","limit":"account-hour","amount":5},{"tenant":"acme","limit":"tenant-hour","amount":50}],
		"marks":[{"tenant":"acme","account":"news@acme.example","kind":"list","by":"alice"},{"tenant":"acme","account":"old@acme.example","kind":"list","by":"alice"}]}'),
	(7, 2, '{"limits":{"version":1,"taken":"2026-07-01T09:30:00.123456789Z","debts":[
			{"limit":"account-hour","measure":"recipients","of":"carol@acme.example","to":"acme","owes_ns":1800000000000}]},
		"containment":{"version":1,"at":"2026-07-01T09:30:00.5Z","subjects":null},"given":null}'),
	(7, 3, '{"limits":{"version":1,"taken":"2026-07-01T09:30:00.123456789Z","debts":null},
		"containment":{"version":1,"at":"2026-07-01T09:30:01Z","subjects":[
			{"tenant":"acme","level":"normal","known":9000,"usual":[{"bad":3,"cases":400},{"bad":0,"cases":300}]},
			{"tenant":"acme","account":"bob@acme.example","level":"divert","signal":"content","outcomes":true,"since":600,"quiet":60,"strikes":2,"known":9000,"usual":[{"bad":0,"cases":0},{"bad":0,"cases":0}]},
			{"tenant":"acme","account":"eve@acme.example","level":"normal","known":90,"usual":[{"bad":0,"cases":0},{"bad":0,"cases":0}],
				"exempt":{"at":"2026-07-01T09:00:00Z","by":"carol","why":"newsletter","left":3600}}]},"given":null}'),
	(8, 1, '{"limits":{"version":1,"taken":"2026-07-01T10:30:00Z","debts":null},"containment":{"version":1,"at":"2026-07-01T10:30:00Z","subjects":[
		{"tenant":"acme","account":"half@acme.example","level":"stop","known":1,"usual":[{"bad":0,"cases":0},{"bad":0,"cases":0}]}]},"given":null}')`,
	`INSERT INTO policy_order (said) VALUES
	('{"sender":{"tenant":"acme","account":"mallory@acme.example","level":"normal","known":5,"usual":[{"bad":0,"cases":0},{"bad":0,"cases":0}],
		"block":{"at":"2026-07-01T09:40:00Z","by":"alice","why":"stolen"}}}'),
	('{"sender":{"tenant":"acme","account":"eve@acme.example","level":"normal","known":90,"usual":[{"bad":0,"cases":0},{"bad":0,"cases":0}]}}'),
	('{"given":{"tenant":"acme","account":"bob@acme.example","limit":"account-hour","amount":8}}'),
	('{"given":{"tenant":"acme","limit":"tenant-hour","amount":0}}'),
	('{"given":{"tenant":"acme","account":"bob@acme.example","limit":"account-hour","amount":9}}'),
	('{"mark":{"tenant":"acme","account":"fwd@acme.example","kind":"forwarder","by":"carol"}}'),
	('{"unmarked":{"tenant":"acme","account":"old@acme.example"}}')`,
}

// audit-E1: the state that was in pieces, with the orders behind it, is in rows after an upgrade, all of it and nothing twice; a stop and a start
// later it still is.
func TestTheStateInPiecesIsMadeRows(t *testing.T) {
	path := fileOf(t, 3, whole...)
	now := time.Date(2026, 7, 1, 9, 50, 0, 0, time.UTC)
	for _, when := range []string{"upgraded", "and started again"} {
		set, err := twoLimits()
		if err != nil {
			t.Fatal(err)
		}
		p, err := New(Options{Settings: set, Store: open(t, path), Clock: func() time.Time { return now }})
		if err != nil {
			t.Fatal(err)
		}
		r := rigOf(t, p)
		bobs, mallory, eve := p.Explain(bob), p.Explain(ofAcme("mallory@acme.example")), p.Explain(ofAcme("eve@acme.example"))
		if bobs.Level != contain.Divert || bobs.Strikes != 2 || now.Sub(bobs.Since) != 10*time.Minute {
			t.Errorf("%s, bob: %+v", when, bobs)
		}
		if mallory.Block == nil || mallory.Block.Why != "stolen" || eve.Exempt != nil || p.Explain(ofAcme("half@acme.example")).Known {
			t.Errorf("%s: mallory %+v, eve %+v", when, mallory.Block, eve.Exempt)
		}
		if got := p.Explain(acme).Usual.Unknown; math.Abs(got-3.0/400) > 1e-6 {
			t.Errorf("%s: usual is %v", when, got)
		}
		if amount := p.Usages(bob)[0].Rule.Amount; amount != 9 {
			t.Errorf("%s: bob may send %d", when, amount)
		}
		if u := p.Usages(acme)[0]; u.Rule.Amount != 1000 {
			t.Errorf("%s: the tenant may send %d", when, u.Rule.Amount)
		}
		for account, want := range map[string]contain.Kind{"news@acme.example": contain.List, "fwd@acme.example": contain.Forwarder, "old@acme.example": contain.Plain} {
			if m, _ := p.MarkOf(ofAcme(account)); m.Kind != want {
				t.Errorf("%s: %s is a %v", when, account, m.Kind)
			}
		}
		if used := r.used(ofAcme("carol@acme.example"), "account-hour"); used < 10 || used > 20 { // half an hour of 100 an hour, 20 minutes ago
			t.Errorf("%s: carol owes %d", when, used)
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
	}
	db := open(t, path).db
	var rows, left int
	if err := db.QueryRow("SELECT count(*) FROM policy_sender").Scan(&rows); err != nil || rows != 3 { // eve has nothing left to be kept
		t.Errorf("%d rows, %v", rows, err)
	}
	if err := db.QueryRow("SELECT (SELECT count(*) FROM policy_part) + (SELECT count(*) FROM policy_order)").Scan(&left); err != nil || left != 11 {
		t.Errorf("%d of what it was made from, %v: it goes a release later", left, err)
	}
	var debts []limit.Debt
	state, found, err := open(t, path).Load()
	if debts = state.Limits.Debts; err != nil || !found || len(debts) != 1 {
		t.Errorf("%+v, %v", debts, err)
	}
}

// testdata/schema3.sql is what the last kanmon before rows wrote: a newsletter with a history, an account that is contained, blocks, an exemption, amounts,
// marks and debts, some of them saved, some said since. All of it holds after the upgrade, and the audit has every line.
func TestAFileOfTheLastKanmonBeforeRows(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("testdata", "schema3.sql"))
	if err != nil {
		t.Fatal(err)
	}
	settings := enforcing(settingsWith(rule("hour", limit.PerAccount, 1000), rule("tenant-hour", limit.PerTenant, 5000)))
	r := newRigAt(t, settings, open(t, fileOf(t, 3, string(text))), time.Date(2026, 3, 2, 12, 12, 40, 0, time.UTC))
	bobs, eve := r.Explain(bob), r.Explain(ofAcme("eve@acme.example"))
	if bobs.Level != contain.Slow || bobs.Strikes != 1 || r.Now().Sub(bobs.Since) != 12*time.Minute+9*time.Second || bobs.Last == nil || len(bobs.Last.Samples) == 0 {
		t.Errorf("bob: %+v", bobs)
	}
	var c contain.Changes
	if r.detector.ChangedOf(&c, ofAcme("news@acme.example")); len(c.Subjects) != 1 || slices.Max(c.Subjects[0].History) == 0 {
		t.Errorf("the newsletter: %+v", c)
	}
	if eve.Block == nil || eve.Block.Why != "it's unpaid" || eve.Block.Until.Sub(r.Now()) != 10*time.Hour {
		t.Errorf("eve: %+v", eve.Block)
	}
	if x := r.Explain(ofAcme("mallory@acme.example")); x.Block != nil {
		t.Errorf("mallory: %+v", x.Block)
	}
	if x := r.Explain(acme); x.Exempt == nil || x.Exempt.By != "carol" {
		t.Errorf("the tenant: %+v", x.Exempt)
	}
	if a, b := r.Usages(ofAcme("carol@acme.example"))[0].Rule.Amount, r.Usages(acme)[0].Rule.Amount; a != 77 || b != 9000 {
		t.Errorf("carol may send %d, the tenant %d", a, b)
	}
	if used := r.used(ofAcme("news@acme.example"), "hour"); used != 1 {
		t.Errorf("the newsletter owes %d", used)
	}
	for account, want := range map[string]contain.Kind{"news@acme.example": contain.List, "fwd@acme.example": contain.Plain} {
		if m, _ := r.MarkOf(ofAcme(account)); m.Kind != want {
			t.Errorf("%s is a %v", account, m.Kind)
		}
	}
	if all, err := r.Audit(contain.Subject{}, netip.Addr{}, 100); err != nil || len(all) != 9 || all[0].Why != "it's unpaid" {
		t.Errorf("%d lines of the audit, %v", len(all), err)
	}
}
