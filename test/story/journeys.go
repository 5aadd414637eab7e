package story

import (
	"fmt"
	"net/netip"
	"time"

	"kanmon/internal/event"
)

// The stories of the twelve journeys.

var nowhere netip.Addr

// slowProvider: docomo is slow to answer RCPT from one of three sending IPs.
func slowProvider(w *world) {
	end := w.ledger.To
	s := w.story("slow provider", "docomo answers RCPT after 41 seconds from 203.0.113.12, and at once from the others", end.Add(-3*time.Hour), end)
	ip := tokyoIPs[2]
	s.of("", "", "docomo", ip)
	w.moods = append(w.moods, mood{s.Begin, s.End, "docomo", []netip.Addr{ip}, slow(event.PhaseRcpt, 41*time.Second)})
	s.every(80*time.Second, func(n int, at time.Time) {
		who := []string{"acme", "borealis", "cumulus"}[n/3%3]
		m := s.mail(who, "anna", fmt.Sprintf("slow%d@docomo.ne.jp", n))
		if n%3 == 2 {
			s.Numbers["slow"]++
			m.at(at, from(ip), slow(event.PhaseRcpt, time.Duration(38+n%7)*time.Second), waited(event.PhaseRcpt, 0, 10*time.Second, 20*time.Second))
			return
		}
		m.at(at, from(tokyoIPs[n%3]))
	})
	for n := range 5 {
		s.Numbers["waiting"]++
		m := s.mail("acme", "billing", fmt.Sprintf("waits%d@docomo.ne.jp", n))
		m.at(end.Add(-time.Duration(100-10*n)*time.Minute), from(ip), slow(event.PhaseRcpt, 45*time.Second), atRcpt("451 4.3.2 Please try again later"))
	}
	finding := event.Finding{
		Did: event.FindingBegun, Scope: "this IP here", Phase: "rcpt", IP: ip, Provider: "docomo", Since: s.Begin, Mails: 14, Tenants: 3,
		Here: 41 * time.Second, Others: 90 * time.Millisecond, Before: 85 * time.Millisecond, Acted: "split",
	}
	w.news(Tokyo, s.Begin.Add(20*time.Minute), finding)
	finding.Did, finding.Mails, finding.Acted = event.FindingActed, 31, "slowed"
	w.news(Tokyo, s.Begin.Add(50*time.Minute), finding)
	w.news(Tokyo, s.Begin.Add(50*time.Minute+time.Second), event.Changed{IP: ip, Provider: "docomo", State: "tightened", By: "timing", Rule: "timing of " + ip.String(), Why: "halved: 1 connections are left"})
}

// fifthTry: what the MSA bounces is its fifth attempt, and the ones before look different.
func fifthTry(w *world) {
	s := w.story("fifth try", "a mail is refused for good at the MSA's fifth try", w.day(4, "10:00"), w.day(4, "12:00"))
	const to = "keiko.fifth@strict.example"
	m := s.mail("acme", "anna", to)
	bounces(w, s, m, "451 4.7.1 <"+to+">: Recipient address rejected: please try again later", "550 5.7.1 Message rejected as spam by content filter")
}

// fifthTryUnnamed: the same where messages are not identified.
func fifthTryUnnamed(w *world) {
	s := w.story("fifth try, unnamed", "the same through a gateway that does not identify messages", w.day(6, "10:00"), w.day(6, "12:00"))
	const to = "keiko.unnamed@strict.example"
	m := s.mail("estuary", "desk", to).throughOsaka()
	bounces(w, s, m, "451 4.3.0 Temporary failure, try again later", "550 5.7.26 Unauthenticated mail is not accepted due to the domain's DMARC policy")
}

func bounces(w *world, s *teller, m *draft, first, final string) {
	s.of(m.Tenant, m.Account, "", nowhere)
	s.meaning(w.verdict(&try{draft: m}, event.PhaseDot, final, m.ip, m.Recipients[0]).Class.String(), final)
	for _, after := range []int{0, 5, 15, 35} {
		m.at(s.Begin.Add(time.Duration(after)*time.Minute), atDot(first))
	}
	m.at(s.Begin.Add(75*time.Minute), atDot(final))
	s.last = func() { s.Bounce = bounceOf(m, s.Begin.Add(75*time.Minute), final) }
}

