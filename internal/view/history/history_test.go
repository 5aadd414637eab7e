package history_test

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"kanmon/internal/event"
	"kanmon/internal/view/history"
	"kanmon/internal/view/history/historytest"
)

// Refusals that say the same have one shape, whatever of the mail, the time and the server is in them; those that say something else have another.
func TestLikeRefusalsHaveOneShape(t *testing.T) {
	for _, like := range [][]string{
		{
			"450 4.2.0 <alice@x.example>: Recipient address rejected: Greylisted for 300 seconds",
			"450 4.2.0 <bob.b@y.example>: Recipient address rejected: Greylisted for 59 seconds",
		},
		{
			"421-4.7.28 [203.0.113.11      15] Our system has detected an unusual rate of\n421-4.7.28 unsolicited mail. d9443c01a7336-297b0d7f9a2si81236745ad.312 - gsmtp",
			"421-4.7.28 [203.0.113.200     15] Our system has detected an unusual rate of\n421-4.7.28 unsolicited mail. 98e67ed59e1d1-343ec8a0f11si12a91.7 - gsmtp",
		},
		{"550 5.1.1 No such user alice here", "550 5.1.1 No such user bob.b here"},
		{"550 5.1.1 user unknown at x.example", "550 5.1.1 user unknown at y.example"},
		{"554 5.7.1 blocked, see https://a.example/q?ip=203.0.113.11", "554 5.7.1 blocked, see https://a.example/q?ip=203.0.113.12"},
		{"550 5.1.1 user=alice: not one of ours, neither is alice's", "550 5.1.1 user=bob.b: not one of ours, neither is bob.b's"},
		{"451 try again (AbCdEfGhIj)", "451 try again (ZyXwVuTsRq)"},
	} {
		var shapes []string
		for i, text := range like {
			shapes = append(shapes, history.ShapeOf(text, [...]string{"alice@x.example", "bob.b@y.example"}[i]))
		}
		if shapes[0] != shapes[1] || len(shapes[0]) < 10 {
			t.Errorf("%q\n%q", shapes[0], shapes[1])
		}
	}
	for _, unlike := range [][2]string{
		{"554 5.7.1 blocked using zen.spamhaus.org", "554 5.7.1 blocked using bl.spamcop.net"},
		{"450 mailbox busy", "450 mailbox full"},
	} {
		if a, b := history.ShapeOf(unlike[0]), history.ShapeOf(unlike[1]); a == b {
			t.Errorf("%q is the shape of both %q", a, unlike)
		}
	}
}

// A shape is short, has nobody's address, and is its own shape, whatever the reply is.
func TestAShapeIsShortAndHidesWhom(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.String().Draw(t, "text")
		shape := history.ShapeOf("550 5.1.1 "+text+" <carol.c@x.example> ", "carol.c@x.example")
		if len(shape) > 260 || strings.Contains(strings.ToLower(shape), "carol.c@") || strings.ContainsRune(shape, '\n') || utf8.ValidString(text) && !utf8.ValidString(shape) {
			t.Errorf("%q", shape)
		}
	})
}

