package daemon

import (
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"kanmon/internal/admin"
	"kanmon/internal/event"
	"kanmon/internal/smtp/smtptest"
)

// A try is in the audit before anything is sent, without an address of a person, and a second one has to wait. What may not be asked is
// refused, counts for nothing, and stands in no audit.
func TestTryIsAuditedAndBounded(t *testing.T) {
	w, c := withSocket(t, customersIn(filepath.Join(t.TempDir(), "policy.db"))+sendingTable+"[[destination]]\nnetworks = ['10.9.0.0/16', '127.0.0.0/8']\n")
	ctx := t.Context()
	for _, wrong := range []struct {
		order admin.TryOrder
		want  string
	}{
		{admin.TryOrder{MX: netip.MustParseAddr("10.8.0.1")}, "no address on the Internet"},
		{admin.TryOrder{MX: netip.MustParseAddr("127.0.0.1")}, "an address of this host"}, // its sending IP
		{admin.TryOrder{MX: netip.MustParseAddr("127.0.0.2")}, "no address on the Internet"},
		{admin.TryOrder{MX: netip.MustParseAddr("2001:db8::25")}, "the MX's address is of the other family"},
		{admin.TryOrder{MX: netip.MustParseAddr("192.0.2.25"), Sender: "a@example.com\r\nDATA"}, "sender: "},
		{admin.TryOrder{MX: netip.MustParseAddr("192.0.2.25"), Sender: "<>", Recipient: "<>"}, "there is no null recipient"},
		{admin.TryOrder{MX: netip.MustParseAddr("192.0.2.25"), From: "nobody"}, "neither an address nor a network nor a pool"},
		{admin.TryOrder{MX: netip.MustParseAddr("192.0.2.25"), From: "203.0.113.0/24"}, "there is no sending IP to try from"},
		{admin.TryOrder{Domain: "[192.0.2.1]"}, "is no domain"},
	} {
		if got, err := c.Try(ctx, wrong.order); err == nil || !strings.Contains(err.Error(), wrong.want) {
			t.Errorf("%+v: %+v, %v; want %q", wrong.order, got, err, wrong.want)
		}
	}
	order := admin.TryOrder{MX: netip.MustParseAddr("10.9.0.25"), Sender: "<>", Recipient: "canary.bob@example.net", Reason: "is it us?", From: "127.0.0.0/8"}
	begun, err := c.Try(ctx, order)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Try(ctx, order); err == nil || !strings.Contains(err.Error(), "one try a minute") || !strings.Contains(err.Error(), peerName()) {
		t.Errorf("a second one: %v", err)
	}
	var over admin.Try
	waitUntil(t, "the try is over", func() bool {
		over, err = c.Tried(ctx, begun.ID)
		return err != nil || over.Over
	})
	if err != nil || len(over.Dialogues) != 1 || over.Dialogues[0].State != admin.TryFailed || !strings.Contains(over.Dialogues[0].Ended, "no connection") {
		t.Errorf("%v: %+v", err, over)
	}
	all, err := c.Changes(ctx, admin.Subject{}, netip.Addr{}, 10)
	if err != nil || len(all) != 1 || all[0].Did != "try" || all[0].By != peerName() || all[0].Why != "is it us?" || all[0].After != "10.9.0.25 from 1 sending IPs: MAIL and RCPT at example.net, no message" {
		t.Errorf("%v; the audit has %+v", err, all)
	}
	if stands, err := c.Standings(ctx, netip.MustParseAddr("127.0.0.1")); err != nil || len(stands) != 0 {
		t.Errorf("%v; the IP stands as %+v", err, stands)
	}
	w.stop()
}

// A session is ended by order, and the audit has whose it was and what it waited for.
func TestEndedSessionIsInTheAudit(t *testing.T) {
	mx := &smtptest.MX{Reply: func(verb string, _ int) string {
		if verb == "RCPT" {
			return ""
		}
		return smtptest.Default
	}}
	w := newWorldWith(t, mx, customersIn(filepath.Join(t.TempDir(), "policy.db")))
	w.start()
	c := admin.NewClient(filepath.Join(w.dir, "s"))
	msa := w.session()
	msa.Expect(220)
	msa.Command("EHLO msa.example.com")
	msa.Command("MAIL FROM:<a@example.com>")
	msa.Send("RCPT TO:<b@example.net>")
	var held admin.Sessions
	waitUntil(t, "the session waits for the MX", func() bool {
		var err error
		if held, err = c.Sessions(t.Context(), admin.SessionQuery{}); err != nil {
			t.Fatal(err)
		}
		return len(held.Sessions) == 1 && held.Sessions[0].Step == event.PhaseRcpt.String()
	})
	for _, wrong := range []string{"x", "0000000000000001"} {
		if _, err := c.EndSession(t.Context(), wrong, "x"); err == nil {
			t.Errorf("session %q is ended", wrong)
		}
	}
	end, err := c.EndSession(t.Context(), held.Sessions[0].Session, "it hangs")
	if err != nil || end.Came != admin.SessionEnded && end.Came != admin.SessionSoon {
		t.Errorf("%v: %+v", err, end)
	}
	msa.Expect(421)
	all, err := c.Changes(t.Context(), admin.Subject{}, netip.Addr{}, 10)
	if err != nil || len(all) != 1 || all[0].Did != "end_session" || all[0].Why != "it hangs" || !strings.Contains(all[0].Before, "waited for: mx, step rcpt") ||
		!strings.Contains(all[0].After, held.Sessions[0].Session) {
		t.Errorf("%v; the audit has %+v", err, all)
	}
	w.stop()
}
