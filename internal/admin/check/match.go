package check

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// match judges one condition. What it does not know may match.
func (w *walker) match(value json.RawMessage) certainty {
	var m struct {
		Op    string
		Left  map[string]json.RawMessage
		Right json.RawMessage
	}
	if json.Unmarshal(value, &m) != nil {
		return maybe
	}
	have := w.field(m.Left)
	switch have {
	case nil:
		return maybe
	case otherProtocol{}:
		return no
	}
	result := w.within(have, m.Right)
	switch m.Op {
	case "==", "in", "":
		return result
	case "!=":
		return yes - result
	default:
		return maybe
	}
}

// field returns what the packet has where a condition looks: a text, a number or an address; nil: not known.
func (w *walker) field(left map[string]json.RawMessage) any {
	if text, ok := left["meta"]; ok {
		return w.meta(text)
	}
	if text, ok := left["&"]; ok {
		return w.masked(text)
	}
	if text, ok := left["ct"]; ok {
		var ct struct{ Key string }
		switch {
		case json.Unmarshal(text, &ct) != nil:
		case ct.Key == "state":
			return w.packet.state
		case ct.Key == "status" && w.packet.redirected:
			return "dnat"
		}
	}
	if text, ok := left["payload"]; ok {
		return w.payload(text)
	}
	if text, ok := left["fib"]; ok {
		var fib struct{ Result string }
		if json.Unmarshal(text, &fib) == nil && fib.Result == "type" && strings.Contains(string(text), `"daddr"`) {
			return map[bool]string{true: "unicast", false: "local"}[w.packet.to == far(w.packet.to)]
		}
	}
	return nil
}

// meta is field for what the kernel knows of the packet beside its octets.
func (w *walker) meta(text json.RawMessage) any {
	var meta struct{ Key string }
	_ = json.Unmarshal(text, &meta) // an unknown key
	switch meta.Key {
	case "oifname", "oif":
		return w.packet.out
	case "iifname", "iif":
		return w.packet.in
	case "mark":
		return uint64(w.packet.mark)
	case "l4proto":
		return "tcp"
	case "nfproto":
		return map[bool]string{true: "ipv6", false: "ipv4"}[w.packet.from.Is6()]
	case "protocol":
		return map[bool]string{true: "ip6", false: "ip"}[w.packet.from.Is6()]
	case "skuid":
		if w.packet.in != "" || w.packet.anybodys {
			return nil // for one that comes in it is the socket's that it comes to, perhaps
		}
		return account{w.packet.user, w.packet.name}
	}
	return nil
}

// payload is field for what stands in the packet.
func (w *walker) payload(text json.RawMessage) any {
	var payload struct{ Protocol, Field string }
	_ = json.Unmarshal(text, &payload) // an unknown field
	switch payload.Protocol + " " + payload.Field {
	case "ip saddr", "ip6 saddr":
		return w.address(payload.Protocol, w.packet.from)
	case "ip daddr", "ip6 daddr":
		return w.address(payload.Protocol, w.packet.to)
	case "ip protocol", "ip6 nexthdr":
		return "tcp"
	case "tcp dport", "th dport":
		return number(w.packet.port)
	case "tcp sport", "th sport":
		return number(w.packet.fromPort)
	}
	if slices.Contains([]string{"udp", "udplite", "sctp", "dccp", "icmp", "icmpv6", "igmp", "esp", "ah"}, payload.Protocol) {
		return otherProtocol{}
	}
	return nil
}

// otherProtocol is what a packet of TCP has where a condition looks into one of another protocol.
type otherProtocol struct{}

// number is a port; nil: any.
func number(port uint16) any {
	if port == 0 {
		return nil
	}
	return uint64(port)
}

