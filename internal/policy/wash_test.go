package policy

import (
	"net/netip"
	"slices"
	"testing"

	"kanmon/internal/witness"
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
