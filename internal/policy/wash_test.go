package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/policy/contain"
	"kanmon/internal/who/witness"
)

var (
	google = netip.MustParseAddrPort("192.0.2.1:25")
	docomo = netip.MustParseAddrPort("192.0.2.2:25")
	hisOwn = netip.MustParseAddrPort("198.51.100.1:25")
)

// besides has two providers, and an MX that anybody can have.
func besides(s Settings) Settings {
	s.Provider = func(mx netip.Addr) string {
		switch mx {
		case google.Addr():
			return "google"
		case docomo.Addr():
			return "docomo"
		}
		return witness.Strange + mx.String()
	}
	return s
}

// A recipient who is named again and again in one mail is one case, accepted or refused.
func TestARecipientCountsOnceInAMail(t *testing.T) {
	r := newRig(t, besides(settingsWith()), nil)
	v, _ := r.enter("10.0.1.1", hisOwn)
	defer v.Close()
	const eve = "eve@acme.example"
	many := slices.Repeat([]string{"me@own.example", "dead@own.example"}, 450)
	for i := range 2 {
		v.send(eve, many, map[string]string{"dead@own.example": "recipient_invalid"})
		if day := r.Explain(ofAcme(eve)).Day; day.Answered != 2*(i+1) || day.Unknown != i+1 || day.Tried != 900*(i+1) {
			t.Errorf("mail %d: %+v", i+1, day)
		}
	}
}

// Who verifies an address is told about the address. Where the MX speaks of the mail, it was no callout.
func TestSpamRefusedAtRecipientIsNoCallout(t *testing.T) {
	r := newRig(t, enforcing(besides(settingsWith())), nil)
	for i := range 260 {
		v, _ := r.enter("10.0.1.1", []netip.AddrPort{google, docomo}[i%2])
		v.send("", []string{fmt.Sprintf("v%d@example.net", i)}, map[string]string{fmt.Sprintf("v%d@example.net", i): "content_rejected"})
		v.Close()
		r.Pass(time.Second)
	}
	x := r.Explain(ofAcme(contain.NullSender))
	if asked, _ := r.Callouts("acme"); x.Level == contain.Normal || asked != 0 {
		t.Errorf("%v, %d callouts: %+v", x.Level, asked, x.Day)
	}
}

// What one receiver has put off is not another's to try again: a provider's no counts, whatever the sender's own MX has said before. At the
// provider that has put it off it is the same mail.
func TestAProvidersNoIsNotLaundered(t *testing.T) {
	for name, c := range map[string]struct {
		first netip.AddrPort
		want  int
	}{"his own MX first": {hisOwn, 2}, "the provider itself first": {google, 1}} {
		for _, step := range []event.Step{event.StepRecipient, event.StepMessage} {
			r := newRig(t, besides(settingsWith()), nil)
			const eve, mails = "eve@acme.example", 10
			say := func(mx netip.AddrPort, to, class string) {
				v, _ := r.enter("10.0.1.1", mx)
				defer v.Close()
				whose := to
				if step == event.StepMessage {
					whose = "" // the dot's
				}
				v.send(eve, []string{to}, map[string]string{whose: class})
				r.Pass(time.Second)
			}
			for i := range mails {
				to := fmt.Sprintf("v%d@gmail.example", i)
				say(c.first, to, "now content_rejected")
				say(google, to, "content_rejected")
			}
			if day := r.Explain(ofAcme(eve)).Day; day.Content != mails*c.want {
				t.Errorf("%s, %v: %d refusals counted, want %d", name, step, day.Content, mails*c.want)
			}
		}
	}
}
