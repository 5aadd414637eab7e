package story

import (
	"fmt"
	"strings"
	"time"

	"kanmon/internal/event"
)

// Stories of how single mails are told apart, and found.

// alike: domains that hold each other's names.
func alike(w *world) {
	s := w.story("alike", "domains whose names begin or end as another's", w.day(2, "09:00"), w.day(2, "10:00"))
	for n, to := range []string{"alike@example.net", "alike@example.net.lookalike.example", "alike@notexample.net", "alike@partner.example"} {
		s.mail("acme", "info", to).at(s.Begin.Add(time.Duration(n) * time.Minute))
	}
}

// sameQueueID: an MSA uses a queue id again, days later, for another mail.
func sameQueueID(w *world) {
	s := w.story("queue id again", "two mails with one queue id of the MSA, three days apart", w.day(2, "14:00"), w.day(5, "14:00"))
	for n, to := range []string{"first.same@example.net", "second.same@example.net"} {
		m := s.mail("acme", "hr", to)
		m.named(m.msgID, "9F1E2D3C4B").at(w.day(2+3*n, "14:00"))
	}
}

// overTwoGateways: the first gateway does not answer any more, and the MSA's next attempt goes through the other one.
func overTwoGateways(w *world) {
	s := w.story("two gateways", "the first attempt goes through gw1, the second through gw2, which knows no ids", w.day(3, "08:00"), w.day(3, "08:30"))
	m := s.mail("borealis", "goro", "frank.two@strict.example")
	m.at(s.Begin, atDot("451 4.3.0 Temporary failure, try again later"))
	m.throughOsaka().at(s.Begin.Add(10 * time.Minute))
}

// ipv6: an MX that has nothing else.
func ipv6(w *world) {
	s := w.story("ipv6", "an MX that is reached over IPv6 alone", w.day(1, "12:00"), w.day(13, "12:00"))
	s.of("", "", "", tokyoIPs[3])
	for day := 1; day < 13; day++ {
		s.mail("hinode", "chiaki", fmt.Sprintf("six%d@v6only.example", day)).at(w.day(day, "12:00"))
	}
}

// nullSenders: bounces, which have no sender.
func nullSenders(w *world) {
	s := w.story("null sender", "mails without a sender", w.day(0, "06:00"), w.day(0, "07:00"))
	for n := range 10 {
		m := s.mail("estuary", "", fmt.Sprintf("bounced%d@example.org", n))
		if n%2 == 0 {
			m.at(s.Begin.Add(time.Duration(n)*time.Minute), atRcpt(fmt.Sprintf("550 5.1.1 <bounced%d@example.org>: Recipient address rejected: User unknown", n)))
			continue
		}
		m.at(s.Begin.Add(time.Duration(n) * time.Minute))
	}
}

// smtputf8: addresses that are not ASCII.
func smtputf8(w *world) {
	s := w.story("utf8", "sender and recipient in Japanese", w.day(4, "18:00"), w.day(4, "18:10"))
	s.mail("hinode", "用户", "受信者@例え.example").at(s.Begin)
	s.mail("hinode", "chiaki", "plain@xn--r8jz45g.example").at(s.Begin.Add(time.Minute))
}

// thousand: as many recipients as a record lists.
func thousand(w *world) {
	s := w.story("thousand", "1,000 recipients: 900 get it, 60 do not exist, 40 get it an hour later", w.day(6, "15:00"), w.day(6, "16:10"))
	var to []string
	for n := range 1000 {
		to = append(to, fmt.Sprintf("member%d@list.example", n))
	}
	var late []int
	options := make([]option, 0, 100)
	for n := range 100 {
		if n < 40 {
			late = append(late, n*10)
			options = append(options, one(n*10, "452 4.2.2 Mailbox is over quota"))
		} else {
			options = append(options, one(n*10, fmt.Sprintf("550 5.1.1 <member%d@list.example>: User unknown", n*10)))
		}
	}
	m := s.mail("dynamo", "news", to...)
	m.at(s.Begin, options...)
	m.at(s.Begin.Add(time.Hour), only(late...))
}

