package outlet

import (
	"net/netip"
	"testing"

	"kanmon/internal/outlet/provider"
	"kanmon/internal/outlet/shape"
	"kanmon/internal/session"
	"kanmon/internal/smtp/smtptest"
)

// mailTo gives what a session asks its way for one of its mails to a provider of which kanmon knows limits.
func mailTo(t testing.TB, mode shape.Mode, host, recipient string) (mail func()) {
	t.Helper()
	o, state, end := poolOf(4).begin(t, part{dns: &smtptest.DNS{}})
	t.Cleanup(func() {
		for _, err := range end() {
			if err != nil {
				t.Error(err)
			}
		}
	})
	o.dialer, o.shaping = plainDialer{}, shapingOf(t, mode).begin(state.rooms)
	state.learnt.addresses.Put(mxAddr.Addr(), provider.MX{Host: host})
	w := o.enter(originOf(request{Session: 1, Source: msa, Destination: mxAddr}))
	rcpt := session.DialRequest{Sender: "a@b.example", SenderKnown: true, Recipient: recipient}
	first := rcpt
	first.Recipient = ""
	out, err := w.Dial(t.Context(), first)
	if err != nil {
		t.Fatal(err)
	}
	if known := w.lane != nil; known != (mode != shape.Off) {
		t.Fatalf("mode %s: counted %v", mode, known)
	}
	mails := 0
	return func() {
		w.MayStay(first, out.SendingIP)
		w.MayStay(rcpt, out.SendingIP)
		w.MayAdd(out.SendingIP)
		if mails++; mails%40 == 0 && w.lane != nil { // before it has carried what one may
			w.lane.Again(false)
		}
		w.Accepted(netip.Addr{})
	}
}

func TestAMailThatIsCountedAllocatesNothing(t *testing.T) {
	for _, mode := range []shape.Mode{shape.Off, shape.Observe, shape.On} {
		if n := testing.AllocsPerRun(100, mailTo(t, mode, "smtp-in.orange.fr", "x@orange.fr")); n != 0 {
			t.Errorf("mode %s: %v allocations, want 0", mode, n)
		}
	}
}

// BenchmarkShapedMail is what a session asks for one of its mails.
func BenchmarkShapedMail(b *testing.B) {
	for _, mode := range []shape.Mode{shape.Off, shape.Observe, shape.On} {
		for host, recipient := range map[string]string{"smtp-in.orange.fr": "x@orange.fr", "mfsmax.docomo.ne.jp": "x@docomo.ne.jp"} {
			b.Run(mode.String()+" "+recipient, func(b *testing.B) {
				mail := mailTo(b, mode, host, recipient)
				b.ReportAllocs()
				for b.Loop() {
					mail()
				}
			})
		}
	}
}
