package classify

import "testing"

// A refusal of a message, a sender or a recipient that names a list beside it is none of our IP; one that says we are listed stays one.
//
// law: I20
func TestListNamedBesideTheCause(t *testing.T) {
	rules := builtinOf(t)
	for _, text := range []string{
		"554 5.7.1 Message rejected due to content; see https://www.spamhaus.org/query/ip/203.0.113.10",
		"550 High score: spam; RBL=zen.spamhaus.org 203.0.113.10",
		"554 Message refused. Spam score 12.1. bl.spamcop.net 203.0.113.10",
		"550 5.7.1 Virus found in message, bl.spamcop.net",
		"550 permanent failure for one or more recipients (bob@example.net:blocked) https://www.spamhaus.org/query/ip/203.0.113.10",
	} {
		if v := rules.Classify(Query{Text: text, SendingIP: ours}); v.Suspend == Yes {
			t.Errorf("%q: suspend yes, class %s by rule %q", text, v.Class, v.Rule)
		}
	}
	for _, text := range []string{
		"550 Mail from IP 203.0.113.10 rejected using zen.spamhaus.org",
		"554 5.7.1 Service unavailable; Client host [203.0.113.10] blocked using zen.spamhaus.org",
		"550 5.7.1 Message rejected: 203.0.113.10 is listed, see https://www.spamhaus.org/query/ip/203.0.113.10",
		"550 5.7.1 <k.sato@example.net>: Recipient address rejected: client out10.example.jp[203.0.113.10] is on psbl.surriel.com",
		"550 Your mail was not taken (203.0.113.10), blocked by SPAMHAUS",
	} {
		if v := rules.Classify(Query{Text: text, SendingIP: ours}); v.Suspend != Yes {
			t.Errorf("%q: suspend %s, class %s by rule %q", text, v.Suspend, v.Class, v.Rule)
		}
	}
}
