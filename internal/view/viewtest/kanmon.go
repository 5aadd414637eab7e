package viewtest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"kanmon/internal/admin"
)

// A Kanmon answers on an admin socket what a test says.
type Kanmon struct {
	Socket string

	mu     sync.Mutex
	says   Answers
	orders []string
}

// Answers are what a Kanmon answers.
type Answers struct {
	Status    admin.Status
	Sessions  []admin.Session
	Standings []admin.Standing
	WarmUps   []admin.WarmUp
	Shaping   admin.Shaping
	Sightings []admin.Sighting
	Tenants   []admin.SenderDetail
	Accounts  []admin.SenderDetail
	Refusals  []admin.TopRefusal
	Flow      admin.Flow
	Trace     []string // lines
	Audit     []admin.Change
	Ends      string    // what comes of the order to end a session; "": it has ended
	Try       admin.Try // of which there is one
	Absent    string    // why there are no tenants and no audit; "": there are
}

// Start has one answer until the test ends. It takes the names of persons from this process.
func Start(t testing.TB, options ...func(*admin.Server)) *Kanmon {
	t.Helper()
	k := &Kanmon{Socket: filepath.Join(t.TempDir(), "admin.sock")}
	k.says.Status = admin.Status{Started: Noon.Add(-90 * time.Hour), SessionsMost: 10000, IPs: admin.IPCounts{Configured: 3}, Version: "v1.0.0"}
	l, err := admin.Listen(k.Socket)
	if err != nil {
		t.Fatal(err)
	}
	server := admin.NewServer(k, k, k, k, k, slog.New(slog.DiscardHandler))
	server.SetView(int64(os.Getuid()), "kanmon-view", admin.MayAct)
	for _, o := range options {
		o(server)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	t.Cleanup(func() {
		if err := errors.Join(server.Close(), <-served); err != nil {
			t.Error(err)
		}
	})
	return k
}

// Noon is when what is made up here has happened.
var Noon = time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)

// Set changes what it answers.
func (k *Kanmon) Set(change func(*Answers)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	change(&k.says)
}

// Orders are those that it was given.
func (k *Kanmon) Orders() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return append([]string{}, k.orders...)
}

// Status implements [admin.Process].
func (k *Kanmon) Status() admin.Status {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.says.Status
}

// Unready implements [admin.Process].
func (k *Kanmon) Unready() string { return "" }

// Sessions implements [admin.Process].
func (k *Kanmon) Sessions(q admin.SessionQuery) (admin.Sessions, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	all := admin.Sessions{Running: len(k.says.Sessions), Most: k.says.Status.SessionsMost}
	for _, s := range k.says.Sessions {
		if !q.Matches(&s) {
			continue
		}
		all.Matching++
		if s.Held {
			all.Held++
		}
		if len(all.Sessions) < q.Most || q.Most == 0 {
			all.Sessions = append(all.Sessions, s)
		}
	}
	return all, nil
}

// Top implements [admin.Process].
func (k *Kanmon) Top(q admin.SessionQuery) (admin.Top, error) {
	sessions, err := k.Sessions(q)
	k.mu.Lock()
	defer k.mu.Unlock()
	return admin.Top{At: time.Now(), Status: k.says.Status, Sessions: sessions, Flow: k.says.Flow, Refusals: k.says.Refusals}, err
}

// Trace implements [admin.Process].
func (k *Kanmon) Trace(admin.SessionQuery) (admin.Tracing, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return &tracing{lines: k.says.Trace}, nil
}

type tracing struct{ lines []string }

// Next gives one line after the other, and then waits.
func (t *tracing) Next(ctx context.Context) ([]byte, error) {
	if len(t.lines) == 0 {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	line := t.lines[0]
	t.lines = t.lines[1:]
	return []byte(line + "\n"), nil
}

// Close ends it.
func (t *tracing) Close() {}

// EndSession implements [admin.Process].
func (k *Kanmon) EndSession(_ context.Context, session, reason, who string) (admin.SessionEnd, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for i := range k.says.Sessions {
		if k.says.Sessions[i].Session == session {
			k.orders = append(k.orders, fmt.Sprintf("end session %s, because %s, by %s", session, reason, who))
			return admin.SessionEnd{Session: session, Came: cmp.Or(k.says.Ends, admin.SessionEnded)}, nil
		}
	}
	return admin.SessionEnd{}, &admin.Error{Status: http.StatusNotFound, Err: fmt.Errorf("session %s does not run, or no more", session)}
}

// Reload implements [admin.Process].
func (k *Kanmon) Reload(context.Context) (admin.Reloaded, error) { return admin.Reloaded{}, nil }

// HandOver implements [admin.Process].
func (k *Kanmon) HandOver(string) (admin.HandedOver, error) { return admin.HandedOver{}, nil }

// TakeOver implements [admin.Process].
func (k *Kanmon) TakeOver(context.Context, string) (admin.Takeover, error) {
	return nil, errNobodyTakesOver
}

// ConfirmTakeover implements [admin.Process].
func (k *Kanmon) ConfirmTakeover(string) (admin.HandedOver, error) {
	return admin.HandedOver{}, errNobodyTakesOver
}

var errNobodyTakesOver = errors.New("nobody takes over from it")

// Standings implements [admin.SendingIPs].
func (k *Kanmon) Standings(ip netip.Addr) (all []admin.Standing, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, s := range k.says.Standings {
		if !ip.IsValid() || s.IP == ip {
			all = append(all, s)
		}
	}
	return all, nil
}

func (k *Kanmon) ordered(format string, args ...any) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.orders = append(k.orders, fmt.Sprintf(format, args...))
}

