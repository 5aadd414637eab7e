package classify

import (
	"strings"
	"testing"
)

// What a reply costs. "hostile" is as long as a session keeps a reply, and full of what rules look for.
func BenchmarkClassify(b *testing.B) {
	for name, text := range map[string]string{
		"unknown user": "550 5.1.1 <nobody@example.net>: Recipient address rejected: User unknown in virtual mailbox table",
		"listed":       "554 5.7.1 Service unavailable; Client host [203.0.113.10] blocked using zen.spamhaus.org; https://www.spamhaus.org/query/ip/203.0.113.10",
		"several lines": "421-4.7.28 [203.0.113.10 15] Gmail has detected an unusual rate of unsolicited\n421-4.7.28 mail originating from your IP address. " +
			"To protect our users from spam,\n421-4.7.28 mail has been temporarily rate limited.",
		"hostile":      "550 " + strings.Repeat("your ip is listed, blocked using zen.spamhaus.org 203.0.113.11 ", 1<<10),
		"hostile name": "550 " + strings.Repeat("1.2.3.4:5:a@b/c.d.", 1<<12),
	} {
		b.Run(name, func(b *testing.B) {
			rules := builtinOf(b)
			b.ReportAllocs()
			for b.Loop() {
				rules.Classify(Query{Text: text, SendingIP: ours})
			}
		})
	}
}

func BenchmarkCompile(b *testing.B) {
	for b.Loop() {
		if _, err := compile(nil); err != nil {
			b.Fatal(err)
		}
	}
}
