package daemon

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"kanmon/internal/policy/contain"
	"kanmon/internal/smtp/smtptest"
)

// scraped is what a scrape is answered, once there is somebody to answer.
func scraped(t *testing.T, address string) (text string) {
	t.Helper()
	waitUntil(t, "an answer to a scrape", func() bool {
		response, err := http.Get("http://" + address + "/metrics")
		if err != nil {
			return false
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil || response.StatusCode != http.StatusOK {
			t.Fatalf("%s: %v", response.Status, err)
		}
		text = string(body)
		return true
	})
	http.DefaultClient.CloseIdleConnections()
	return text
}

// metered is the table of a configuration that has metrics answered at an address.
func metered(address string) string { return "[metrics]\non = true\nlisten = '" + address + "'\n" }

func freeAddress(t *testing.T) string { return fmt.Sprintf("127.0.0.1:%d", freePort(t)) }

// has checks that lines are answered.
func has(t *testing.T, text string, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if !strings.Contains(text, "\n"+line+"\n") {
			name, _, _ := strings.Cut(line, "{")
			var there []string
			for l := range strings.Lines(text) {
				if strings.HasPrefix(l, name+"{") || strings.HasPrefix(l, name+" ") {
					there = append(there, l)
				}
			}
			t.Errorf("no %s; there is\n%s", line, strings.Join(there, ""))
		}
	}
}

// Who scrapes sees what mail has come to: attempts, recipients, refusals by their meaning, the MX's times, and what stands.
func TestMetricsSeeMail(t *testing.T) {
	address := freeAddress(t)
	mx := &smtptest.MX{Reply: func(verb string, n int) string {
		if verb == "RCPT" && n == 2 {
			return "550 5.1.1 no such user\r\n"
		}
		return smtptest.Default
	}}
	w := newWorldWith(t, mx, listenTable+sending("out")+metered(address))
	w.start()
	msa := w.session()
	msa.Deliver("a@example.com", []string{"b@example.net", "nobody@example.net"}, []byte("text\r\n"), true)
	waitUntil(t, "a session that waits for its MSA", func() bool { return strings.Contains(scraped(t, address), "\nkanmon_sessions{state=\"idle\"} 1\n") })
	has(t, scraped(t, address), `kanmon_sessions{state="waiting_mx"} 0`, `kanmon_sessions_limit 10000`)
	_ = msa.Quit()
	waitUntil(t, "the end of the session", func() bool { return w.daemon.live.Count() == 0 })
	ip := w.daemon.cfg.SendingIPs[0].Address.String()
	has(t, scraped(t, address),
		`kanmon_transactions_total{by="mx",outcome="delivered",provider="other",sending_ip="`+ip+`"} 1`,
		`kanmon_recipients_total{provider="other",result="delivered"} 1`,
		`kanmon_recipients_total{provider="other",result="refused"} 1`,
		`kanmon_refusals_total{class="recipient_invalid",kind="permanent",provider="other",sending_ip="`+ip+`"} 1`,
		`kanmon_mx_phase_seconds_count{phase="dot",provider="other"} 1`,
		`kanmon_sessions_total{end_reason="quit"} 1`,
		`kanmon_sessions{state="idle"} 0`,
		`kanmon_pool_usable_ips{family="ipv4",pool="default",provider="all"} 1`,
		`kanmon_draining 0`,
	)
	w.stop()
}

// Who scrapes sees what people have ordered, what is written, and how the firewall rules stand.
func TestMetricsSeeWhatStands(t *testing.T) {
	address := freeAddress(t)
	w := newWorld(t, listenTable+sending("out")+acmeTenant+"[journal]\nrecords = 'DIR/records.jsonl'\n"+metered(address))
	w.daemon.rulesState = func() string { return "in force" }
	w.start()
	ip := w.daemon.cfg.SendingIPs[0].Address
	if err := (&operator{w.daemon}).Suspend(ip, "docomo", time.Time{}, "they asked", "alice"); err != nil {
		t.Fatal(err)
	}
	if err := w.daemon.policy.Block(contain.Subject{Tenant: "acme"}, time.Time{}, "alice", "unpaid"); err != nil {
		t.Fatal(err)
	}
	waitUntil(t, "a change that is told", func() bool {
		return strings.Contains(scraped(t, address), `kanmon_standing_changes_total{provider="docomo",sending_ip="`+ip.String()+`",to="stopped"} 1`)
	})
	has(t, scraped(t, address),
		`kanmon_standing{provider="docomo",sending_ip="`+ip.String()+`",state="stopped"} 1`,
		`kanmon_standing_share_ratio{provider="docomo",sending_ip="`+ip.String()+`"} 0`,
		`kanmon_pool_usable_ips{family="ipv4",pool="default",provider="docomo"} 0`,
		`kanmon_pool_usable_ips{family="ipv4",pool="default",provider="all"} 1`,
		`kanmon_senders_contained{enforced="true",level="blocked",scope="tenant"} 1`,
		`kanmon_tenant_level{tenant="acme"} 4`,
		`kanmon_rules_applied 1`,
		`kanmon_journal_dropped_records_total 0`,
		`kanmon_store_errors_total{store="senders"} 0`,
	)
	waitUntil(t, "a record that is counted", func() bool { return !strings.Contains(scraped(t, address), "\nkanmon_journal_records_total 0\n") })
	w.stop()
}

