package daemon

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"kanmon/internal/config"
	"kanmon/internal/intercept"
	"kanmon/internal/outlet"
	"kanmon/internal/outlet/standing"
)

// Unready implements [admin.Process]: why this gateway should get no mail, in a line; "": it should. It is asked each second by what moves
// addresses and routes between gateways, so it waits for no reload and no stop, and says only what another gateway would do better: a host
// with too much to do, or a provider that refuses, is no reason to move all mail.
func (o *operator) Unready() string {
	switch {
	case o.d.stopping.Load():
		return "kanmon is stopping"
	case o.d.leaving.Load():
		return "kanmon hands over"
	case !o.d.accepts.Load():
		return "kanmon is starting"
	}
	if why := o.d.rulesLost(); why != "" {
		return "firewall rules: " + why
	}
	o.d.mu.Lock()
	cfg := o.d.cfg
	o.d.mu.Unlock()
	return o.nowhence(cfg)
}

// nowhence says why mail can leave from none of the sending IPs; "": it can, or the kernel chooses. One that floats and is elsewhere comes here with
// the mail: were it missed, the gateway that stands by would never take over.
func (o *operator) nowhence(cfg *config.Config) string {
	if len(cfg.SendingIPs) == 0 {
		return ""
	}
	absent, barred := 0, 0
	gone := slices.DeleteFunc(o.d.outlets.Absent(), func(a outlet.Absent) bool { return a.Floating })
	for i := range cfg.SendingIPs {
		ip := cfg.SendingIPs[i].Address
		switch {
		case slices.ContainsFunc(gone, func(a outlet.Absent) bool { return a.Address == ip }):
			absent++
		case o.barred(cfg, ip):
			barred++
		default:
			return ""
		}
	}
	var why []string
	for _, of := range []struct {
		n    int
		what string
	}{{absent, "not on this host"}, {barred, "suspended at all providers"}} {
		if of.n > 0 {
			why = append(why, fmt.Sprintf("%d %s", of.n, of.what))
		}
	}
	return "no sending IP can be used: " + strings.Join(why, ", ")
}

// barred reports whether a sending IP may be used nowhere.
func (o *operator) barred(cfg *config.Config, ip netip.Addr) bool {
	whole := standing.Key{IP: ip, Provider: standing.Every}
	if cfg.Handling(0).Heeds() {
		return o.d.book.Peek(whole).Answer == standing.No
	}
	return o.d.book.Barred(whole)
}

// rulesLost says why firewall rules that kanmon has put in force on this host are so no more: by itself, or by its unit of the rules. What
// is not known is no reason: a guard that has died takes no rules away.
func rulesLost() string {
	keeper, report := intercept.Here()
	kept, err := keeper.Last()
	switch {
	case err != nil:
		return ""
	case kept.Removed != nil:
		return "removed by a person at " + kept.Removed.At.UTC().Format(time.RFC3339)
	}
	guarding, err := report.Read()
	if err != nil || len(guarding.Lost) == 0 {
		return ""
	}
	return "not in force: " + strings.Join(guarding.Lost, "; ")
}
