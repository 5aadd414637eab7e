package story

import (
	"fmt"
	"time"

	"kanmon/internal/event"
)

// Stories of senders, and of what kanmon itself does.

// limited: a tenant sends more than it may, and later the rest.
func limited(w *world) {
	s := w.story("limited", "granite sends more than its limit lets through in an hour", w.day(5, "07:00"), w.day(5, "09:00"))
	s.of("granite", "billing@granite.example", "", nowhere)
	for n := range 30 {
		m := s.mail("granite", "billing", fmt.Sprintf("limit%d@example.org", n))
		at := s.Begin.Add(time.Duration(n) * 10 * time.Second)
		s.Numbers["deferred"]++
		m.at(at, localAt(event.PhaseMail, "450 4.7.1 kanmon: limit hour of granite is reached, retry in 600 s", "limit hour"), decided(event.StepMail, "deferred", "limit hour", "100 of 100 mails at once, 100 an hour, room in 10m0s"))
		m.at(at.Add(time.Hour))
	}
}

// limitRejects: one that refuses for good.
func limitRejects(w *world) {
	s := w.story("limit rejects", "a limit of hinode's refuses for good", w.day(5, "11:00"), w.day(5, "11:30"))
	s.of("hinode", "hr@hinode.example", "", nowhere)
	for n := range 5 {
		s.mail("hinode", "hr", fmt.Sprintf("never%d@example.org", n)).at(s.Begin.Add(time.Duration(n)*time.Minute), localAt(event.PhaseRcpt, "550 5.7.1 kanmon: limit recipients of hinode is reached", "limit recipients"), decided(event.StepRecipient, "rejected", "limit recipients", "500 of 500 recipients at once"))
	}
}

// limitBlocks: one that blocks until a person lifts it.
func limitBlocks(w *world) {
	s := w.story("limit blocks", "a limit blocks an account until a person lifts it", w.day(4, "13:00"), w.day(4, "17:00"))
	s.of("cumulus", "jobs@cumulus.example", "", nowhere)
	m := s.mail("cumulus", "jobs", "blocked@example.net")
	m.at(s.Begin, localAt(event.PhaseMail, "451 4.7.1 kanmon: this account is blocked until its postmaster lifts it", "limit day"), decided(event.StepMail, "blocked", "limit day", "1000 of 1000 mails at once"))
	w.news(Tokyo, s.Begin.Add(time.Second), event.Order{By: "limit day", Rule: true, Did: "block", Tenant: "cumulus", Account: s.Account, Before: "normal", After: "stop, blocked by limit day", Why: "the limit was reached"})
	w.news(Tokyo, s.Begin.Add(3*time.Hour), event.Order{By: "ken (uid 1001)", Did: "unblock", Tenant: "cumulus", Account: s.Account, Before: "stop, blocked by limit day", After: "normal", Why: "payroll day"})
	m.at(s.Begin.Add(3*time.Hour + 10*time.Minute))
}

// gaveUpItself: the MSA says RSET behind a RCPT that was taken.
func gaveUpItself(w *world) {
	s := w.story("reset", "an MSA gives a mail up itself", w.day(8, "06:00"), w.day(8, "06:10"))
	s.mail("acme", "factory", "reset@example.net").at(s.Begin, func(t *try) { t.data, t.dot, t.queue = answer{}, answer{}, "" })
}

// withheld: the MSA was gone before its dot was sent on.
func withheld(w *world) {
	s := w.story("withheld", "an MSA hangs up before the dot, and sends the mail again", w.day(8, "07:00"), w.day(8, "07:10"))
	m := s.mail("acme", "factory", "withheld@example.net")
	m.at(s.Begin, ends(event.OutcomeWithheld, "msa_lost", event.PhaseBody, event.ByMSA, "EOF"), func(t *try) { t.dot = answer{} })
	m.at(s.Begin.Add(5 * time.Minute))
}

// tooBig: more than the configuration lets through.
func tooBig(w *world) {
	s := w.story("too big", "a message is larger than the configuration allows", w.day(8, "08:00"), w.day(8, "08:10"))
	m := s.mail("fjordkraft", "factory", "big@example.net")
	m.Octets = 60 << 20
	m.at(s.Begin, ends(event.OutcomeAborted, "body_too_big", event.PhaseBody, event.ByKanmon, "more than 52428800 octets"), func(t *try) {
		t.dot = answer{text: "552 5.3.4 kanmon: the message is larger than 52428800 octets", local: true, took: time.Millisecond}
	})
}

