package daemon

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"kanmon/internal/admin"
	"kanmon/internal/config"
	"kanmon/internal/event"
	"kanmon/internal/outlet"
	"kanmon/internal/outlet/classify"
	"kanmon/internal/outlet/dial"
	"kanmon/internal/outlet/shape"
	"kanmon/internal/outlet/standing"
	"kanmon/internal/outlet/trial"
	"kanmon/internal/policy"
	"kanmon/internal/session"
	"kanmon/internal/who/mailbox"
)

// trying are the tries that persons have ordered: how MXs answer each sending IP. They outlive reloads, and not the process.
type trying struct {
	desk    trial.Desk
	ctx     context.Context // ends with kanmon
	running sync.WaitGroup

	mu   sync.Mutex
	last []*admin.Try // the newest last; what is in them is guarded, too
}

// lastTries are kept to be looked at.
const lastTries = 8

// dnsTime is how long DNS may take to name an MX: who asks waits.
const dnsTime = 5 * time.Second

// openTrying lets persons try, until kanmon stops.
func (d *Daemon) openTrying() {
	ctx, cancel := context.WithCancel(context.Background())
	d.trying.ctx = ctx
	d.onStop("tries", func(context.Context) error {
		cancel()
		d.trying.running.Wait()
		return nil
	})
}

// Try implements [admin.MXs]. The audit has it before the first octet is sent.
func (o *operator) Try(ctx context.Context, order admin.TryOrder, who string) (admin.Try, error) {
	o.d.mu.Lock()
	current, cfg := o.d.current, o.d.cfg
	o.d.mu.Unlock()
	if current == nil || len(cfg.SendingIPs) == 0 {
		return admin.Try{}, conflict("this kanmon has no sending IP: it observes, and there is nothing to compare")
	}
	try := admin.Try{ID: strings.ToLower(rand.Text()[:16]), At: time.Now(), By: who, MX: order.MX}
	call, err := envelopeOf(&order)
	if err == nil {
		err = o.aim(ctx, current, &order, &try)
	}
	if err == nil {
		err = trial.Target(try.MX, func(a netip.Addr) bool { return o.d.loops.IsOwnAddress(a) || o.configured(a) }, namedNetworks(cfg))
	}
	if err == nil {
		err = o.line(cfg, &order, &try)
	}
	if err != nil {
		return admin.Try{}, err
	}
	try.Sender, try.Recipient = call.Sender, call.Recipient
	rule := Destinations(cfg)(try.MX)
	call.MX, call.TLS = netip.AddrPortFrom(try.MX, trial.Port), rule.TLS
	end, err := o.d.trying.desk.Begin(trial.Where(try.MX, try.Provider), who, try.At)
	if err != nil {
		return admin.Try{}, &admin.Error{Status: http.StatusTooManyRequests, Err: err}
	}
	if err := o.d.policy.AuditOrder(policy.Change{Did: "try", By: who, Why: order.Reason, Provider: try.Provider, After: audited(&try)}); err != nil {
		end()
		return admin.Try{}, &admin.Error{Status: http.StatusInternalServerError, Err: fmt.Errorf("nothing is tried: the audit cannot have it: %w", cmp.Or(errors.Unwrap(err), err))}
	}
	kept := o.d.trying.keep(&try)
	run := tryRun{
		of: &o.d.trying, try: kept, call: call, rules: current.rules,
		caller: trial.Caller{Dialer: dial.New(o.d.dialling(cfg)), TLS: session.ClientTLS()},
	}
	current.trust.guard(&run.caller, rule, call.MX)
	o.d.trying.running.Go(func() {
		defer end()
		run.all()
	})
	return o.Tried(try.ID)
}

// Tried implements [admin.MXs].
func (o *operator) Tried(id string) (admin.Try, error) {
	t := &o.d.trying
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, try := range t.last {
		if try.ID == id {
			shown := *try
			shown.Dialogues = slices.Clone(try.Dialogues)
			for i := range shown.Dialogues {
				shown.Dialogues[i].Steps = slices.Clone(shown.Dialogues[i].Steps)
			}
			return shown, nil
		}
	}
	return admin.Try{}, &admin.Error{Status: http.StatusNotFound, Err: fmt.Errorf("there is no such try, or no more: the last %d are kept, until kanmon stops", lastTries)}
}

func (t *trying) keep(try *admin.Try) *admin.Try {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last = append(slices.Clone(t.last[max(0, len(t.last)+1-lastTries):]), try)
	return try
}

// envelopeOf reads what is to be said.
func envelopeOf(order *admin.TryOrder) (call trial.Call, err error) {
	if order.Sender != "" {
		if call.Sender, err = trial.Path(order.Sender); err != nil {
			return call, fmt.Errorf("sender: %w", err)
		}
	}
	if order.Recipient != "" {
		if call.Recipient, err = trial.Path(order.Recipient); err != nil || call.Recipient == "<>" {
			return call, fmt.Errorf("recipient: %w", cmp.Or(err, errors.New("there is no null recipient")))
		}
	}
	return call, nil
}

