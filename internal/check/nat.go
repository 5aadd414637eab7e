package check

import (
	"encoding/json"
	"net/netip"
	"slices"
)

// A packet is the beginning of kanmon's own connection to an MX, as the firewall sees it behind the routing.
type packet struct {
	from, to netip.Addr
	out      string // interface
	mark     uint32
	user     int
	name     string // of the user

	masqueraded netip.Addr // what masquerade would make of from; zero: not known
}

// A rewrite is a rule that changes the source address.
type rewrite struct {
	Family, Table, Chain string
	verb                 string // "masquerade" or "snat"
}

func (r *rewrite) table() string { return r.Family + " " + r.Table }

// certainty is an answer to: does the rule match?
type certainty uint8

const (
	no certainty = iota
	maybe
	yes
)

// rewrites walks the packet through the chains that may change its source, and gives the first rule that does; sure is false where a
// condition before it is not understood.
func (r *ruleset) rewrites(p packet) (found *rewrite, sure bool) {
	for _, c := range r.chains {
		if c.Type != "nat" || c.Hook != "postrouting" || c.Family == "ip" && p.from.Is6() || c.Family == "ip6" && p.from.Is4() {
			continue
		}
		w := walker{all: r, family: c.Family, table: c.Table, packet: p}
		w.walk(c.Name, yes, 0)
		if w.found != nil && (found == nil || w.sure == yes) {
			found, sure = w.found, w.sure == yes
		}
	}
	return found, sure
}

// A walker goes through the rules of a table.
type walker struct {
	all           *ruleset
	family, table string
	packet        packet

	found *rewrite
	sure  certainty
	steps int
}

// mostSteps bounds the rules that one packet is led through: chains can call each other in many ways.
const mostSteps = 20_000

// walk goes through a chain that is reached with a certainty, and says how certain it is that the packet comes back from it.
func (w *walker) walk(chain string, reached certainty, depth int) (back certainty) {
	const deepest = 16 // as the kernel's
	if depth > deepest {
		return reached
	}
	for i := range w.all.rules {
		rule := &w.all.rules[i]
		if rule.Family != w.family || rule.Table != w.table || rule.Chain != chain {
			continue
		}
		if w.steps++; w.steps > mostSteps {
			w.note(rule, "there are too many rules to follow", maybe)
			return no
		}
		passed, leaves := w.rule(rule, reached, depth)
		if passed == no || w.found != nil && w.sure == yes {
			return no
		}
		if leaves {
			return passed
		}
		reached = passed
	}
	return reached
}

// rule applies a rule. It gives the certainty of reaching the next one, and whether the packet has certainly left the chain to where it
// was called from.
func (w *walker) rule(rule *nftRule, reached certainty, depth int) (next certainty, leaves bool) {
	at := reached
	for i, expression := range rule.Expr {
		for name, value := range expression {
			switch name {
			case "match":
				at = min(at, w.match(value))
			case "xt": // of iptables
				matches, verb := foreign(value, i == len(rule.Expr)-1 && !hasVerdict(rule))
				if at = min(at, matches); verb != "" && at != no {
					if verb != "MASQUERADE" || w.packet.masqueraded != w.packet.from {
						w.note(rule, verb, at)
					}
					return after(reached, at), false
				}
			case "masquerade", "snat":
				if at != no && !w.same(name, value) {
					w.note(rule, name, at)
				}
				return after(reached, at), false
			case "accept", "drop", "queue":
				return after(reached, at), false
			case "return":
				if at == yes {
					return reached, true
				}
				return after(reached, at), false
			case "jump", "goto":
				if at == no {
					return reached, false
				}
				back := w.walk(targetChain(value), at, depth+1)
				switch {
				case at == yes:
					return min(reached, back), name == "goto"
				case back == at && name == "jump":
					return reached, false
				default:
					return after(reached, at), false
				}
			case "vmap":
				at = min(at, maybe)
			}
			if at == no {
				return reached, false
			}
		}
	}
	return reached, false
}

// after gives the certainty of going on behind a rule that ends the way of what matches it.
func after(reached, matched certainty) certainty {
	switch matched {
	case yes:
		return no
	case maybe:
		return min(reached, maybe)
	default:
		return reached
	}
}

func (w *walker) note(rule *nftRule, verb string, sure certainty) {
	if w.found == nil || sure > w.sure {
		w.found, w.sure = &rewrite{rule.Family, rule.Table, rule.Chain, verb}, sure
	}
}

// same reports a verdict that gives the packet the address that it has.
func (w *walker) same(verb string, value json.RawMessage) bool {
	if verb == "masquerade" {
		return w.packet.masqueraded == w.packet.from
	}
	var to struct{ Addr string }
	return json.Unmarshal(value, &to) == nil && to.Addr == w.packet.from.String()
}

// hasVerdict reports whether a rule says itself what becomes of the packet.
func hasVerdict(rule *nftRule) bool {
	return slices.ContainsFunc(rule.Expr, func(e map[string]json.RawMessage) bool {
		for name := range e {
			if slices.Contains([]string{"accept", "drop", "return", "jump", "goto", "masquerade", "snat", "queue"}, name) {
				return true
			}
		}
		return false
	})
}

// foreign reads a match or a target of iptables, which nft names at most: whether it matches, and the verb of a target that changes the
// source. One without a name that stands last in a rule without a verdict is a target, of whatever kind.
func foreign(value json.RawMessage, last bool) (matches certainty, verb string) {
	var xt struct{ Type, Name string }
	_ = json.Unmarshal(value, &xt) // null where nft knows nothing
	switch {
	case xt.Type == "target" && slices.Contains([]string{"MASQUERADE", "SNAT", "NETMAP"}, xt.Name):
		return yes, xt.Name
	case xt.Type == "target", xt.Name == "comment":
		return yes, ""
	case xt.Type == "" && last:
		return maybe, "a target of iptables that nft does not show"
	default:
		return maybe, ""
	}
}

func targetChain(value json.RawMessage) string {
	var to struct{ Target string }
	_ = json.Unmarshal(value, &to) // a chain without a name has no rules
	return to.Target
}