// waitsFour: nothing came, and nothing came back.
func waitsFour(w *world) {
	end := w.ledger.To
	s := w.story("waits", "a mail has been deferred four times, and its MSA goes on", end.Add(-50*time.Minute), end)
	const to = "bob.waits@slow.example"
	s.of("acme", "anna@acme.example", "", nowhere)
	s.meaning("system_error", "451 4.3.0 Temporary failure, try again later")
	m := s.mail("acme", "anna", to)
	for _, before := range []int{50, 45, 35, 15} {
		m.at(end.Add(-time.Duration(before)*time.Minute), atDot(s.Text))
	}
}

// arrived: the sender says that it never arrived, and the MX has it.
func arrived(w *world) {
	s := w.story("arrived", "the MX took the mail, and named its queue id", w.ledger.To.Add(-26*time.Hour), w.ledger.To)
	s.mail("borealis", "emi", "carol.arrived@partner.example").at(s.Begin)
}

// listed: a sending IP is on a list, for what one account sends.
func listed(w *world) {
	s := w.story("listed", "203.0.113.11 is listed at Spamhaus for what promo@borealis.example sends", w.day(10, "11:00"), w.day(10, "15:30"))
	ip := tokyoIPs[1]
	s.of("borealis", "promo@borealis.example", "", ip)
	s.meaning("ip_blocklisted", "550 5.7.1 Service unavailable; Client host [203.0.113.11] blocked using zen.spamhaus.org; https://check.spamhaus.org/query/ip/203.0.113.11")
	for n := range 60 {
		at := s.Begin.Add(time.Duration(n) * time.Minute)
		m := s.mail("borealis", "promo", fmt.Sprintf("promo%d@%s", n, []string{"outlook.com", "city.example", "icloud.com"}[n%3]))
		if n < 25 {
			m.at(at, from(ip))
			continue
		}
		s.Numbers["refused"]++
		m.at(at, from(ip), refusedAt(event.PhaseRcpt, s.Text))
	}
	w.news(Tokyo, s.Begin.Add(31*time.Minute), event.Changed{Owner: "borealis", IP: ip, Provider: "outlook", State: "suspended", Until: s.Begin.Add(151 * time.Minute), By: "evidence", Rule: "spamhaus-zen", Why: s.Text})
	w.news(Tokyo, s.Begin.Add(36*time.Minute), event.Changed{IP: ip, State: "suspended", Until: s.Begin.Add(156 * time.Minute), By: "dnsbl", Rule: "spamhaus-zen", Why: "203.0.113.11 is listed at zen.spamhaus.org"})
	for n := range 12 { // others, whom it hits
		m := s.mail([]string{"acme", "granite"}[n%2], "jobs", fmt.Sprintf("hit%d@outlook.com", n))
		s.Numbers["rescued"]++
		m.at(s.Begin.Add(time.Duration(38+n)*time.Minute), did(event.Rescued, ip, event.PhaseRcpt, s.Text, tokyoIPs[0], ""))
	}
	w.news(Tokyo, s.Begin.Add(3*time.Hour), event.Changed{IP: ip, State: "slowed", Was: "suspended", Share: .25, Until: s.Begin.Add(4 * time.Hour), By: "dnsbl", Rule: "spamhaus-zen", Why: "203.0.113.11 is no longer listed"})
	w.news(Tokyo, s.Begin.Add(4*time.Hour), event.Changed{IP: ip, State: "active", Was: "slowed", By: "evidence", Why: "mail is accepted"})
}

// hacked: somebody else sends as taro.
func hacked(w *world) {
	s := w.story("hacked", "somebody sends as taro@cumulus.example to whomever there may be", w.day(11, "02:00"), w.day(11, "04:00"))
	s.of("cumulus", "taro@cumulus.example", "", nowhere)
	s.meaning("recipient_invalid", "550 5.1.1 Recipient address rejected: User unknown")
	contained := s.Begin.Add(55 * time.Minute)
	s.every(36*time.Second, func(n int, at time.Time) {
		m := s.mail("cumulus", "taro", fmt.Sprintf("%s%d@%s", []string{"abe", "ito", "mori"}[n%3], n, sites[n%len(sites)].domain))
		switch {
		case at.After(contained):
			s.Numbers["held"]++
			m.at(at, localAt(event.PhaseMail, "451 4.7.1 kanmon: mail of this account is held for now; its postmaster knows more", "containment"), decided(event.StepMail, "deferred", "containment", "41 of 92 unknown, at least 30 %"))
		case n%5 < 2:
			s.Numbers["unknown"]++
			m.at(at, atRcpt(s.Text))
		default:
			s.Numbers["reached"]++
			m.at(at)
		}
	})
	w.news(Tokyo, contained, event.Changed{Tenant: "cumulus", Account: s.Account, State: "stop", Was: "normal", By: "evidence", Why: "41 of 92 unknown, at least 30 %"})
	w.news(Tokyo, w.day(11, "08:30"), event.Order{By: "mika (uid 1000)", Did: "block", Tenant: "cumulus", Account: s.Account, Before: "stop", After: "stop, blocked by mika", Why: "password stolen, ticket 4711"})
	w.news(Tokyo, w.day(12, "09:00"), event.Order{By: "mika (uid 1000)", Did: "unblock", Tenant: "cumulus", Account: s.Account, Before: "stop, blocked by mika", After: "normal", Why: "password changed"})
}