// aim finds the MX that is asked: that which was named, or the one that mail to a domain is tried at first.
func (o *operator) aim(ctx context.Context, current *generation, order *admin.TryOrder, try *admin.Try) error {
	providers := current.out.Providers()
	if order.Domain == "" {
		try.Provider = providers.At(try.MX)
		return nil
	}
	domain, ok := mailbox.Domain(order.Domain)
	if !ok || strings.HasPrefix(domain, "[") {
		return fmt.Errorf("%.60q is no domain", order.Domain)
	}
	ctx, cancel := context.WithTimeout(ctx, dnsTime)
	defer cancel()
	host, addrs, err := providers.BestMX(ctx, domain)
	if err != nil {
		return &admin.Error{Status: http.StatusBadGateway, Err: fmt.Errorf("the MX of %s: %w", domain, err)}
	}
	for _, addr := range addrs {
		if addr = addr.Unmap(); o.family(addr) {
			try.Domain, try.Host, try.MX = domain, event.Printable(host, 255), addr
			try.Provider = cmp.Or(providers.At(addr), providers.Of(domain))
			return nil
		}
	}
	return conflict("the MX of %s, %s, has no address that a sending IP here could reach: %d addresses, none of their family", domain, event.Printable(host, 255), len(addrs))
}

// conflict is an order that is right, and cannot be carried out as things are.
func conflict(format string, args ...any) error {
	return &admin.Error{Status: http.StatusConflict, Err: fmt.Errorf(format, args...)}
}

// family reports whether there is a sending IP of an address's family.
func (o *operator) family(addr netip.Addr) bool {
	o.d.mu.Lock()
	defer o.d.mu.Unlock()
	return slices.ContainsFunc(o.d.cfg.SendingIPs, func(ip config.SendingIP) bool { return ip.Address.Is4() == addr.Is4() })
}

// namedNetworks are those that a person has named as places where mail goes.
func namedNetworks(cfg *config.Config) (all []netip.Prefix) {
	for i := range cfg.Destinations {
		all = append(all, cfg.Destinations[i].Networks...)
	}
	for i := range cfg.Routes {
		all = append(all, cfg.Routes[i].Destinations...)
	}
	return all
}

// line says which sending IPs have a dialogue: all that can. Those that are suspended have one: that is what is asked.
func (o *operator) line(cfg *config.Config, order *admin.TryOrder, try *admin.Try) error {
	from, err := whence(cfg, order.From)
	if err != nil {
		return err
	}
	missing := o.d.outlets.Absent()
	for _, ip := range cfg.SendingIPs {
		var why string
		switch {
		case !from(ip.Address):
			continue
		case ip.Address.Is4() != try.MX.Is4():
			why = "the MX's address is of the other family"
		case slices.ContainsFunc(missing, func(a outlet.Absent) bool { return a.Address == ip.Address }):
			why = "this host does not have it now"
		default:
			why = o.noRoom(ip.Address, try.Provider)
		}
		if why != "" {
			try.LeftOut = append(try.LeftOut, admin.TryLeftOut{IP: ip.Address, Why: why})
			continue
		}
		try.Dialogues = append(try.Dialogues, admin.TryDialogue{IP: ip.Address, EHLO: ip.EHLO, Stands: o.standsThere(ip.Address, try.Provider), State: admin.TryWaiting})
	}
	if len(try.Dialogues) == 0 {
		var all []string
		for _, l := range try.LeftOut {
			all = append(all, l.IP.String()+": "+l.Why)
		}
		return conflict("there is no sending IP to try from: %s", cmp.Or(strings.Join(all, "; "), "none is meant"))
	}
	return nil
}

// whence reads which sending IPs are meant.
func whence(cfg *config.Config, text string) (func(netip.Addr) bool, error) {
	if text == "" {
		return func(netip.Addr) bool { return true }, nil
	}
	if addr, err := netip.ParseAddr(text); err == nil {
		return func(ip netip.Addr) bool { return ip == addr.Unmap() }, nil
	}
	if network, err := netip.ParsePrefix(text); err == nil {
		return network.Contains, nil
	}
	if pool, named := cfg.Pools[text]; named {
		return func(ip netip.Addr) bool { return slices.Contains(pool.IPs, ip) }, nil
	}
	return nil, fmt.Errorf("from: %.60q is neither an address nor a network nor a pool", text)
}

