package find

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/outlet/classify"
	"kanmon/internal/view/history"
)

var noon = time.Date(2026, 7, 1, 3, 0, 0, 0, time.UTC)

// attempt is one of a mail from news@acme.example to alice@example.net, so long behind noon.
func attempt(behind time.Duration, outcome, fate string, r history.Reply) history.Attempt {
	return history.Attempt{
		Key: history.Key{Gateway: "gw1", Run: "1", Line: uint64(behind)}, At: noon.Add(behind), Start: noon.Add(behind - 2*time.Second), Session: 0x17f3a9c2b4d5e6f0, Number: 1, //nolint:gosec // a test's
		Source: netip.MustParseAddrPort("10.20.1.10:36806"), Destination: netip.MustParseAddrPort("198.51.100.22:25"), SendingIP: netip.MustParseAddr("203.0.113.10"),
		Pool: "default", Provider: "google", Tenant: "acme", Account: "news@acme.example", Sender: "news@acme.example",
		Recipients: []history.Recipient{{Address: "alice@example.net", Fate: fate}}, QueueID: "4jYHGY1Bkqz3Z", MessageID: "july.1@acme.example",
		Outcome: outcome, Reply: r, Duration: 2 * time.Second, TLS: "tls",
	}
}

var (
	deferred  = history.Reply{Code: 451, Enhanced: "4.7.1", Text: "451 4.7.1 try again later", Phase: "rcpt", Class: "greylisted", Scope: "transaction", Rule: "greylisted"}
	refused   = history.Reply{Code: 550, Enhanced: "5.1.1", Text: "550 5.1.1 no such user", Phase: "rcpt", Class: "recipient_invalid", Scope: "recipient", Rule: "no such user"}
	listed    = history.Reply{Code: 554, Enhanced: "5.7.1", Text: "554 5.7.1 Client host [203.0.113.10] blocked using zen.spamhaus.org", Phase: "mail", Class: "ip_blocklisted", Scope: "ip", Rule: "our address is on a named list"}
	accepted  = history.Reply{Code: 250, Text: "250 2.0.0 Ok: queued as 4jYX", Phase: "dot"}
	unheard   = history.Reply{Code: 451, Text: "451 4.4.2 kanmon: mx did not answer in time after the whole message was sent, so it may have been delivered; it stays queued and is retried", Phase: "dot", Local: true}
	ourLimit  = history.Reply{Code: 451, Text: `451 4.7.1 kanmon: sending limit reached for this account: 500 messages per hour (limit "account-hour"); retry in 12 minutes`, Phase: "mail", Local: true, Rule: "limit account-hour"}
	otherText = history.Reply{Code: 451, Text: "451 4.9.9 kanmon: said by another version", Phase: "mail", Local: true}
)

func mailOf(state history.MailState, attempts ...history.Attempt) Mail {
	return Mail{Mail: history.Mail{ID: "m1", State: state, Tries: len(attempts), Attempts: attempts, First: attempts[0].At, Last: attempts[len(attempts)-1].At}}
}

// The state of a mail is said in one sentence, in which is what a postmaster asks for: when, how often, what was said, what comes now.
func TestTheStateIsSaidInOneSentence(t *testing.T) {
	took := attempt(3*time.Hour, "delivered", "delivered", accepted)
	took.MXQueueID, took.Received = "4jYX", noon.Add(-time.Minute)
	waiting := mailOf(history.Waits, attempt(0, "deferred", "deferred", deferred), attempt(time.Hour, "deferred", "deferred", deferred))
	ended := attempt(0, "reset", "not_sent", history.Reply{})
	partly := attempt(0, "delivered", "delivered", accepted)
	partly.Recipients = append(partly.Recipients, history.Recipient{Address: "bob@example.net", Fate: "refused"}, history.Recipient{Address: "carol@example.net", Fate: "deferred"})
	for _, c := range []struct {
		mail Mail
		says []string
	}{
		{mailOf(history.Delivered, attempt(0, "deferred", "deferred", deferred), took), []string{"delivered: ", "198.51.100.22", "2026-07-01 06:00:00", "as 4jYX", "attempt 2, 3 h after the first, 3 h 1 min after its MSA had it"}},
		{waiting, []string{"waiting: 2 attempts", "2026-07-01 04:00:00", "second attempt", "its MSA decides", "2026-07-06"}},
		{mailOf(history.Waits, ended), []string{"not sent: ", "on the first attempt", "before anybody had refused it"}},
		{mailOf(history.Refused, attempt(0, "refused", "refused", refused)), []string{"refused for good at 2026-07-01 03:00:00", "no such recipient", "returns it to the sender"}},
		{mailOf(history.GivenUp, attempt(0, "deferred", "deferred", deferred)), []string{"given up, most likely", "1 attempt", "more than 5 days"}},
		{mailOf(history.Unclear, attempt(0, "ambiguous", "unknown", unheard)), []string{"unclear: the whole message was sent at 2026-07-01 03:00:00", "may have been delivered", "twice"}},
		{mailOf(history.Partly, partly), []string{"partly delivered: 1 have it, 1 refused for good, 1 waited for"}},
	} {
		got := Teller{}.Sentence(&c.mail)
		for _, want := range c.says {
			if !strings.Contains(got, want) {
				t.Errorf("%s: %q\ndoes not say %q", c.mail.State, got, want)
			}
		}
		ja := Teller{Lang: Japanese, In: time.FixedZone("JST", 9*3600)}.Sentence(&c.mail)
		if !strings.ContainsFunc(ja, isJapanese) || strings.Contains(ja, "%!") || strings.Contains(got, "%!") {
			t.Errorf("%s: %q, %q", c.mail.State, got, ja)
		}
	}
}

