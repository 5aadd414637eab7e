package classify

import (
	"fmt"
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

// What a refusal costs that may repeat any of fifty mailboxes of its group, however much there is to look at.
func BenchmarkRefusal(b *testing.B) {
	signs := strings.Repeat("用户不存在或信箱已满请稍后再试", 1+2048/45)[:2040]
	said := func(form string) (said []string) {
		for i := range 50 {
			said = append(said, fmt.Sprintf(form, 0x4e00+i, 0x5e00+i*71))
		}
		return said
	}
	chinese, names := said("%c%c用户信箱@evil.example"), said("r@d%d%d.evil.example")
	for name, q := range map[string]Query{
		"unknown user":       {Text: "550 5.1.1 <r7@evil.example>: Recipient address rejected: User unknown", Said: names},
		"chinese":            {Text: "550 " + signs, Said: chinese},
		"chinese, quoted":    {Text: "550 " + strings.ReplaceAll(signs, "户", "@"), Said: chinese},
		"chinese, blames":    {Text: "550 your IP is blocked " + signs, Said: chinese},
		"korean":             {Text: "550 " + strings.Repeat("각힣", 340), Said: said("각%c%c@evil.example")},
		"a ligature":         {Text: "550 " + strings.Repeat("\ufdfa", 680), Said: names},
		"domains":            {Text: "550 5.7.1 Access denied, your IP address was refused", Said: names},
		"long names, blames": {Text: "550 your IP is blocked " + strings.Repeat("a1 b2 c3 d4 e5 f6 g7 h8 ", 80), Said: said("%d%d" + strings.Repeat(".a1.b2.c3.d4.e5.f6.g8", 48) + "@evil.example")},
	} {
		b.Run(name, func(b *testing.B) {
			rules := builtinOf(b)
			q.SendingIP, q.Sender, q.Recipient, q.EHLO = ours, "news@evil.example", q.Said[49], []string{"msa.evil.example", "out10.example.jp"}
			b.ReportAllocs()
			for b.Loop() {
				rules.Classify(q)
			}
		})
	}
}

// A refusal that blames our IP is compared with the message, as much of it as is kept.
func BenchmarkWithoutRepeated(b *testing.B) {
	var message []byte
	for i := 0; len(message) < 256<<10; i++ {
		message = fmt.Appendf(message, "word%d and another%d ", i, i*7)
	}
	b.ReportAllocs()
	for b.Loop() {
		WithoutRepeated("550 5.7.1 Service unavailable; client host [203.0.113.10] blocked using zen.spamhaus.org", message)
	}
}

func BenchmarkCompile(b *testing.B) {
	for b.Loop() {
		if _, err := compile(nil); err != nil {
			b.Fatal(err)
		}
	}
}
