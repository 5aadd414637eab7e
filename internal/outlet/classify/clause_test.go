package classify

import (
	"strings"
	"testing"
)

// A host that is not ours is somebody else, where kanmon knows what ours are called; an MX may put its own name in front of what it says.
//
// law: I20
func TestAnothersHostIsNotOurs(t *testing.T) {
	rules := builtinOf(t)
	q := Query{SendingIP: ours, EHLO: []string{"msa.acme.example", "out10.example.jp"}, Sender: "a@acme.example"}
	for text, want := range map[string]Suspend{
		"550 5.7.1 rejected, smtp.stranger.example is listed in zen.spamhaus.org (peer 203.0.113.10)":              No,
		"550 5.7.1 mail.other.example was found in bl.mailspike.net (connecting: 203.0.113.10)":                    No,
		"550 5.7.1 mta7.stranger.example, which is on zen.spamhaus.org, has sent it; connection from 203.0.113.10": No,
		"550 5.7.1 web3.shop.example listed at b.barracudacentral.org":                                             May, // it may be what our IP is called
		"550 5.7.1 relay1.upstream.example that is on SpamCop":                                                     May,
		"550 5.7.1 out10.example.jp is listed at zen.spamhaus.org":                                                 Yes,
		"550 5.7.1 Host out10.example.jp [203.0.113.10] is listed at zen.spamhaus.org":                             Yes,
		"554 mx7.receiver.example Your IP is listed at bl.spamcop.net":                                             Yes,
		"554 5.7.1 mx7.receiver.example: your host 203.0.113.10 is listed in zen.spamhaus.org":                     Yes,
		"550 5.7.1 some.host.example [203.0.113.10] is listed in zen.spamhaus.org":                                 Yes,
		"550-out10.example.jp (out10.example.jp) [203.0.113.10]:40112 is in a black list at\n550 zen.spamhaus.org": Yes,
		"554 5.7.1 Service unavailable; Client host [203.0.113.10] blocked using zen.spamhaus.org":                 Yes,
		"554 5.7.1 203.0.113.10 is listed at rbl.receiver.example":                                                 Yes,
		"550 5.7.1 Host out10.example.jp has a poor reputation":                                                    May,
		"550 5.7.1 Your host out10.example.jp has a poor reputation":                                               May,
		"550 5.7.1 We block mail from out10.example.jp, contact postmaster":                                        May,
		"550 out10.example.jp [203.0.113.10] is not welcome":                                                       May,
		"554 IMTA05 P:RE out10.example.jp 203.0.113.10 refused due to reputation":                                  May,
		"550 5.7.1 acme.example is listed at zen.spamhaus.org":                                                     No,
		"550 5.7.1 msa.acme.example is listed at zen.spamhaus.org":                                                 No,
	} {
		q.Text = text
		if v := rules.Classify(q); v.Suspend != want {
			t.Errorf("%s: %s, suspend %s by rule %q, want %s", strings.ReplaceAll(text, "\n", "|"), v.Class, v.Suspend, v.Rule, want)
		}
	}
}

// A relative clause is about who stands in front of it; a name in brackets behind our address is ours all the same.
//
// law: I20
func TestRelativeClauseIsAboutWhoStandsInFront(t *testing.T) {
	rules := builtinOf(t)
	q := Query{SendingIP: ours, EHLO: []string{"msa.acme.example", "out10.example.jp"}, Sender: "a@acme.example"}
	for text, want := range map[string]Suspend{
		"550 5.7.1 203.0.113.10 relayed mail for web3.shop.example, which is on zen.spamhaus.org":                No,
		"550 5.7.1 203.0.113.10 relayed mail of a host in 198.51.100.0/24, which is on zen.spamhaus.org":         No,
		"550 5.7.1 Rejected: 203.0.113.10 (ptr.isp.example), listed at zen.spamhaus.org":                         Yes,
		"550 5.7.1 Rejected: 203.0.113.10 (ptr.isp.example), which is on zen.spamhaus.org":                       Yes,
		"550 5.7.1 Your host 203.0.113.10, which is on zen.spamhaus.org, may not send":                           Yes,
		"550 5.7.1 Mail from 203.0.113.10, which is listed at zen.spamhaus.org, is refused":                      Yes,
		"550 5.7.1 198.51.100.7 is known for spamming. You, 203.0.113.10, only passed it on":                     No,
		"550 5.7.1 198.51.100.7 is known for spamming. And 203.0.113.10 is blocked for spamming":                 May,
		"550 5.7.1 mx1.receiver.example (198.51.100.1) has seen that your IP 203.0.113.10 has a poor reputation": May,
	} {
		q.Text = text
		if v := rules.Classify(q); v.Suspend != want {
			t.Errorf("%s: %s, suspend %s by rule %q %s, want %s", text, v.Class, v.Suspend, v.Rule, v.Guard, want)
		}
	}
}
