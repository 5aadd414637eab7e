package find

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"kanmon/internal/view/history"
)

// toTwo is one mail to two receivers: alice's and, a minute later, bob's.
func toTwo(state history.MailState, alice, bob history.Attempt, asked string) Mail {
	alice.MXQueueID = "ALICES"
	bob.Recipients = []history.Recipient{{Address: "bob@example.org", Fate: bob.Recipients[0].Fate}}
	bob.Destination, bob.Provider, bob.MXQueueID = netip.MustParseAddrPort("192.0.2.99:25"), "docomo", "BOBS"
	m := mailOf(state, alice, bob)
	m.Asked = asked
	return m
}

// Of a mail to several receivers whoever is looked for is told of: which MX took it for him, as what, at which of his attempts.
func TestOfSeveralReceiversTheAskedOnesAnswerIsSaid(t *testing.T) {
	took, tookLater := attempt(0, "delivered", "delivered", accepted), attempt(time.Minute, "delivered", "delivered", accepted)
	no, later := attempt(0, "refused", "refused", refused), attempt(time.Minute, "refused", "refused", listed)
	wait, waitLater := attempt(0, "deferred", "deferred", deferred), attempt(time.Minute, "deferred", "deferred", ourLimit)
	const alice, bob = "alice@example.net", "bob@example.org"
	for _, c := range []struct {
		mail       Mail
		says, hush []string
	}{
		{toTwo(history.Delivered, took, tookLater, alice), []string{"198.51.100.22", "as ALICES", "on the first attempt"}, []string{"BOBS", "192.0.2.99"}},
		{toTwo(history.Delivered, took, tookLater, bob), []string{"192.0.2.99", "as BOBS", "on the first attempt"}, []string{"ALICES"}},
		{toTwo(history.Delivered, took, tookLater, ""), []string{"as BOBS", "attempt 2, 1 min after the first"}, nil},
		{toTwo(history.Refused, no, later, alice), []string{"2026-07-01 03:00:00", "no such recipient", "on the first attempt"}, []string{"block list"}},
		{toTwo(history.Waits, wait, waitLater, alice), []string{"waiting: 1 attempt, the last at 2026-07-01 03:00:00", "second attempt"}, []string{"limit"}},
		{toTwo(history.GivenUp, wait, waitLater, alice), []string{"1 attempt, the last at 2026-07-01 03:00:00", "second attempt"}, []string{"limit"}},
		{toTwo(history.Partly, took, waitLater, alice), []string{"the last attempt was at 2026-07-01 03:01:00 +00:00 (attempt 2, 1 min after the first)"}, nil},
	} {
		got := Teller{}.Sentence(&c.mail)
		for _, want := range c.says {
			if !strings.Contains(got, want) {
				t.Errorf("%s, asked for %q: %q\ndoes not say %q", c.mail.State, c.mail.Asked, got, want)
			}
		}
		for _, other := range c.hush {
			if strings.Contains(got, other) {
				t.Errorf("%s, asked for %q: %q\nsays %q, which is of another receiver", c.mail.State, c.mail.Asked, got, other)
			}
		}
	}
	letter := Teller{}.ForCustomer(detail(t, toTwo(history.Waits, wait, waitLater, alice)))
	if !strings.Contains(letter, "451 4.7.1 try again later") || !strings.Contains(letter, "About your message to alice@example.net and 1 other\n") || strings.Contains(letter, "limited at the moment") {
		t.Errorf("a customer is told of alice's mail:\n%s", letter)
	}
}

// A postmaster reads what his servers said, and nothing of what others did, nor to whom.
func TestALetterToThePostmasterHasNothingOfOtherReceivers(t *testing.T) {
	took, wait := attempt(0, "delivered", "delivered", accepted), attempt(time.Minute, "deferred", "deferred", deferred)
	for _, c := range []struct {
		asked      string
		own, other []string
	}{
		{"alice@example.net", []string{"to example.net:", "198.51.100.22", "ALICES", "To: alice@example.net\n"}, []string{"192.0.2.99", "451", "example.org", "other"}},
		{"bob@example.org", []string{"to example.org:", "192.0.2.99", "451 4.7.1", "To: bob@example.org\n"}, []string{"198.51.100.22", "ALICES", "example.net", "other"}},
	} {
		for _, named := range []bool{true, false} { // also receivers that are no provider that is known
			m := toTwo(history.Partly, took, wait, c.asked)
			if !named {
				m.Attempts[0].Provider, m.Attempts[1].Provider = "", ""
			}
			letter := Teller{}.ForPostmaster(detail(t, m), nil)
			for _, want := range c.own {
				if !strings.Contains(letter, want) {
					t.Errorf("asked for %s:\n%s\ndoes not say %q", c.asked, letter, want)
				}
			}
			for _, other := range c.other {
				if strings.Contains(letter, other) {
					t.Errorf("asked for %s:\n%s\nsays %q, which is of another receiver", c.asked, letter, other)
				}
			}
		}
	}
}
