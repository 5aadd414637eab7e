package daemon

import (
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/outlet/trial"
	"kanmon/internal/outlet/trust"
	"kanmon/internal/session"
	"kanmon/internal/smtp/smtptest"
	"kanmon/test/dnszone"
)

// What the file says reaches those who ask MXs, also by a reload; what it does not say is not there; and what two configurations want alike they share.
func TestWhatMXsMustProveIsAsConfigured(t *testing.T) {
	server := dnszone.Serve(t, "example.com. MX 10 mx.example.com.\nmx.example.com. A 192.0.2.25\n")
	d := &Daemon{log: slog.New(slog.DiscardHandler), stream: &event.Stream{}}
	use := func(doc string) *trustInUse {
		t.Helper()
		u, err := d.trust(configOf(t, doc))
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	if u := use(""); u != nil || d.trusting.resolver != nil || d.trusting.memory != nil {
		t.Fatal("something is asked of MXs, though nothing says so")
	}
	resolver := "resolver = '" + server.Addr + "'\n"
	whole := "[senders]\ninternal = ['10.0.0.0/8']\n[tls_policy]\nmode = 'enforce'\ndane = false\n" + resolver + "store = '" + filepath.Join(t.TempDir(), "tls.db") + "'\n" +
		"first_contact = '2s'\nwait = '7s'\ndns_failure = 'pass'\nexempt_domains = '*.partner.example'\nexempt_sources = ['192.0.2.9/32']\nexempt_senders = 'Reports@gw.example'\n"
	want := trust.Config{
		Enforce: true, Pass: true, ExemptDomains: []string{"*.partner.example"}, ExemptMXs: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
		ExemptSources: []netip.Prefix{netip.MustParsePrefix("192.0.2.9/32")}, ExemptSenders: []string{"reports@gw.example"}, FirstContact: 2 * time.Second, Wait: 7 * time.Second,
	}
	if got := trustConfig(configOf(t, whole)); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	first, second := use(whole), use("[tls_policy]\n"+resolver)
	if first.resolver != second.resolver || first.policies != second.policies {
		t.Error("a reload asks another resolver, or has other policies")
	}
	if e := second.Explain(t.Context(), session.TrustQuestion{Domain: "example.com"}); e.Enforce || !e.DANE || len(e.Hosts) != 1 {
		t.Errorf("observed: %+v", e)
	}
	if e := first.Explain(t.Context(), session.TrustQuestion{Domain: "x.partner.example"}); !e.Enforce || e.DANE || e.Unasked != event.TrustExempt {
		t.Errorf("enforced: %+v", e)
	}
	trusts := use("[tls_policy]\nmta_sts = false\ntrust_ad = true\n" + resolver)
	if trusts.resolver == first.resolver || trusts.policies != nil {
		t.Error("trust_ad and mta_sts are not as configured")
	}
	verify := use("[tls_policy]\nmta_sts = false\n" + resolver + "[[destination]]\nnetworks = ['192.0.2.0/24']\ntls = 'verify'\nnames = ['relay.example.net']\n")
	q := session.TrustQuestion{
		Domain: "example.com", MX: netip.MustParseAddrPort("192.0.2.25:25"), Rule: Destinations(configOf(t, "[[destination]]\nnetworks = ['192.0.2.0/24']\ntls = 'verify'\nnames = ['relay.example.net']\n"))(netip.MustParseAddr("192.0.2.25")),
	}
	if e := verify.Explain(t.Context(), q); e.Unasked != event.TrustNamed || len(e.Hosts) != 1 || e.Hosts[0].Name != "relay.example.net" {
		t.Errorf("named: %+v", e)
	}

	socket := "[tls_report]\nsocket = '" + filepath.Join(t.TempDir(), "collector") + "'\n"
	for doc, reports := range map[string]bool{whole + socket: true, "[tls_policy]\n" + resolver + socket: false, whole: false} {
		if d.report(configOf(t, doc), first); (d.reporting != nil) != reports {
			t.Errorf("reports: %v for\n%s", !reports, doc)
		}
	}
	d.endReporting()
	var log strings.Builder
	d.log = slog.New(slog.NewTextHandler(&log, nil))
	if d.report(configOf(t, "[tls_policy]\n"+resolver+socket), second); !strings.Contains(log.String(), "no TLS report is made") {
		t.Errorf("that mode observe reports nothing is not said: %q", log.String())
	}
	for _, u := range []*trustInUse{first, second, trusts, verify} {
		if err := u.close(&d.trusting); err != nil {
			t.Error(err)
		}
	}
	if d.trusting.resolver != nil || d.trusting.policies != nil {
		t.Error("what nobody asks runs on")
	}
}

// Without roots nobody could prove anything: that is said before mail waits for it.
func TestNoRoots(t *testing.T) {
	path := filepath.Join(t.TempDir(), "roots.pem")
	d := &Daemon{log: slog.New(slog.DiscardHandler), stream: &event.Stream{}}
	doc := "[tls_policy]\nresolver = '127.0.0.1:9'\nroots = '" + path + "'\n"
	for _, step := range []struct{ text, want string }{{"", "no such file"}, {"nothing", "has no certificate"}} {
		if step.text != "" {
			if err := os.WriteFile(path, []byte(step.text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := d.trust(configOf(t, doc)); err == nil || !strings.Contains(err.Error(), "tls_policy.roots") || !strings.Contains(err.Error(), step.want) {
			t.Errorf("%q: %v", step.text, err)
		}
	}
	if d.trusting.resolver != nil {
		t.Error("a resolver is asked all the same")
	}
}

// A reload that fails, whose file names another resolver, leaves the policies with the one that is asked: with one that is closed every
// domain would have none.
func TestAReloadThatFailsLeavesThePoliciesTheirResolver(t *testing.T) {
	servers := [...]*dnszone.Server{dnszone.Serve(t, "a.test. A 192.0.2.1\n"), dnszone.Serve(t, "a.test. A 192.0.2.1\n")}
	d := &Daemon{log: slog.New(slog.DiscardHandler), stream: &event.Stream{}}
	use := func(server *dnszone.Server) *trustInUse {
		t.Helper()
		u, err := d.trust(configOf(t, "[tls_policy]\nresolver = '"+server.Addr+"'\n"))
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	asked := func(domain string, want *dnszone.Server) {
		t.Helper()
		found, err := d.trusting.policies.Refresh(t.Context(), domain)
		if n := want.Asked("_mta-sts." + domain + ". TXT"); err != nil || !found.Known || found.Why != event.TrustWhyNot || n != 1 {
			t.Errorf("%s: asked %d times, %+v, %v", domain, n, found, err)
		}
	}
	runs := use(servers[0])
	d.trusting.lead(runs)
	asked("one.test", servers[0])
	if err := use(servers[1]).close(&d.trusting); err != nil { // as where the reload is refused behind it
		t.Fatal(err)
	}
	asked("two.test", servers[0])

	next := use(servers[1])
	asked("three.test", servers[0])
	d.trusting.lead(next)
	if err := runs.close(&d.trusting); err != nil {
		t.Fatal(err)
	}
	asked("four.test", servers[1])
	if err := next.close(&d.trusting); err != nil {
		t.Error(err)
	}
}

// A session that runs keeps what it began with: what a reload enforces holds for those that begin behind it.
//
// tls-S61
func TestPoliciesHoldForSessionsThatBegin(t *testing.T) {
	server := dnszone.Serve(t, ". SIGNED\nexample.com. MX 10 mx.example.com.\nmx.example.com. A 192.0.2.25\n_25._tcp.mx.example.com. TLSA 3 1 1 "+strings.Repeat("ab", 32)+"\n")
	w := newWorld(t, listenTable+sending("one"))
	w.start()
	older := w.session()
	older.Expect(220)
	if err := w.daemon.Reload(t.Context(), w.with(sending("one")+"[senders]\ninternal = ['10.0.0.0/8']\n[tls_policy]\nmode = 'enforce'\nmta_sts = false\nresolver = '"+server.Addr+"'\n")); err != nil {
		t.Fatal(err)
	}
	newer := w.session()
	newer.Expect(220)
	for msa, want := range map[*smtptest.MSA]int{older: 250, newer: 451} {
		for _, line := range []string{"EHLO msa.example.com", "MAIL FROM:<a@example.com>"} {
			if r := msa.Command(line); r.Class() != 2 {
				t.Fatal(r)
			}
		}
		if r := msa.Command("RCPT TO:<b@example.com>"); r.Code != want {
			t.Errorf("%s, want %d", r, want)
		}
		_ = msa.Quit()
	}
	w.stop()
}

// A recipient that nobody can read is let pass in mode observe. It is listed, with whose mail it is, and the reload that begins to refuse it says so.
func TestObserveNamesWhoWritesRecipientsThatNobodyCanRead(t *testing.T) {
	server := dnszone.Serve(t, ". SIGNED\n")
	policy := "[admin]\nsocket = 'DIR/s'\n[senders]\ninternal = ['10.0.0.0/8']\n[[tenant]]\nname = 'acme'\nsources = ['127.0.0.0/8']\n[tls_policy]\nmta_sts = false\nresolver = '" + server.Addr + "'\n"
	w := newWorld(t, listenTable+sending("one")+policy)
	var log strings.Builder
	w.daemon.log = slog.New(slog.NewTextHandler(&log, nil)) // a handler writes a line at a time
	w.start()
	msa := w.session()
	msa.Expect(220)
	for _, line := range []string{"EHLO msa.example.com", "MAIL FROM:<a@example.com>", "RCPT TO:<b%example.com>"} {
		if r := msa.Command(line); r.Class() != 2 {
			t.Fatal(r)
		}
	}
	_ = msa.Quit()
	all := w.daemon.trusting.wouldRefuse()
	if len(all) != 1 || all[0].Of != "acme" || all[0].Why != event.UnreadableRcpt {
		t.Fatalf("%+v", all)
	}
	if err := w.daemon.Reload(t.Context(), w.with(sending("one")+policy+"mode = 'enforce'\n")); err != nil {
		t.Fatal(err)
	}
	w.stop() // nobody writes to the log any more
	if !strings.Contains(log.String(), "mail to recipients whose domain cannot be read is refused from now on") || !strings.Contains(log.String(), "of=acme") {
		t.Error(log.String())
	}
}

// A try names nobody to an MX that has not shown what mail there would ask of it: what the recipient's domain asks, in mode enforce, and what
// the operator does, in any.
func TestATryAsksWhatMailAsks(t *testing.T) {
	server := dnszone.Serve(t, ". SIGNED\nasks.test. MX 10 mx.asks.test.\nmx.asks.test. A 192.0.2.25\n_25._tcp.mx.asks.test. TLSA 3 1 1 "+strings.Repeat("ab", 32)+
		"\nplain.test. MX 10 mx.plain.test.\nmx.plain.test. A 192.0.2.25\n")
	d := &Daemon{log: slog.New(slog.DiscardHandler), stream: &event.Stream{}}
	mx := netip.MustParseAddrPort("192.0.2.25:25")
	named := session.Destination{TLS: session.TLSVerify, Names: []string{"relay.example.net"}}
	for _, test := range []struct {
		mode, recipient string
		rule            session.Destination
		passes          bool
	}{
		{"enforce", "<b@asks.test>", session.Destination{}, false},
		{"observe", "<b@asks.test>", session.Destination{}, true},
		{"enforce", "<b@plain.test>", session.Destination{}, true},
		{"enforce", "", session.Destination{}, true},
		{"observe", "<b@plain.test>", named, false},
		{"observe", "", named, false},
		{"enforce", "<u%asks.test>", session.Destination{}, false},
		{"enforce", "<u@asks.test@>", session.Destination{}, false},
		{"enforce", "<postmaster>", session.Destination{}, true},
		{"observe", "<u%asks.test>", session.Destination{}, true},
	} {
		u, err := d.trust(configOf(t, "[tls_policy]\nmta_sts = false\nresolver = '"+server.Addr+"'\nmode = '"+test.mode+"'\n"))
		if err != nil {
			t.Fatal(err)
		}
		caller := trial.Caller{TLS: session.ClientTLS()}
		u.guard(&caller, test.rule, mx)
		err = caller.May(t.Context(), &trial.Call{MX: mx, Sender: "<a@example.jp>", Recipient: test.recipient}, session.TrustLeg{MX: mx})
		if (err == nil) != test.passes || err != nil && !strings.Contains(err.Error(), "nobody is named to it") {
			t.Errorf("%+v: %v", test, err)
		}
		if seen := d.trusting.wouldRefuse(); len(seen) > 0 {
			t.Errorf("what a person tries counts as mail: %+v", seen)
		}
		if err := u.close(&d.trusting); err != nil {
			t.Error(err)
		}
	}
}
