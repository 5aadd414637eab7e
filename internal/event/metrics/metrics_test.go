package metrics

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"kanmon/internal/event"
)

// A mail is counted by its provider, sending IP and tenant, its recipients by their fate, and the MX's times by their phase.
func TestMailIsCounted(t *testing.T) {
	m := newMetrics(t, nil)
	m.Hear(mail(leg("docomo", out10), nil))
	m.Hear(mail(leg("docomo", out10), func(t *event.Transaction) {
		t.Recipients = append(t.Recipients, event.Recipient{Reply: reply(250, 4*time.Second)})
	}))
	counted(t, m, map[string]float64{
		`kanmon_transactions_total{by="mx",outcome="delivered",provider="docomo",sending_ip="203.0.113.10"}`: 2,
		`kanmon_tenant_transactions_total{outcome="delivered",tenant="acme"}`:                                2,
		`kanmon_recipients_total{provider="docomo",result="delivered"}`:                                      3,
		`kanmon_recipients_total{provider="google",result="delivered"}`:                                      0,
		`kanmon_message_bytes_total{provider="docomo"}`:                                                      8000,
		`kanmon_mx_phase_seconds{phase="rcpt",provider="docomo"}`:                                            2,
		`kanmon_mx_phase_seconds{phase="dot",provider="docomo"}`:                                             2,
		`kanmon_mx_wait_seconds{provider="docomo",sending_ip="203.0.113.10",step="envelope"}`:                2,
		`kanmon_mx_wait_seconds{provider="docomo",sending_ip="203.0.113.10",step="dot"}`:                     2,
	})
}

// What kanmon itself put off or refused is told from what an MX did, also where it is the same mail, or kanmon has softened what the MX said.
func TestWhoDecidedIsCounted(t *testing.T) {
	own, soft := reply(451, 0), reply(550, time.Millisecond)
	own.Local, soft.Softened = true, true
	for _, is := range []struct {
		about   string
		outcome event.Outcome
		mail    event.Reply
		rcpts   []event.Reply
		by      event.Side // who ended it
		want    string
	}{
		{"its account is over a limit", event.OutcomeDeferred, own, nil, event.ByMSA, `by="kanmon",outcome="deferred"`},
		{"a recipient is kept back", event.OutcomeDeferred, reply(250, 0), []event.Reply{own}, event.ByMSA, `by="kanmon",outcome="deferred"`},
		{"the MX defers", event.OutcomeDeferred, reply(250, 0), []event.Reply{reply(450, 0)}, event.ByMSA, `by="mx",outcome="deferred"`},
		{"kanmon defers where the MX has refused another", event.OutcomeDeferred, reply(250, 0), []event.Reply{reply(550, 0), own}, event.ByMSA, `by="kanmon",outcome="deferred"`},
		{"softened", event.OutcomeDeferred, reply(250, 0), []event.Reply{soft}, event.ByMSA, `by="mx",outcome="deferred"`},
		{"the MX was lost", event.OutcomeDeferred, reply(250, 0), []event.Reply{own}, event.ByMX, `by="mx",outcome="deferred"`},
		{"the MX refuses", event.OutcomeRefused, reply(550, 0), nil, event.ByMSA, `by="mx",outcome="refused"`},
		{"given up", event.OutcomeReset, reply(250, 0), nil, event.ByMSA, `by="msa",outcome="reset"`},
	} {
		m := newMetrics(t, nil)
		m.Hear(mail(leg("docomo", out10), func(t *event.Transaction) {
			t.Outcome, t.EndedBy, t.Mail, t.Data, t.Dot, t.Recipients = is.outcome, is.by, is.mail, event.Reply{}, event.Reply{}, nil
			for _, r := range is.rcpts {
				t.Recipients = append(t.Recipients, event.Recipient{Reply: r})
			}
		}))
		t.Run(is.about, func(t *testing.T) {
			counted(t, m, map[string]float64{`kanmon_transactions_total{` + is.want + `,provider="docomo",sending_ip="203.0.113.10"}`: 1})
		})
	}
}

