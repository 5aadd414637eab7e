package netns

import (
	"context"
	"strings"
	"testing"
	"time"

	"kanmon/test/netlab"
	"kanmon/test/steady"
)

// soon is how fast what another program takes away must be back.
const soon = 2 * time.Second

// What another program takes away under steady mail is noticed and mended within two seconds, told in the log with for how long mail could
// leave directly, and no mail is lost. What a person removes stays away.
//
// firstday-1, trouble-O02, trouble-O03
func TestRulesAreMendedUnderSteadyMail(t *testing.T) {
	for name, config := range map[string]string{"redirect": forwardedRedirect, "tproxy": forwardedTProxy} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			world := newSteadyWorld(t)
			kanmon := startKanmon(t, world, config, sendingIPs)
			guard, err := kanmon.Guard()
			must(t, err)
			eventually(t, "the guard is there", func() bool { return strings.Contains(guard.Log(), "firewall rules guarded") })
			mail, err := steady.Start(t.Context(), world)
			must(t, err)
			t.Cleanup(mail.End)
			settle := func(where steady.Fate) {
				t.Helper()
				ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
				defer cancel()
				must(t, mail.Settle(ctx, where))
			}
			settle(steady.ByKanmon)
			thefts := [][]string{{"nft", "flush", "ruleset"}, {"nft", "delete", "table", "inet", "kanmon"}}
			if name == "tproxy" {
				thefts = append(thefts, []string{"ip", "-4", "rule", "delete", "priority", "250"}, []string{"ip", "-6", "route", "flush", "table", "27501"})
			}
			for i, theft := range thefts {
				mail.Cut()
				began := time.Now()
				_, err := world.Gateway.Run(theft...)
				must(t, err)
				eventually(t, "the guard tells of it", func() bool { return strings.Count(guard.Log(), "firewall rules put back") > i })
				mended := time.Since(began)
				settle(steady.ByKanmon)
				went := mail.Cut()
				t.Logf("%s: mended after %v; %d mails directly, in %v; %d refused", strings.Join(theft, " "), mended.Round(time.Millisecond), went.Direct, went.Open(), went.Refused)
				if mended > soon || went.Open() > soon {
					t.Errorf("%s: mended after %v, mail went directly for %v", theft, mended, went.Open())
				}
				if theft[0] == "ip" && went.Direct > 0 {
					t.Errorf("%s: %d mails went directly", theft, went.Direct)
				}
			}
			rules(t, kanmon, "remove")
			settle(steady.Directly)
			_, err = world.Gateway.Run("nft", "flush", "ruleset") // again something for the guard to see
			must(t, err)
			settle(steady.Directly)
			rules(t, kanmon, "apply")
			settle(steady.ByKanmon)
			if n := mail.Lost(); n > 0 {
				t.Errorf("%d mails are lost", n)
			}
		})
	}
}

// newSteadyWorld has a tenant and an MX, and no mail server.
func newSteadyWorld(t *testing.T) *netlab.Outbound {
	t.Helper()
	world := newOutbound(t, netlab.OutboundOptions{Tenants: 1, MXs: 1})
	return world
}
