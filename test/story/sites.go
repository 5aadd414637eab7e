package story

import (
	"fmt"
	"time"

	"kanmon/internal/event"
)

// Stories of what receivers do.

// greylisted: who comes for the first time comes again.
func greylisted(w *world) {
	s := w.story("greylisted", "each first attempt is greylisted", w.day(1, "07:00"), w.day(1, "12:00"))
	s.meaning("greylisted", "450 4.2.0 Recipient address rejected: Greylisted, try again in 300 seconds")
	for n := range 40 {
		m := s.mail(tenants[n%len(tenants)].name, "emi", fmt.Sprintf("grey%d@grey.example", n))
		at := s.Begin.Add(time.Duration(n) * 7 * time.Minute)
		m.at(at, atRcpt(s.Text))
		m.at(at.Add(6 * time.Minute))
	}
}

// downgraded: TLS fails, and plain text does it.
func downgraded(w *world) {
	s := w.story("downgraded", "the MX offers TLS that fails: plain text on a fresh connection", w.day(3, "09:00"), w.day(3, "18:00"))
	for n := range 10 {
		s.mail("acme", "hr", fmt.Sprintf("plain%d@oldtls.example", n)).at(s.Begin.Add(time.Duration(n)*50*time.Minute), inTLS(event.TLS{State: event.TLSDowngraded, Err: "remote error: tls: protocol version not supported"}))
	}
}

// needsTLS: the MX takes nothing in plain text, and its TLS is broken.
func needsTLS(w *world) {
	s := w.story("needs tls", "an MX whose TLS fails refuses plain text", w.day(3, "19:00"), w.day(3, "19:10"))
	s.meaning("tls_required", "530 5.7.0 Must issue a STARTTLS command first")
	m := s.mail("acme", "hr", "tls@oldtls.example")
	broken := inTLS(event.TLS{State: event.TLSDowngraded, Err: "tls: first record does not look like a TLS handshake"})
	m.at(s.Begin, broken, refusedAt(event.PhaseMail, s.Text), softened, did(event.Softened, tokyoIPs[0], event.PhaseMail, s.Text, nowhere, "tls: first record does not look like a TLS handshake"), from(m.ip))
	m.at(s.Begin.Add(6 * time.Minute))
}

// tarpit: replies come octet by octet.
func tarpit(w *world) {
	s := w.story("tarpit", "an MX answers RCPT octet by octet, for two minutes", w.day(2, "21:00"), w.day(3, "01:00"))
	for n := range 6 {
		s.mail("cumulus", "jobs", fmt.Sprintf("drip%d@tarpit.example", n)).at(s.Begin.Add(time.Duration(n)*40*time.Minute), slow(event.PhaseRcpt, 2*time.Minute), dripping(30),
			waited(event.PhaseRcpt, 4, 10*time.Second, 20*time.Second, 40*time.Second, 80*time.Second))
	}
}

// rescued: another sending IP does it.
func rescued(w *world) {
	s := w.story("rescued", "what is refused from one sending IP goes out through another", w.day(7, "10:00"), w.day(7, "11:00"))
	s.of("", "", "yahoo", tokyoIPs[2])
	s.meaning("ip_blocklisted", "554 5.7.1 Your IP 203.0.113.12 is on our blacklist")
	for n := range 8 {
		s.mail("fjordkraft", "billing", fmt.Sprintf("rescued%d@yahoo.com", n)).at(s.Begin.Add(time.Duration(n)*5*time.Minute), did(event.Rescued, tokyoIPs[2], event.PhaseMail, s.Text, tokyoIPs[0], ""))
	}
}