// Refusals are counted by what they mean, each reply once, those of a thousand recipients as well; and those that were rescued, which stand
// in no reply of the mail.
func TestRefusalsAreCountedByTheirMeaning(t *testing.T) {
	m := newMetrics(t, nil)
	m.Hear(mail(leg("docomo", out10), func(t *event.Transaction) {
		unknown, full := t.Means(event.Meaning{Class: event.RecipientInvalid, Rule: "a"}), t.Means(event.Meaning{Class: event.MailboxFull, Rule: "b"})
		t.Recipients = nil
		for i := range 1000 {
			r := reply(550, time.Millisecond)
			if r.Meaning = unknown; i%4 == 3 {
				r.Code, r.Meaning = 452, full
			}
			t.Recipients = append(t.Recipients, event.Recipient{Reply: r})
		}
		t.Outcome, t.Data, t.Dot = event.OutcomeRefused, event.Reply{}, event.Reply{}
	}))
	rescued := mail(leg("docomo", out11), nil)
	rescued.Actions = []event.Action{
		{Did: event.Rescued, SendingIP: out10, To: out11, Code: 550, Class: event.IPBlocklisted, Phase: event.PhaseRcpt},
		{Did: event.NotRescued, SendingIP: out10, Code: 550, Class: event.IPBlocklisted, Phase: event.PhaseRcpt},
	}
	m.Hear(rescued)
	counted(t, m, map[string]float64{
		`kanmon_refusals_total{class="recipient_invalid",kind="permanent",provider="docomo",sending_ip="203.0.113.10"}`: 750,
		`kanmon_refusals_total{class="mailbox_full",kind="temporary",provider="docomo",sending_ip="203.0.113.10"}`:      250,
		`kanmon_refusals_total{class="ip_blocklisted",kind="permanent",provider="docomo",sending_ip="203.0.113.10"}`:    1,
		`kanmon_tenant_refusals_total{class="recipient_invalid",tenant="acme"}`:                                         750,
		`kanmon_recipients_total{provider="docomo",result="refused"}`:                                                   750,
		`kanmon_rescues_total{action="rescued",provider="docomo",sending_ip="203.0.113.10"}`:                            1,
		`kanmon_rescues_total{action="not_rescued",provider="docomo",sending_ip="203.0.113.10"}`:                        1,
	})
}

// The end of a session counts its connections: what opening them took, the TLS they had, and how they failed.
func TestConnectionsAreCounted(t *testing.T) {
	m := newMetrics(t, nil)
	refused := leg("google", out10)
	refused.Failed, refused.Phases[event.PhaseDial] = event.DialRefused, event.MicrosOf(time.Millisecond)
	open := leg("google", out11)
	open.Number, open.MX = 2, event.TLS{State: event.TLSOn, Version: tls.VersionTLS13}
	for p := event.PhaseDial; p < event.PhaseIdle; p++ {
		open.Phases[p] = event.MicrosOf(10 * time.Millisecond)
	}
	end := over("mx_lost", refused, open)
	end.End.Opening = []event.Opening{
		{Phase: event.PhaseBanner, Leg: 2, Reply: event.Reply{Code: 220, First: event.MicrosOf(time.Second), Took: event.MicrosOf(1100 * time.Millisecond)}},
		{Phase: event.PhaseEHLO, Leg: 2, Reply: reply(421, time.Millisecond), Meaning: &event.Meaning{Class: event.Throttled}},
	}
	m.Hear(end)
	m.Hear(over("refused_limit"))
	m.Hear(over("broken"))
	counted(t, m, map[string]float64{
		`kanmon_mx_failures_total{provider="google",reason="refused",sending_ip="203.0.113.10"}`:                1,
		`kanmon_mx_failures_total{provider="google",reason="lost",sending_ip="203.0.113.11"}`:                   1,
		`kanmon_mx_phase_seconds{phase="dial",provider="google"}`:                                               2,
		`kanmon_mx_phase_seconds{phase="ehlo_tls",provider="google"}`:                                           1,
		`kanmon_mx_wait_seconds{provider="google",sending_ip="203.0.113.11",step="open"}`:                       1,
		`kanmon_tls_handshakes_total{provider="google",result="tls13"}`:                                         1,
		`kanmon_tls_handshakes_total{provider="google",result="not_offered"}`:                                   0,
		`kanmon_mx_drip_total{provider="google",sending_ip="203.0.113.11"}`:                                     1,
		`kanmon_refusals_total{class="throttled",kind="temporary",provider="google",sending_ip="203.0.113.11"}`: 1,
		`kanmon_connections_refused_total{reason="limit"}`:                                                      1,
		`kanmon_connections_refused_total{reason="loop"}`:                                                       0,
		`kanmon_sessions_total{end_reason="mx_lost"}`:                                                           1,
		`kanmon_sessions_total{end_reason="quit"}`:                                                              0,
		`kanmon_panics_total{}`: 1,
	})
}

