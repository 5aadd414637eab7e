package outlet

import (
	"context"
	"net/netip"
	"syscall"
	"testing"

	"kanmon/internal/outlet/provider"
	"kanmon/internal/outlet/route"
	"kanmon/internal/session"
)

// hangingDialer looks, while it dials, at what who waits has been told.
type hangingDialer struct {
	leaving *session.Leaving
	told    []string
}

func (h *hangingDialer) DialFrom(_ context.Context, from netip.Addr, _ netip.AddrPort) (session.Outbound, error) {
	ip, way := h.leaving.Whence()
	h.told = append(h.told, ip.String()+" of "+way.Pool)
	err := error(syscall.ECONNREFUSED)
	if len(h.told) == 1 {
		err = session.ErrNotOnHost // so another one is dialled
	}
	return session.Outbound{SendingIP: from}, err
}

// Who waits for a dial is told whence it leaves and to whose MX before it may hang: of each sending IP that is dialled.
func TestDialTellsWhenceItLeaves(t *testing.T) {
	o := newOutlet(t, twoIPs)
	h := &hangingDialer{leaving: new(session.Leaving)}
	o.dialer = h
	req := request{Source: msa, Destination: mxAddr}
	chosen, err := o.router.Choose(o.query(req))
	if err != nil {
		t.Fatal(err)
	}
	ips := chosen.IPs()
	req.Leaving = h.leaving
	out, _ := o.wayOf(req).Dial(t.Context(), req.DialRequest)
	want := []string{ips[0].Address.String(), ips[1].Address.String()}
	for i := range want {
		if want[i] += " of " + chosen.Pool; len(h.told) != 2 || h.told[i] != want[i] {
			t.Fatalf("told %q, want %q first", h.told, want)
		}
	}
	if _, way := h.leaving.Whence(); out.Way != way {
		t.Error("what is told in the end is something else")
	}
}

// A route by provider may go by the recipient's domain. Whose the MX is that says nothing of: any host can be given
// mail for any domain, and what a connection to it takes would speak of the provider's.
func TestTheWayNamesTheProviderOfTheMXAlone(t *testing.T) {
	o := newOutlet(t, twoIPs.pool("default", "203.0.113.10").pool("other", "203.0.113.11").route(route.Route{Providers: []string{"google"}, Pool: "other"}, nil))
	o.dialer = plainDialer{}
	o.learnt.mxs.Put("gmail.com", provider.MX{Host: "aspmx.l.google.com", Domain: "google.com"})
	req := request{Source: msa, Destination: mxAddr, DialRequest: session.DialRequest{Sender: "a@b.example", SenderKnown: true, Recipient: "c@gmail.com"}}
	out, err := o.Dial(t.Context(), req)
	if err != nil || out.Way.Pool != "other" || out.Way.Provider != "" {
		t.Errorf("%+v, %v", out.Way, err)
	}
	o.learnt.addresses.Put(mxAddr.Addr(), provider.MX{Host: "aspmx.l.google.com", Domain: "google.com"})
	if out, err = o.Dial(t.Context(), req); err != nil || out.Way.Provider != "google" {
		t.Errorf("where it is known: %+v, %v", out.Way, err)
	}
}
