package daemon

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"kanmon/internal/admin"
)

// A sending IP that is not there at the start, or at a reload, stops nothing, unless the operator wants it so.
//
// firstday-4 law: B-config
func TestStartWithoutASendingIP(t *testing.T) {
	const missing = "[[sending_ip]]\naddress = '203.0.113.9'\nehlo = 'nine.example.jp'\n"
	const floating = "[[sending_ip]]\naddress = '203.0.113.8'\nehlo = 'eight.example.jp'\nfloating = true\n"
	w := newWorld(t, listenTable+sending("here")+missing+floating)
	w.start()
	client := w.session()
	client.Expect(220)
	_ = client.Quit()
	o := &operator{w.daemon}
	all, err := o.Standings(netip.Addr{})
	const reason = "it is not an address of this host"
	want := []admin.Standing{
		{IP: netip.MustParseAddr("203.0.113.9"), State: admin.Absent, Reason: reason},
		{IP: netip.MustParseAddr("203.0.113.8"), State: admin.Standby, Reason: reason + " (floating)"},
	}
	for i := range all {
		all[i].Since = time.Time{}
	}
	if err != nil || !reflect.DeepEqual(all, want) {
		t.Errorf("standings %+v (%v)", all, err)
	}
	if all, err = o.Standings(netip.MustParseAddr("127.0.0.1")); err != nil || len(all) != 0 {
		t.Errorf("those of the one that is here are %+v (%v)", all, err)
	}
	const refused = "sending_ip[1].address: 203.0.113.9 is not an address of this host"
	if err := w.daemon.Reload(t.Context(), w.with(sending("here")+missing+"required = true\n")); err == nil || !strings.Contains(err.Error(), refused) {
		t.Errorf("Reload = %v, want %q", err, refused)
	}
	w.stop()

	w = newWorld(t, listenTable+sending("here")+missing+"required = true\n")
	if err := w.daemon.Start(t.Context()); err == nil || !strings.Contains(err.Error(), refused) {
		t.Errorf("Start = %v, want %q", err, refused)
	}
}