// News of standings, of decisions and of the process is counted.
func TestNewsIsCounted(t *testing.T) {
	m := newMetrics(t, nil)
	m.Hear(&event.Facts{News: event.Changed{IP: out10, Provider: "docomo", State: "suspended"}})
	m.Hear(&event.Facts{News: event.Changed{IP: out10, State: "suspended"}})
	m.Hear(&event.Facts{News: event.Changed{Tenant: "acme", Account: "bob@acme.example", State: "slow"}})
	m.Hear(&event.Facts{News: event.Gateway{Did: event.Reloaded}})
	m.Hear(&event.Facts{News: event.Gateway{Did: event.Draining}})
	f := mail(leg("docomo", out10), nil)
	f.Decisions = []event.Decided{{Note: event.Note{Did: "would_defer", Rule: "limit hour"}}, {Note: event.Note{Did: "would_defer", Rule: "limit hour"}}}
	m.Hear(f)
	counted(t, m, map[string]float64{
		`kanmon_standing_changes_total{provider="docomo",sending_ip="203.0.113.10",to="suspended"}`: 1,
		`kanmon_standing_changes_total{provider="all",sending_ip="203.0.113.10",to="suspended"}`:    1,
		`kanmon_config_reloads_total{result="success"}`:                                             1,
		`kanmon_config_reloads_total{result="refused"}`:                                             0,
		`kanmon_decisions_total{action="would_defer",rule="limit hour"}`:                            2,
		`kanmon_draining{}`: 1,
	})
}

// Whatever strangers and a configuration bring, there are no more series than the bounds say, and what is beyond them is counted as other.
func TestLabelsAreBounded(t *testing.T) {
	m := newMetrics(t, nil)
	var l Labels
	for i := range 1000 {
		l.Providers = append(l.Providers, fmt.Sprintf("provider%d", i))
		l.Tenants = append(l.Tenants, fmt.Sprintf("tenant%d", i))
		l.SendingIPs = append(l.SendingIPs, netip.AddrFrom4([4]byte{198, 51, byte(i >> 8), byte(i)}))
	}
	l.ByTenant = true
	m.Configure(l)
	for i := range 1000 {
		at := leg(l.Providers[i], l.SendingIPs[i])
		f := mail(at, nil)
		f.Tenant = l.Tenants[i]
		f.Decisions = []event.Decided{{Note: event.Note{Did: fmt.Sprintf("did%d", i), Rule: fmt.Sprintf("rule%d", i)}}}
		m.Hear(f)
		m.Hear(over("quit", at))
	}
	values := map[string]map[string]bool{}
	m.makeDue()
	families, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	native := 0
	for _, family := range families {
		for _, one := range family.GetMetric() {
			if one.GetHistogram().GetSchema() > 0 {
				native++
			}
			for _, label := range one.GetLabel() {
				if values[label.GetName()] == nil {
					values[label.GetName()] = map[string]bool{}
				}
				values[label.GetName()][label.GetValue()] = true
			}
		}
	}
	for name, most := range map[string]int{"provider": mostProviders + 3, "sending_ip": mostIPs + 2, "tenant": mostTenants + 2, "rule": mostRules + 1, "action": mostActions + 1} {
		if n := len(values[name]); n == 0 || n > most {
			t.Errorf("%d values of %s, want at most %d", n, name, most)
		}
	}
	if native > mostNative {
		t.Errorf("%d native histograms, want at most %d", native, mostNative)
	}
	counted(t, m, map[string]float64{
		`kanmon_tenant_transactions_total{outcome="delivered",tenant="_other"}`: 1000 - (mostTenants - 1),
		`kanmon_decisions_total{action="other",rule="other"}`:                   1000 - mostRules,
	})
}