// Who has it twice is told so, with both ids of the MX; who may have, too.
func TestDeliveredTwiceIsSaid(t *testing.T) {
	first, second := attempt(0, "orphan_ack", "delivered", accepted), attempt(time.Hour, "delivered", "delivered", accepted)
	first.MXQueueID, second.MXQueueID = "A1", "B2"
	m := mailOf(history.Delivered, first, second)
	notes := strings.Join(Teller{}.Tell(&Detail{Mail: m}).Notes, "\n")
	for _, want := range []string{"Delivered twice to alice@example.net", "A1", "B2", "had gone before it could be told"} {
		if !strings.Contains(notes, want) {
			t.Errorf("%q does not say %q", notes, want)
		}
	}
	m = mailOf(history.Delivered, attempt(0, "ambiguous", "unknown", unheard), second)
	if notes = strings.Join(Teller{}.Tell(&Detail{Mail: m}).Notes, "\n"); !strings.Contains(notes, "Perhaps delivered twice to alice@example.net") || !strings.Contains(notes, "B2") {
		t.Errorf("of an ambiguous attempt and a delivery is said %q", notes)
	}
	m = mailOf(history.Delivered, attempt(0, "deferred", "deferred", deferred), second)
	if notes := (Teller{}).Tell(&Detail{Mail: m}).Notes; len(notes) > 0 {
		t.Errorf("of one delivery is said %q", notes)
	}
}

func finder(t testing.TB) *Finder {
	t.Helper()
	rules, err := classify.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	return &Finder{Rules: rules}
}

func detail(t testing.TB, m Mail, lines ...event.Entry) *Detail {
	t.Helper()
	d, f := &Detail{Mail: m}, finder(t)
	for _, a := range m.Attempts {
		try := Try{Attempt: a, Sense: f.Sense(&a.Reply, &a), Entry: entryOf(lines, &a)}
		if try.Entry != nil {
			try.Steps, try.Parts = stepsOf(try.Entry), f.partsOf(try.Entry, &a, m.Asked)
		}
		try.Deeds = deedsOf(lines, &a, try.Entry)
		d.Each = append(d.Each, try)
	}
	return d
}

// Each attempt is told with its meaning, whose it is, what kanmon did and what is to be done, as the record has it.
func TestAnAttemptIsToldWithWhatItMeans(t *testing.T) {
	for _, c := range []struct {
		name    string
		attempt history.Attempt
		whose   Fault
		says    []string
	}{
		{"listed", attempt(0, "refused", "refused", listed), FaultOurs, []string{"block list"}},
		{"refused", attempt(0, "refused", "refused", refused), FaultRecipient, []string{"no such recipient"}},
		{"greylisted", attempt(0, "deferred", "deferred", deferred), FaultNobody, []string{"second attempt"}},
		{"limit", attempt(0, "deferred", "deferred", ourLimit), FaultLimit, []string{"[[sender_limit]]"}},
		{"another version's", attempt(0, "deferred", "deferred", otherText), FaultLimit, []string{"kanmon's own"}},
		{"unclear", attempt(0, "ambiguous", "unknown", unheard), FaultReceiver, []string{"may have taken it"}},
		{"delivered", attempt(0, "delivered", "delivered", accepted), FaultNobody, []string{"accepted"}},
	} {
		for l := English; l < langCount; l++ {
			told := Teller{Lang: l}.Tell(detail(t, mailOf(history.Waits, c.attempt)))
			y := told.Attempts[0]
			if y.Whose != c.whose || y.Advice == "" || y.Meaning == "" || y.WhoseText == "" || y.Reply != c.attempt.Reply.Text {
				t.Errorf("%s, %s: %+v", c.name, l, y)
			}
			for _, want := range c.says {
				if l == English && !strings.Contains(y.Meaning, want) {
					t.Errorf("%s means %q, want %q in it", c.name, y.Meaning, want)
				}
			}
		}
	}
	lists := Teller{}.Tell(detail(t, mailOf(history.Refused, attempt(0, "refused", "refused", listed)))).Attempts[0].Lists
	if len(lists) != 1 || lists[0].Name != "spamhaus-zen" || !strings.HasPrefix(lists[0].Delist, "https://") {
		t.Errorf("of a listing is told the list %+v", lists)
	}
}
