package daemon

import (
	"net/netip"
	"testing"

	"kanmon/internal/egress"
	"kanmon/internal/session"
)

// A record is its tenant's: by the listener, by the source, and by the sender where several tenants are behind one source.
func TestWhoseRecord(t *testing.T) {
	router, err := egress.NewRouter(egress.RouterConfig{Tenants: []egress.Tenant{
		{Name: "acme", Sources: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}},
		{Name: "vlan", Port: 10026},
		{Name: "one", Sources: []netip.Prefix{netip.MustParsePrefix("10.2.0.0/16")}, SenderDomains: []string{"one.example"}},
		{Name: "two", Sources: []netip.Prefix{netip.MustParsePrefix("10.2.0.0/16")}, SenderDomains: []string{"two.example"}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		source string
		port   uint16
		sender string
		want   string
	}{
		{"10.1.0.1:1", 0, "", "acme"},
		{"10.1.0.1:1", 10026, "", "vlan"},
		{"10.2.0.1:1", 0, "", ""},
		{"10.2.0.1:1", 0, "a@ONE.example", "one"},
		{"10.2.0.1:1", 0, "a@two.example", "two"},
		{"10.2.0.1:1", 0, "a@three.example", ""},
		{"10.9.0.1:1", 0, "a@one.example", ""},
	} {
		r := session.NewRecord()
		r.Session.Source, r.Session.Port = netip.MustParseAddrPort(c.source), c.port
		if c.sender != "" {
			r.Transaction = &session.Transaction{Sender: r.Add([]byte(c.sender))}
		}
		if got := (recorder{router: router}).tenant(r); got != c.want {
			t.Errorf("%+v: %q", c, got)
		}
		if got := (recorder{}).tenant(r); got != "" {
			t.Errorf("without tenants: %q", got)
		}
		r.Release()
	}
}
