package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"time"

	"kanmon/internal/config"
	"kanmon/internal/daemon"
	"kanmon/internal/outlet/provider"
	"kanmon/internal/outlet/route"
	"kanmon/internal/session"
	"kanmon/internal/who/mailbox"
)

// explainTimeout bounds the questions to DNS: somebody is waiting at a terminal.
const explainTimeout = 5 * time.Second

type explainCommand struct {
	configFlag
	Tenant    string     `help:"The tenant whose mail it is." xor:"from" placeholder:"NAME"`
	Source    netip.Addr `help:"Address of the MSA." xor:"from" placeholder:"IP"`
	Sender    *string    `help:"Envelope sender, \"<>\" for the null sender. Without it: what holds before the sender is known." placeholder:"ADDRESS"`
	Recipient string     `help:"Recipient. Without it: what holds before a recipient is known." placeholder:"ADDRESS"`
	MX        netip.Addr `help:"Address of the MX. Without it kanmon asks DNS." placeholder:"IP"`
	Suspicion float64    `help:"Suspicion of the mail, from 0 to 1. Without it: not known, and no route with suspicion_min matches." default:"-1" placeholder:"SCORE"`
	NoDNS     bool       `help:"Do not ask DNS."`
}

// Run prints what the router decides, and what it decides by.
func (e *explainCommand) Run(c *console) error {
	cfg, err := e.load()
	if err != nil {
		return err
	}
	seen := c.seenOf(cfg)
	today, err := e.today(cfg, seen.lacks)
	if err != nil {
		return err
	}
	defer today.Close()
	router := today.Router
	q, err := e.query(cfg)
	if err != nil {
		return err
	}
	lookup := provider.New(provider.Config{Set: daemon.Providers(cfg), Resolver: c.resolver, Wait: explainTimeout})
	defer lookup.Close()
	ctx, cancel := context.WithTimeout(context.Background(), explainTimeout)
	defer cancel()

	p := &explanation{c.stdout, cfg, e.exact(cfg), today, daemon.Destinations(cfg)}
	p.line("tenant", e.tenantText(router, q))
	p.line("sender", e.senderText())
	p.line("recipient", cmp.Or(e.Recipient, "not known"))
	if q.Suspicion >= 0 { // that of a mail is computed when it comes, of what is known of its account then
		p.line("suspicion", fmt.Sprintf("%g, as --suspicion says; what an account has now: kanmon account show ACCOUNT", q.Suspicion))
	}
	if q.RecipientDomain != "" {
		q.Provider = e.provider(ctx, p, daemon.Providers(cfg), lookup, q.RecipientDomain)
	}
	p.takes(q.Provider)
	if seen.words != "" {
		p.line("host", seen.words)
	}
	destinations := e.destinations(ctx, p, lookup, q.RecipientDomain)
	p.choices(router, q, destinations)
	if len(cfg.Tenants) > 0 {
		p.refused(router, q, destinations)
	}
	p.destinations(destinations)
	p.unasked()
	p.line("no MX", unreachableText(daemon.OnUnreachable(cfg, router)(session.Origin{
		Source: netip.AddrPortFrom(q.Source, 0), Destination: q.Destination, Port: q.Port,
	})))
	return nil
}

// unreachableText says what the MSA meets when the MX cannot be reached.
func unreachableText(how session.Unreachable) string {
	if how == session.UnreachableReply {
		return "an MSA whose MX cannot be reached is greeted with 421 and the reason"
	}
	return "an MSA whose MX cannot be reached is not greeted, so that it tries the next one: its connection is reset, or closed"
}