func TestWhatTheMXCallsAMessageIsFound(t *testing.T) {
	for text, want := range map[string]string{
		"250 2.0.0 Ok: queued as 4jYHGY1Bkqz3Z":                                      "4jYHGY1Bkqz3Z",
		"250 OK id=1uKxyz-0001Ab-2C":                                                 "1uKxyz-0001Ab-2C",
		"250 2.0.0 OK  1764500000 d9443c01a7336-297b0d7f9a2si81236745ad.312 - gsmtp": "d9443c01a7336-297b0d7f9a2si81236745ad.312",
		"250 2.0.0 5AUCx0Xj012345 Message accepted for delivery":                     "5AUCx0Xj012345",
		"250 ok 1764500000 qp 12345":                                                 "12345",
		"250 2.6.0 <1@acme.example> [InternalId=12345678901234, Hostname=AB1PR01MB1234.jpnprd01.prod.outlook.com] Queued mail for delivery": "12345678901234",
		"250 2.0.0 Ok":   "",
		"250 thank you!": "",
	} {
		if got := history.QueueIDIn(text); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

var (
	busy    = historytest.Meaning(historytest.Reply(451, "4.3.0 busy", 3*time.Second), "system_error", "receiver", "busy")
	unknown = historytest.Meaning(historytest.Reply(550, "5.1.1 no such user", time.Second), "recipient_invalid", "recipient", "no such user")
)

func attempt(m historytest.Mail) history.Attempt {
	f := historytest.NewFeed("gw1", historytest.Noon)
	if m.At.IsZero() {
		m.At = historytest.Noon
	}
	return history.AttemptOf(f.Attempt(m).Entry)
}

// The reply that decided is that for which the mail is what it is.
func TestTheReplyThatDecidedIsGiven(t *testing.T) {
	a, b := "a@x.example", "b@x.example"
	for name, of := range map[string]struct {
		mail         historytest.Mail
		phase, class string
		slowest      string
	}{
		"delivered":              {historytest.Mail{To: []string{a}}, "dot", "", "dot"},
		"one refused":            {historytest.Mail{To: []string{a, b}, Refused: map[string]historytest.M{b: unknown}}, "dot", "", "rcpt"},
		"all refused":            {historytest.Mail{To: []string{a}, Refused: map[string]historytest.M{a: unknown}}, "rcpt", "recipient_invalid", "rcpt"},
		"refused, and waits":     {historytest.Mail{To: []string{a, b}, Refused: map[string]historytest.M{a: unknown, b: busy}}, "rcpt", "system_error", "rcpt"},
		"at the dot":             {historytest.Mail{To: []string{a}, Dot: busy}, "dot", "system_error", "dot"},
		"at MAIL":                {historytest.Mail{To: []string{a}, Outcome: "deferred", More: historytest.M{"mail": busy, "dot": historytest.M{}}}, "mail", "system_error", "mail"},
		"reset before all of it": {historytest.Mail{To: []string{a}, Outcome: "reset", More: historytest.M{"dot": historytest.M{}, "data": historytest.M{}}}, "", "", "rcpt"},
	} {
		got := attempt(of.mail)
		if got.Reply.Phase != of.phase || got.Reply.Class != of.class || got.Slowest != of.slowest {
			t.Errorf("%s: %+v, slowest %s", name, got.Reply, got.Slowest)
		}
	}
}

// All that was refused in a line is told, that which decided first, and each once.
func TestAllRefusalsOfALineAreTold(t *testing.T) {
	f := historytest.NewFeed("gw1", historytest.Noon)
	to := []string{"a@x.example", "b@x.example", "c@x.example", "d@x.example"}
	l := f.Attempt(historytest.Mail{At: historytest.Noon, To: to, Refused: map[string]historytest.M{to[0]: unknown, to[1]: busy, to[2]: busy, to[3]: unknown}})
	all := history.Refusals(l.Entry)
	if len(all) != 2 || all[0].Class != "system_error" || all[0].Times != 2 || all[1].Times != 2 || all[0].Shape == "" {
		t.Errorf("%+v", all)
	}
}

func TestTheStateOfAMailIsThatOfItsRecipients(t *testing.T) {
	a, b := "a@x.example", "b@x.example"
	mail := func(m historytest.Mail) history.Attempt { return attempt(m) }
	silent := historytest.M{"code": 0, "local": true, "text": ""}
	now := historytest.Noon.Add(time.Hour)
	for name, of := range map[string]struct {
		want     history.MailState
		attempts []history.Attempt
	}{
		"delivered":               {history.Delivered, []history.Attempt{mail(historytest.Mail{To: []string{a, b}})}},
		"waits":                   {history.Waits, []history.Attempt{mail(historytest.Mail{To: []string{a}, Dot: busy})}},
		"came at last":            {history.Delivered, []history.Attempt{mail(historytest.Mail{To: []string{a}, Dot: busy}), mail(historytest.Mail{To: []string{a}})}},
		"refused":                 {history.Refused, []history.Attempt{mail(historytest.Mail{To: []string{a}, Dot: unknown})}},
		"waits, and refused":      {history.Waits, []history.Attempt{mail(historytest.Mail{To: []string{a, b}, Refused: map[string]historytest.M{a: unknown, b: busy}})}},
		"one has it":              {history.Partly, []history.Attempt{mail(historytest.Mail{To: []string{a, b}, Refused: map[string]historytest.M{b: busy}})}},
		"the other one, too":      {history.Delivered, []history.Attempt{mail(historytest.Mail{To: []string{a, b}, Refused: map[string]historytest.M{b: busy}}), mail(historytest.Mail{To: []string{b}})}},
		"spelt in another way":    {history.Delivered, []history.Attempt{mail(historytest.Mail{To: []string{"A@X.example"}, Dot: busy}), mail(historytest.Mail{To: []string{a}})}},
		"nobody answered":         {history.Unclear, []history.Attempt{mail(historytest.Mail{To: []string{a}, Dot: silent})}},
		"had it, and came again":  {history.Delivered, []history.Attempt{mail(historytest.Mail{To: []string{a}}), mail(historytest.Mail{To: []string{a}, Dot: busy})}},
		"more than are on record": {history.Waits, []history.Attempt{mail(historytest.Mail{To: []string{a}, Dot: busy, More: historytest.M{"more_recipients": 7}})}},
		"nobody was named":        {history.Refused, []history.Attempt{mail(historytest.Mail{Outcome: "refused"})}},
	} {
		if got := history.StateOf(of.attempts, now); got != of.want {
			t.Errorf("%s: %s, want %s", name, got, of.want)
		}
	}
	old := []history.Attempt{mail(historytest.Mail{To: []string{a}, Dot: busy})}
	if got := history.StateOf(old, historytest.Noon.Add(history.Keeps+time.Second)); got != history.GivenUp {
		t.Errorf("behind five days: %s", got)
	}
}

// What the opening of a connection took is told of the connection, and what a mail took of the mail.
func TestTimesAreOfWhatTheyWereTakenBy(t *testing.T) {
	f := historytest.NewFeed("gw1", historytest.Noon)
	l := f.Line("session", historytest.Noon, historytest.M{
		"sending_ip": "203.0.113.11", "provider": "last", "phases": historytest.M{"dial_ms": 7},
		"legs": []historytest.M{{"leg": 1, "sending_ip": "203.0.113.12", "provider": "first", "phases": historytest.M{"dial_ms": 120.0}}},
	})
	all := history.Took(l.Entry)
	if len(all) != 1 || all[0].Phase != "dial" || all[0].For != 120*time.Millisecond || all[0].Provider != "first" || all[0].SendingIP.String() != "203.0.113.12" {
		t.Errorf("%+v", all)
	}
	local := event.EntryReply{Code: 451, Local: true, Took: 60_000}
	if got := history.Took(&event.Entry{Type: "transaction", Dot: local}); len(got) != 0 {
		t.Errorf("what kanmon itself said took the MX no time: %+v", got)
	}
}
