package check

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"kanmon/internal/config"
	"kanmon/internal/session"
)

// tlsOf runs check --tls on what a kanmon remembers.
func tlsOf(destinations []config.Destination, failed ...FailedTLS) []Finding {
	ask := func(context.Context) (Remembered, error) {
		return Remembered{Since: time.Date(2026, 7, 1, 7, 0, 0, 0, time.UTC), MXs: 300, Failed: failed}, nil
	}
	return (&TLS{Config: &config.Config{Destinations: destinations}, Ask: ask}).Run(context.Background())
}

func lacking(mx string) FailedTLS {
	return FailedTLS{MX: netip.MustParseAddr(mx), Why: "nothing_in_common", Said: "tls: handshake failure", Lack: true}
}

func broken(mx string) FailedTLS {
	return FailedTLS{MX: netip.MustParseAddr(mx), Why: "silent", Said: "no answer in time"}
}

func TestMXsInPlainTextAreListedByNetworkAndCause(t *testing.T) {
	got := tlsOf(nil, broken("198.51.100.7"), lacking("192.0.2.26"), lacking("192.0.2.25"), lacking("2001:db8:1:2::25"))
	var lines []string
	for _, f := range got {
		lines = append(lines, fmt.Sprintf("%s: %s: %s = %s", f.ID, f.Where, f.What, f.Cure))
	}
	want := []string{
		`tls-lacked: MXs in 192.0.2.0/24: 192.0.2.25, 192.0.2.26: mail leaves in plain text: it has no cipher suite, key exchange or signature in common with kanmon (tls: handshake failure)` +
			` = [[destination]] with networks = ["192.0.2.25/32", "192.0.2.26/32"] and passthrough = true: there the MSA has its own TLS`,
		`tls-lacked: MXs in 2001:db8:1::/48: 2001:db8:1:2::25: mail leaves in plain text: it has no cipher suite, key exchange or signature in common with kanmon (tls: handshake failure)` +
			` = [[destination]] with networks = ["2001:db8:1:2::25/128"] and passthrough = true: there the MSA has its own TLS`,
		`tls-broken: MXs in 198.51.100.0/24: 198.51.100.7: mail leaves in plain text: it does not answer in time (no answer in time) = tell the MX's postmaster`,
		`tls-remembered: kanmon's memory of TLS: kanmon remembers 300 MXs since 2026-07-01 07:00:00 +00:00, and has no TLS with 4 of them = ask again when mail has passed for a day`,
	}
	if !slices.Equal(lines, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
	}
}

// What is passed through by now, or has no TLS by the configuration, is no finding; what must have TLS is not in plain text.
func TestConfiguredDestinationsAreToldApart(t *testing.T) {
	networks := func(text string) []netip.Prefix { return []netip.Prefix{netip.MustParsePrefix(text)} }
	destinations := []config.Destination{
		{Networks: networks("192.0.2.0/24"), Passthrough: true},
		{Networks: networks("192.0.2.25/32"), TLS: session.TLSRequire},
		{Networks: networks("198.51.100.0/24"), TLS: session.TLSOff},
	}
	got := tlsOf(destinations, lacking("192.0.2.25"), lacking("192.0.2.26"), broken("198.51.100.7"))
	if len(got) != 2 || !strings.HasPrefix(got[0].What, "192.0.2.25: no mail leaves, since there must be TLS: ") {
		t.Errorf("%v", got)
	}
}

func TestManyNetworksInPlainTextAreBounded(t *testing.T) {
	var failed []FailedTLS
	for n := range 200 {
		failed = append(failed, lacking(fmt.Sprintf("198.18.%d.25", n)))
	}
	for n := range 9 {
		failed = append(failed, lacking(fmt.Sprintf("192.0.2.%d", n)))
	}
	got := tlsOf(nil, failed...)
	if len(got) != mostTLS+2 || !strings.HasPrefix(got[0].What, "192.0.2.0, 192.0.2.1, 192.0.2.2, 192.0.2.3, 5 more: ") || !strings.Contains(got[0].Cure, `["192.0.2.0/24"]`) {
		t.Errorf("%d findings, the first %v", len(got), got[0])
	}
	if !slices.ContainsFunc(got, func(f Finding) bool { return strings.HasPrefix(f.What, "151 more networks") }) {
		t.Error("nothing is said of the others")
	}
}

func TestWithoutARunningKanmonPlainTextIsNotChecked(t *testing.T) {
	ask := func(context.Context) (Remembered, error) { return Remembered{}, errors.New("no socket") }
	got := (&TLS{Config: &config.Config{}, Ask: ask}).Run(context.Background())
	if Unchecked(got) != 1 || !strings.Contains(got[0].What, "only a running kanmon knows them: no socket") {
		t.Errorf("%v", got)
	}
}