// A name that a reload takes away keeps what it has counted, and one that it adds gets a place.
func TestReloadsResetNothing(t *testing.T) {
	m := newMetrics(t, nil)
	m.Hear(mail(leg("docomo", out10), nil))
	m.Configure(Labels{SendingIPs: []netip.Addr{out11}, Providers: []string{"yahoo"}})
	m.Hear(mail(leg("docomo", out10), nil))
	m.Hear(mail(leg("yahoo", out11), nil))
	counted(t, m, map[string]float64{
		`kanmon_transactions_total{by="mx",outcome="delivered",provider="docomo",sending_ip="203.0.113.10"}`: 2,
		`kanmon_transactions_total{by="mx",outcome="delivered",provider="yahoo",sending_ip="203.0.113.11"}`:  1,
	})
	for name := range gathered(t, m) {
		if strings.Contains(name, "tenant") {
			t.Errorf("%s is shown, though nothing is to be by tenant", name)
		}
	}
}

// Of scanners nothing is shown where there are none.
func TestWithoutScannersNothingIsShownOfThem(t *testing.T) {
	for name := range gathered(t, newMetrics(t, func() State { return State{SessionsMost: 1} })) {
		if strings.HasPrefix(name, "kanmon_scan") {
			t.Errorf("there is %s", name)
		}
	}
}

// An exemplar names the session of a reply that took ten seconds or more, and no other.
func TestExemplarsAreOfSlowReplies(t *testing.T) {
	m := newMetrics(t, nil)
	exemplars := func() (list []string) {
		m.makeDue()
		families, err := m.registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, family := range families {
			for _, one := range family.GetMetric() {
				for _, b := range one.GetHistogram().GetBucket() {
					for _, l := range b.GetExemplar().GetLabel() {
						list = append(list, family.GetName()+" "+l.GetName()+"="+l.GetValue())
					}
				}
			}
		}
		return list
	}
	m.Hear(mail(leg("docomo", out10), func(t *event.Transaction) { t.Dot = reply(250, 9999*time.Millisecond) }))
	if got := exemplars(); len(got) > 0 {
		t.Errorf("of a fast reply: %q", got)
	}
	m.Hear(mail(leg("docomo", out10), func(t *event.Transaction) { t.Dot = reply(250, 10*time.Second) }))
	if got := strings.Join(exemplars(), ", "); got != "kanmon_mx_phase_seconds session=64d9a07b2e1c8f35" {
		t.Errorf("got %q", got)
	}
}

// Who asks for OpenMetrics gets the exemplar beside its bucket; names and all else are the same.
func TestOpenMetricsHasExemplars(t *testing.T) {
	m := newMetrics(t, nil)
	m.Hear(mail(leg("docomo", out10), func(t *event.Transaction) { t.Dot = reply(250, 40*time.Second) }))
	w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/metrics", nil)
	r.Header.Set("Accept", "application/openmetrics-text; version=1.0.0")
	m.Handler().ServeHTTP(w, r)
	want := `kanmon_mx_phase_seconds_bucket{phase="dot",provider="docomo",le="60.0"} 1 # {session="64d9a07b2e1c8f35"} 40.0`
	if text := w.Body.String(); !strings.Contains(text, want) || !strings.HasSuffix(text, "# EOF\n") {
		t.Errorf("no %s in %d octets", want, len(text))
	}
}