// identical: the same words to the same people, three times.
func identical(w *world) {
	s := w.story("identical", "three mails of one size, from one to one, each taken at once", w.day(5, "09:00"), w.day(5, "10:00"))
	for n := range 3 {
		m := s.mail("fjordkraft", "factory", "alarm@example.net")
		m.Octets = 5000
		m.at(s.Begin.Add(time.Duration(n) * 15 * time.Minute))
	}
}

// identicalUnnamed: the same through a gateway that does not identify them.
func identicalUnnamed(w *world) {
	s := w.story("identical, unnamed", "the same through a gateway that does not identify messages", w.day(5, "15:00"), w.day(5, "16:00"))
	for n := range 3 {
		m := s.mail("fjordkraft", "factory", "alarm@example.org").throughOsaka()
		m.Octets = 5000
		m.at(s.Begin.Add(time.Duration(n) * 15 * time.Minute))
	}
}

// sameMessageID: software that gives every mail one id, in two tenants.
func sameMessageID(w *world) {
	s := w.story("message id twice", "two tenants' mails have one Message-ID", w.day(7, "08:00"), w.day(7, "08:10"))
	for n, who := range []string{"acme", "granite"} {
		m := s.mail(who, "billing", fmt.Sprintf("sameid%d@example.net", n))
		m.named("report.1@software.example", m.queueID).at(s.Begin.Add(time.Duration(n) * time.Minute))
	}
}

// noQueueID: an MX that names none.
func noQueueID(w *world) {
	s := w.story("no queue id", "the MX takes mails and names no id", w.day(8, "20:00"), w.day(8, "20:10"))
	for n := range 3 {
		s.mail("cumulus", "hr", fmt.Sprintf("noid%d@mute.example", n)).at(s.Begin.Add(time.Duration(n) * time.Minute))
	}
}

// partly: a mail that is handed over bit by bit.
func partly(w *world) {
	s := w.story("partly", "five recipients: two get it at once, one never, one at the second attempt, one at the third", w.day(9, "11:00"), w.day(9, "11:30"))
	m := s.mail("granite", "jobs", "p0@example.net", "p1@example.net", "p2@example.net", "p3@example.net", "p4@example.net")
	const full = "452 4.2.2 Mailbox is over quota"
	m.at(s.Begin, one(2, "550 5.1.1 <p2@example.net>: User unknown"), one(3, full), one(4, full))
	m.at(s.Begin.Add(5*time.Minute), only(3, 4), one(4, full))
	m.at(s.Begin.Add(20*time.Minute), only(4))
}

// givenUp: nothing has been heard of it for more than five days.
func givenUp(w *world) {
	s := w.story("given up", "a mail that was deferred until its MSA gave up", w.day(0, "05:00"), w.day(5, "05:00"))
	m := s.mail("hinode", "anna", "gone@slow.example")
	for n := range 12 {
		m.at(s.Begin.Add(time.Duration(n)*8*time.Hour), atRcpt("450 4.2.0 <gone@slow.example>: Mailbox busy"))
	}
}

// sentAgain: the person sends it once more, behind a refusal.
func sentAgain(w *world) {
	s := w.story("sent again", "a refused mail is sent again by its author: another mail", w.day(10, "09:00"), w.day(10, "10:00"))
	s.mail("acme", "desk", "again@partner.example").at(s.Begin, atDot("550 5.7.1 Message rejected as spam by content filter"))
	s.mail("acme", "desk", "again@partner.example").at(s.Begin.Add(20 * time.Minute))
}

// oftenWritten: one recipient with more mails than a page has.
func oftenWritten(w *world) {
	s := w.story("often", "620 mails to one recipient", w.day(2, "00:10"), w.day(12, "00:00"))
	for n := range 620 {
		s.mail("granite", "factory", "often@partner.example").at(s.Begin.Add(time.Duration(n) * 20 * time.Minute))
	}
}