// spoofing: a tenant sends with another's domain.
func spoofing(w *world) {
	s := w.story("spoofing", "estuary sends as acme", w.day(10, "08:00"), w.day(10, "08:10"))
	for n := range 3 {
		s.mail("estuary", "ceo@acme.example", fmt.Sprintf("spoof%d@example.net", n)).at(s.Begin.Add(time.Duration(n)*time.Minute), decided(event.StepMail, "spoofed", "spoofing", "the sender's domain is that of tenant acme"))
	}
}

// foreignAccount: a header field that somebody else wrote.
func foreignAccount(w *world) {
	s := w.story("foreign account", "an account header that was written elsewhere", w.day(10, "08:30"), w.day(10, "08:40"))
	s.mail("estuary", "desk", "foreign@example.net").at(s.Begin, decided(event.StepAccount, "foreign_account", "account_header X-Account", "the field stands behind the first Received"))
}

// missing: records are lost, and the lines say so.
func missing(w *world) {
	s := w.story("missing", "37 records of hinode are missing, and 5 of nobody's", w.day(9, "03:00"), w.day(9, "03:10"))
	s.of("hinode", "", "", nowhere)
	g := w.gateway(Tokyo)
	for tenant, n := range map[string]uint64{"hinode": 37, "": 5} {
		w.later(s.Begin.Add(time.Duration(n)*time.Second), g, func(bool) {
			w.put(g, g.lines.Dropped(nil, s.Begin.Add(time.Duration(n)*time.Second), tenant, n))
			w.ledger.Gaps += int64(n) //nolint:gosec // they are few
		})
	}
	s.Numbers["records"] = 42
}

// killed: gw2 is killed, and starts again.
func killed(w *world) {
	s := w.story("killed", "gw2 is killed at 12:34:56, and starts 44 seconds later", w.day(5, "12:34:56"), w.day(5, "12:35:41"))
	m := s.mail("acme", "anna", "cut@partner.example").throughOsaka()
	m.at(s.Begin.Add(-time.Second), slow(event.PhaseDot, 10*time.Second)) // not on record: kanmon was killed meanwhile
	m.at(s.End.Add(5 * time.Minute))
	s.Numbers["on record"] = 1
}

// tightened: a provider says that it is too much.
func tightened(w *world) {
	s := w.story("tightened", "apple says that it is too much, and gets less", w.day(3, "05:30"), w.day(3, "09:00"))
	w.news(Tokyo, s.Begin, event.Changed{IP: tokyoIPs[0], Provider: "apple", State: "tightened", By: "shaping", Rule: "shaping of apple: connections", Why: "halved: 5 connections are left"})
}

// reloadRefused: a mistake in the file.
func reloadRefused(w *world) {
	s := w.story("reload refused", "a mistake in the configuration", w.day(10, "17:00"), w.day(10, "17:01"))
	w.news(Tokyo, s.Begin, event.Gateway{Did: event.ReloadRefused, Version: version, SendingIPs: 4, Sessions: 12, Rules: "in force", Why: "/etc/kanmon/kanmon.toml:41: pool \"main\": no such sending IP: 203.0.113.99"})
}

// rulesChanged: another program flushes the firewall.
func rulesChanged(w *world) {
	s := w.story("rules", "another program takes the firewall rules away, and kanmon puts them back", w.day(10, "04:00"), w.day(10, "04:01"))
	w.news(Osaka, s.Begin, event.Gateway{Did: event.RulesChanged, Version: version, SendingIPs: 2, Rules: "missing"})
	w.news(Osaka, s.Begin.Add(2*time.Second), event.Gateway{Did: event.RulesChanged, Version: version, SendingIPs: 2, Rules: "in force"})
}

// moved: sessions leave from another sending IP, by their times.
func moved(w *world) {
	s := w.story("moved", "mail to au leaves from another sending IP, by its times", w.day(11, "16:00"), w.day(11, "17:00"))
	for n := range 6 {
		s.mail("fjordkraft", "emi", fmt.Sprintf("moved%d@ezweb.ne.jp", n)).at(s.Begin.Add(time.Duration(n)*5*time.Minute), from(tokyoIPs[1]), decided(event.StepLeave, "moved", "timing of "+tokyoIPs[2].String(), "203.0.113.12 takes 12.1 s there"))
	}
	w.news(Tokyo, s.Begin, event.Finding{Did: event.FindingBegun, Scope: "this IP here", Phase: "dot", IP: tokyoIPs[2], Provider: "au", Since: s.Begin.Add(-time.Hour), Mails: 22, Tenants: 4, Here: 12 * time.Second, Others: time.Second, Before: time.Second, Acted: "moved"})
	w.news(Tokyo, s.End, event.Finding{Did: event.FindingCleared, Scope: "this IP here", Phase: "dot", IP: tokyoIPs[2], Provider: "au", Since: s.Begin.Add(-time.Hour), Mails: 60, Tenants: 4, Here: time.Second, Others: time.Second, Acted: "told"})
}
