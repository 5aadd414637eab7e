package check

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"kanmon/internal/config"
	"kanmon/internal/session"
)

// TLS asks a running kanmon with which MXs it has no TLS.
type TLS struct {
	Config *config.Config
	Ask    func(context.Context) (Remembered, error)
}

// Remembered is what kanmon remembers of the TLS of MXs.
type Remembered struct {
	Since  time.Time // its start
	MXs    int       // in all
	Failed []FailedTLS
}

// A FailedTLS is an MX whose TLS has failed, and not worked since.
type FailedTLS struct {
	MX   netip.Addr
	At   time.Time // last
	Why  string    // as the records have it
	Said string    // the failure itself
	Lack bool      // an MSA with OpenSSL may have TLS there
}

// mostTLS is how many networks are listed.
const mostTLS = 50

// Run gives a finding for each network and cause, the worst first.
func (t *TLS) Run(ctx context.Context) []Finding {
	c := &checker{Site: Site{Config: t.Config, Host: &Host{}}, ctx: ctx}
	known, err := t.Ask(ctx)
	if err != nil {
		c.unchecked("MXs that stay in plain text", "only a running kanmon knows them: "+err.Error())
		return c.findings
	}
	groups := t.groups(known.Failed)
	for _, g := range groups[:min(len(groups), mostTLS)] {
		g.find(c)
	}
	if more := len(groups) - mostTLS; more > 0 {
		c.findAt(tlsRemembered, "more networks", fmt.Sprintf("%d more networks of MXs whose TLS fails are not listed", more), "kanmon mx ADDRESS")
	}
	c.findAt(tlsRemembered, "kanmon's memory of TLS", fmt.Sprintf("kanmon remembers %d MXs since %s, and has no TLS with %d of them", known.MXs,
		known.Since.Format("2006-01-02 15:04:05 -07:00"), len(known.Failed)), "")
	Sort(c.findings)
	return c.findings
}

// A tlsGroup are the MXs of one network whose TLS fails for one cause.
type tlsGroup struct {
	network netip.Prefix
	why     string
	must    bool // no mail leaves without TLS
	mxs     []FailedTLS
}

// groups leaves out what the configuration does not have TLS with any more.
func (t *TLS) groups(failed []FailedTLS) []*tlsGroup {
	var all []*tlsGroup
	for _, f := range failed {
		rule, through := t.rule(f.MX)
		if through || rule == session.TLSOff {
			continue
		}
		bits := 48
		if f.MX.Is4() {
			bits = 24
		}
		network, _ := f.MX.Prefix(bits) // fails only for lengths that the family does not have
		must := rule == session.TLSRequire || rule == session.TLSVerify
		at := slices.IndexFunc(all, func(g *tlsGroup) bool { return g.network == network && g.why == f.Why && g.must == must })
		if at < 0 {
			at = len(all)
			all = append(all, &tlsGroup{network: network, why: f.Why, must: must})
		}
		all[at].mxs = append(all[at].mxs, f)
	}
	slices.SortFunc(all, func(a, b *tlsGroup) int {
		return cmp.Or(-cmp.Compare(len(a.mxs), len(b.mxs)), a.network.Addr().Compare(b.network.Addr()), strings.Compare(a.why, b.why))
	})
	return all
}

// rule is what the configuration says of an MX: the most specific network counts.
func (t *TLS) rule(mx netip.Addr) (rule session.TLSRule, through bool) {
	most := -1
	for _, d := range t.Config.Destinations {
		for _, network := range d.Networks {
			if network.Contains(mx) && network.Bits() > most {
				most, rule, through = network.Bits(), d.TLS, d.Passthrough
			}
		}
	}
	return rule, through
}

// tlsCauses says in words what the records have a word for.
var tlsCauses = map[string]string{
	"nothing_in_common":  "it has no cipher suite, key exchange or signature in common with kanmon",
	"version":            "it has no version of TLS in common with kanmon",
	"certificate":        "kanmon cannot read its certificate",
	"client_certificate": "it wants a certificate of its clients",
	"refused":            "it offers STARTTLS and refuses it",
	"no_tls":             "what it says behind STARTTLS is no TLS",
	"silent":             "it does not answer in time",
	"lost":               "it closes the connection",
	"alert":              "it breaks TLS off",
}

// find tells of the group, and how its mail is encrypted again.
func (g *tlsGroup) find(c *checker) {
	slices.SortFunc(g.mxs, func(a, b FailedTLS) int { return a.MX.Compare(b.MX) })
	last := slices.MaxFunc(g.mxs, func(a, b FailedTLS) int { return a.At.Compare(b.At) })
	what := "mail leaves in plain text"
	if g.must {
		what = "no mail leaves, since there must be TLS"
	}
	what = fmt.Sprintf("%s: %s: %s (%s)", g.names(), what, cmp.Or(tlsCauses[g.why], "TLS fails"), last.Said)
	kind, cure := tlsBroken, ""
	if last.Lack {
		kind = tlsLacked
		cure = fmt.Sprintf("[[destination]] with networks = [%s] and passthrough = true: there the MSA has its own TLS", g.networks())
	}
	c.findAt(kind, "MXs in "+g.network.String(), what, cure)
}

// mostNamed is how many MXs of a network are named.
const mostNamed = 4

func (g *tlsGroup) names() string {
	var names []string
	for _, f := range g.mxs[:min(len(g.mxs), mostNamed)] {
		names = append(names, f.MX.String())
	}
	if more := len(g.mxs) - mostNamed; more > 0 {
		names = append(names, fmt.Sprintf("%d more", more))
	}
	return strings.Join(names, ", ")
}

// networks are those for [[destination]].
func (g *tlsGroup) networks() string {
	if len(g.mxs) > mostNamed {
		return strconv.Quote(g.network.String())
	}
	var all []string
	for _, f := range g.mxs {
		all = append(all, strconv.Quote(netip.PrefixFrom(f.MX, f.MX.BitLen()).String()))
	}
	return strings.Join(all, ", ")
}
