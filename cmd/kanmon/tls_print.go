package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"kanmon/internal/admin"
)

// printDomain says what a domain asks of its MXs, in the order in which it is found out.
func printDomain(w io.Writer, d *admin.TLSDomain, now time.Time) error {
	p := steps{tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)}
	p.line("mode", modeText(d))
	if text := insteadTexts[d.Instead]; text != "" {
		p.line("instead", text)
	}
	p.line("resolver", resolverText(&d.Resolver))
	p.line("MX", mxText(d))
	for i := range d.Hosts {
		if d.Hosts[i].Name != "" {
			printTLSHost(p, d, &d.Hosts[i])
		}
	}
	p.line("MTA-STS", policyText(d, now))
	if !d.Heard.IsZero() {
		p.line("heard", fmt.Sprintf("%s ago; the answers are used until %s", span(now.Sub(d.Heard)), when(d.Until)))
	}
	for i := range d.Hosts {
		if d.Hosts[i].Asks != "" {
			p.line("so", followsText(d, &d.Hosts[i]))
		}
	}
	if s := d.Seen; s != nil {
		p.line("seen", fmt.Sprintf("%s would have been refused in seven days, last at %s for MX %s: %s", count(s.Times, "recipient"), when(s.Last), s.MX, seenWhy(s)))
	}
	if d.Refused {
		p.line("mail", refusedText(d.Mode))
	}
	return p.Flush()
}

// steps are what was found out, in a table.
type steps struct{ *tabwriter.Writer }

func (p steps) line(what, found string) { fmt.Fprintf(p, "%s\t%s\n", what, found) }

func refusedText(mode string) string {
	if mode == "enforce" {
		return "is refused with 451, and waits in the MSA's queue"
	}
	return "goes out; in mode \"enforce\" it would be refused with 451"
}

func modeText(d *admin.TLSDomain) string {
	switch d.Mode {
	case "enforce":
		return "enforce: an MX that does not prove what is asked gets no mail"
	case "observe":
		return "observe: nothing is refused, and nothing waits"
	}
	return "no [tls_policy]: only a [[destination]] with tls = \"verify\" asks something"
}

// insteadTexts say what counts in place of what the domain asks.
var insteadTexts = map[string]string{
	"exempt":      "exempt by the configuration: nothing is asked of the MX",
	"overridden":  "tls = \"off\" for this destination: nothing is asked of the MX",
	"named":       "the destination's names count, tls = \"verify\", and not what the domain asks",
	"passthrough": "the destination is passed through: kanmon does not see the TLS",
}

func resolverText(r *admin.TLSResolver) string {
	text := "answers, and validates DNSSEC"
	switch {
	case r.Since.IsZero():
		return "has not been asked yet"
	case !r.Answers:
		text = "does not answer"
	case r.Lost:
		text = "has stopped validating DNSSEC: nobody knows what is signed"
	case !r.Validates:
		text = "does not validate DNSSEC: there is no DANE"
	}
	if r.Why != "" {
		text += ": " + r.Why
	}
	return text + ", since " + when(r.Since)
}

func mxText(d *admin.TLSDomain) string {
	signed := "not signed: no TLSA record counts"
	switch {
	case d.Bogus:
		return "DNSSEC finds the answer forged: " + orDash(d.MXError, "no more is known")
	case d.MXError != "":
		return "not known: " + d.MXError
	case d.Signed:
		signed = "signed"
	case !d.DANE:
		signed = "dane = false: no TLSA record counts"
	}
	text := count(len(named(d.Hosts)), "host")
	switch {
	case d.Null:
		text = "the domain takes no mail (null MX)"
	case d.Implicit:
		text = "none: the domain is its own MX"
	case len(named(d.Hosts)) == 0:
		text = "none: " + d.MX
	}
	if d.More {
		text += ", and more than are looked at"
	}
	if d.Alias != "" {
		text += ", of its alias " + d.Alias
	}
	return text + "; " + signed
}

// named are the hosts that are MXs of the domain.
func named(all []admin.TLSHost) (hosts []admin.TLSHost) {
	for i := range all {
		if all[i].Name != "" {
			hosts = append(hosts, all[i])
		}
	}
	return hosts
}

func printTLSHost(p steps, d *admin.TLSDomain, h *admin.TLSHost) {
	text := "no address"
	if len(h.Addresses) > 0 {
		var all []string
		for _, a := range h.Addresses {
			all = append(all, a.String())
		}
		text = strings.Join(all, ", ")
	}
	if h.Here {
		text += " (this destination)"
	}
	if d.Signed {
		text += "; " + danesText(h)
	}
	if d.Policy != nil && d.Policy.Mode != "none" {
		if text += "; in the MTA-STS policy"; !h.InPolicy {
			text = strings.TrimSuffix(text, "in the MTA-STS policy") + "not in the MTA-STS policy"
		}
	}
	p.line(h.Name, text)
	for _, record := range h.Usable {
		p.line("", "TLSA "+record)
	}
}