// newsletter: "you slow our newsletter!"
func newsletter(w *world) {
	s := w.story("newsletter", "news@dynamo.example is slowed: 38 of 210 recipients do not exist", w.day(12, "09:00"), w.day(12, "13:00"))
	s.of("dynamo", "news@dynamo.example", "", nowhere)
	s.meaning("recipient_invalid", "550 5.1.1 Recipient address rejected: User unknown")
	for n := range 240 {
		m := s.mail("dynamo", "news", fmt.Sprintf("reader%d@%s", n, []string{"example.net", "example.org", "school.example"}[n%3]))
		at := s.Begin.Add(time.Duration(n) * 50 * time.Second)
		switch {
		case n < 210 && n*38/210 != (n+1)*38/210:
			s.Numbers["unknown"]++
			m.at(at, atRcpt(s.Text))
		case n < 210:
			m.at(at)
		default:
			s.Numbers["slowed"]++
			m.at(at, decided(event.StepMail, "delayed", "containment", "38 of 210 unknown, 18 %, at least 12 %"))
		}
	}
	w.news(Tokyo, s.Begin.Add(210*50*time.Second), event.Changed{Tenant: "dynamo", Account: s.Account, State: "slow", Was: "normal", By: "evidence", Why: "38 of 210 unknown, 18 %, at least 12 %"})
	w.news(Tokyo, w.day(12, "12:45"), event.Order{By: "ken (uid 1001)", Did: "exempt", Tenant: "dynamo", Account: s.Account, Before: "slow", After: "normal, exempt for 24h", Why: "they clean their list"})
}

// exhausted: Gmail defers everybody, behind a reload.
func exhausted(w *world) {
	s := w.story("exhausted", "google defers all sending IPs of Tokyo since 09:14, behind a reload at 09:12", w.day(8, "09:14"), w.day(8, "11:00"))
	s.of("", "", "google", nowhere)
	s.meaning("throttled", "421 4.7.28 Our system has detected an unusual rate of mail originating from your IP address, try again later")
	v4 := tokyoIPs[:3]
	w.moods = append(w.moods, mood{s.Begin, s.End, "google", v4, refusedAt(event.PhaseRcpt, s.Text)})
	w.news(Tokyo, w.day(8, "09:12"), event.Gateway{Did: event.Reloaded, Version: version, SendingIPs: 4, Sessions: 44, Rules: "in force"})
	s.every(70*time.Second, func(n int, at time.Time) {
		m := s.mail(tenants[n%len(tenants)].name, "info", fmt.Sprintf("g%d@gmail.com", n))
		s.Numbers["deferred"]++
		m.at(at, from(v4[n%3]), refusedAt(event.PhaseRcpt, s.Text))
		m.at(s.End.Add(time.Duration(5+n%20)*time.Minute), from(v4[n%3]))
	})
	for n, ip := range v4 {
		w.news(Tokyo, s.Begin.Add(time.Duration(6+5*n)*time.Minute), event.Changed{IP: ip, Provider: "google", State: "suspended", Until: s.Begin.Add(2 * time.Hour), By: "evidence", Why: s.Text})
	}
	w.news(Tokyo, w.day(8, "10:55"), event.Order{By: "rin (uid 1002)", Did: "resume", IP: v4[0], Provider: "google", Before: "suspended", After: "active", Why: "weights of the pool put back"})
	for _, ip := range v4 {
		w.news(Tokyo, s.End, event.Changed{IP: ip, Provider: "google", State: "active", Was: "suspended", By: "evidence", Why: "mail is accepted"})
	}
}

