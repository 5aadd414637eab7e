package classify

import (
	"encoding/base64"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"
)

// What a tenant can choose, made of what listings consist of. The MX repeats it in refusals that are about something else.

var listingPhrases = []string{
	"203.0.113.10 listed at zen.spamhaus.org", "Client host [203.0.113.10] blocked using zen.spamhaus.org", "blocked using zen.spamhaus.org",
	"your IP is blacklisted", "IP 203.0.113.10 has a poor reputation", "listed in our block list", "client host blocked by bl.spamcop.net",
	"203.0.113.10 is on the Barracuda RBL", "your network is on our block list S3140", "banned sending IP", "spamhaus SBL listed",
	"sending IP refused for its bad reputation", "203.0.113.11 listed", "mail from your IP is blocked", "connection refused, IP banned",
	"IP auf der schwarzen Liste", "adresse IP source bloquee", "too many messages from 203.0.113.10", "your host is blacklisted by cbl.abuseat.org",
	"host 2001:db8::10 listed by Spamhaus CSS", "dynamic IP address range rejected", "TSS07 BL21 listed", "listed by dnsbl", "5.7.606 banned IP",
	"您的 IP 203.0.113.10 在黑名单中", "Ihre IP-Adresse ist gesperrt", "votre serveur est sur liste noire", "your subnet is banned",
}

// phrases are those and what subjects, verbs and lists make.
func phrases() []string {
	out := listingPhrases
	for _, subject := range []string{"", "client host ", "your IP ", "203.0.113.10 ", "host 203.0.113.11 "} {
		for _, verb := range []string{"is listed at ", "blocked using ", "blacklisted by ", "found in ", "in the block list "} {
			for _, list := range []string{"zen.spamhaus.org", "bl.spamcop.net", "the Barracuda RBL", "our block list"} {
				out = append(out, subject+verb+list)
			}
		}
	}
	return out
}

// said is one choice of what the session says, and what of it is repeated.
type said struct {
	query Query
	echo  string
}

func choices() []said {
	var out []said
	for i, phrase := range phrases() {
		name := strings.ToLower(strings.Trim(strings.NewReplacer(" ", "-", "[", "", "]", "", ",", "", ":", "-").Replace(phrase), "-"))
		for _, domain := range []string{"acme.example", "listed.zen.spamhaus.org.acme.example", "10.113.0.203.zen.spamhaus.org"} {
			quoted := `"` + phrase + `"@` + domain
			dotted := strings.ReplaceAll(name, "-", ".") + "@" + domain
			out = append(out, said{Query{Sender: quoted}, quoted}, said{Query{Sender: dotted}, dotted},
				said{Query{Recipient: quoted, Sender: "a@acme.example"}, quoted}, said{Query{Recipient: dotted}, dotted},
				said{Query{Sender: quoted}, domain})
		}
		ehlo := name + ".acme.example"
		out = append(out, said{Query{EHLO: []string{ehlo, "out10.example.jp"}}, ehlo}, said{Query{EHLO: []string{name, "out10.example.jp"}}, name})
		out = append(out, said{Query{Subject: phrase}, phrase})
		encoded := "=?utf-8?B?" + base64.StdEncoding.EncodeToString([]byte(phrase)) + "?="
		out = append(out, said{Query{Subject: encoded}, phrase}, said{Query{Subject: encoded}, encoded})
		if i%2 == 0 {
			out = append(out, said{Query{EHLO: []string{"[203.0.113.10]"}}, "[203.0.113.10]"}, said{Query{EHLO: []string{"[203.0.113.11]"}}, "[203.0.113.11]"})
		}
	}
	return out
}

// repetitions are the forms in which an MX writes what it was told.
func repetitions(echo string) []string {
	local, domain, address := strings.Cut(echo, "@")
	unquoted := strings.Trim(local, `"`)
	out := []string{"<" + echo + ">", `"` + echo + `"`, echo, "<" + strings.ToUpper(echo) + ">", "(" + echo + ")", fold(echo)}
	if address {
		out = append(out, "<"+unquoted+"@"+domain+">", unquoted+"@"+domain, "<"+local+">", unquoted, url.QueryEscape(echo), strings.ReplaceAll(url.PathEscape(echo), "@", "%40"),
			strings.NewReplacer(" ", "+20", "@", "+40", `"`, "+22").Replace(echo), `"`+strings.ReplaceAll(unquoted, " ", `\ `)+`"@`+domain)
	}
	if len(unquoted) > 24 {
		out = append(out, "<"+unquoted[:24]+"...>")
	}
	return out
}

// fold breaks a text over two lines of a reply.
func fold(echo string) string {
	if i := strings.LastIndexByte(echo, ' '); i > 0 {
		return echo[:i] + "\n550 5.7.1 " + echo[i+1:]
	}
	return echo
}

var ordinary = []string{
	"550 5.1.8 %s: sender address rejected", "550 5.1.1 %s: Recipient address rejected: User unknown in virtual mailbox table",
	"553 5.7.1 %s is not allowed here", "504 5.5.2 %s: Helo command rejected: need fully-qualified hostname", "550 5.7.1 message with subject %s looks like spam",
	"451 4.7.1 greylisted: %s from 203.0.113.10", "552 5.2.2 %s mailbox full", "550-Verification failed for %s\n550 Sender verify failed",
	"450 4.1.8 %s: Sender address rejected: Domain not found [203.0.113.10]", "554 5.7.1 client out10.example.jp[203.0.113.10]: %s: message refused by policy",
	"550 5.7.1 HELO %s rejected, client 203.0.113.10",
}

