package warm_test

import (
	"errors"
	"net/netip"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"kanmon/internal/outlet/standing"
	"kanmon/internal/outlet/warm"
	"kanmon/internal/store"
)

// open opens the file of the standing, as the daemon does.
func open(t *testing.T, path string) (*standing.SQLite, warm.Table) {
	t.Helper()
	file, err := standing.OpenSQLite(path)
	if err != nil {
		t.Fatal(err)
	}
	return file, warm.NewTable(file.File())
}

var ip = netip.MustParseAddr("203.0.113.30")

func TestWhatIsKeptOfAnIPSurvivesTheProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "standing.db")
	now := time.Date(2026, 12, 1, 9, 0, 0, 0, time.UTC)
	begin := func() (*warm.Book, func()) {
		file, table := open(t, path)
		b, err := warm.New(warm.Options{Store: table, Clock: func() time.Time { return now }})
		if err != nil {
			t.Fatal(err)
		}
		b.Configure([]warm.Member{{IP: ip, Start: warm.DayOf(now), Plan: &warm.Plan{Steps: []warm.Step{{Share: 0.01, Provider: 30, Others: 60}, {Share: 0.05, Provider: 60, Others: 120}}}}})
		return b, func() {
			if err := b.Close(); err != nil {
				t.Error(err)
			}
			if err := file.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	b, end := begin()
	for range 25 {
		ticket, _, _ := b.Take(ip, "google", false)
		ticket.Accepted()
	}
	b.Found(ip, "yahoo", warm.Voice{}, false, "slowed")
	b.Throttled(ip, "docomo", warm.Voice{}, "too fast")
	b.Refused(ip, warm.Others, warm.Voice{Receiver: "192.0.2.0/24", Tenant: "acme"})
	before, _ := b.Get(ip)
	end()
	b, end = begin()
	after, _ := b.Get(ip)
	if !reflect.DeepEqual(before.State, after.State) {
		t.Errorf("after a restart\n%+v\nwant\n%+v", after.State, before.State)
	}
	if b.Room(ip, "docomo") != warm.Rests {
		t.Error("who had too much is sent to again after a restart")
	}
	end()
}

// What has changed and is not written yet when an IP loses its plan is written also where it has one again before that.
func TestWhatHasChangedBeforeTwoReloadsIsKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "standing.db")
	now := time.Date(2026, 12, 1, 9, 0, 0, 0, time.UTC)
	file, table := open(t, path)
	defer file.Close()
	b, err := warm.New(warm.Options{Store: table, Clock: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	plan := []warm.Member{{IP: ip, Start: warm.DayOf(now), Plan: &warm.Plan{Steps: []warm.Step{{Share: 0.01, Provider: 30, Others: 60}}}}}
	b.Configure(plan)
	for range 5 {
		ticket, _, _ := b.Take(ip, "google", false)
		ticket.Accepted()
	}
	b.Configure(nil)
	b.Configure(plan)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	all, err := table.Load()
	if err != nil || len(all) != 1 || all[0].Classes["google"].Taken != 5 {
		t.Errorf("kept %+v, %v", all, err)
	}
}

// Rows of before tenants were told, and of a file that has more than there may be, are read.
func TestWhoHasObjectedIsReadFromOlderRows(t *testing.T) {
	file, table := open(t, filepath.Join(t.TempDir(), "standing.db"))
	defer file.Close()
	now := time.Date(2026, 12, 1, 9, 0, 0, 0, time.UTC)
	start := warm.DayOf(now)
	if err := table.Save([]warm.State{{IP: ip, Start: start, Step: 1, Day: start}}); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		against string
		rests   bool
	}{
		"a receiver":             {`"192.0.2.0/24","","","","","","",""`, true},
		"with its tenant":        {`"192.0.2.0/24 x.example|acme"`, false},
		"with another one":       {`"192.0.2.0/24 x.example|blue"`, true},
		"of another's name":      {`"192.0.2.0/24 y.example|blue"`, false},
		"more than there may be": {`"1 |blue",` + strings.Repeat(`"2 |blue",`, 20) + `"3 |blue"`, true},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := file.File().Exec("UPDATE standing_warm_up SET classes = ?", `{"":{"put_by":"192.0.2.0/24","against":[`+c.against+`]}}`); err != nil {
				t.Fatal(err)
			}
			b, err := warm.New(warm.Options{Store: table, Clock: func() time.Time { return now }})
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close()
			b.Configure([]warm.Member{{IP: ip, Start: start, Plan: &warm.Plan{Steps: []warm.Step{{Share: 0.01, Provider: 30, Others: 60}}}}})
			b.Throttled(ip, warm.Others, warm.Voice{Receiver: "198.51.100.0/24 y.example", Tenant: "acme"}, "too fast")
			if rests := b.Room(ip, warm.Others) == warm.Rests; rests != c.rests {
				t.Errorf("rests: %v", rests)
			}
		})
	}
}

func TestARowThatMakesNoSenseStopsTheStart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "standing.db")
	file, table := open(t, path)
	defer file.Close()
	if err := table.Save([]warm.State{{IP: ip, Step: 3, Classes: map[string]warm.Class{"google": {Taken: 5, Tried: 3, Accepted: 9}}}}); err != nil {
		t.Fatal(err)
	}
	all, err := table.Load()
	if err != nil || len(all) != 1 || all[0].Classes["google"].Accepted != 3 {
		t.Fatalf("%+v, %v: more accepted than tried", all, err)
	}
	if _, err := file.File().Exec("UPDATE standing_warm_up SET classes = '{'"); err != nil {
		t.Fatal(err)
	}
	_, err = warm.New(warm.Options{Store: table})
	if !errors.Is(err, store.ErrDamaged) || !strings.Contains(err.Error(), path+": ") || !strings.Contains(err.Error(), "kanmon restore") {
		t.Errorf("half a memory: %v", err)
	}
}