// warming: a new sending IP takes more from day to day.
func warming(w *world) {
	s := w.story("warming", "203.0.113.13 is new, and takes more from day to day", w.day(4, "08:00"), w.day(13, "20:00"))
	s.of("", "", "", newIP)
	w.news(Tokyo, s.Begin, event.Order{By: "rin (uid 1002)", Did: "warm_up", IP: newIP, Before: "active", After: "warming", Why: "new"})
	for day := 4; day < Fortnight; day++ {
		amount := min(4<<(day-4), 64)
		w.news(Tokyo, w.day(day, "08:00:01"), event.Changed{IP: newIP, State: "warming", By: "warm_up", Why: fmt.Sprintf("step %d of 10 begins", day-3)})
		for n := range amount {
			s.Numbers[fmt.Sprintf("day %d", day)]++
			m := s.mail("fjordkraft", "chiaki", fmt.Sprintf("warm%d.%d@%s", day, n, []string{"gmail.com", "docomo.ne.jp"}[n%2]))
			at := w.day(day, "09:00").Add(time.Duration(n) * 8 * time.Minute)
			if n%16 == 15 {
				m.at(at, from(newIP), atDot("451 4.7.1 Temporary failure, try again later"))
				at = at.Add(5 * time.Minute)
			}
			m.at(at, from(newIP))
		}
	}
}

// fortnightOfAcme: all that acme sent is for its report; its numbers are those of the ledger's counts.
func fortnightOfAcme(w *world) {
	w.story("acme's fortnight", "what acme sent, day by day", w.First, w.ledger.To).of("acme", "", "", nowhere)
}

// restart: an upgrade at night.
func restart(w *world) {
	s := w.story("restart", "gw1 drains, stops and starts; nobody is cut, 214 connections are turned away", w.day(9, "22:00:05"), w.day(9, "22:08"))
	for n := range 214 {
		s.refusedSession(s.Begin.Add(time.Duration(n)*850*time.Millisecond), tenants[n%len(tenants)].name, "x@example.net", "refused_stopping", event.PhaseDial, event.FailedNot, "")
	}
	for n := range 12 {
		s.Numbers["back"]++
		s.mail(tenants[n%len(tenants)].name, "factory", fmt.Sprintf("back%d@example.org", n)).at(w.day(9, "22:03:30").Add(time.Duration(n) * 20 * time.Second))
	}
}

// twice: they got it twice, since nobody had said that they had it.
func twice(w *world) {
	s := w.story("twice", "the MX says nothing to the dot for ten minutes, and takes the mail again at the next attempt", w.day(7, "13:50"), w.day(7, "14:15"))
	m := s.mail("granite", "goro", "dave.twice@city.example")
	m.at(s.Begin, unanswered(10*time.Minute), waited(event.PhaseDot, 0, 10*time.Second, 20*time.Second, 40*time.Second, 80*time.Second, 160*time.Second, 320*time.Second))
	m.at(s.Begin.Add(20 * time.Minute))
}

// twiceByHangUp: the MSA had gone when the MX took it.
func twiceByHangUp(w *world) {
	s := w.story("twice, hung up", "the MX took the mail, the MSA had gone, and tries again", w.day(3, "16:00"), w.day(3, "16:20"))
	m := s.mail("granite", "hr", "erin.twice@partner.example")
	m.at(s.Begin, func(t *try) {
		id := t.queue
		ends(event.OutcomeOrphanAck, "msa_lost", event.PhaseDot, event.ByMSA, "")(t)
		t.queue = id
	})
	m.at(s.Begin.Add(15 * time.Minute))
}

// wouldHave: what would have been done in a week, had it been enforced.
func wouldHave(w *world) {
	s := w.story("would have", "a limit is only observed for a week", w.day(1, "08:00"), w.day(8, "08:00"))
	for n, who := range []string{"anna", "billing", "desk", "emi", "goro", "jobs"} {
		for day := 1; day < 8; day++ {
			for i := range 3 + 2*n {
				m := s.mail([]string{"granite", "hinode"}[n%2], who, fmt.Sprintf("would%d.%d.%d@example.net", n, day, i))
				s.Numbers[m.Account]++
				m.at(w.day(day, "10:00").Add(time.Duration(i)*time.Duration(3+n)*time.Minute), decided(event.StepMail, "would_defer", "limit observed", fmt.Sprintf("%d of 50 mails at once, 50 an hour, room in 1m12s", 51+i)))
			}
		}
	}
}
