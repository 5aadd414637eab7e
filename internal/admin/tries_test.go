package admin

import (
	"net/netip"
	"strings"
	"testing"
)

// An order for a try arrives as it was given, in the name of who gave it, and says what it wants.
func TestTry(t *testing.T) {
	path, _ := serve(t, &fakeIPs{}, nil)
	c := NewClient(path)
	got, err := c.Try(t.Context(), TryOrder{MX: netip.MustParseAddr("::ffff:192.0.2.25"), Sender: "a@example.com", Recipient: "b@example.net"})
	if err != nil || got.MX != netip.MustParseAddr("192.0.2.25") || got.Sender != "a@example.com" || got.Recipient != "b@example.net" || got.By == "" || got.Over {
		t.Errorf("%v: %+v", err, got)
	}
	if got, err = c.Tried(t.Context(), "t1"); err != nil || !got.Over || got.Dialogues[0].Steps[0].Code != 550 {
		t.Errorf("%v: %+v", err, got)
	}
	if _, err = c.Tried(t.Context(), "t2"); err == nil || !strings.Contains(err.Error(), "no such try") {
		t.Errorf("another one: %v", err)
	}
	for _, o := range []TryOrder{
		{}, {MX: ip, Domain: "example.net"}, {MX: ip, Recipient: "b@example.net"}, {MX: ip, Reason: strings.Repeat("x", maxReason+1)}, {MX: ip, Reason: "a\nb"},
	} {
		if got, err := c.Try(t.Context(), o); err == nil {
			t.Errorf("%+v: %+v", o, got)
		}
	}
}

// A session is ended with a reason, in the name of who gave it.
func TestEndSession(t *testing.T) {
	path, _ := serve(t, &fakeIPs{}, nil)
	c := NewClient(path)
	got, err := c.EndSession(t.Context(), "64d9a07b2e1c8f35", "it hangs")
	if err != nil || !strings.HasPrefix(got.Came, "waits, it hangs, ") || strings.HasSuffix(got.Came, ", ") {
		t.Errorf("%v: %+v", err, got)
	}
	for _, reason := range []string{"", " ", "a\nb", strings.Repeat("x", maxReason+1)} {
		if got, err := c.EndSession(t.Context(), "64d9a07b2e1c8f35", reason); err == nil {
			t.Errorf("because %q: %+v", reason, got)
		}
	}
	if _, err := c.EndSession(t.Context(), "64d9a07b2e1c8f36", "x"); err == nil || err.Error() != "it does not run" {
		t.Errorf("another one: %v", err)
	}
}
