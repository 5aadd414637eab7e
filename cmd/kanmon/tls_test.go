package main

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"time"

	"kanmon/internal/admin"
)

// DomainTLS knows a domain with DANE, one with MTA-STS whose MX is not in the policy, and one of which nobody knows anything.
func (c *customers) DomainTLS(_ context.Context, domain string, at netip.Addr) (admin.TLSDomain, error) {
	later, mx := time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC), netip.MustParseAddr("192.0.2.1")
	d := admin.TLSDomain{
		Domain: domain, Destination: at, Mode: "observe", MX: "found", DANE: true, MTASTS: true, PolicyKnown: true, Until: later,
		Resolver: admin.TLSResolver{Answers: true, Validates: true, Since: time.Date(2026, 7, 1, 8, 0, 0, 0, time.UTC)},
		Hosts:    []admin.TLSHost{{Name: "mx1." + domain, Addresses: []netip.Addr{mx}, Tried: mx}},
	}
	h := &d.Hosts[0]
	switch domain {
	case "dane.example":
		d.Signed, h.Signed, h.Base, h.Records, h.Usable = true, true, h.Name, 1, []string{"3 1 1 e3b0c442"}
		h.Asks, h.By = admin.TLSAsksProof, "dane"
	case "moved.example":
		d.Refused, h.Asks, h.By, h.Why, h.Detail = true, admin.TLSWould, "sts", "mx-not-in-policy", "its policy does not have MX mx1.moved.example"
		d.Policy = &admin.TLSPolicy{Domain: domain, Mode: "enforce", ID: "20260701", MX: []string{"old.moved.example"}, Fetched: at0900(), Until: later}
		refusals, _ := c.TLSRefusals()
		d.Seen = &refusals[1]
	case "broken.example":
		d.Mode, d.Refused, d.Hosts[0] = "enforce", true, admin.TLSHost{Asks: admin.TLSRefused, By: "unknown", Why: "dns-failed", Detail: "no answer: SERVFAIL"}
		d.MX, d.MXError, d.PolicyKnown, d.Resolver = "failed", "SERVFAIL", false, admin.TLSResolver{Since: at0900(), Why: "192.0.2.53:53: i/o timeout"}
	default:
		h.Asks, h.By = admin.TLSAsksNothing, "none"
	}
	return d, nil
}

func at0900() time.Time { return time.Date(2026, 7, 1, 9, 0, 0, 0, time.UTC) }

// TLSPolicies has one.
func (c *customers) TLSPolicies() ([]admin.TLSPolicy, error) {
	return []admin.TLSPolicy{{
		Domain: "moved.example", Mode: "enforce", ID: "20260701", MX: []string{"old.moved.example"}, Fetched: at0900(), Until: time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC), Used: at0900(),
	}}, nil
}

// TLSRefusals has one of nobody knows which domain, one of a domain, and one that another connection might have avoided.
func (c *customers) TLSRefusals() ([]admin.TLSRefusal, error) {
	mx := netip.MustParseAddr("192.0.2.1")
	return []admin.TLSRefusal{
		{Of: "acme", MX: mx, Policy: "unknown", Why: "recipient-unreadable", Detail: "the recipient's domain cannot be read", Times: 3, First: at0900(), Last: at0900()},
		{Domain: "moved.example", MX: mx, Policy: "sts", Why: "mx-not-in-policy", Detail: "its policy does not have MX mx1.moved.example", Times: 12, First: at0900(), Last: at0900()},
		{Domain: "sni.example", MX: mx, Policy: "sts", Why: "certificate-host-mismatch", Perhaps: true, Times: 1, First: at0900(), Last: at0900()},
	}, nil
}

// RefreshTLS refreshes.
func (*customers) RefreshTLS(context.Context, string) error { return nil }

// ForgetTLS forgets what it knows.
func (*customers) ForgetTLS(domain, _, _ string) error {
	if domain != "moved.example" {
		return &admin.Error{Status: http.StatusNotFound, Err: errors.New("nothing is known of an MTA-STS policy of " + domain)}
	}
	return nil
}