// masked is a number of the packet with a mask.
func (w *walker) masked(text json.RawMessage) any {
	var parts []json.RawMessage
	var left map[string]json.RawMessage
	var mask uint64
	if json.Unmarshal(text, &parts) != nil || len(parts) != 2 || json.Unmarshal(parts[0], &left) != nil || json.Unmarshal(parts[1], &mask) != nil {
		return nil
	}
	if n, ok := w.field(left).(uint64); ok {
		return n & mask
	}
	return nil
}

type account struct {
	id   int
	name string
}

// address is none where the condition is about the other family: it matches nothing then.
func (w *walker) address(protocol string, a netip.Addr) any {
	if a.Is6() == (protocol == "ip6") {
		return a
	}
	return netip.Addr{}
}

// within compares what the packet has with the right side of a condition: a value, a prefix, a range, a set.
func (w *walker) within(have any, right json.RawMessage) certainty {
	var text string
	if json.Unmarshal(right, &text) == nil {
		if name, set := strings.CutPrefix(text, "@"); set {
			return w.inSet(have, name)
		}
		return equal(have, text)
	}
	var number uint64
	if json.Unmarshal(right, &number) == nil {
		return equal(have, strconv.FormatUint(number, 10))
	}
	var list []json.RawMessage
	if json.Unmarshal(right, &list) == nil {
		return w.anyOf(have, list)
	}
	var form struct {
		Set    []json.RawMessage
		Prefix *struct {
			Addr string
			Len  int
		}
		Range []json.RawMessage
		Elem  *struct{ Val json.RawMessage }
	}
	switch {
	case json.Unmarshal(right, &form) != nil:
	case form.Set != nil:
		return w.anyOf(have, form.Set)
	case form.Prefix != nil:
		return inPrefix(have, form.Prefix.Addr, form.Prefix.Len)
	case len(form.Range) == 2:
		return inRange(have, form.Range)
	case form.Elem != nil:
		return w.within(have, form.Elem.Val)
	}
	return maybe
}

func (w *walker) anyOf(have any, list []json.RawMessage) certainty {
	best := no
	for _, one := range list {
		best = max(best, w.within(have, one))
	}
	return best
}

func (w *walker) inSet(have any, name string) certainty {
	for _, s := range w.all.sets {
		if s.Family == w.family && s.Table == w.table && s.Name == name {
			return w.anyOf(have, s.Elem)
		}
	}
	return maybe
}

func sure(b bool) certainty {
	if b {
		return yes
	}
	return no
}

func equal(have any, text string) certainty {
	switch h := have.(type) {
	case string:
		if prefix, wild := strings.CutSuffix(text, "*"); wild {
			return sure(strings.HasPrefix(h, prefix))
		}
		return sure(h == text || text == "6" && h == "tcp")
	case uint64:
		n, err := strconv.ParseUint(text, 0, 64)
		if err != nil {
			return sure(h == 25 && text == "smtp")
		}
		return sure(n == h)
	case account:
		return sure(text == h.name || text == strconv.Itoa(h.id))
	case netip.Addr:
		a, err := netip.ParseAddr(text)
		if err != nil {
			return maybe
		}
		return sure(a == h)
	}
	return maybe
}

func inPrefix(have any, address string, bits int) certainty {
	a, err := netip.ParseAddr(address)
	h, ok := have.(netip.Addr)
	if err != nil || !ok {
		return maybe
	}
	return sure(netip.PrefixFrom(a, bits).Contains(h))
}

func inRange(have any, ends []json.RawMessage) certainty {
	switch h := have.(type) {
	case uint64:
		var low, high uint64
		if json.Unmarshal(ends[0], &low) != nil || json.Unmarshal(ends[1], &high) != nil {
			return maybe
		}
		return sure(low <= h && h <= high)
	case netip.Addr:
		var low, high netip.Addr
		if json.Unmarshal(ends[0], &low) != nil || json.Unmarshal(ends[1], &high) != nil {
			return maybe
		}
		return sure(h.IsValid() && h.Is4() == low.Is4() && low.Compare(h) <= 0 && h.Compare(high) <= 0)
	}
	return maybe
}
