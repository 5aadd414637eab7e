package main

import (
	"bytes"
	"context"
	"net/netip"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"kanmon/internal/admin"
)

// Sessions are four, of which two are held.
func (c *customers) Sessions(q admin.SessionQuery) (admin.Sessions, error) {
	ip, docomo := netip.MustParseAddr("203.0.113.10"), netip.MustParseAddrPort("192.0.2.25:25")
	all := admin.Sessions{Running: 4, Most: 10000}
	for _, s := range []admin.Session{
		{
			Session: "64d9a07b2e1c8f35", State: "mx", Step: "rcpt", For: 252, WaitsFor: admin.WaitsForMX, Held: true, Tenant: "acme",
			Account: "news@acme.example", Provider: "docomo", SendingIP: ip, MX: docomo,
		},
		{Session: "64d9a07b2e1c9a01", State: "opening", Step: "dial", For: 12, WaitsFor: admin.WaitsForMX, Held: true, Tenant: "acme", MX: docomo},
		{
			Session: "64d9a07b2e1c9a44", State: "msa", Step: "idle", For: 31, WaitsFor: admin.WaitsForMSA, Tenant: "acme", Account: "bob@acme.example",
			Provider: "google", SendingIP: ip, MX: netip.MustParseAddrPort("192.0.2.26:25"),
		},
		{Session: "64d9a07b2e1c9b00", State: "body_msa", Step: "body", For: 1, WaitsFor: admin.WaitsForMSA, SendingIP: ip, MX: docomo},
	} {
		if q.Matches(&s) {
			all.Matching++
			if s.Held {
				all.Held++
			}
			if len(all.Sessions) < q.Most {
				all.Sessions = append(all.Sessions, s)
			}
		}
	}
	return all, nil
}

// A toldTrace says what it has, and then nothing more.
type toldTrace string

// Trace is of a mail that an MX answers slowly.
func (c *customers) Trace(admin.SessionQuery) (admin.Tracing, error) {
	told := toldTrace(`2026-07-01T10:12:00.012Z 64d9a07b2e1c8f35          - -> RCPT TO:<bob@docomo.example>
2026-07-01T10:12:00.013Z 64d9a07b2e1c8f35          - -- waits for a reply of the MX
2026-07-01T10:12:31.120Z 64d9a07b2e1c8f35  31107.412 <- 250 2.1.5 Ok
2026-07-01T10:12:31.121Z 64d9a07b2e1c8f35          - -> DATA
`)
	return &told, nil
}

func (x *toldTrace) Next(ctx context.Context) ([]byte, error) {
	if said := *x; said != "" {
		*x = ""
		return []byte(said), nil
	}
	<-ctx.Done()
	return nil, ctx.Err()
}

func (x *toldTrace) Close() {}

// serveTroubled is a command of the scripts: a kanmon that is not as it should be.
func serveTroubled(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: serve-troubled SOCKET")
	}
	all := newCustomers()
	all.problems = []admin.Problem{
		{ID: "suspended", What: "sending IP 203.0.113.10 is suspended at microsoft: a reply says that it is listed\x1b\u202e[31m", Do: "kanmon ip show 203.0.113.10"},
		{ID: "held", What: "3 sessions are held for 10 minutes or longer", Do: "kanmon sessions --held 10m"},
	}
	end, err := serveCustomers(ts.MkAbs(args[0]), all)
	ts.Check(err)
	ts.Defer(func() { ts.Check(end()) })
}

// What strangers have chosen reaches no terminal as it is.
func TestSessionsAreFitForATerminal(t *testing.T) {
	evil := "\x1b]0;owned\x07\u202eevil\r\n"
	var out bytes.Buffer
	err := printSessions(&out, admin.Sessions{Sessions: []admin.Session{{Account: evil, Provider: evil, Tenant: evil, MX: netip.MustParseAddrPort("192.0.2.25:25")}}})
	if err != nil || strings.ContainsAny(out.String(), "\x1b\x07\u202e\r") || strings.Count(out.String(), "\n") != 3 {
		t.Errorf("%v: %q", err, out.String())
	}
}
