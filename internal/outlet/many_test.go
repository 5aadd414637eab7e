package outlet

import (
	"fmt"
	"strings"
	"testing"

	"kanmon/internal/event"
)

// BenchmarkJudge is what a refusal costs beside the session: what its words mean, what the standing makes of it, and what is learnt of where
// the mail went. Each is of another recipient, in a group of fifty.
func BenchmarkJudge(b *testing.B) {
	for name, c := range map[string]struct{ recipient, text string }{
		"unknown users":            {"r%d@evil.example", "550 5.1.1 <r1@evil.example>: User unknown"},
		"our IP, at each domain":   {"r@d%d.evil.example", "550 5.7.1 Access denied, your IP address was refused"},
		"listed, at each domain":   {"r@d%d.evil.example", "550 5.7.1 Service unavailable; client host [203.0.113.10] blocked using zen.spamhaus.org"},
		"greylisted, each domain":  {"r@d%d.evil.example", "450 4.2.0 Greylisted, try again later"},
		"signs, to each recipient": {"户%d@evil.example", "550 " + strings.Repeat("用户不存在或信箱已满", 70)},
	} {
		b.Run(name, func(b *testing.B) {
			s := newSite(b, poolOf(4))
			m := mailOf{source: "10.20.1.5", sender: "news@evil.example", recipient: "r@evil.example", mx: mxAddr.String()}
			ip := s.send(m)
			r := refusedTo(m.source, ip, mxAddr, m.sender, m.recipient, c.text)
			r.Code = int(c.text[0]-'0')*100 + 50
			for i := range 50 {
				r.Said = append(r.Said, fmt.Sprintf(c.recipient, i))
			}
			r.EHLO = [2]string{"msa.evil.example", "out10.example.jp"}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				r.Recipient, r.Session = fmt.Appendf(nil, c.recipient, i), event.ID(i)
				s.Judge(r)
			}
		})
	}
}