// query puts together what the command line tells.
func (e *explainCommand) query(cfg *config.Config) (route.Query, error) {
	q := route.Query{Source: e.Source.Unmap(), Suspicion: e.Suspicion}
	if e.Tenant != "" {
		i := slices.IndexFunc(cfg.Tenants, func(t config.Tenant) bool { return t.Name == e.Tenant })
		if i < 0 {
			return q, fmt.Errorf("%s has no tenant %q", e.Config, e.Tenant)
		}
		if q.Port = uint16(cfg.Tenants[i].ListenPort); q.Port == 0 {
			q.Source = cfg.Tenants[i].Sources[0].Addr()
		}
	}
	if e.Sender != nil {
		if q.Sender, q.SenderKnown = mailbox.Named(*e.Sender), true; q.Sender == mailbox.Unreadable {
			return q, fmt.Errorf("%q is not an address of a sender", *e.Sender)
		}
	}
	if e.Recipient != "" {
		if q.RecipientDomain = mailbox.DomainOf(mailbox.Named(e.Recipient)); q.RecipientDomain == "" {
			return q, fmt.Errorf("%q is not an address of a recipient", e.Recipient)
		}
	}
	return q, nil
}

// exact reports whether the command line tells the one address of an MSA.
func (e *explainCommand) exact(cfg *config.Config) bool {
	i := slices.IndexFunc(cfg.Tenants, func(t config.Tenant) bool { return t.Name == e.Tenant })
	return e.Source.IsValid() || i >= 0 && len(cfg.Tenants[i].Sources) == 1 && cfg.Tenants[i].Sources[0].IsSingleIP()
}

func (e *explainCommand) tenantText(router *route.Router, q route.Query) string {
	choice, _ := router.Choose(q) // the tenant is told with an error, too
	text := cmp.Or(choice.Tenant, "none")
	switch {
	case e.Source.IsValid() && router.Owner(q).Unclaimed:
		text += ", as unknown_tenant: no tenant claims mail from " + q.Source.String()
	case e.Source.IsValid():
		text += ", by the source " + q.Source.String()
	case e.Tenant == "":
		text += " (no --tenant, no --source)"
	case choice.Tenant != e.Tenant && e.Sender == nil:
		text += fmt.Sprintf(" before MAIL: %s is told apart by the sender's domain", e.Tenant)
	case choice.Tenant != e.Tenant:
		text += fmt.Sprintf(": this sender is not one of tenant %s", e.Tenant)
	}
	return text
}

func (e *explainCommand) senderText() string {
	switch {
	case e.Sender == nil:
		return "not known"
	case mailbox.Named(*e.Sender) == mailbox.Null:
		return "<>, the null sender"
	default:
		return *e.Sender
	}
}

// provider prints which provider it is and how that is known.
func (e *explainCommand) provider(ctx context.Context, p *explanation, set *provider.Set, lookup *provider.Lookup, domain string) string {
	if name, entry := set.OfDomain(domain); name != "" {
		p.line("provider", fmt.Sprintf("%s: %s is a domain of its own (%s)", name, domain, entry))
		return name
	}
	if e.NoDNS {
		p.line("provider", "unknown: no provider owns the recipient domain, and --no-dns forbids a lookup")
		return ""
	}
	switch a := lookup.Find(ctx, domain, ""); {
	case !a.Known:
		p.line("provider", "not known: DNS has no answer: "+a.Err.Error())
		return ""
	case a.Provider == "":
		p.line("provider", "none: no list has the MX "+cmp.Or(a.MX, "of this domain"))
		return ""
	default:
		p.line("provider", fmt.Sprintf("%s: the MX %s is in %s", a.Provider, a.MX, a.Name))
		return a.Provider
	}
}

// destinations returns an address of the MX for each family; an unspecified one where it is not known.
func (e *explainCommand) destinations(ctx context.Context, p *explanation, lookup *provider.Lookup, domain string) []netip.Addr {
	if e.MX.IsValid() {
		p.line("mx", e.MX.Unmap().String())
		return []netip.Addr{e.MX.Unmap()}
	}
	unknown := []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()}
	if domain == "" || e.NoDNS {
		p.line("mx", "not known")
		return unknown
	}
	host, addrs, err := lookup.BestMX(ctx, domain)
	if err != nil {
		p.line("mx", "not known: "+err.Error())
		return unknown
	}
	p.line("mx", host)
	var found []netip.Addr
	for _, is := range []func(netip.Addr) bool{netip.Addr.Is4, netip.Addr.Is6} {
		if i := slices.IndexFunc(addrs, func(a netip.Addr) bool { return is(a.Unmap()) }); i >= 0 {
			found = append(found, addrs[i].Unmap())
		}
	}
	return found
}

