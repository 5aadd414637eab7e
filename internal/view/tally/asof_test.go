package tally

import (
	"net/netip"
	"testing"
	"time"

	"kanmon/internal/event"
)

// What one gateway has told of a sending IP, a tenant or a receiver says nothing of how another one holds it.
func TestEachGatewayStoodByItself(t *testing.T) {
	ip, at := netip.MustParseAddr("203.0.113.10"), func(minute int) time.Time { return noon.Add(time.Duration(minute) * time.Minute) }
	store := &canned{events: []event.Entry{
		{Type: "changed", Gateway: "gw1", At: at(1), SendingIP: ip, Provider: "docomo", State: "suspended"},
		{Type: "changed", Gateway: "gw2", At: at(2), SendingIP: ip, Provider: "docomo", State: "active"},
		{Type: "changed", Gateway: "gw1", At: at(3), Tenant: "acme", State: "stopped"},
		{Type: "changed", Gateway: "gw2", At: at(4), Tenant: "acme", State: "normal"},
		{Type: "finding", Gateway: "gw1", At: at(5), SendingIP: ip, Provider: "docomo", Phase: "dot"},
		{Type: "finding", Gateway: "gw2", At: at(6), SendingIP: ip, Provider: "docomo", Phase: "dot", Action: "cleared"},
		{Type: "heartbeat", Gateway: "gw2", At: at(7), Sessions: 90},
		{Type: "heartbeat", Gateway: "gw1", At: at(8), Sessions: 3},
		{Type: "heartbeat", Gateway: "gw2", At: at(9), Sessions: 4},
	}}
	s, err := StandAt(t.Context(), store, "", at(10))
	if err != nil {
		t.Fatal(err)
	}
	if len(s.IPs) != 1 || s.IPs[0].Gateway != "gw1" || len(s.Senders) != 1 || s.Senders[0].Gateway != "gw1" || len(s.Findings) != 1 {
		t.Errorf("%d sending IPs, %d senders, %d findings, want one each, of gw1", len(s.IPs), len(s.Senders), len(s.Findings))
	}
	if s.Sessions != 7 || !s.Counted.Equal(at(8)) {
		t.Errorf("%d sessions, counted at %s, want those of both gateways", s.Sessions, s.Counted)
	}
}
