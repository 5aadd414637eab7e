package outlet

import (
	"net/netip"
	"testing"

	"kanmon/internal/outlet/warm"
)

// BenchmarkMailOfASession is what a session asks for one of its mails, where no sending IP warms up, where another one does, and where its own does.
func BenchmarkMailOfASession(b *testing.B) {
	plan := &warm.Plan{Steps: []warm.Step{{Share: 1, Provider: 1 << 30, Others: 1 << 30}}}
	for _, c := range []struct {
		name    string
		warming []netip.Addr
	}{
		{"none warms up", nil},
		{"another one warms up", []netip.Addr{netip.MustParseAddr("203.0.113.11")}},
		{"its own warms up", []netip.Addr{new1}},
	} {
		b.Run(c.name, func(b *testing.B) {
			r := newRamp(b, poolOf(4), plan, c.warming...)
			l := r.write(r.ownSender(0), "r@x.example", mailbox1)
			if l.ip != new1 {
				b.Fatal(l.ip)
			}
			w, rcpt := r.wayOf(l.req), l.req.DialRequest
			mail := rcpt
			mail.Recipient = ""
			b.ReportAllocs()
			for b.Loop() {
				w.MayStay(mail, l.ip)
				w.MayStay(rcpt, l.ip)
				w.Accepted(l.ip)
			}
		})
	}
}
