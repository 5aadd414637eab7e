package find

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/view/history"
)

// A customer is told what became of the mail, what the receiver said, what it means and what to do, and nothing of how this gateway works.
func TestALetterToTheCustomerSaysWhatConcernsHim(t *testing.T) {
	lines := []event.Entry{{Type: "refusal", Gateway: "gw1", Run: "1", Number: 1, Action: "rescue_failed", SendingIP: netip.MustParseAddr("203.0.113.99"), Cause: "all are in the refused netblock"}}
	for _, c := range []struct {
		mail Mail
		says []string
		ja   []string
	}{
		{
			mailOf(history.Refused, attempt(0, "refused", "refused", refused)),
			[]string{"refused it for good", "550 5.1.1 no such user", "does not exist", "how the address is spelt", "<july.1@acme.example>"},
			[]string{"受け取りを拒否", "550 5.1.1 no such user", "存在しません"},
		},
		{mailOf(history.Waits, attempt(0, "deferred", "deferred", ourLimit)), []string{"is limited at the moment", "contact our support"}, []string{"制限", "サポート"}},
		{mailOf(history.Waits, attempt(0, "deferred", "deferred", deferred)), []string{"not delivered yet", "2026-07-06", "tries again by itself"}, []string{"まだ配送されていません"}},
		{mailOf(history.Refused, attempt(0, "refused", "refused", listed)), []string{"not about your address", "We are taking care of it"}, []string{"当方で対応"}},
		{mailOf(history.Delivered, attempt(0, "delivered", "delivered", accepted)), []string{"accepted it at 2026-07-01 03:00:00", "spam folder"}, []string{"配送は完了"}},
		{mailOf(history.Unclear, attempt(0, "ambiguous", "unknown", unheard)), []string{"may arrive twice"}, []string{"二重に届く"}},
	} {
		d := detail(t, c.mail, lines...)
		en, ja := Teller{}.ForCustomer(d), Teller{Lang: Japanese}.ForCustomer(d)
		unfolded := strings.ReplaceAll(en, "\n", " ")
		for _, want := range c.says {
			if !strings.Contains(unfolded, want) {
				t.Errorf("%s:\n%s\ndoes not say %q", c.mail.State, en, want)
			}
		}
		for _, want := range c.ja {
			if !strings.Contains(strings.ReplaceAll(ja, "\n", ""), want) {
				t.Errorf("%s:\n%s\ndoes not say %q", c.mail.State, ja, want)
			}
		}
		for _, inside := range []string{"kanmon", "203.0.113.99", "netblock", "pool", "account-hour", "500", "%!", "\x00", "class"} {
			if strings.Contains(en+ja, inside) {
				t.Errorf("%s:\n%s\n%s\nhas %q, which is nothing of the customer's", c.mail.State, en, ja, inside)
			}
		}
	}
}

// A postmaster is told which sending IP, by which name, when in UTC, what his server said, and what it calls the mail.
func TestALetterToThePostmasterHasWhatHeLooksFor(t *testing.T) {
	took := attempt(time.Hour, "delivered", "delivered", accepted)
	took.MXQueueID = "4jYX"
	ip := netip.MustParseAddr("203.0.113.10")
	for _, c := range []struct {
		mail Mail
		says []string
	}{
		{
			mailOf(history.Refused, attempt(0, "refused", "refused", listed)),
			[]string{"203.0.113.10 (out10.example.jp)", "blocked using zen.spamhaus.org", "2026-07-01 03:00:00", "198.51.100.22", "have the entry removed", "https://check.spamhaus.org/", "alice@example.net"},
		},
		{mailOf(history.Delivered, attempt(0, "deferred", "deferred", deferred), took), []string{"your queue id: 4jYX", "2026-07-01 04:00:00", "451 4.7.1 try again later", "did not arrive"}},
		{mailOf(history.Unclear, attempt(0, "ambiguous", "unknown", unheard)), []string{"did not answer", "no answer"}},
	} {
		for l := English; l < langCount; l++ {
			// The postmaster reads UTC, wherever this is.
			letter := Teller{l, time.FixedZone("JST", 9*3600)}.ForPostmaster(detail(t, c.mail), Names{ip: "out10.example.jp"})
			unfolded := strings.ReplaceAll(letter, "\n", " ")
			for _, want := range c.says {
				if l == English && !strings.Contains(unfolded, want) {
					t.Errorf("%s:\n%s\ndoes not say %q", c.mail.State, letter, want)
				}
			}
			if strings.Contains(letter, "%!") || strings.Contains(letter, "\x00") || strings.Contains(letter, "kanmon:") {
				t.Errorf("%s:\n%s", c.mail.State, letter)
			}
		}
	}
	if letter := (Teller{}).ForPostmaster(detail(t, mailOf(history.Refused, attempt(0, "refused", "refused", listed))), nil); strings.Contains(letter, "PTR") {
		t.Errorf("without a name there is a row for it:\n%s", letter)
	}
}