// noRoom says what the provider's own bounds leave no room for; "": there is some. What is counted of messages a try does not touch.
func (o *operator) noRoom(ip netip.Addr, provider string) string {
	shaping, err := o.Shaping(ip)
	if err != nil || provider == "" {
		return ""
	}
	for _, t := range shaping.Takes {
		connections := t.Count == shape.Connections.String() || t.Count == shape.NewConnections.String()
		if t.Provider == provider && t.Kept && connections && t.Now > 0 && t.Used >= t.Now {
			return fmt.Sprintf("%s takes %d %s from it%s, and mail has them", provider, t.Now, t.Count, every(t.Every))
		}
	}
	return ""
}

func every(time string) string {
	if time == "" {
		return ""
	}
	return " in " + time
}

// standsThere says how a sending IP stands; "" if there is nothing to say of it.
func (o *operator) standsThere(ip netip.Addr, provider string) string {
	stands := o.stands(standing.Key{IP: ip, Provider: cmp.Or(provider, standing.Every)})
	if stands == standing.Active.String() {
		stands = ""
	}
	if e, found := o.d.outlets.Warming().Get(ip); found && !e.Done {
		stands = strings.TrimPrefix(stands+"; "+admin.Warming+": "+e.Words(), "; ")
	}
	return stands
}

// audited says what is tried, without an address of a person.
func audited(try *admin.Try) string {
	said := "no MAIL"
	if try.Sender != "" {
		said = "MAIL"
	}
	if try.Recipient != "" {
		said = "MAIL and RCPT at " + mailbox.DomainOf(strings.Trim(try.Recipient, "<>"))
	}
	where := try.MX.String()
	if try.Host != "" {
		where += " (" + try.Host + ")"
	}
	return fmt.Sprintf("%s from %d sending IPs: %s, no message", where, len(try.Dialogues), said)
}

// A tryRun is a try that runs.
type tryRun struct {
	of     *trying
	try    *admin.Try
	call   trial.Call
	caller trial.Caller
	rules  *classify.Rules
}

// all has the dialogues, side by side as far as that is few.
func (r *tryRun) all() {
	places := make(chan struct{}, trial.Together)
	var all sync.WaitGroup
	for i := range r.try.Dialogues {
		places <- struct{}{}
		all.Go(func() {
			defer func() { <-places }()
			r.one(i)
		})
	}
	all.Wait()
	r.of.mu.Lock()
	defer r.of.mu.Unlock()
	r.try.Over = true
}

func (r *tryRun) one(i int) {
	one := &r.try.Dialogues[i]
	call := r.call
	call.From, call.Name = one.IP, one.EHLO
	err := r.caller.Call(r.of.ctx, &call, func(s trial.Step) {
		step := r.shown(one.IP, &s)
		r.of.mu.Lock()
		defer r.of.mu.Unlock()
		one.Steps = append(one.Steps, step)
		one.TLS = cmp.Or(s.TLS, one.TLS)
		if s.Refused() && s.Phase < event.PhaseReset {
			one.State = admin.TryRefused
		}
	})
	r.of.mu.Lock()
	defer r.of.mu.Unlock()
	if err != nil {
		one.Ended = event.Printable(err.Error(), 300)
	}
	switch {
	case one.State == admin.TryRefused:
	case err != nil:
		one.State = admin.TryFailed
	default:
		one.State = admin.TryLetIn
	}
}

// shown is a step with what its refusal means. The standing does not hear of it: what a person asks is nobody's mail.
func (r *tryRun) shown(ip netip.Addr, s *trial.Step) admin.TryStep {
	step := admin.TryStep{Phase: s.Phase.String(), Said: s.Said, Took: s.Took.Seconds(), Code: s.Code, Reply: s.Shown}
	if !s.Refused() {
		return step
	}
	v := r.rules.Classify(classify.Query{
		Text: s.Text, Phase: classify.Phase(step.Phase), Provider: r.try.Provider, SendingIP: publicOnly(ip), Sender: strings.Trim(r.call.Sender, "<>"),
		Recipient: strings.Trim(r.call.Recipient, "<>"), EHLO: []string{r.nameOf(ip)},
	})
	meaning, advice := classify.Explain(v.Class)
	step.Class, step.Scope, step.Rule, step.Meaning, step.Advice = v.Class.String(), v.Scope.String(), v.Rule, meaning, cmp.Or(v.Advice, advice)
	step.Counts = v.Suspend != classify.No
	return step
}

func (r *tryRun) nameOf(ip netip.Addr) string {
	for i := range r.try.Dialogues {
		if r.try.Dialogues[i].IP == ip {
			return r.try.Dialogues[i].EHLO
		}
	}
	return ""
}

// publicOnly leaves out an address behind which others have another one: an MX does not see it.
func publicOnly(ip netip.Addr) netip.Addr {
	if ip.IsPrivate() {
		return netip.Addr{}
	}
	return ip
}
