package daemon

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"kanmon/internal/admin"
	"kanmon/internal/event/metrics"
)

// exhausted are the providers, or all, for which a pool has no sending IP left: no mail of it leaves to there. Where all addresses of a pool are somewhere
// else, as on the gateway that stands by, none of its mail comes here.
func (o *operator) exhausted() []admin.Problem {
	o.d.mu.Lock()
	cfg := o.d.cfg
	o.d.mu.Unlock()
	here, absent := map[family]bool{}, o.d.absent()
	for _, pool := range poolsOf(cfg) {
		for _, ip := range pool.IPs {
			if !absent[ip.Address] {
				here[familyOf(pool.Name, ip.Address)] = true
			}
		}
	}
	return exhausted(o.d.poolsNow(cfg, o.d.book.List()), here)
}

// A place is where the sending IPs of one family are used up.
type place struct{ provider, family string }

func exhausted(pools []metrics.Pool, here map[family]bool) (all []admin.Problem) {
	nowhere, names := map[family]bool{}, map[place][]string{}
	for _, p := range pools {
		if of := (family{p.Name, p.Family}); p.Provider == "" && p.Usable == 0 {
			nowhere[of] = true
			if here[of] {
				names[place{"", p.Family}] = append(names[place{"", p.Family}], p.Name)
			}
		}
	}
	for _, p := range pools {
		if p.Provider != "" && p.Usable == 0 && !nowhere[family{p.Name, p.Family}] {
			at := place{p.Provider, p.Family}
			names[at] = append(names[at], p.Name)
		}
	}
	places := slices.SortedFunc(maps.Keys(names), func(a, b place) int {
		return cmp.Or(cmp.Compare(a.provider, b.provider), cmp.Compare(a.family, b.family))
	})
	for _, at := range places {
		what := map[string]string{"ipv4": "IPv4", "ipv6": "IPv6"}[at.family]
		all = append(all, admin.Problem{
			ID: "exhausted", Do: "kanmon ip list", Provider: at.provider, Of: at.family,
			What: fmt.Sprintf("no %s sending IP may be used at %s: mail of %s waits in the MSAs", what, cmp.Or(at.provider, "any provider"), poolNames(names[at])),
		})
	}
	return all
}

// poolNames names pools, and not all of very many.
func poolNames(all []string) string {
	const most = 3
	slices.Sort(all)
	text := "pool "
	if len(all) > 1 {
		text = "pools "
	}
	if len(all) > most {
		return fmt.Sprintf("%s%s and %d more", text, strings.Join(all[:most], ", "), len(all)-most)
	}
	return text + strings.Join(all, ", ")
}