// slowResolver answers when its caller has waited long enough.
type slowResolver struct{ asked int }

func (r *slowResolver) LookupAddr(ctx context.Context, _ string) ([]string, error) {
	r.asked++
	<-ctx.Done()
	return nil, errors.Join(ctx.Err())
}

// A name server that does not answer costs a letter nothing but the name.
func TestNamesAreLeftOutIfNobodyAnswers(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := &slowResolver{}
	if names := NamesOf(ctx, r, detail(t, mailOf(history.Refused, attempt(0, "refused", "refused", listed)))); len(names) > 0 {
		t.Errorf("names %v", names)
	}
}

// What kanmon did is told of the transaction that it was done about, and of no other of its session.
func TestDeedsAreThoseOfTheAttempt(t *testing.T) {
	a := attempt(0, "delivered", "delivered", accepted)
	a.Number, a.Rescued, a.TLS = 2, true, "downgraded"
	ip := netip.MustParseAddr
	lines := []event.Entry{
		{Type: "refusal", Gateway: "gw1", Run: "1", Number: 1, Action: "softened", SendingIP: ip("203.0.113.9")},
		{Type: "refusal", Gateway: "gw1", Run: "1", Number: 2, Action: "rescued", SendingIP: ip("203.0.113.11"), RescuedBy: ip("203.0.113.10"), Took: 1500},
		{Type: "refusal", Gateway: "other", Run: "1", Number: 2, Action: "softened", SendingIP: ip("203.0.113.9")},
		{Type: "decision", Gateway: "gw1", Run: "1", Number: 2, Action: "delayed", Rule: "limit account-hour", Cause: "500 of 500"},
		{Type: "wait", Gateway: "gw1", Run: "1", Number: 2, Phase: "rcpt", Waited: 10000},
		{Type: "wait", Gateway: "gw1", Run: "1", Number: 2, Phase: "rcpt", Waited: 20000},
		{Type: "transaction", Gateway: "gw1", Run: "1", Number: 2, TLSMX: event.EntryTLS{State: "downgraded", Error: "handshake failed"}, InsteadOf: ip("203.0.113.12")},
	}
	told := Teller{}.Tell(detail(t, mailOf(history.Delivered, a), lines...)).Attempts[0]
	var said []string
	for _, d := range told.Did {
		said = append(said, d.Text)
	}
	want := []string{
		"went on through 203.0.113.10 after 1.5 s, unseen by the MSA, when 203.0.113.11 was refused",
		"held it back: limit account-hour (500 of 500)",
		"waited for the MX at rcpt for 20 s and longer",
		"sent it from 203.0.113.10 in place of 203.0.113.12, which the provider is slow to answer",
		"sent it in plain text, since TLS with this MX failed: handshake failed",
	}
	if strings.Join(said, "\n") != strings.Join(want, "\n") {
		t.Errorf("told is\n%s\nwant\n%s", strings.Join(said, "\n"), strings.Join(want, "\n"))
	}
	if told.Gone != "" {
		t.Errorf("details are there, and it is said %q", told.Gone)
	}
}