// What stands is shown with the names that are bounded; what is beyond them is added up.
func TestWhatStandsIsShown(t *testing.T) {
	yes := true
	m := newMetrics(t, func() State {
		return State{
			Sessions: map[string]int{"idle": 3, "waiting_mx": 2}, SessionsMost: 10_000,
			Held:      []Held{{"docomo", 61 * time.Second}, {"docomo", 11 * time.Second}, {"nobody knows it", time.Hour}},
			Standings: []Standing{{out10, "docomo", "suspended", 0}, {out10, "mx:192.0.2.1", "slowed", 0.5}, {out10, "mx:192.0.2.2", "slowed", 0.25}, {out11, "", "stopped", 0}},
			Listed:    []Listed{{out10, "spamhaus-zen", true}},
			Scanners:  []Scanner{{"rspamd", 3, 2, false}, {"clamd", 0, 0, true}}, ScanBytes: 4711,
			Pools:        []Pool{{"default", "", "ipv4", 1}, {"default", "docomo", "ipv4", 0}},
			Senders:      []Senders{{"account", "stop", true, 4}},
			TenantLevels: map[string]int{"acme": 2},
			TenantLimits: []Limit{{Name: "hour", Tenant: "acme", Used: 0.75}, {Name: "day", Tenant: "acme", Used: 0.25}},
			RulesApplied: &yes, StoreErrors: map[string]uint64{"senders": 2},
			Probes: map[[2]string]uint64{{"docomo", "refused"}: 5, {"", "silent"}: 2},
		}
	})
	counted(t, m, map[string]float64{
		`kanmon_sessions{state="idle"}`:                                                  3,
		`kanmon_sessions_limit{}`:                                                        10_000,
		`kanmon_sessions_held{least="10s",provider="docomo"}`:                            2,
		`kanmon_sessions_held{least="1m",provider="docomo"}`:                             1,
		`kanmon_sessions_held{least="5m",provider="docomo"}`:                             0,
		`kanmon_sessions_held{least="5m",provider="other"}`:                              1,
		`kanmon_standing{provider="docomo",sending_ip="203.0.113.10",state="suspended"}`: 1,
		`kanmon_standing{provider="other",sending_ip="203.0.113.10",state="slowed"}`:     2,
		`kanmon_standing{provider="all",sending_ip="203.0.113.11",state="stopped"}`:      1,
		`kanmon_standing_share_ratio{provider="other",sending_ip="203.0.113.10"}`:        0.25,
		`kanmon_scanner_scans{scanner="rspamd"}`:                                         3,
		`kanmon_scanner_waiting{scanner="rspamd"}`:                                       2,
		`kanmon_scanner_away{scanner="rspamd"}`:                                          0,
		`kanmon_scanner_away{scanner="clamd"}`:                                           1,
		`kanmon_scan_kept_bytes{}`:                                                       4711,
		`kanmon_listed{list="spamhaus-zen",sending_ip="203.0.113.10"}`:                   1,
		`kanmon_pool_usable_ips{family="ipv4",pool="default",provider="docomo"}`:         0,
		`kanmon_senders_contained{enforced="true",level="stop",scope="account"}`:         4,
		`kanmon_tenant_level{tenant="acme"}`:                                             2,
		`kanmon_tenant_limit_used_ratio{limit="hour",tenant="acme"}`:                     0.75,
		`kanmon_rules_applied{}`:                                                         1,
		`kanmon_store_errors_total{store="senders"}`:                                     2,
		`kanmon_probes_total{provider="docomo",result="refused"}`:                        5,
		`kanmon_probes_total{provider="other",result="silent"}`:                          2,
	})
	if _, shown := gathered(t, m)[`kanmon_tenant_limit_used_ratio{limit="day",tenant="acme"}`]; shown {
		t.Error("a limit of which little is used is shown")
	}
}
