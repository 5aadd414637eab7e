package viewtest

import (
	"net/netip"
	"time"

	"kanmon/internal/admin"
)

// Strange is what a stranger may write: all that is shown of it is text.
const Strange = `550 <script>alert(1)</script> "'><img src=x onerror=alert(2)> {{.}} ` + "\u202e" + `drowssap canary.eve@victim.example`

// Tried is a try.
const Tried = "abcdefgh23456723"

// Held is a session that is held.
const Held = "64d9a07b2e1c8f35"

// Fill has a kanmon with something of everything, with addresses and strange texts wherever strangers' texts come.
func Fill(a *Answers) {
	ip, other := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	a.Status.Problems = []admin.Problem{
		{ID: "suspended", What: "sending IP 192.0.2.1 is suspended at docomo: " + Strange, Do: "kanmon ip show 192.0.2.1", IP: ip, Provider: "docomo"},
		{ID: "stopped", What: "all mail of acme waits", Do: "kanmon tenant explain acme", Tenant: "acme"},
		{ID: "records", What: "7 records were dropped"},
	}
	a.Sessions = []admin.Session{{
		Session: Held, Start: Noon, State: "mx", Step: "rcpt", For: 754, WaitsFor: "mx", Held: true, Tenant: "acme", Account: "canary.bob@acme.example",
		Provider: "docomo", SendingIP: ip, MX: netip.MustParseAddrPort("198.51.100.25:25"), Source: netip.MustParseAddrPort("10.0.0.5:40000"),
	}}
	a.Standings = []admin.Standing{{
		IP: ip, Provider: "docomo", State: "suspended", Since: Noon, Until: Noon.Add(2 * time.Hour), Reason: "refused: " + Strange, Rule: "docomo-550", Sample: Strange,
		Share: 0, Lists: []string{"zen.example"}, By: "evidence",
		Evidence: []admin.Evidence{
			{At: Noon, Tenant: "acme", Destination: "docomo.example", Class: "ip_reputation", Rule: "docomo-550", Sample: Strange},
			{At: Noon, Tenant: "blue", Destination: "docomo.example", Class: "ip_reputation", Rule: "docomo-550", Sample: Strange},
		},
		Timing: &admin.Timing{Scope: "this sending IP", Phase: "rcpt", Here: 41, Others: 0.4, Before: 0.5, Mails: 30, Tenants: 2, Done: "told"},
	}, {IP: other, Provider: "google", State: "slowed", Share: .25, Reason: "slow"}, {IP: other, State: admin.Warming, Share: .1}}
	a.WarmUps = []admin.WarmUp{{IP: other, State: admin.Warming, Plan: "default", Step: 4, Steps: 30, Share: .1, Mails: 3, Amount: 50, Classes: []admin.WarmUpClass{{Provider: "google", Mails: 3, Amount: 50}}}}
	a.Shaping = admin.Shaping{Mode: "on", Takes: []admin.Takes{{IP: ip, Provider: "docomo", Count: "connections", Amount: 2, Kept: true, Now: 1, Used: 1, Source: "measured"}}}
	reading := admin.Reading{Signal: "unknown_recipients", Window: "hour", Bad: 37, Cases: 210, Share: .176, Low: .131, Level: admin.LevelSlow, Threshold: .12}
	tenant := admin.SenderDetail{
		Sender: admin.Sender{
			Subject: admin.Subject{Tenant: "acme"}, Level: admin.LevelSlow, InForce: admin.LevelNormal, Would: admin.LevelSlow, Since: Noon,
			Why: "37 of 210 do not exist, such as canary.dave@victim.example", Accounts: 1,
		},
		Known: true, Signal: "unknown_recipients", Readings: []admin.Reading{reading}, DownIn: time.Hour,
		Samples: []admin.Sample{{At: Noon, Account: "canary.bob@acme.example", Provider: "docomo", Class: "unknown_recipient", Reply: Strange}},
		Limits:  []admin.LimitUse{{Name: "hour", Scope: "tenant", Measure: "messages", Amount: 500, Configured: 500, Per: time.Hour, Enforced: true, Used: 450, Max: 500, Room: true}},
		Changes: []admin.Change{{At: Noon, By: "alice (web)", Subject: admin.Subject{Tenant: "acme", Account: "canary.bob@acme.example"}, Did: "block", Before: "normal", After: "blocked", Why: Strange}},
	}
	account := tenant
	account.Subject = admin.Subject{Tenant: "acme", Account: "bob@acme.example"}
	account.InForce, account.Limits = admin.LevelSlow, []admin.LimitUse{{Name: "each", Scope: "account", Measure: "messages", Amount: 50, Configured: 50, Per: time.Hour, Max: 50, Room: true}}
	account.Block = &admin.ByHand{At: Noon, By: "alice (web)", Why: Strange}
	a.Tenants, a.Accounts = []admin.SenderDetail{tenant}, []admin.SenderDetail{account}
	a.Refusals = []admin.TopRefusal{{Provider: "docomo", SendingIP: ip, Tenant: "acme", Code: 550, Class: "ip_reputation", Count: 3, Last: Noon}}
	a.Flow = admin.Flow{Since: Noon, Mails: 100, Delivered: 90, Deferred: 7, Refused: 3}
	a.Trace = []string{Strange}
	a.Try = admin.Try{
		ID: Tried, At: Noon, By: "alice (web)", MX: netip.MustParseAddr("198.51.100.25"), Host: "mx1.docomo.example", Domain: "docomo.example", Provider: "docomo",
		Sender: "<canary.bob@acme.example>", Recipient: "<canary.eve@victim.example>", Over: true,
		Dialogues: []admin.TryDialogue{
			{IP: ip, EHLO: "out1.example", Stands: "suspended until 2026-12-01T14:00:00Z", State: admin.TryRefused, TLS: "TLS 1.3, TLS_AES_128_GCM_SHA256", Steps: []admin.TryStep{
				{Phase: "dial", Took: .02},
				{Phase: "banner", Took: .1, Code: 220, Reply: "220 " + Strange},
				{Phase: "ehlo", Said: "EHLO out1.example", Took: .02, Code: 250, Reply: "250 ok"},
				{Phase: "rcpt", Said: "RCPT TO:<canary.eve@victim.example>", Took: 6.2, Code: 550, Reply: Strange, Class: "ip_reputation", Scope: "ip", Rule: "docomo-550", Meaning: "our sending IP has a bad reputation there", Advice: "wait", Counts: true},
			}},
			{IP: other, EHLO: "out2.example", State: admin.TryFailed, Ended: "no connection: i/o timeout", Steps: []admin.TryStep{{Phase: "dial", Took: 30}}},
		},
		LeftOut: []admin.TryLeftOut{{IP: netip.MustParseAddr("2001:db8::1"), Why: "the MX's address is of the other family"}},
	}
	a.Audit = tenant.Changes
}