// Suspend implements [admin.SendingIPs].
func (k *Kanmon) Suspend(ip netip.Addr, provider string, until time.Time, reason, who string) error {
	lasts := "until resumed"
	if !until.IsZero() {
		lasts = "for a time"
	}
	k.ordered("suspend %s at %q %s, because %s, by %s", ip, provider, lasts, reason, who)
	return nil
}

// Resume implements [admin.SendingIPs].
func (k *Kanmon) Resume(ip netip.Addr, provider, reason, who string) error {
	k.ordered("resume %s at %q, because %s, by %s", ip, provider, reason, who)
	return nil
}

// WarmUps implements [admin.SendingIPs].
func (k *Kanmon) WarmUps(netip.Addr) ([]admin.WarmUp, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.says.WarmUps, nil
}

// Shaping implements [admin.SendingIPs].
func (k *Kanmon) Shaping(netip.Addr) (admin.Shaping, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.says.Shaping, nil
}

// Sightings implements [admin.SendingIPs].
func (k *Kanmon) Sightings(ip netip.Addr) (all []admin.Sighting, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, s := range k.says.Sightings {
		if !ip.IsValid() || s.IP == ip {
			all = append(all, s)
		}
	}
	return all, nil
}

// WarmUp implements [admin.SendingIPs].
func (k *Kanmon) WarmUp(ip netip.Addr, o admin.WarmUpOrder, who string) error {
	k.ordered("warm-up %s step %d, because %s, by %s", ip, o.Step, o.Reason, who)
	return nil
}

// MX implements [admin.MXs].
func (k *Kanmon) MX(addr netip.Addr) admin.MX { return admin.MX{MX: addr} }

// Try implements [admin.MXs].
func (k *Kanmon) Try(_ context.Context, o admin.TryOrder, who string) (admin.Try, error) {
	k.ordered("try %v%s from %q as %q to %q, because %s, by %s", o.MX, o.Domain, o.From, o.Sender, o.Recipient, o.Reason, who)
	k.mu.Lock()
	id := k.says.Try.ID
	k.mu.Unlock()
	return k.Tried(id)
}

// Tried implements [admin.MXs].
func (k *Kanmon) Tried(id string) (admin.Try, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if id == "" || id != k.says.Try.ID {
		return admin.Try{}, &admin.Error{Status: http.StatusNotFound, Err: errors.New("there is no such try, or no more")}
	}
	return k.says.Try, nil
}

// PlainMXs implements [admin.MXs].
func (k *Kanmon) PlainMXs() admin.PlainMXs { return admin.PlainMXs{} }

// DomainTLS implements [admin.Domains].
func (k *Kanmon) DomainTLS(_ context.Context, domain string, at netip.Addr) (admin.TLSDomain, error) {
	return admin.TLSDomain{Domain: domain, Destination: at}, nil
}

// TLSPolicies implements [admin.Domains].
func (k *Kanmon) TLSPolicies() ([]admin.TLSPolicy, error) { return nil, nil }

// TLSRefusals implements [admin.Domains].
func (k *Kanmon) TLSRefusals() ([]admin.TLSRefusal, error) { return nil, nil }

// RefreshTLS implements [admin.Domains].
func (k *Kanmon) RefreshTLS(_ context.Context, domain string) error {
	k.ordered("refresh %s", domain)
	return nil
}

// ForgetTLS implements [admin.Domains].
func (k *Kanmon) ForgetTLS(domain, reason, who string) error {
	k.ordered("forget %s, because %s, by %s", domain, reason, who)
	return nil
}

// Tenants implements [admin.Senders].
func (k *Kanmon) Tenants() ([]admin.Sender, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return sendersOf(k.says.Tenants, ""), k.absent()
}

// Accounts implements [admin.Senders].
func (k *Kanmon) Accounts(tenant string) ([]admin.Sender, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return sendersOf(k.says.Accounts, tenant), nil
}

func sendersOf(all []admin.SenderDetail, tenant string) (list []admin.Sender) {
	for i := range all {
		if tenant == "" || all[i].Tenant == tenant {
			list = append(list, all[i].Sender)
		}
	}
	return list
}

// Sender implements [admin.Senders].
func (k *Kanmon) Sender(of admin.Subject) (admin.SenderDetail, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, x := range append(k.says.Tenants[:len(k.says.Tenants):len(k.says.Tenants)], k.says.Accounts...) {
		if x.Account == of.Account && (of.Tenant == "" || x.Tenant == of.Tenant) {
			return x, nil
		}
	}
	return admin.SenderDetail{}, &admin.Error{Status: http.StatusNotFound, Err: fmt.Errorf("there is no tenant %q", of.Tenant)}
}

// Carry implements [admin.SenderOrders].
func (k *Kanmon) Carry(of admin.Subject, o admin.Order, who string) (admin.Subject, error) {
	lasts := ""
	if !o.Until.IsZero() {
		lasts = " for a time"
	}
	k.ordered("%s %s/%s%s %s%d%s, because %s, by %s", o.Do, of.Tenant, of.Account, lasts, o.Limit, o.Amount, o.Kind, o.Reason, who)
	return of, nil
}

// Changes implements [admin.SenderOrders].
func (k *Kanmon) Changes(admin.Subject, netip.Addr, int) ([]admin.Change, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.says.Audit, k.absent()
}

// absent is the error of what there is not.
func (k *Kanmon) absent() error {
	if k.says.Absent == "" {
		return nil
	}
	return &admin.Error{Status: http.StatusNotFound, Err: errors.New(k.says.Absent)}
}
