package netns

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	_ "modernc.org/sqlite" // to lock kanmon's files
)

// What may hang without anybody's mail noticing (docs/engine.md, I14). Each begins its hang and gives what ends it.
var hangs = []struct {
	name  string
	full  bool // only where all is asked for
	begin func(r *hangRig) (end func())
}{
	{"nothing", true, func(*hangRig) func() { return func() {} }},
	{"session log", true, func(r *hangRig) func() { return r.sessions.stop() }},
	{"records", true, func(r *hangRig) func() { return r.records.stop() }},
	{"both logs", false, func(r *hangRig) func() {
		first, second := r.sessions.stop(), r.records.stop()
		return func() { first(); second() }
	}},
	{"kanmon's own log", false, func(r *hangRig) func() { return r.own.stop() }},
	{"senders.db", false, func(r *hangRig) func() { return r.lock("senders.db") }},
	{"standing.db", false, func(r *hangRig) func() { return r.lock("standing.db") }},
	{"resolver", false, func(r *hangRig) func() { return r.silenceDNS() }},
}

// A hangPlan says how long is measured. Machines are busy with other things, by fits and starts: so beside the gateway that has the hang
// runs a twin without, under the same load, and both are measured in the same windows. The medians of all windows are compared, and more
// windows are taken until they agree or there are too many. Whoever waits for what hangs waits for seconds: no number of windows would
// make that agree.
type hangPlan struct {
	full        bool
	window      time.Duration
	least, most int
}

func planOfHangs() hangPlan {
	if os.Getenv("KANMON_HANG") == "full" {
		return hangPlan{true, 4 * time.Second, 5, 12}
	}
	return hangPlan{false, 1500 * time.Millisecond, 3, 12}
}

const (
	hangAllowed = 1.2              // times what it is without the hang
	hangStop    = 30 * time.Second // a stop beyond its drain, and a reload
	hangDrain   = 2 * time.Second
)

// Nothing slow is waited for: while logs, databases, the resolver or kanmon's own log hang, one tenant keeps all of them busy, and the
// mail of two others goes on as before: the 95th percentile of MAIL, RCPT and the dot is within a fifth of what it is without. All that
// was acknowledged is in the records, or counted as dropped. A reload and a stop are bounded.
//
// law: I14
func TestNothingThatHangsHoldsMail(t *testing.T) {
	t.Parallel()
	plan := planOfHangs()
	twin := newHangRig(t)
	twin.load()
	for _, hang := range hangs {
		if hang.full && !plan.full {
			continue
		}
		t.Run(hang.name, func(t *testing.T) {
			r := newHangRig(t)
			r.load()
			time.Sleep(time.Second) // what is learnt first
			end := hang.begin(r)
			var calm, stuck []figures
			for len(calm) < plan.least || len(calm) < plan.most && worst(calm, stuck) > hangAllowed {
				twin.begin()
				r.begin()
				time.Sleep(plan.window)
				calm, stuck = append(calm, twin.end()), append(stuck, r.end())
			}
			if ratio := worst(calm, stuck); ratio > hangAllowed {
				t.Errorf("p95 is %.2f times what it was", ratio)
			}
			reload := r.reload()
			r.endLoad()
			stop := r.stop()
			end()
			acknowledged, written, dropped := r.account()
			t.Logf("p95 in ms without %s, with the hang %s, worst ratio %.2f in %d windows; reload %s, stop %s; %d mails acknowledged, %d on record, %d records dropped",
				median(calm), median(stuck), worst(calm, stuck), len(calm), reload.Round(time.Millisecond), stop.Round(time.Millisecond), acknowledged, written, dropped)
			if reload > hangStop || stop > hangDrain+hangStop {
				t.Errorf("reload after %s, stop after %s", reload, stop)
			}
			if written > acknowledged || acknowledged > written+dropped {
				t.Errorf("%d mails acknowledged, %d on record and %d dropped", acknowledged, written, dropped)
			}
		})
	}
	twin.endLoad()
	twin.stop()
}

// figures are 95th percentiles of MAIL, RCPT and the dot.
type figures [3]time.Duration

func (f figures) String() string {
	var text []string
	for _, d := range f {
		text = append(text, fmt.Sprintf("%.1f", d.Seconds()*1000))
	}
	return strings.Join(text, " ")
}

// median gives that of each figure.
func median(all []figures) (m figures) {
	for i := range m {
		var values []time.Duration
		for _, f := range all {
			values = append(values, f[i])
		}
		slices.Sort(values)
		m[i] = values[len(values)/2]
	}
	return m
}

// worst is the largest ratio of the medians.
func worst(calm, stuck []figures) (ratio float64) {
	if len(calm) == 0 {
		return 0
	}
	before, with := median(calm), median(stuck)
	for i := range before {
		ratio = max(ratio, float64(with[i])/float64(before[i]))
	}
	return ratio
}

// lock keeps a database of kanmon's locked, as another process that reads a backup of it may.
func (r *hangRig) lock(name string) (end func()) {
	db, err := sql.Open("sqlite", "file:"+filepath.Join(r.kanmon.Folder(), name)+"?_pragma=busy_timeout(5000)")
	must(r.t, err)
	db.SetMaxOpenConns(1)
	_, err = db.Exec("BEGIN EXCLUSIVE")
	must(r.t, err)
	return func() {
		_, err := db.Exec("ROLLBACK")
		must(r.t, err)
		must(r.t, db.Close())
	}
}

// silenceDNS lets all questions go unanswered.
func (r *hangRig) silenceDNS() (end func()) {
	_, err := r.world.Internet.Run("nft", "add table inet dns; add chain inet dns in { type filter hook input priority 0; }; add rule inet dns in udp dport 53 drop")
	must(r.t, err)
	return func() {
		_, err := r.world.Internet.Run("nft", "delete table inet dns")
		must(r.t, err)
	}
}
