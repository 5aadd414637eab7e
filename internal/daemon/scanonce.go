package daemon

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"net/netip"

	"kanmon/internal/config"
	"kanmon/internal/event"
	"kanmon/internal/policy/content"
	"kanmon/internal/policy/inspect"
	"kanmon/internal/policy/inspect/rspamd"
)

// A ScanOrder is a message that a person puts to the scanners.
type ScanOrder struct {
	Tenant, Account   string // whose rules hold; "": those of the first tenant whose mail is scanned
	Sender, Recipient string
	Message           []byte
}

// A ScanAnswer is what they say of it.
type ScanAnswer struct {
	Tenant  string
	Scans   []event.Scan
	Verdict content.Verdict
}

// ScanOnce puts a message to the scanners of a configuration, and says what would follow for a tenant. The message goes to nobody else.
func ScanOnce(ctx context.Context, cfg *config.Config, o *ScanOrder) (*ScanAnswer, error) {
	s := contentOf(cfg)
	tenant := o.Tenant
	for i := range cfg.Tenants {
		if tenant == "" && s.Tenants[cfg.Tenants[i].Name] != nil {
			tenant = cfg.Tenants[i].Name
		}
	}
	of := s.Tenants[tenant]
	if of == nil {
		return nil, fmt.Errorf("no mail of tenant %q is scanned: scan is off", tenant)
	}
	scanners, err := scannersOf(cfg)
	if err != nil {
		return nil, err
	}
	room := inspect.NewRoom(inspect.Settings{Scanners: scanners})
	defer room.Close()
	ctx, cancel := context.WithTimeout(ctx, cfg.Content.VerdictWithin)
	defer cancel()
	scans := room.Inspect(ctx, inspect.Mail{
		ID: "content-test", Tenant: tenant, Account: o.Account, Source: netip.AddrFrom4([4]byte{127, 0, 0, 1}), Helo: cmp.Or(cfg.Hostname, "localhost"),
		Sender: o.Sender, Recipients: []string{o.Recipient}, Octets: int64(len(o.Message)), Scanners: of.Scanners,
		Open: func() io.Reader { return bytes.NewReader(o.Message) },
	})
	return &ScanAnswer{tenant, scans, s.Of(of, scans, 0, "")}, nil
}

// A ScannerProof is what a scanner was asked to show.
type ScannerProof struct {
	Scanner, Address, What string
	Err                    error // that it has not; nil: it has
}

// ProbeScanners has the scanners of a configuration prove that they work as they are configured.
func ProbeScanners(ctx context.Context, cfg *config.Config) (all []ScannerProof, err error) {
	scanners, err := scannersOf(cfg)
	if err != nil {
		return nil, err
	}
	room := inspect.NewRoom(inspect.Settings{Scanners: scanners})
	defer room.Close()
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	for _, p := range room.Probe(ctx) {
		all = append(all, ScannerProof(p))
	}
	return all, nil
}

// RspamdRules returns those by which Rspamd shows kanmon what it has understood.
func RspamdRules() string { return rspamd.Echo }

// Reference brings what somebody has typed into the form of a reference; "" if it is none.
func Reference(typed string) string { return content.Reference(typed) }
