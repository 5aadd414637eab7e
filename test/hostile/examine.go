package main

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"kanmon/internal/admin"
	"kanmon/test/netlab"
)

// A watch looks at kanmon all the time: its memory, and how long an operator waits for an answer.
type watch struct {
	cancel context.CancelFunc
	looks  sync.WaitGroup

	mu       sync.Mutex
	first    int
	resident int
	answer   time.Duration
	silent   bool
}

const (
	lookAtMemory = 50 * time.Millisecond
	askEvery     = 500 * time.Millisecond
)

func (w *watch) start(r *rig) {
	ctx, cancel := context.WithCancel(context.Background())
	w.cancel = cancel
	w.looks.Go(func() {
		for pause(ctx, lookAtMemory) == nil {
			kib, _ := netlab.ResidentOf(r.kanmon.PID()) // 0 once it has ended
			w.mu.Lock()
			w.resident = max(w.resident, kib)
			w.mu.Unlock()
		}
	})
	w.looks.Go(func() {
		for pause(ctx, askEvery) == nil {
			began := time.Now()
			_, err := r.admin.Standings(ctx, netip.Addr{})
			w.mu.Lock()
			w.answer = max(w.answer, time.Since(began))
			w.silent = w.silent || err != nil && ctx.Err() == nil
			w.mu.Unlock()
		}
	})
}

func (w *watch) stop() {
	if w.cancel != nil {
		w.cancel()
		w.looks.Wait()
	}
}

func (w *watch) begin(pid int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.first, _ = netlab.ResidentOf(pid)
	w.resident, w.answer, w.silent = w.first, 0, false
}

func (w *watch) end() (first, resident int, answer time.Duration, silent bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.first, w.resident, w.answer, w.silent
}

// examine asks kanmon what it thinks of everybody now, and lifts what the honest have got, so that the next kind begins afresh.
func (r *rig) examine(ctx context.Context, res *result) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	standings, err := r.admin.Standings(ctx, netip.Addr{})
	if err != nil {
		return fmt.Errorf("ask for the standing: %w", err)
	}
	for _, s := range standings {
		if s.State == "active" || ownOf(s.Provider) {
			continue
		}
		res.harm = append(res.harm, fmt.Sprintf("%s %s at %s", s.IP, s.State, s.Provider))
		if _, err := r.admin.Resume(ctx, s.IP, whole(s.Provider), ""); err != nil {
			return fmt.Errorf("resume %s: %w", s.IP, err)
		}
	}
	tenants, err := r.admin.Tenants(ctx)
	if err != nil {
		return fmt.Errorf("ask for the tenants: %w", err)
	}
	for _, t := range tenants {
		switch {
		case slices.Contains(honestTenants, t.Tenant):
			err = r.pardon(ctx, res, t)
		case t.Tenant == kinds[res.kind].tenant():
			res.guilt, err = r.guilt(ctx, t)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// ownOf says whether a place is of an attacker alone: what happens to our IPs there is its own affair.
func ownOf(provider string) bool {
	if address, found := strings.CutPrefix(provider, "mx:"); found {
		if ip, err := netip.ParseAddr(address); err == nil {
			return ip.Is6() || kindOfAddress(ip)
		}
	}
	return strings.Contains(provider, evilZone)
}

// kindOfAddress says whether an IPv4 address is an attacker's.
func kindOfAddress(ip netip.Addr) bool {
	b := ip.As4()
	return b[0] == 198 && b[1] == 18 && int(b[2]) < len(kinds)
}

// whole is how an order names a provider of a list.
func whole(provider string) string {
	if provider == "*" {
		return ""
	}
	return provider
}

// pardon notes what an honest tenant and its accounts have got, and lifts it.
func (r *rig) pardon(ctx context.Context, res *result, t admin.Sender) error {
	accounts, err := r.admin.Accounts(ctx, t.Tenant)
	if err != nil {
		return fmt.Errorf("ask for the accounts of %s: %w", t.Tenant, err)
	}
	for _, s := range append(accounts, t) {
		if s.Level == admin.LevelNormal && s.InForce == admin.LevelNormal {
			continue
		}
		res.harm = append(res.harm, fmt.Sprintf("%s %s is %s, in force %s", s.Tenant, s.Account, s.Level, s.InForce))
		if _, err := r.admin.Carry(ctx, s.Subject, admin.Order{Do: "unblock", Reason: "the next attack"}); err != nil {
			return fmt.Errorf("unblock %v: %w", s.Subject, err)
		}
	}
	return nil
}

// guilt says how an attacker stands: its tenant, and the most severe of its accounts.
func (r *rig) guilt(ctx context.Context, t admin.Sender) (string, error) {
	accounts, err := r.admin.Accounts(ctx, t.Tenant)
	if err != nil {
		return "", fmt.Errorf("ask for the accounts of %s: %w", t.Tenant, err)
	}
	counts := make(map[string]int)
	for _, a := range accounts {
		counts[a.Level]++
	}
	var parts []string
	if t.Level != admin.LevelNormal {
		parts = append(parts, "tenant "+t.Level)
	}
	for _, level := range []string{admin.LevelStop, admin.LevelDivert, admin.LevelSlow} {
		if counts[level] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", counts[level], level))
		}
	}
	return strings.Join(parts, ", "), nil
}