// An explanation is what is printed.
type explanation struct {
	w     io.Writer
	cfg   *config.Config
	exact bool // it is known which MSA sends
	today *warmToday
	rules func(netip.Addr) session.Destination
}

// rule returns what holds of a destination; nothing where it is not known.
func (p *explanation) rule(to netip.Addr) session.Destination {
	if to.IsUnspecified() {
		return session.Destination{}
	}
	return p.rules(to)
}

// known returns what a session toward an address ever knows of a mail: where it is passed through, no more than the connection.
func (p *explanation) known(q route.Query, to netip.Addr) route.Query {
	if p.rule(to).Passthrough {
		q.Sender, q.SenderKnown, q.RecipientDomain, q.Provider = "", false, "", ""
	}
	q.Destination = netip.AddrPortFrom(to, 25)
	return q
}

func (p *explanation) line(what, text string) { fmt.Fprintf(p.w, "%-10s %s\n", what, text) }

// choices prints the decision for each destination. Routes may know networks, so each has its own.
func (p *explanation) choices(router *route.Router, q route.Query, destinations []netip.Addr) {
	told := ""
	for _, to := range destinations {
		q := p.known(q, to)
		choice, err := router.Explain(q)
		why := strings.Join(append(choice.Why, choice.Route), "\n")
		if why != told {
			for _, reason := range choice.Why {
				p.line("", reason)
			}
			p.line("pool", poolText(choice))
			if !p.rule(to).Passthrough {
				p.line("refusals", refusalsText(choice, p.cfg.Handling(choice.Number)))
				p.timing(choice, p.cfg.Handling(choice.Number))
			}
			told = why
		}
		p.sendingIPs(router, q, choice, err)
	}
}

// destinations says of which kanmon sees no more than the connection, and which must have TLS.
func (p *explanation) destinations(destinations []netip.Addr) {
	for _, to := range destinations {
		if !to.IsUnspecified() && p.rule(to).TLS == session.TLSRequire && !p.rule(to).Passthrough {
			p.line("tls", to.String()+" must have TLS: where it offers none, or TLS fails, the mail gets 451 and leaves from nowhere")
		}
		if p.rule(to).Passthrough {
			p.line("unseen", to.String()+" is passed through: routes by sender or recipient, limits of mail and containment do not hold there;")
			p.line("", "who is blocked by hand, or is no tenant, is refused all the same")
		}
	}
}

// takes says how much the provider takes from one sending IP, as far as that is to be kept to.
func (p *explanation) takes(provider string) {
	if provider == "" {
		return
	}
	what := "takes"
	all, _ := takesOf(p.cfg, provider)
	for i := range all {
		if all[i].Kept {
			p.line(what, fmt.Sprintf("%s, from each sending IP: %s (mode of [shaping])", all[i].words, shapingText[p.cfg.Shaping.Mode.String()]))
			what = ""
		}
	}
	if text := tightensByTime(p.cfg, all); text != "" {
		p.line(what, text)
	}
}

// shapingText is what is done about what a provider takes, by the mode of [shaping].
var shapingText = map[string]string{"on": "kept to", "observe": "observed", "off": "not counted"}

func poolText(c route.Choice) string {
	text := cmp.Or(c.Pool, "none") + ", by: " + c.Route
	if c.HighRisk {
		text += ", the high-risk pool"
	}
	return text
}

func refusalsText(c route.Choice, h route.Handling) string {
	if c.Pool == "" && h.Rescue == route.RescueOn { // the daemon has no other sending IP, and alters nothing
		h.Rescue = route.RescueObserve
	}
	text := map[route.RescueMode]string{
		route.RescueOn: "rescued", route.RescueObserve: "observed", route.RescueOff: "passed on",
	}[h.Rescue]
	if h.Rescue == route.RescueOn && h.Soften {
		text += ", or softened"
	}
	switch {
	case c.Pool == "":
		return text
	case h.Heeds():
		return text + "; suspended sending IPs are passed over"
	default:
		return text + "; sending IPs are used although evidence has suspended them"
	}
}