// law: I20
func TestEchoIsNoEvidence(t *testing.T) {
	rules, texts, saids := builtinOf(t), 0, map[string]bool{}
	believed := 0
	for i, c := range choices() {
		saids[fmt.Sprint(c.query)] = true
		for j, echo := range repetitions(c.echo) {
			for k := range 3 {
				q := c.query
				q.Text, q.SendingIP = fmt.Sprintf(ordinary[(i+5*j+3*k)%len(ordinary)], echo), ours
				texts++
				if rules.Classify(Query{Text: q.Text, SendingIP: ours}).Suspend != No {
					believed++
				}
				if v := rules.Classify(q); v.Suspend != No || v.Only {
					t.Errorf("%q\nsaid %q %q %q %q: %s, suspend %s, only %t by rule %q", q.Text, q.Sender, q.Recipient, q.EHLO, q.Subject, v.Class, v.Suspend, v.Only, v.Rule)
				}
			}
		}
	}
	t.Logf("%d addresses, names and subjects, %d texts, %d of them believed by who does not know what was said", len(saids), texts, believed)
	if len(saids) < 2000 || believed < texts/20 {
		t.Error("the texts do not put it to the test")
	}
}

// What a tenant calls himself hides nothing that an MX says of his mail.
// law: I20
func TestEchoIsNoAlibi(t *testing.T) {
	rules := builtinOf(t)
	for name, c := range map[string]struct {
		query Query
		want  Class
	}{
		"recipient":        {Query{Text: "550 5.1.1 <x@example.net>: User unknown", Sender: `"user unknown"@acme.example`}, RecipientInvalid},
		"recipient, short": {Query{Text: "550 user unknown", Sender: "unknown@acme.example", Recipient: "user@example.net"}, RecipientInvalid},
		"EHLO":             {Query{Text: "550 User unknown", EHLO: []string{"user.unknown"}}, RecipientInvalid},
		"subject":          {Query{Text: "554 5.7.1 Message rejected as spam by content filter", Subject: "Message rejected as spam by content filter"}, ContentRejected},
		"a word":           {Query{Text: "554 5.7.1 Spam rejected", Sender: "spam@acme.example", EHLO: []string{"spam"}}, ContentRejected},
		"our IP is listed": {Query{Text: "554 Client host [203.0.113.10] blocked using zen.spamhaus.org", SendingIP: ours, Sender: "blocked@acme.example", Recipient: "host@using.example"}, IPBlocklisted},
		"EHLO is our IP":   {Query{Text: "554 Client host [203.0.113.10] blocked using zen.spamhaus.org", SendingIP: ours, EHLO: []string{"[203.0.113.10]"}}, IPBlocklisted},
		"IPs as names":     {Query{Text: "550 203.0.113.10 is listed at zen.spamhaus.org", SendingIP: ours, Sender: "203.0.113.10@acme.example"}, IPBlocklisted},
	} {
		if v := rules.Classify(c.query); v.Class != c.want {
			t.Errorf("%s: %s by rule %q, want %s", name, v.Class, v.Rule, c.want)
		}
	}
}

// Whatever was said, a reply that repeats none of it means what it means.
func TestWhatWasSaidChangesNothingElse(t *testing.T) {
	rules := builtinOf(t)
	for _, text := range []string{
		"554 5.7.1 Client host [203.0.113.10] blocked using zen.spamhaus.org; https://www.spamhaus.org/query/ip/203.0.113.10",
		"550 5.1.1 <info@example.net>: Recipient address rejected: User unknown", "550 5.7.1 Message rejected as spam", "452 4.2.2 mailbox full",
	} {
		plain := rules.Classify(Query{Text: text, SendingIP: ours})
		v := rules.Classify(Query{
			Text: text, SendingIP: ours, Sender: "mail@acme.example", Recipient: "info@example.net", EHLO: []string{"mail.acme.example", "out10.example.jp"},
			Subject: "Hello from the mail team",
		})
		if v.Class != plain.Class || v.Suspend != plain.Suspend || v.Only != plain.Only {
			t.Errorf("%q: %s %s, said nothing: %s %s", text, v.Class, v.Suspend, plain.Class, plain.Suspend)
		}
	}
}

// The time that blanking takes grows with the reply and what was said, whatever they are.
func TestEchoIsBounded(t *testing.T) {
	hostile := strings.Repeat("a a a a a a a a a a a a b ", 200)
	q := Query{
		Text: "550 " + hostile, Sender: `"` + hostile[:60] + `"@acme.example`, Recipient: hostile[:200] + "@acme.example", EHLO: []string{hostile[:200]},
		Subject: hostile, SendingIP: netip.MustParseAddr("203.0.113.10"),
	}
	rules := builtinOf(t)
	fastest := time.Duration(1 << 60)
	for range 20 {
		begun := time.Now()
		rules.Classify(q)
		fastest = min(fastest, time.Since(begun))
	}
	if fastest > 20*time.Millisecond {
		t.Errorf("%s", fastest)
	}
	t.Log(fastest)
}