// notRescued: there was no other that could.
func notRescued(w *world) {
	s := w.story("not rescued", "the other sending IPs are refused as well", w.day(7, "11:30"), w.day(7, "12:00"))
	s.meaning("ip_blocklisted", "554 5.7.1 Your IP 203.0.113.10 is on our blacklist")
	m := s.mail("fjordkraft", "billing", "unrescued@yahoo.com")
	m.at(s.Begin, from(tokyoIPs[0]), refusedAt(event.PhaseMail, s.Text),
		did(event.RescueFailed, tokyoIPs[0], event.PhaseMail, s.Text, nowhere, "no other sending IP was accepted"),
		did(event.AlsoRefused, tokyoIPs[1], event.PhaseMail, "554 5.7.1 Your IP 203.0.113.11 is on our blacklist", nowhere, ""))
}

// softenedOnce: the MSA is told to come again, and then another sending IP does it.
func softenedOnce(w *world) {
	s := w.story("softened", "a 5xx about our IP is told as 4xx; the next attempt leaves from another", w.day(7, "13:00"), w.day(7, "13:20"))
	s.meaning("ip_blocklisted", "554 5.7.1 Your IP 203.0.113.12 is on our blacklist")
	m := s.mail("dynamo", "anna", "soft@yahoo.com")
	m.at(s.Begin, from(tokyoIPs[2]), refusedAt(event.PhaseMail, s.Text), softened, did(event.Softened, tokyoIPs[2], event.PhaseMail, s.Text, nowhere, ""))
	m.at(s.Begin.Add(8*time.Minute), from(tokyoIPs[0]))
}

// unknownUsers: one tenant has an old list.
func unknownUsers(w *world) {
	s := w.story("old list", "a third of estuary's list does not exist", w.day(5, "18:00"), w.day(5, "21:00"))
	s.of("estuary", "offers@estuary.example", "", nowhere)
	s.meaning("recipient_invalid", "550 5.1.1 Recipient address rejected: User unknown")
	for n := range 150 {
		m := s.mail("estuary", "offers", fmt.Sprintf("old%d@icloud.com", n))
		at := s.Begin.Add(time.Duration(n) * time.Minute)
		if n%3 == 0 {
			s.Numbers["unknown"]++
			m.at(at, atRcpt(s.Text))
			continue
		}
		m.at(at)
	}
}

// receiverDown: there is nobody to hand a mail to.
func receiverDown(w *world) {
	s := w.story("receiver down", "an MX cannot be reached for six hours", w.day(8, "13:00"), w.day(8, "19:00"))
	s.every(10*time.Minute, func(n int, at time.Time) {
		s.refusedSession(at, "borealis", fmt.Sprintf("down%d@down.example", n%4), "mx_unreachable", event.PhaseDial, event.DialUnanswered, "")
	})
	for n := range 4 {
		s.mail("borealis", "anna", fmt.Sprintf("down%d@down.example", n)).at(s.End.Add(time.Duration(n) * time.Minute))
	}
}

// lostAtData: an MX that hangs up behind the dot's beginning.
func lostAtData(w *world) {
	s := w.story("lost", "the MX hangs up in the middle of the message", w.day(9, "09:00"), w.day(9, "09:30"))
	m := s.mail("cumulus", "desk", "lost@broken.example")
	m.at(s.Begin, ends(event.OutcomeDeferred, "mx_lost", event.PhaseBody, event.ByMX, "read: connection reset by peer"), func(t *try) {
		t.dot = answer{text: "451 4.4.2 kanmon: the receiver hung up; try later", local: true, took: time.Millisecond}
	})
	m.at(s.Begin.Add(10 * time.Minute))
}

// quota: full today, and not tomorrow.
func quota(w *world) {
	s := w.story("quota", "a mailbox is full for a day", w.day(4, "07:00"), w.day(5, "08:00"))
	s.meaning("mailbox_full", "452 4.2.2 Mailbox is over quota")
	m := s.mail("dynamo", "emi", "full@school.example")
	for _, hours := range []int{0, 1, 5, 13} {
		m.at(s.Begin.Add(time.Duration(hours)*time.Hour), atRcpt(s.Text))
	}
	m.at(s.Begin.Add(25 * time.Hour))
}

