package daemon

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"kanmon/internal/outlet/standing"
	"kanmon/internal/smtp/smtptest"
)

// atGoogle is a DNS that gives Gmail's MX this address.
func atGoogle(addr netip.Addr) *smtptest.DNS {
	return &smtptest.DNS{MXs: map[string]string{"gmail.com.": "gmail-smtp-in.l.google.com."}, Addrs: []netip.Addr{addr}}
}

// In a running kanmon: a reload forgets nothing, so that the first session after it gets no connection from an IP that is stopped there.
func TestReloadKnowsTheProvider(t *testing.T) {
	const tables = "[standing]\nfile = 'DIR/standing.db'\n"
	w := newWorld(t, listenTable+sending("out")+tables)
	w.daemon.resolver = atGoogle(w.mxAddr.Addr())
	w.start()
	if err := deliverTo(w, "x@gmail.com"); err != nil {
		t.Fatal(err)
	}
	waitUntil(t, "the MX is known to be Google's", func() bool { return w.daemon.current.out.Providers().At(w.mxAddr.Addr()) == "google" })
	w.daemon.resolver = &smtptest.DNS{}
	if err := w.daemon.Reload(t.Context(), w.with(sending("out")+tables)); err != nil {
		t.Fatal(err)
	}
	key := standing.Key{IP: netip.MustParseAddr("127.0.0.1"), Provider: "google"}
	if err := w.daemon.book.Stop(key, "asked", "me"); err != nil {
		t.Fatal(err)
	}
	before := len(w.mx.Mailbox.Commands())
	if err := deliverTo(w, "x@gmail.com"); err == nil {
		t.Error("mail has left from an IP that is stopped at google")
	}
	if seen := w.mx.Mailbox.Commands()[before:]; len(seen) > 0 {
		t.Errorf("the first session after a reload: the MX has seen %q", seen)
	}
	w.stop()
	next := w.newDaemon(w.daemon.cfg)
	next.resolver = &smtptest.DNS{}
	w.daemon = next
	w.start()
	if err := deliverTo(w, "x@gmail.com"); err == nil || len(w.mx.Mailbox.Commands()) != before {
		t.Errorf("the first session after a restart: %v, the MX has seen %q", err, w.mx.Mailbox.Commands()[before:])
	}
	w.stop()
}

// deliverTo sends a mail in a session of its own; the error says that it was not taken.
func deliverTo(w *world, recipient string) error {
	msa := w.session()
	d := msa.Deliver("a@example.com", []string{recipient}, []byte("Subject: x\r\n\r\nx\r\n"), true)
	_ = msa.Quit()
	if !d.All(smtptest.Accepted) {
		return errors.New("not taken")
	}
	return nil
}

// An operator who names a provider that nothing is known to be of is told so.
func TestStandingOfNobody(t *testing.T) {
	w := newWorld(t, listenTable+sending("out")+"[standing]\nfile = 'DIR/standing.db'\n")
	w.daemon.resolver = atGoogle(w.mxAddr.Addr())
	w.start()
	ip, o := netip.MustParseAddr("127.0.0.1"), &operator{w.daemon}
	noteOf := func(provider string) string {
		t.Helper()
		if err := o.Suspend(ip, provider, time.Now().Add(time.Hour), "asked", "me"); err != nil {
			t.Fatal(err)
		}
		all, err := o.Standings(ip)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range all {
			if s.Provider == provider {
				return s.Note
			}
		}
		t.Fatalf("%q is not shown", provider)
		return ""
	}
	for provider, want := range map[string]string{
		"": "", "mx:192.0.2.25": "", "google": "no MX of this provider is known yet", "gogle": "there is no provider of this name",
		"google/example.net": "only for mail to that recipient domain",
	} {
		if got := noteOf(provider); !strings.HasPrefix(got, want) || (got == "") != (want == "") {
			t.Errorf("%q: told %q, want %q", provider, got, want)
		}
	}
	if err := o.Resume(ip, "", "", "me"); err != nil {
		t.Fatal(err)
	}
	if err := deliverTo(w, "x@gmail.com"); err != nil {
		t.Fatal(err)
	}
	waitUntil(t, "the MX is known to be Google's", func() bool { return w.daemon.current.out.Providers().Met()["google"] })
	if got := noteOf("google"); got != "" {
		t.Errorf("an MX of Google's is known: told %q", got)
	}
	w.stop()
}
