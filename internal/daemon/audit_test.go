package daemon

import (
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"kanmon/internal/admin"
)

// What operators do to sending IPs stands in the audit as what they do to senders, in one order; a resume of what is active changes
// nothing. It is there for the next kanmon.
//
// firstday-9
func TestOrdersAboutSendingIPsAreInTheAudit(t *testing.T) {
	file := filepath.Join(t.TempDir(), "policy.db")
	w, c := withSocket(t, customersIn(file)+sendingTable)
	ctx := t.Context()
	ours := netip.MustParseAddr("127.0.0.1")
	do := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	do(c.Suspend(ctx, ours, "google", 2*time.Hour, "asked by phone"))
	do(c.Carry(ctx, admin.Subject{Tenant: "acme"}, admin.Order{Do: "block", Reason: "x"}))
	do(c.Suspend(ctx, ours, "", 0, "down"))
	do(c.Resume(ctx, ours, "", ""))
	do(c.Resume(ctx, ours, "", ""))
	check := func(c *admin.Client) {
		t.Helper()
		all, err := c.Changes(ctx, admin.Subject{}, netip.Addr{}, 100)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, one := range all {
			if one.By != peerName() {
				t.Errorf("by %q", one.By)
			}
			got = append(got, one.Did+" "+one.Provider)
		}
		t.Logf("%+v", all)
		if len(all) != 5 || all[0].IP != ours || all[0].Provider != "google" || all[0].Before != "active" || all[0].Why != "asked by phone" ||
			all[1].Tenant != "acme" || all[2].IP != ours || all[2].Provider != "" || all[2].After != "stopped" ||
			all[3].Did != "resume" || all[3].Before != "stopped" || all[3].After != "active" || all[4].Did != "resume" || all[4].Provider != "google" {
			t.Errorf("the audit has %q", got)
		}
		if of, err := c.Changes(ctx, admin.Subject{}, ours, 100); err != nil || len(of) != 4 {
			t.Errorf("of the IP: %+v, %v", of, err)
		}
		if of, err := c.Changes(ctx, admin.Subject{Tenant: "acme"}, netip.Addr{}, 100); err != nil || len(of) != 1 {
			t.Errorf("of the tenant: %+v, %v", of, err)
		}
		if _, err := c.Changes(ctx, admin.Subject{Tenant: "acme"}, ours, 100); err == nil {
			t.Error("a tenant and an IP at once")
		}
	}
	check(c)
	w.stop()
	_, c = withSocket(t, customersIn(file)+sendingTable)
	check(c)
}

// An order that is in memory alone says so, where a person reads it.
//
// firstday-18
func TestAnOrderThatARestartForgetsSaysSo(t *testing.T) {
	_, c := withSocket(t, listenTable+sendingTable+"[[tenant]]\nname = 'acme'\nsources = ['10.20.1.5/32']\n[admin]\nsocket = 'DIR/s'\n")
	ips, err := c.Suspend(t.Context(), netip.MustParseAddr("127.0.0.1"), "", time.Hour, "down")
	if err != nil || len(ips) != 1 || ips[0].Note != "a restart forgets this order: there is no file in [standing]" {
		t.Errorf("%+v, %v", ips, err)
	}
	x, err := c.Carry(t.Context(), admin.Subject{Tenant: "acme"}, admin.Order{Do: "block", Reason: "unpaid"})
	if err != nil || x.Note != "a restart forgets this order: there is no file in [senders]" {
		t.Errorf("%+v, %v", x.Sender, err)
	}
}
