package admin

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// fakeDomains know one domain, and note what they are told to do.
type fakeDomains struct{ did []string }

func (f *fakeDomains) DomainTLS(_ context.Context, domain string, at netip.Addr) (TLSDomain, error) {
	if domain != "example.com" {
		return TLSDomain{}, &Error{http.StatusNotFound, errors.New("nobody knows it")}
	}
	return TLSDomain{Domain: domain, Destination: at, Refused: true, Hosts: []TLSHost{{Name: "mx1.example.com", Asks: TLSRefused}}}, nil
}

func (f *fakeDomains) TLSPolicies() ([]TLSPolicy, error) {
	return []TLSPolicy{{Domain: "example.com", Mode: "enforce"}}, nil
}
func (f *fakeDomains) TLSRefusals() ([]TLSRefusal, error) { return nil, nil }
func (f *fakeDomains) RefreshTLS(_ context.Context, domain string) error {
	f.did = append(f.did, "refresh "+domain)
	return nil
}

func (f *fakeDomains) ForgetTLS(domain, reason, who string) error {
	f.did = append(f.did, "forget "+domain+": "+reason+", "+who)
	return nil
}

// What a person asks and orders of a domain arrives, with who and why; what cannot be meant does not.
func TestDomains(t *testing.T) {
	path, log, s := serveAs(t, &fakeIPs{}, nil)
	f := &fakeDomains{}
	s.mxs = fakeMXs{f}
	c, ctx := NewClient(path), t.Context()
	d, err := c.DomainTLS(ctx, "example.com", netip.MustParseAddr("::ffff:192.0.2.1"))
	if err != nil || !d.Refused || d.Destination != netip.MustParseAddr("192.0.2.1") || len(d.Hosts) != 1 || d.Hosts[0].Asks != TLSRefused {
		t.Errorf("%+v, %v", d, err)
	}
	if all, err := c.TLSPolicies(ctx); err != nil || len(all) != 1 || all[0].Mode != "enforce" {
		t.Errorf("policies: %+v, %v", all, err)
	}
	if all, err := c.TLSRefusals(ctx); err != nil || all == nil || len(all) != 0 {
		t.Errorf("refusals: %+v, %v", all, err)
	}
	if d, err := c.RefreshTLS(ctx, "example.com"); err != nil || d.Domain != "example.com" {
		t.Errorf("refresh: %+v, %v", d, err)
	}
	if err := c.ForgetTLS(ctx, "example.com", "they have mended it"); err != nil {
		t.Error(err)
	}
	want := []string{"refresh example.com", "forget example.com: they have mended it, " + peerNameOfTest(t)}
	if !slices.Equal(f.did, want) {
		t.Errorf("did %q, want %q", f.did, want)
	}
	if !strings.Contains(log.String(), "forgotten by the operator") {
		t.Errorf("logged:\n%s", log)
	}
	for name, err := range map[string]error{
		"no reason": c.ForgetTLS(ctx, "example.com", " "), "a reason in two lines": c.ForgetTLS(ctx, "example.com", "a\nb"),
		"a name that cannot be shown": second(c.DomainTLS(ctx, "a\x1b[2J", netip.Addr{})), "an unknown one": second(c.DomainTLS(ctx, "example.net", netip.Addr{})),
		"no address": second(answer[TLSDomain](ctx, c, http.MethodGet, tlsPath("example.com", "")+"?destination=mx1", nil)),
	} {
		var refused *Error
		if !errors.As(err, &refused) || refused.Status >= http.StatusInternalServerError {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(f.did) != 2 {
		t.Errorf("did %q", f.did)
	}
}

func second[T any](_ T, err error) error { return err }
