package daemon

import (
	"net/netip"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kanmon/internal/admin"
)

// What the web process orders stands in the audit with the person's name. A reload that bounds it does so at once, and one that names another
// user takes no name from this one any more.
func TestTheViewSpeaksForPersons(t *testing.T) {
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	file := customersIn(filepath.Join(t.TempDir(), "policy.db"))
	tables := func(web string) string {
		return file + sendingTable + "[web]\nuser = '" + me.Uid + "'\n" + web
	}
	w, c := withSocket(t, tables(""))
	alice, ours := c.As("alice"), netip.MustParseAddr("127.0.0.1")
	if _, err := alice.Suspend(t.Context(), ours, "", time.Hour, "down"); err != nil {
		t.Fatal(err)
	}
	all, err := alice.Changes(t.Context(), admin.Subject{}, ours, 9)
	if err != nil || len(all) != 1 || all[0].By != "alice (web)" || all[0].Why != "down" {
		t.Errorf("%v, %+v", err, all)
	}
	if _, err := alice.Resume(t.Context(), ours, "", "it is up again"); err != nil {
		t.Fatal(err)
	}
	if all, err = alice.Changes(t.Context(), admin.Subject{}, ours, 9); err != nil || len(all) != 2 || all[1].Why != "it is up again" {
		t.Errorf("%v, %+v", err, all)
	}
	if err := w.daemon.Reload(t.Context(), w.parse(tables("may = 'look'\n"))); err != nil {
		t.Fatal(err)
	}
	if _, err := alice.Suspend(t.Context(), ours, "", 0, "x"); err == nil || !strings.Contains(err.Error(), `web.may is "look"`) {
		t.Errorf("where it may look: %v", err)
	}
	if err := w.daemon.Reload(t.Context(), w.parse(strings.ReplaceAll(tables(""), "'"+me.Uid+"'", "'nobody-of-this-name'"))); err != nil {
		t.Fatal(err)
	}
	if _, err := alice.Status(t.Context()); err == nil || !strings.Contains(err.Error(), "only the user in web.user") {
		t.Errorf("where it is another: %v", err)
	}
}
