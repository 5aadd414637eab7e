package classify

import (
	"slices"
	"strings"
)

// A List is a block list that a reply names.
type List struct {
	Name   string // "spamhaus-zen"; the zone where it is not in the table
	Zone   string // its first zone; "" if it has none
	Kind   string // "ip", "domain" or "url": what it lists
	Weight Weight
	Delist string // where its operator takes requests; "" if unknown. Never a link out of the reply: that is a stranger's
}

// ListOf returns the list that is asked at a zone.
func (r *Rules) ListOf(zone string) (list List, known bool) {
	for i := range r.lists {
		if slices.ContainsFunc(r.lists[i].zones, func(z string) bool { return strings.EqualFold(z, zone) }) {
			return r.lists[i].List, true
		}
	}
	return List{}, false
}

// named returns the lists that hits say, without those that another one names more exactly: spamhaus beside spamhaus-zen.
func (r *Rules) named(t *trace) []List {
	var found []List
	for i := range r.lists {
		for _, id := range r.lists[i].ids {
			if t.said(id) {
				found = append(found, r.lists[i].List)
				break
			}
		}
	}
	out := found[:0:0]
	for _, l := range found {
		exact := true
		for _, other := range found {
			exact = exact && !strings.HasPrefix(other.Name, l.Name+"-")
		}
		if exact {
			out = append(out, l)
		}
	}
	return out
}

// unlisted finds a zone that is not in the table: the dotted word behind "using", "at" and the like.
func unlisted(text []byte) (List, bool) {
	words := strings.Fields(string(text))
	for i := 1; i < len(words); i++ {
		switch words[i-1] {
		case "using", "at", "in", "on", "by", "from", "list", "rbl", "dnsbl":
			zone := words[i]
			if strings.IndexByte(zone, '.') > 0 && !strings.ContainsAny(zone, "/<") && !isEnhanced(zone) && !digits(strings.ReplaceAll(zone, ".", "")) {
				return List{Name: zone, Zone: zone, Kind: "ip"}, true
			}
		}
	}
	return List{}, false
}
