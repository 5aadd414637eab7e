package main

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/who/witness"
	"kanmon/test/netlab"
)

// A view is what kanmon has on record.
type view struct {
	findings []*event.Entry
	mails    []sight
}

// A sight is a mail on record that has arrived, or not.
type sight struct {
	*mail
	from, own netip.Addr // own: that it would have left from, if nothing were slow
	delivered bool
}

// A key is a sending IP at an MX.
type key struct {
	ip netip.Addr
	mx int
}

// view reads the records. The last line may not be whole while kanmon runs.
func (s *stage) view() (v view, err error) {
	records := s.kanmon.Records()
	records = records[:strings.LastIndexByte(records, '\n')+1]
	s.mu.Lock()
	defer s.mu.Unlock()
	for e, err := range event.NewReader(strings.NewReader(records)).All() {
		switch {
		case err != nil:
			return v, fmt.Errorf("kanmon's records: %w", err)
		case e.Type == "dropped":
			return v, fmt.Errorf("kanmon's records are not complete: %d are missing", e.Records)
		case e.Type == "finding":
			v.findings = append(v.findings, e)
		case e.Type == "transaction" && len(e.Recipients) > 0:
			token, _, _ := strings.Cut(strings.Trim(e.Recipients[0].Address, "<>"), "@")
			if m := s.mails[token]; m != nil {
				at := sight{mail: m, from: e.SendingIP, own: e.SendingIP, delivered: e.Outcome == "delivered"}
				if e.InsteadOf.IsValid() {
					at.own = e.InsteadOf
				}
				v.mails = append(v.mails, at)
			}
		}
	}
	return v, nil
}

// of gives the finding of a restriction, nil if there is none, and the first time that more was done than to tell it.
func (v *view) of(r restriction) (found *event.Entry, acted time.Time, acts []string) {
	for _, f := range v.findings {
		if !r.is(f) || f.Action == "cleared" {
			continue
		}
		if found == nil {
			found = f
		}
		if f.Acted == "slowed" || f.Acted == "moved" {
			if acted.IsZero() {
				acted = f.At
			}
			if len(acts) == 0 || acts[len(acts)-1] != f.Acted {
				acts = append(acts, f.Acted)
			}
		}
	}
	return found, acted, acts
}

// is reports whether a finding is of the restriction.
func (r restriction) is(f *event.Entry) bool {
	return f.Scope == ipHere && f.SendingIP == r.ip && f.Provider == witness.Stranger(netlab.MXAddr(r.mx, false))
}

// untrue gives the findings that are not true.
func (s *stage) untrue(v view) (all []*event.Entry) {
	for _, f := range v.findings {
		ok := s.may != nil && s.may(f)
		for _, r := range s.want {
			ok = ok || r.is(f)
		}
		if !ok {
			all = append(all, f)
		}
	}
	return all
}

// missing says what is still to be seen; "" if nothing is.
func (s *stage) missing(v view) string {
	for _, r := range s.want {
		_, acted, _ := v.of(r)
		if acted.IsZero() {
			return fmt.Sprintf("that %v is restricted at MX %d, and that something is done about it", r.ip, r.mx)
		}
		n := 0
		for _, m := range v.mails {
			if m.own == r.ip && m.mx == r.mx && m.at.After(acted) {
				n++
			}
		}
		if n < s.plan.since {
			return fmt.Sprintf("%d mails whose IP is %v at MX %d, since something is done about it; there are %d", s.plan.since, r.ip, r.mx, n)
		}
	}
	if len(s.want) > 0 {
		return ""
	}
	if s.must && !slices.ContainsFunc(v.findings, s.may) {
		return "that it is told what it is"
	}
	n := map[key]int{}
	for _, m := range v.mails {
		n[key{m.own, m.mx}]++
	}
	for _, ip := range sendingIPs {
		for mx := 1; mx <= mxs; mx++ {
			if n := n[key{ip, mx}]; n < s.plan.each {
				return fmt.Sprintf("%d mails whose IP is %v at MX %d; there are %d", s.plan.each, ip, mx, n)
			}
		}
	}
	return ""
}

// findingsText has the findings, for whoever looks for what went wrong.
func (v *view) findingsText() string {
	if len(v.findings) == 0 {
		return "nothing"
	}
	var text []string
	for _, f := range v.findings {
		text = append(text, findingText(f))
	}
	return strings.Join(text, "; ")
}

func findingText(f *event.Entry) string {
	where := "all sending IPs"
	if f.SendingIP.IsValid() {
		where = f.SendingIP.String()
	}
	if f.Provider != "" {
		where += " at " + f.Provider
	}
	text := fmt.Sprintf("%s %s: %s, %s", f.Action, where, f.Scope, f.Phase)
	if f.Tenant != "" {
		text += " (" + f.Tenant + ")"
	}
	return text
}
