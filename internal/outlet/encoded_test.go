package outlet

import (
	"encoding/base64"
	"testing"

	"kanmon/internal/event"
	"kanmon/internal/outlet/classify"
	"kanmon/internal/session"
)

// A refusal at the dot that quotes what the body says in base64 is no evidence against our IP.
//
// law: I20
func TestWhatTheBodySaysEncodedIsNoEvidence(t *testing.T) {
	o := newOutlet(t, threeIPs)
	const said = "Your host is listed at zen.spamhaus.org and blocked"
	refusal := func(body string) *session.MXRefusal {
		r := listed(1, first, "b@example.net").MXRefusal
		r.Phase, r.Text = event.PhaseDot, []byte("554 5.7.1 "+said)
		r.Message = func() []byte { return []byte("Subject: x\r\n\r\n" + body + "\r\n") }
		return &r
	}
	if v := o.readReply(refusal("hello"), ""); v.Suspend == classify.No {
		t.Fatalf("the test shows nothing: %+v", v)
	}
	if v := o.readReply(refusal(base64.StdEncoding.EncodeToString([]byte(said))), ""); v.Suspend != classify.No {
		t.Errorf("%+v", v)
	}
}