// letters: addresses are one in whatever letters.
func letters(w *world) {
	s := w.story("letters", "one recipient in several spellings", w.day(11, "13:00"), w.day(11, "13:10"))
	for n, to := range []string{"Alice.Letters@Example.NET", "alice.letters@example.net", "ALICE.LETTERS@EXAMPLE.NET"} {
		s.mail("borealis", "desk", to).at(s.Begin.Add(time.Duration(n) * time.Minute))
	}
}

// tagged: senders with subaddresses are one account.
func tagged(w *world) {
	s := w.story("tagged", "bob+TAG@ is bob's account", w.day(11, "14:00"), w.day(11, "14:10"))
	s.of("estuary", "bob@estuary.example", "", nowhere)
	for n := range 4 {
		s.mail("estuary", fmt.Sprintf("bob+tag%d", n), "tagged@example.net").at(s.Begin.Add(time.Duration(n) * time.Minute))
	}
}

// overMidnight: an attempt that begins on one day and ends on the next.
func overMidnight(w *world) {
	s := w.story("midnight", "the MX takes ten minutes to answer the dot, over midnight", w.day(6, "23:55"), w.day(7, "00:06"))
	s.mail("acme", "goro", "late@city.example").at(s.Begin, slow(event.PhaseDot, 10*time.Minute))
}

// canaries: people whom nobody may see where addresses are hidden, in all the ways in which a reply can name them.
func canaries(w *world) {
	s := w.story("canaries", "replies that name people in every way", w.day(12, "18:00"), w.day(12, "19:00"))
	for n, form := range []string{
		"550 5.1.1 <%[1]s@%[2]s>: Recipient address rejected: User unknown", "550 5.1.1 %[1]s: no such user", "550 5.1.1 user %[3]s unknown here",
		"550 5.1.1 see https://%[2]s/unknown?rcpt=%[1]s%%40%[2]s", "550 5.1.1 mailto:%[1]s@%[2]s is closed", "550 5.1.1 \"%[1]s\"@%[2]s does not exist",
		"550-5.1.1 The account that you tried to reach\n550 5.1.1 %[1]s does not exist", "452 4.2.2 %[1]s@%[2]s is over quota", "550 5.7.1 mail from <%[4]s> to %[1]s refused",
		"550 5.1.1 =?utf-8?q?%[1]s=40%[2]s?= unknown",
	} {
		local := CanaryPrefix + token(s.rand, "abcdefghijklmnop", 10)
		to := local + "@strict.example"
		sender := CanaryPrefix + token(s.rand, "abcdefghijklmnop", 10)
		m := s.mail("hinode", sender, to)
		m.named(sender+".id@hinode.example", m.queueID)
		text := fmt.Sprintf(strings.ReplaceAll(form, "%%", "%%%%"), local, "strict.example", strings.ToUpper(local), m.Sender)
		text, _, _ = strings.Cut(strings.ReplaceAll(text, "%%", "%"), "%!(EXTRA")
		p := event.PhaseRcpt
		if n%3 == 0 {
			p = event.PhaseDot
		}
		m.at(s.Begin.Add(time.Duration(n)*5*time.Minute), refusedAt(p, text), decided(event.StepMail, "would_reject", "limit observed", "51 of 50 mails"))
	}
	w.news(Tokyo, s.End, event.Changed{Tenant: "hinode", Account: s.drafts[0].Account, State: "slow", Was: "normal", By: "evidence", Why: "10 of 10 refused, the last for " + s.drafts[0].Recipients[0]})
	w.news(Tokyo, s.End, event.Order{By: "mika (uid 1000)", Did: "unblock", Tenant: "hinode", Account: s.drafts[0].Account, Before: "slow", After: "normal", Why: "asked " + s.drafts[0].Recipients[0]})
}

// CanaryPrefix is what the local parts of canaries begin with; nothing else has it.
const CanaryPrefix = "kanarien"