// Whatever people and MXs are called, and say, nothing of it stands in metrics. (faults-G17)
func TestMetricsHoldNobodysWords(t *testing.T) {
	address := freeAddress(t)
	mx := &smtptest.MX{Name: "canary.example", Reply: func(verb string, n int) string {
		if verb == "RCPT" && n == 2 {
			return "550 5.1.1 canary is listed at canary.example, see http://canary.example/\r\n"
		}
		return smtptest.Default
	}}
	w := newWorldWith(t, mx, listenTable+sending("out")+acmeTenant+"[senders]\nunknown_tenant = 'acme'\n"+metered(address))
	w.start()
	msa := w.session()
	msa.Deliver("canary@canary.example", []string{"canary@example.net", "nocanary@canary.example"}, []byte("Subject: canary\r\n\r\ncanary\r\n"), true)
	_ = msa.Quit()
	waitUntil(t, "the end of the session", func() bool { return w.daemon.live.Count() == 0 })
	text := scraped(t, address)
	has(t, text, `kanmon_tenant_transactions_total{outcome="delivered",tenant="acme"} 1`)
	for line := range strings.Lines(text) {
		if strings.Contains(line, "canary") || strings.Contains(line, w.mxAddr.String()) {
			t.Errorf("metrics say %s", line)
		}
	}
	w.stop()
}

// Firewall rules are in force, or not, or nobody knows.
func TestRulesApplied(t *testing.T) {
	for told, want := range map[string]string{
		"in force": "true", "in force; taken away 2 times since …": "true", "NOT in force: the table": "false", "removed by a person at …": "false",
		"": "unknown", "not known: no such file": "unknown", "not guarded: nobody": "unknown",
	} {
		got := "unknown"
		if is := applied(&told); is != nil {
			got = fmt.Sprint(*is)
		}
		if got != want {
			t.Errorf("%q: %s, want %s", told, got, want)
		}
	}
}

// Without [metrics] nobody listens, and nobody hears of mail.
func TestWithoutMetricsNobodyListens(t *testing.T) {
	w := newWorld(t, listenTable+sending("out"))
	w.start()
	if w.daemon.meter.metrics != nil || w.daemon.meter.serves != nil || w.daemon.meter.deafen != nil {
		t.Error("something is counted")
	}
	w.stop()
}

// A reload switches metrics on and off, moves them, and takes tenants out; what was counted goes on where they are only moved.
func TestReloadMovesMetrics(t *testing.T) {
	first, second := freeAddress(t), freeAddress(t)
	w := newWorld(t, listenTable+sending("out"))
	w.start()
	reload := func(tables string) {
		t.Helper()
		if err := w.daemon.Reload(t.Context(), w.with(sending("out")+tables)); err != nil {
			t.Fatal(err)
		}
	}
	reload(metered(first))
	scraped(t, first)
	reload(metered(second))
	has(t, scraped(t, second), `kanmon_config_reloads_total{result="success"} 2`)
	nobodyAt(t, first)
	msa := w.session()
	msa.Deliver("a@example.com", []string{"b@example.net"}, []byte("text\r\n"), true)
	_ = msa.Quit()
	const ofTenants = `kanmon_tenant_transactions_total{outcome="delivered",tenant="unknown"} 1`
	has(t, scraped(t, second), ofTenants)
	reload(metered(second) + "tenants = false\n")
	if strings.Contains(scraped(t, second), ofTenants) {
		t.Error("tenants are still told apart")
	}
	reload("")
	nobodyAt(t, second)
	w.stop()
}

func nobodyAt(t *testing.T, address string) {
	t.Helper()
	if conn, err := net.Dial("tcp", address); err == nil {
		conn.Close()
		t.Errorf("somebody listens at %s", address)
	}
}

// A port that is in use is no reason not to start, and mail goes on.
//
// law: I14
func TestMetricsPortInUseStopsNoMail(t *testing.T) {
	taken, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	w := newWorld(t, listenTable+sending("out")+metered(taken.Addr().String()))
	w.start()
	msa := w.session()
	if d := msa.Deliver("a@example.com", []string{"b@example.net"}, []byte("text\r\n"), true); !d.All(smtptest.Accepted) {
		t.Errorf("%+v", d)
	}
	_ = msa.Quit()
	w.stop()
}
