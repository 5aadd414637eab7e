package check

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"kanmon/internal/config"
	"kanmon/internal/policy/content"
)

func TestScannersMustProveThemselves(t *testing.T) {
	cfg := &config.Config{
		Content: config.Content{Enforce: true, HoldMessage: 1 << 20},
		Tenants: []config.Tenant{
			{Name: "off", TenantContent: config.TenantContent{OnSpam: config.Divert}},
			{Name: "acme", TenantContent: config.TenantContent{Scan: content.Sample, OnSpam: config.Divert}},
		},
		Scanners: []config.Scanner{
			{Name: "a", URL: "http://127.0.0.1:11333"},
			{Name: "b", URL: "http://[::1]:11333"},
			{Name: "c", URL: "http://192.0.2.1:11333"},
			{Name: "d", URL: "https://rspamd.example"},
			{Name: "e", URL: "unix:/run/clamd.ctl"},
			{Name: "f", URL: "tcp://clamd.example:3310"},
		},
	}
	probe := func(context.Context) ([]Proof, error) {
		return []Proof{{"a", "127.0.0.1:11333", "settings outbound in force", errors.New("it has no such settings")}, {"a", "127.0.0.1:11333", "answers", nil}}, nil
	}
	var got []string
	for _, f := range (&Scanners{cfg, probe}).Run(t.Context()) {
		got = append(got, fmt.Sprintf("%s: %s: %s", f.ID, f.Where, f.What))
	}
	slices.Sort(got)
	want := []string{
		"scanner-plain: scanner[2].url: http://192.0.2.1:11333 is not on this host",
		"scanner-plain: scanner[5].url: tcp://clamd.example:3310 is not on this host",
		"scanner-streams: content.hold_message: tenant acme has mail diverted, which messages above 1048576 octets are not",
		"scanner-unproved: scanner a at 127.0.0.1:11333: settings outbound in force: it has no such settings",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	unasked := func(context.Context) ([]Proof, error) { return nil, errors.New("no such socket") }
	cfg.Scanners, cfg.Content.Enforce = nil, false // where nothing follows nothing is diverted
	if all := (&Scanners{cfg, unasked}).Run(t.Context()); len(all) != 1 || all[0].ID != "not-checked" {
		t.Errorf("%v", all)
	}
	if all := (&Scanners{&config.Config{}, unasked}).Run(t.Context()); len(all) != 0 {
		t.Errorf("nobody is scanned: %v", all)
	}
}