// danesText says what DANE asks of a host whose domain is signed.
func danesText(h *admin.TLSHost) string {
	switch {
	case h.Unknown:
		return "TLSA not known: " + orDash(h.Error, "no answer")
	case h.Gone:
		return "nobody connects there"
	case len(h.Usable) > 0:
		return fmt.Sprintf("%s at _25._tcp.%s", count(len(h.Usable), "usable TLSA record"), h.Base)
	case h.Records > 0:
		return fmt.Sprintf("%s at _25._tcp.%s, none usable: TLS is asked, and no proof", count(h.Records, "TLSA record"), h.Base)
	case !h.Signed:
		return "address not signed: no DANE"
	}
	return "no TLSA record"
}

func policyText(d *admin.TLSDomain, now time.Time) string {
	why := d.PolicyError
	if why == "" {
		why = d.PolicyWhy
	}
	switch p := d.Policy; {
	case !d.MTASTS:
		return "not asked for"
	case p == nil && d.PolicyKnown && why != "":
		return "no policy that counts: " + why
	case p == nil && d.PolicyKnown:
		return "no policy"
	case p == nil:
		return "not known: " + orDash(why, "no answer yet")
	default:
		text := fmt.Sprintf("%s, id %s, fetched %s ago, until %s; MX %s", p.Mode, p.ID, span(now.Sub(p.Fetched)), when(p.Until), orDash(strings.Join(p.MX, ", "), "none"))
		if why != "" {
			text += "; the newest could not be had: " + why
		}
		return text
	}
}

// byTexts say who asks something of an MX.
var byTexts = map[string]string{
	"sts": "MTA-STS", "sts_testing": "MTA-STS, which is only being tested", "dane": "DANE", "encrypted": "TLSA records that nobody can use",
	"named": "the configuration", "unknown": "something that is not known",
}

// followsText says what an MX must do for mail to go there.
func followsText(d *admin.TLSDomain, h *admin.TLSHost) string {
	who := h.Name
	if h.Tried.IsValid() {
		who = strings.TrimSpace(who + " " + h.Tried.String())
	}
	if who == "" {
		who = "any MX"
	}
	switch h.Asks {
	case admin.TLSAsksNothing:
		return who + ": nothing is asked of its TLS"
	case admin.TLSAsksTLS:
		return who + ": it must have TLS, whatever its certificate, by " + byTexts[h.By]
	case admin.TLSAsksProof:
		return who + ": " + proofText(d, h)
	case admin.TLSRefused:
		return fmt.Sprintf("%s: refused, by %s: %s (%s)", who, byTexts[h.By], h.Detail, h.Why)
	}
	if h.By == "sts_testing" {
		return fmt.Sprintf("%s: passes, since the policy is only being tested: %s (%s)", who, h.Detail, h.Why)
	}
	return fmt.Sprintf("%s: would be refused, by %s: %s (%s)", who, byTexts[h.By], h.Detail, h.Why)
}

func proofText(d *admin.TLSDomain, h *admin.TLSHost) string {
	switch h.By {
	case "dane":
		return "it must have TLS, and a certificate that a TLSA record matches"
	case "named":
		return "it must have TLS, and a certificate of a trusted authority for one of the destination's names"
	}
	text := "it must have TLS 1.2, and a certificate of a trusted authority for an MX name that the MTA-STS policy has"
	if h.By == "sts_testing" || d.Mode == "observe" {
		text += "; without that it is only noted"
	}
	return text
}

func printTLSPolicies(w io.Writer, all []admin.TLSPolicy, now time.Time) error {
	if len(all) == 0 {
		_, err := fmt.Fprintln(w, "no MTA-STS policy is kept")
		return err
	}
	table := newTable(w, "DOMAIN\tMODE\tAGE\tUNTIL\tLAST USED\tMX\tNOTE")
	for i := range all {
		p := &all[i]
		used := "-"
		if !p.Used.IsZero() {
			used = p.Used.UTC().Format(time.DateOnly)
		}
		note := p.Error
		if note == "" {
			note = p.Why
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", p.Domain, p.Mode, span(now.Sub(p.Fetched)), when(p.Until), used, orDash(strings.Join(p.MX, ", "), "-"), orDash(note, "-"))
	}
	return table.Flush()
}

func printTLSRefusals(w io.Writer, all []admin.TLSRefusal) error {
	if len(all) == 0 {
		_, err := fmt.Fprintln(w, "nothing would have been refused in the last seven days, as far as kanmon has run since its start")
		return err
	}
	table := newTable(w, "DOMAIN\tTIMES\tLAST\tMX\tPOLICY\tWHY")
	for i := range all {
		r := &all[i]
		fmt.Fprintf(table, "%s\t%d\t%s\t%s\t%s\t%s\n", orDash(r.Domain, "-"), r.Times, when(r.Last), r.MX, r.Policy, seenWhy(r))
	}
	return table.Flush()
}

func seenWhy(r *admin.TLSRefusal) string {
	text := r.Why
	if r.Detail != "" {
		text = r.Detail + " (" + r.Why + ")"
	}
	if r.Of != "" {
		text = r.Of + ": " + text
	}
	if r.Perhaps {
		text += "; mode \"enforce\" connects once more, which may do"
	}
	return text
}
