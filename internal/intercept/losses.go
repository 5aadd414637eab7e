package intercept

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
)

// A Loss is something of the rules that is not in force.
type Loss struct {
	What string // "table inet kanmon is gone"
	Open bool   // mail leaves directly, or may; otherwise it is refused or waits
}

// Losses compares what was put in force with what the kernel has. Without CAP_NET_ADMIN the error is ErrTableUnseen, and the losses are
// those of the policy routes alone.
func (k Kept) Losses() ([]Loss, error) {
	losses, err := k.Rules.routeLosses()
	if err != nil {
		return nil, err
	}
	now, err := imprint(k.Rules.table())
	switch {
	case errors.Is(err, errNotPermitted):
		return losses, ErrTableUnseen
	case err != nil:
		return losses, err
	case now == "":
		losses = append(losses, Loss{fmt.Sprintf("table inet %s is gone", k.Rules.table()), true})
	case k.comparable() && now != k.Imprint:
		losses = append(losses, Loss{fmt.Sprintf("table inet %s is changed", k.Rules.table()), true})
	}
	return losses, nil
}

// comparable reports whether it is known how the kernel had the table.
func (k Kept) comparable() bool { return strings.HasPrefix(k.Imprint, imprintForm) }

// ErrTableUnseen is seen where the kernel shows a process the policy routes, and not the table.
var ErrTableUnseen = errors.New("the kernel shows the firewall's table to nobody without CAP_NET_ADMIN")

// routeLosses are what the policy routes lack. To see them needs no privilege.
func (r Rules) routeLosses() (losses []Loss, err error) {
	for _, p := range r.policyRoutes() {
		rule, route, err := p.there()
		if err != nil {
			return nil, err
		}
		if !rule {
			losses = append(losses, Loss{fmt.Sprintf("the %s policy rule for mark %#x is gone", p.family.title, p.mark), false})
		}
		if !route {
			losses = append(losses, Loss{fmt.Sprintf("the %s route to lo in table %d is gone", p.family.title, p.table), false})
		}
	}
	return losses, nil
}

// MissingInterfaces are those that the rules name and the host does not have. The rules are right when they come.
func (r Rules) MissingInterfaces() []string {
	names := slices.Clone(r.Interfaces)
	for _, d := range r.Dedicated {
		names = append(names, d.Interfaces...)
	}
	return slices.DeleteFunc(names, func(name string) bool {
		_, err := net.InterfaceByName(name)
		return strings.HasSuffix(name, "*") || err == nil
	})
}

// open reports whether mail may leave directly.
func open(losses []Loss) bool {
	return slices.ContainsFunc(losses, func(l Loss) bool { return l.Open })
}

func texts(losses []Loss) string {
	var list []string
	for _, l := range losses {
		list = append(list, l.What)
	}
	return strings.Join(list, "; ")
}
