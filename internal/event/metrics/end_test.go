package metrics

import (
	"crypto/tls"
	"testing"
	"time"

	"kanmon/internal/event"
)

// A refusal at the opening of a connection is counted once, also where another sending IP has gone on.
func TestARescuedOpeningIsRefusedOnce(t *testing.T) {
	m := newMetrics(t, nil)
	first, second := leg("google", out10), leg("google", out11)
	first.Failed, second.Number = event.OpeningRefused, 2
	f := over("quit", first, second)
	f.End.Opening = []event.Opening{{Phase: event.PhaseBanner, Leg: 1, Reply: reply(554, 0), Meaning: &event.Meaning{Class: event.IPBlocklisted}}}
	f.Actions = []event.Action{{Did: event.Rescued, SendingIP: out10, To: out11, Code: 554, Class: event.IPBlocklisted, Phase: event.PhaseBanner}}
	m.Hear(f)
	counted(t, m, map[string]float64{
		`kanmon_refusals_total{class="ip_blocklisted",kind="permanent",provider="google",sending_ip="203.0.113.10"}`: 1,
		`kanmon_rescues_total{action="rescued",provider="google",sending_ip="203.0.113.10"}`:                         1,
		`kanmon_mx_failures_total{provider="google",reason="turned_away",sending_ip="203.0.113.10"}`:                 1,
	})
}

// What was said from another sending IP is no time of the one that has gone on: its own begin where it has taken over.
func TestWaitsAreOfTheIPThatWaited(t *testing.T) {
	for from, want := range map[event.Phase]float64{event.PhaseDial: 0.023, event.PhaseRcpt: 0.021, event.PhaseData: 0.001} {
		m := newMetrics(t, nil)
		at := leg("docomo", out11)
		at.From = from
		m.Hear(mail(at, nil)) // 2 ms, 20 ms, 1 ms
		if got := seconds(t, m, `kanmon_mx_wait_seconds{provider="docomo",sending_ip="203.0.113.11",step="envelope"}`); got != want {
			t.Errorf("taken over at %s: an envelope of %v s, want %v", from, got, want)
		}
	}
}

// Of several recipients the slowest reply is the one that is told.
func TestOfRecipientsTheSlowestCounts(t *testing.T) {
	m := newMetrics(t, nil)
	m.Hear(mail(leg("docomo", out10), func(t *event.Transaction) {
		t.Recipients = []event.Recipient{{Reply: reply(250, 20*time.Millisecond)}, {Reply: reply(250, 4*time.Second)}, {Reply: reply(250, time.Millisecond)}}
	}))
	if got := seconds(t, m, `kanmon_mx_phase_seconds{phase="rcpt",provider="docomo"}`); got != 4 {
		t.Errorf("%v s, want 4", got)
	}
}

// A session that ends since its connection never opened has one failed connection, and not two.
func TestAConnectionFailsOnce(t *testing.T) {
	m := newMetrics(t, nil)
	at := leg("google", out10)
	at.Failed = event.OpeningLost
	m.Hear(over("mx_lost", at))
	counted(t, m, map[string]float64{`kanmon_mx_failures_total{provider="google",reason="lost",sending_ip="203.0.113.10"}`: 1})
}

// Each connection that came as far as EHLO has one kind of TLS, or none.
func TestConnectionsAreCountedByTheirTLS(t *testing.T) {
	for name, c := range map[string]struct {
		state   event.TLSState
		version uint16
		failed  event.Failing
		want    int // -1: none
	}{
		"1.3":                {event.TLSOn, tls.VersionTLS13, event.FailedNot, tls13},
		"1.2":                {event.TLSOn, tls.VersionTLS12, event.FailedNot, tls12},
		"1.0":                {event.TLSOn, tls.VersionTLS10, event.FailedNot, tlsOlder},
		"plain behind it":    {event.TLSDowngraded, 0, event.FailedNot, tlsDowngraded},
		"not offered":        {event.TLSNone, 0, event.FailedNot, tlsNotOffered},
		"failed":             {event.TLSNone, 0, event.OpeningTLS, tlsFailed},
		"refused at EHLO":    {event.TLSNone, 0, event.OpeningRefused, -1},
		"passed through":     {event.TLSPassthrough, 0, event.FailedNot, -1},
		"refused inside TLS": {event.TLSOn, tls.VersionTLS13, event.OpeningRefused, tls13},
	} {
		at := leg("google", out10)
		at.MX, at.Failed = event.TLS{State: c.state, Version: c.version}, c.failed
		at.Phases[event.PhaseEHLO] = event.MicrosOf(time.Millisecond)
		m := newMetrics(t, nil)
		m.Hear(over("quit", at))
		all := gathered(t, m)
		for result, text := range tlsResults {
			want := 0.0
			if result == c.want {
				want = 1
			}
			if n := all[`kanmon_tls_handshakes_total{provider="google",result="`+text+`"}`]; n != want {
				t.Errorf("%s: %v are %s, want %v", name, n, text, want)
			}
		}
	}
}

// What is in plain text although TLS was offered has a cause; what has TLS has none.
func TestDowngradesAreCountedByCause(t *testing.T) {
	m := newMetrics(t, nil)
	for _, c := range []event.TLS{
		{State: event.TLSDowngraded, Cause: event.TLSCertificate},
		{State: event.TLSDowngraded, Cause: event.TLSCertificate},
		{State: event.TLSDowngraded, Cause: event.TLSSilent},
		{State: event.TLSOn, Version: tls.VersionTLS13, Cause: event.TLSLost},
	} {
		at := leg("google", out10)
		at.MX = c
		at.Phases[event.PhaseEHLO] = event.MicrosOf(time.Millisecond)
		m.Hear(over("quit", at))
	}
	counted(t, m, map[string]float64{
		`kanmon_tls_downgrades_total{cause="certificate",provider="google"}`: 2,
		`kanmon_tls_downgrades_total{cause="silent",provider="google"}`:      1,
	})
	if n, is := gathered(t, m)[`kanmon_tls_downgrades_total{cause="lost",provider="google"}`]; is {
		t.Errorf("%v are counted that have TLS", n)
	}
}

// What a message took from its MSA on is known where the records identify it.
func TestDelayIsOfIdentifiedMessages(t *testing.T) {
	m := newMetrics(t, nil)
	m.Hear(mail(leg("docomo", out10), nil))
	m.Hear(mail(leg("docomo", out10), func(t *event.Transaction) { t.Identity = &event.Identity{Received: time.Now().Add(-time.Hour)} }))
	m.Hear(mail(leg("docomo", out10), func(t *event.Transaction) {
		t.Identity, t.Outcome = &event.Identity{Received: time.Now().Add(-time.Hour)}, event.OutcomeDeferred
	}))
	counted(t, m, map[string]float64{`kanmon_delivery_delay_seconds{provider="docomo"}`: 1})
}
