package check

import (
	"encoding/json"
	"net/netip"
	"slices"
)

// A packet is one of mail, as the firewall sees it behind the routing: in most cases the beginning of kanmon's own connection to an MX.
type packet struct {
	from, to   netip.Addr
	in, out    string // interfaces
	port       uint16 // it goes to; 0: any
	fromPort   uint16 // likewise
	state      string // of conntrack's: "new"
	redirected bool   // by kanmon's own rules
	mark       uint32
	user       int
	name       string // of the user
	anybodys   bool   // any user's

	masqueraded netip.Addr // what masquerade would make of from; zero: not known
}

// A rewrite is a rule that does to a packet what is looked for, such as to change its source address.
type rewrite struct {
	Family, Table, Chain string
	verb                 string // "masquerade", "drop"
}

// A search is for rules with one of some verbs, among them targets of iptables.
type search struct{ verbs, targets []string }

var sourceNAT = search{[]string{"masquerade", "snat"}, []string{"MASQUERADE", "SNAT", "NETMAP"}}

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
	p.port, p.state = 25, "new"
	return r.first(sourceNAT, p, func(c *nftChain) bool { return c.Type == "nat" && c.Hook == "postrouting" })
}

// first returns the first rule in some chains that does to a packet what is looked for; sure is false where a condition before it is not
// understood, and another one is not sure either. Where packets are looked for that go no further, a chain's policy counts.
func (r *ruleset) first(what search, p packet, in func(*nftChain) bool) (found *rewrite, sure bool) {
	for i := range r.chains {
		c := &r.chains[i]
		if c.Hook == "" || c.Family == "ip" && p.from.Is6() || c.Family == "ip6" && p.from.Is4() || !slices.Contains([]string{"ip", "ip6", "inet"}, c.Family) || !in(c) {
			continue
		}
		w := walker{all: r, what: what, family: c.Family, table: c.Table, packet: p}
		back := w.walk(c.Name, yes, 0)
		if c.Policy == "drop" && slices.Contains(what.verbs, "drop") && back != no {
			w.note(&nftRule{Family: c.Family, Table: c.Table, Chain: c.Name}, "drop, by its policy", back)
		}
		if w.found != nil && (found == nil || w.sure == yes && !sure) {
			found, sure = w.found, w.sure == yes
		}
	}
	return found, sure
}

// A walker goes through the rules of a table.
type walker struct {
	all           *ruleset
	what          search
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
	for _, rule := range w.all.rules[place{w.family, w.table, chain}] {
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
	met := yes
	for i, expression := range rule.Expr {
		for name, value := range expression {
			at := min(reached, met)
			switch {
			case name == "match":
				met = min(met, w.match(value))
			case name == "xt": // of iptables
				matches, verb := w.what.foreign(value, i == len(rule.Expr)-1 && !hasVerdict(rule))
				if met = min(met, matches); verb != "" && met != no {
					if verb != "MASQUERADE" || w.packet.masqueraded != w.packet.from {
						w.note(rule, verb, min(reached, met))
					}
					return after(reached, met), false
				}
			case slices.Contains(sometimes, name):
				met = min(met, maybe)
			case slices.Contains(w.what.verbs, name):
				if !w.same(name, value) {
					w.note(rule, name, at)
				}
				return after(reached, met), false
			case slices.Contains(endings, name):
				return after(reached, met), false
			case name == "return":
				if met == yes {
					return reached, true
				}
				return after(reached, met), false
			case name == "jump", name == "goto":
				back := w.walk(targetChain(value), at, depth+1)
				switch {
				case met == yes:
					return min(reached, back), name == "goto"
				case back == at && name == "jump":
					return reached, false
				default:
					return after(reached, met), false
				}
			case name == "vmap":
				return w.verdictMap(rule, value, reached, met, depth)
			}
			if met == no {
				return reached, false
			}
		}
	}
	return reached, false
}

// endings are the verbs with which a packet's way through a chain's rules ends. Those of NAT are among them.
var endings = []string{"accept", "drop", "reject", "queue", "masquerade", "snat", "dnat", "redirect"}

// sometimes are conditions that a packet meets or not by what was before.
var sometimes = []string{"limit", "quota", "ct count", "meter"}

// verdictMap applies the verdict that a map has for the packet.
func (w *walker) verdictMap(rule *nftRule, value json.RawMessage, reached, met certainty, depth int) (next certainty, leaves bool) {
	var m struct {
		Key  map[string]json.RawMessage
		Data struct {
			Set [][2]json.RawMessage
		}
	}
	if json.Unmarshal(value, &m) != nil || m.Data.Set == nil { // a map with a name
		return min(reached, maybe), false
	}
	have := w.field(m.Key)
	next = reached
	for _, pair := range m.Data.Set {
		matches := min(met, maybe)
		if have != nil {
			matches = min(met, w.within(have, pair[0]))
		}
		var verdict map[string]json.RawMessage
		if matches == no || json.Unmarshal(pair[1], &verdict) != nil {
			continue
		}
		back, leaves := w.rule(&nftRule{Family: rule.Family, Table: rule.Table, Chain: rule.Chain, Expr: []map[string]json.RawMessage{verdict}}, min(reached, matches), depth)
		if matches == yes {
			return back, leaves
		}
		next = min(next, maybe)
	}
	return next, false
}

// after returns the certainty of going on behind a rule that ends the way of what matches it.
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
			if slices.Contains(endings, name) || slices.Contains([]string{"return", "jump", "goto"}, name) {
				return true
			}
		}
		return false
	})
}

// foreign reads a match or a target of iptables, which nft names at most: whether it matches, and the verb of a target that is
// looked for. One without a name that stands last in a rule without a verdict is a target, of whatever kind.
func (s *search) foreign(value json.RawMessage, last bool) (matches certainty, verb string) {
	var xt struct{ Type, Name string }
	_ = json.Unmarshal(value, &xt) // null where nft knows nothing
	switch {
	case xt.Type == "target" && slices.Contains(s.targets, xt.Name):
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
