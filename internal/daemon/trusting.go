package daemon

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"kanmon/internal/config"
	"kanmon/internal/outlet/trial"
	"kanmon/internal/outlet/trust"
	"kanmon/internal/outlet/trust/dns"
	"kanmon/internal/outlet/trust/report"
	"kanmon/internal/outlet/trust/sts"
	"kanmon/internal/session"
	"kanmon/internal/who/mailbox"
)

// A trusting is what outlives a configuration of what MXs must prove. Generations that want the same share it; where none does nothing of it runs.
type trusting struct {
	mu       sync.Mutex
	memory   *trust.Memory // nil: nothing was ever asked
	resolver *askedDNS
	policies *keptPolicies
}

// An askedDNS is a resolver that generations ask.
type askedDNS struct {
	*dns.Client
	of    dnsOptions
	users int
}

type dnsOptions struct {
	resolver netip.AddrPort
	trustAD  bool
}

// keptPolicies are the policies of MTA-STS. The file has one owner, so there is one at a time.
type keptPolicies struct {
	*sts.Keeper
	file  *sts.SQLite // nil: nothing survives the process
	dns   *dns.Client // guarded by trusting.mu: of the generation that leads
	users int
}

// A trustInUse is what a generation has of it.
type trustInUse struct {
	*trust.Trust
	resolver *askedDNS
	policies *keptPolicies // nil: nobody asks for policies
	mode     string        // "": there is no [tls_policy]
}

// report has a collector told of what comes of TLS, as a configuration says, from now on. The one before may have been another.
func (d *Daemon) report(cfg *config.Config, asks *trustInUse) {
	d.endReporting()
	if cfg.TLSReport.Socket == "" {
		return
	}
	if asks == nil || !cfg.TLSPolicy.On || cfg.TLSPolicy.Mode != config.TLSEnforce {
		d.log.Warn("no TLS report is made: it would say what came of policies, and [tls_policy] does not enforce them", "socket", cfg.TLSReport.Socket)
		return
	}
	o := report.Options{Socket: cfg.TLSReport.Socket, Resolver: asks.resolver.Client, Log: d.log}
	if asks.policies != nil {
		o.Policies = asks.policies.Keeper
	}
	r := report.New(o)
	d.reporter.Store(r)
	leave := d.stream.Subscribe("TLS reports", r.Hear)
	d.reporting = func() {
		leave()
		d.reporter.Store(nil)
		r.Close()
	}
}

// endReporting ends that.
func (d *Daemon) endReporting() {
	if d.reporting != nil {
		d.reporting()
		d.reporting = nil
	}
}

// asksOfMXs reports whether a configuration has anything asked of MXs.
func asksOfMXs(cfg *config.Config) bool {
	return cfg.TLSPolicy.On || slices.ContainsFunc(cfg.Destinations, func(d config.Destination) bool { return d.TLS == session.TLSVerify })
}

// trust makes what a generation's sessions ask of MXs; nil: nothing.
func (d *Daemon) trust(cfg *config.Config) (_ *trustInUse, err error) {
	if !asksOfMXs(cfg) {
		return nil, nil
	}
	p := &cfg.TLSPolicy
	roots, err := trust.Roots(p.Roots)
	if err != nil {
		return nil, err
	}
	t := &d.trusting
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.memory == nil {
		t.memory = trust.NewMemory()
	}
	use := &trustInUse{}
	if p.On {
		use.mode = string(p.Mode)
	}
	if use.resolver, err = t.ask(dnsOptions{p.Resolver, p.TrustAD}, d.log); err != nil {
		return nil, err
	}
	c := trustConfig(cfg)
	c.DNS, c.Roots = use.resolver.Client, roots
	if p.On && p.MTASTS {
		if use.policies, err = t.keep(p.Store, roots, use.resolver.Client, d.log); err != nil {
			return nil, errors.Join(err, t.leave(use))
		}
		c.STS = use.policies.Keeper
	}
	use.Trust = trust.New(c, t.memory)
	return use, nil
}

// trustConfig is what a configuration says, but for who is asked.
func trustConfig(cfg *config.Config) trust.Config {
	p := &cfg.TLSPolicy
	return trust.Config{
		Enforce: p.On && p.Mode == config.TLSEnforce, DANE: p.On && p.DANE, Pass: p.DNSFailure == config.DNSPass,
		ExemptDomains: mailbox.NewDomains(p.ExemptDomains), ExemptMXs: cfg.Senders.Internal, ExemptSources: p.ExemptSources, ExemptSenders: exemptSenders(p),
		FirstContact: p.FirstContact, Wait: p.Wait,
	}
}

// ask gives the resolver; t.mu is held.
func (t *trusting) ask(of dnsOptions, log *slog.Logger) (*askedDNS, error) {
	if t.resolver != nil && t.resolver.of == of {
		t.resolver.users++
		return t.resolver, nil
	}
	given := ""
	if of.resolver.IsValid() {
		given = of.resolver.String()
	}
	servers, err := dns.Servers(given)
	if err != nil {
		return nil, fmt.Errorf("tls_policy.resolver: %w", err)
	}
	client, err := dns.New(dns.Settings{Servers: servers, TrustAD: of.trustAD, Log: log, Tell: func(s dns.State) { tellResolver(log, s) }})
	if err != nil {
		return nil, fmt.Errorf("tls_policy.resolver: %w", err)
	}
	t.resolver = &askedDNS{client, of, 1}
	return t.resolver, nil
}