// spam: what a filter refuses.
func spam(w *world) {
	s := w.story("spam", "a content filter refuses offers", w.day(6, "18:00"), w.day(6, "18:30"))
	s.of("dynamo", "offers@dynamo.example", "", nowhere)
	s.meaning("content_rejected", "554 5.7.1 Message rejected as spam by content filter")
	for n := range 9 {
		s.mail("dynamo", "offers", fmt.Sprintf("spam%d@strict.example", n)).at(s.Begin.Add(time.Duration(n)*2*time.Minute), atDot(s.Text))
	}
}

// unauthenticated: SPF and DKIM of the tenant's domain.
func unauthenticated(w *world) {
	s := w.story("unauthenticated", "a tenant's domain has no DKIM, and its DMARC policy rejects", w.day(6, "08:00"), w.day(6, "09:00"))
	s.of("fjordkraft", "", "google", nowhere)
	s.meaning("auth_failed", "550 5.7.26 Unauthenticated mail from fjordkraft.example is not accepted due to the domain's DMARC policy")
	for n := range 15 {
		s.mail("fjordkraft", "anna", fmt.Sprintf("dmarc%d@gmail.com", n)).at(s.Begin.Add(time.Duration(n)*3*time.Minute), atDot(s.Text))
	}
}

// newWords: a refusal that nobody has seen before, to three tenants.
func newWords(w *world) {
	s := w.story("new words", "a refusal in words that nobody has used before", w.day(12, "10:00"), w.day(12, "11:00"))
	s.meaning("policy_unspecified", "550 5.7.1 Zephyr gate says no thanks today")
	for n := range 12 {
		s.mail([]string{"acme", "borealis", "hinode"}[n%3], "info", fmt.Sprintf("zephyr%d@rival.example", n)).at(s.Begin.Add(time.Duration(n)*4*time.Minute), atDot(s.Text))
	}
}

// large: a message that takes its time.
func large(w *world) {
	s := w.story("large", "30 MB, and the MX takes them slowly", w.day(10, "18:00"), w.day(10, "18:05"))
	m := s.mail("fjordkraft", "factory", "large@partner.example")
	m.Octets = 30 << 20
	m.at(s.Begin, slow(event.PhaseBody, 3*time.Minute))
}

// noPTR: a name is missing in DNS.
func noPTR(w *world) {
	s := w.story("no ptr", "yahoo misses the PTR of 198.51.100.21", w.day(2, "11:00"), w.day(2, "13:00"))
	s.of("", "", "yahoo", osakaIPs[1])
	s.meaning("dns_identity", "550 5.7.25 [198.51.100.21] The IP address sending this message does not have a PTR record")
	for n := range 6 {
		m := s.mail(tenants[n].name, "hr", fmt.Sprintf("ptr%d@yahoo.com", n)).throughOsaka()
		m.at(s.Begin.Add(time.Duration(n)*10*time.Minute), from(osakaIPs[1]), atRcpt(s.Text))
	}
}

// turnedAway: a banner that says no.
func turnedAway(w *world) {
	s := w.story("turned away", "apple takes no more connections", w.day(3, "05:00"), w.day(3, "06:00"))
	s.of("", "", "apple", nowhere)
	s.meaning("throttled", "421 4.7.0 Too many concurrent connections from your host")
	s.every(2*time.Minute, func(_ int, at time.Time) {
		s.refusedSession(at, "granite", "x@icloud.com", "mx_refused", event.PhaseBanner, event.OpeningRefused, s.Text)
	})
}

// slowDot: an MX that scans for five minutes, and takes it.
func slowDot(w *world) {
	s := w.story("slow dot", "the MX takes five minutes to accept a message", w.day(12, "03:00"), w.day(12, "04:00"))
	for n := range 5 {
		s.mail("borealis", "factory", fmt.Sprintf("scan%d@partner.example", n)).at(s.Begin.Add(time.Duration(n)*10*time.Minute), slow(event.PhaseDot, 5*time.Minute), waited(event.PhaseDot, 0, 10*time.Second, 20*time.Second, 40*time.Second, 80*time.Second, 160*time.Second))
	}
}