// tellResolver tells an operator how the resolver is. Without DNSSEC there is no DANE, and nobody else would say so.
func tellResolver(log *slog.Logger, s dns.State) {
	switch {
	case !s.Answers:
		log.Warn("the resolver does not answer: what recipients' domains ask of MXs is not known", "cause", s.Why)
	case s.Lost:
		log.Warn("the resolver does not validate DNSSEC any more: mail to domains whose MXs may ask for DANE waits", "cause", s.Why)
	case !s.Validates:
		log.Warn("the resolver does not validate DNSSEC: there is no DANE", "cause", s.Why)
	default:
		log.Info("the resolver validates DNSSEC")
	}
}

// keep gives the policies; t.mu is held.
func (t *trusting) keep(path string, roots *x509.CertPool, client *dns.Client, log *slog.Logger) (*keptPolicies, error) {
	if t.policies == nil {
		k := &keptPolicies{dns: client}
		options := sts.Options{Resolver: newestDNS{t, k}, Roots: roots, Log: log}
		if path != "" {
			file, err := sts.OpenSQLite(path)
			if err != nil {
				return nil, fmt.Errorf("tls_policy.store: %w", err)
			}
			k.file, options.Store = file, file
		}
		keeper, err := sts.New(options)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("tls_policy.store: %w", err), k.closeFile())
		}
		k.Keeper = keeper
		t.policies = k
	}
	t.policies.users++
	return t.policies, nil
}

func (k *keptPolicies) closeFile() error {
	if k.file == nil {
		return nil
	}
	return k.file.Close()
}

// lead has the policies looked up by what a generation asks, from now on: not before it is sure that it takes the place of the one before.
func (t *trusting) lead(u *trustInUse) {
	if u == nil || u.policies == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	u.policies.dns = u.resolver.Client
}

// guard has a try ask of an MX what mail to its recipient's domain asks, before it names anybody there.
func (u *trustInUse) guard(caller *trial.Caller, rule session.Destination, mx netip.AddrPort) {
	if u == nil {
		return
	}
	caller.TLS.ServerName = u.ServerName(mx)
	caller.May = func(ctx context.Context, of *trial.Call, shown session.TrustLeg) error {
		recipient := mailbox.Named(strings.Trim(of.Recipient, "<>"))
		domain := mailbox.DomainOf(recipient)
		e := u.Explain(ctx, session.TrustQuestion{
			Domain: domain, MX: mx, Rule: rule, By: byOperator, Sender: mailbox.Named(strings.Trim(of.Sender, "<>")),
			Unreadable: domain == "" && recipient != mailbox.Null && recipient != "postmaster",
		})
		shown.Now = time.Now()
		if v := e.Judge(shown); !v.Pass {
			return fmt.Errorf("nobody is named to it, as with mail: %s", v.Told.Detail)
		}
		return nil
	}
}

// Close ends what a generation has of it, and what nobody has any more.
func (u *trustInUse) close(t *trusting) error {
	if u == nil {
		return nil
	}
	u.Close()
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.leave(u)
}

// leave is close with t.mu held.
func (t *trusting) leave(u *trustInUse) (err error) {
	if k := u.policies; k != nil {
		if k.users--; k.users == 0 {
			t.policies = nil
			err = errors.Join(k.Close(), k.closeFile())
		}
	}
	if r := u.resolver; r != nil {
		if r.users--; r.users == 0 {
			if t.resolver == r {
				t.resolver = nil
			}
			err = errors.Join(err, r.Close())
		}
	}
	return err
}

// exemptSenders gives senders in the form that they are compared in.
func exemptSenders(p *config.TLSPolicy) (all []string) {
	for _, sender := range p.ExemptSenders {
		all = append(all, mailbox.Named(sender))
	}
	return all
}

// A newestDNS is the DNS as policies are looked up by: the resolver may change, and they stay.
type newestDNS struct {
	t *trusting
	k *keptPolicies
}

func (n newestDNS) now() trust.Texts {
	n.t.mu.Lock()
	defer n.t.mu.Unlock()
	return trust.Texts{DNS: n.k.dns}
}

// Texts implements [sts.Resolver].
func (n newestDNS) Texts(ctx context.Context, name string, by func() string) sts.Texts {
	return n.now().Texts(ctx, name, by)
}

// Addresses implements [sts.Resolver].
func (n newestDNS) Addresses(ctx context.Context, name string, by func() string) ([]netip.Addr, error) {
	return n.now().Addresses(ctx, name, by)
}

// tellEnforced names, where a reload begins to refuse, what it would have refused until now.
func (d *Daemon) tellEnforced(was, will *config.Config) {
	enforces := func(cfg *config.Config) bool { return cfg.TLSPolicy.On && cfg.TLSPolicy.Mode == config.TLSEnforce }
	if enforces(was) || !enforces(will) {
		return
	}
	all := d.trusting.wouldRefuse()
	for i := range all[:min(len(all), mostTold)] {
		r := &all[i]
		log := d.log.With("times", r.Times, "last", r.Last.Round(time.Second),
			"destination", r.MX.String(), "policy", r.Policy.String(), "cause", r.Why.String(), "detail", r.Detail)
		if r.Domain == "" {
			log.Warn("mail to recipients whose domain cannot be read is refused from now on, if they are still written so", "of", r.Of)
			continue
		}
		log.Warn("mail to this domain is refused from now on, if nothing has changed", "domain", r.Domain)
	}
	if len(all) > mostTold {
		d.log.Warn("and to more domains: kanmon tls list --refused", "count", len(all)-mostTold)
	}
}

// wouldRefuse is what would have been refused, had it been enforced.
func (t *trusting) wouldRefuse() []trust.Refusal {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.memory == nil {
		return nil
	}
	return t.memory.WouldRefuse(time.Now())
}

// mostTold is how many domains a reload names.
const mostTold = 50
