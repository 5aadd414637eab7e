package notify

import (
	"maps"
	"net/netip"
	"strings"
	"time"

	"kanmon/internal/config"
	"kanmon/internal/event"
)

// An ear understands lines. It remembers what only several of them say. What a gateway has decided by itself is a subject of that gateway: another one
// with a pool or a tenant of the same name says nothing of it.
type ear struct {
	pools   map[string]bool // that are exhausted
	listed  map[string]bool // sending IPs on lists
	probing map[string]bool // sending IPs at providers that are probed
}

func newEar() *ear {
	return &ear{map[string]bool{}, map[string]bool{}, map[string]bool{}}
}

// clone is for who may have to hear the same lines again.
func (r *ear) clone() ear {
	return ear{maps.Clone(r.pools), maps.Clone(r.listed), maps.Clone(r.probing)}
}

// happenings adds what a line says of any subject. Most lines say nothing: they are of mail that went as it should.
func (r *ear) happenings(to []happening, e *event.Entry) []happening {
	switch e.Type {
	case "transaction":
		if e.Outcome == "ambiguous" {
			to = append(to, ambiguous(e))
		}
		if len(r.pools) > 0 && e.SendingIP.IsValid() {
			to = r.usable(to, e, e.Pool, e.Provider)
		}
	case "session":
		return r.sessionEnds(to, e)
	case "changed":
		return r.changed(to, e)
	case "order":
		return ordered(to, e)
	case "sighting":
		return r.sighted(to, e)
	case "finding":
		return append(to, found(e))
	case "decision":
		if e.Action == "spoofed" {
			d := ofEntry(e)
			return append(to, happening{key: key("spoofing", e.Tenant), moment: true, every: longest, event: newEvent("spoofing.first", e.At, d)})
		}
	case "gateway":
		return gatewaySteps(to, e)
	case "dropped":
		d := ofEntry(e)
		d.Numbers = []Number{{Name: "records", Value: float64(e.Records)}}
		return append(to, happening{key: key("dropped", e.Gateway), moment: true, event: newEvent("gateway.records_dropped", e.At, d)})
	}
	return to
}

func ambiguous(e *event.Entry) happening {
	d := ofEntry(e)
	d.Sender, d.MessageID, d.IP = e.Sender, e.MessageID, addressOf(e.Source)
	return happening{key: key("ambiguous", e.Provider), moment: true, event: newEvent("mail.ambiguous", e.At, d)}
}

// A pool is exhausted if nothing of it could be used for two minutes: a probe takes less.
const poolWait = 2 * time.Minute

func poolKey(gateway, pool, provider string) string { return key("pool", gateway, pool, provider) }

func (r *ear) sessionEnds(to []happening, e *event.Entry) []happening {
	none := e.EndReason == "ips_suspended" || e.EndReason == "ips_missing"
	if none {
		to = r.exhausted(to, e, e.Pool, e.Provider, e.EndReason)
	}
	for i := range e.Legs {
		switch leg := &e.Legs[i]; {
		case leg.Failed == "not_dialled" && !none:
			to = r.exhausted(to, e, leg.Pool, leg.Provider, "") // how the session has ended has nothing to do with it
		case leg.SendingIP.IsValid():
			to = r.usable(to, e, leg.Pool, leg.Provider)
		}
	}
	return to
}

func (r *ear) exhausted(to []happening, e *event.Entry, pool, provider, why string) []happening {
	k := poolKey(e.Gateway, pool, provider)
	r.pools[k] = true
	d := ofEntry(e)
	d.Pool, d.Provider, d.Condition = pool, provider, why
	return append(to, happening{key: k, state: "exhausted", wait: poolWait, event: newEvent("pool.exhausted", e.At, d)})
}

func (r *ear) usable(to []happening, e *event.Entry, pool, provider string) []happening {
	k := poolKey(e.Gateway, pool, provider)
	if !r.pools[k] {
		return to
	}
	delete(r.pools, k)
	d := ofEntry(e)
	d.Pool, d.Provider, d.Session, d.Transaction = pool, provider, 0, 0
	return append(to, happening{key: k, event: newEvent("pool.usable", e.At, d)})
}

// changed is about a sending IP, or a sender.
func (r *ear) changed(to []happening, e *event.Entry) []happening {
	if !e.SendingIP.IsValid() {
		return level(to, e)
	}
	d, ip := ofEntry(e), addr(e.SendingIP)
	switch k := key("ip", e.Gateway, ip, e.Provider); e.State {
	case "suspended", "stopped":
		if e.By == byList && !r.isListed(ip) {
			return append(to, happening{key: key("listed", ip), state: "listed", event: newEvent("ip.listed", e.At, d)})
		}
		if r.probing[k] && e.Until.Sub(e.At) >= refusedFor {
			to = append(to, happening{key: key("probes", e.Gateway, ip, e.Provider), state: "failing", over: mostProbes, event: newEvent("ip.probe_failing", e.At, d)})
		}
		delete(r.probing, k)
		return append(to, happening{key: k, state: e.State, event: newEvent("ip.suspended", e.At, d)})
	case "probing":
		r.probing[k] = true
	case "active", "slowed":
		delete(r.probing, k)
		if e.Was == "warming" {
			return append(to, happening{key: key("warmup", ip), moment: true, event: newEvent("warmup.stage", e.At, d)})
		}
		if e.Provider == "" {
			to = append(to, happening{key: key("listed", ip), event: newEvent("ip.delisted", e.At, d)})
		}
		return append(to, happening{key: k, event: newEvent("ip.recovered", e.At, d)}, happening{key: key("probes", e.Gateway, ip, e.Provider), event: newEvent("ip.probe_passed", e.At, d)})
	case "warming":
		return append(to, happening{key: key("warmup", ip), moment: true, event: newEvent("warmup.stage", e.At, d)})
	}
	return to
}

// sighted is how others see a sending IP, or whether a list can be believed.
func (r *ear) sighted(to []happening, e *event.Entry) []happening {
	d, h := ofEntry(e), happening{}
	name := func(begins, is config.NotifyEvent, bad bool) {
		if h.event = newEvent(is, e.At, d); bad {
			h.state, h.event = e.State, newEvent(begins, e.At, d)
		}
	}
	switch {
	case !e.SendingIP.IsValid():
		h.key = key("list", e.Gateway, e.List)
		name("list.not_believed", "list.believed", e.State == "not_believed")
	case e.List != "":
		h.key = key("listed", addr(e.SendingIP), e.List)
		name("ip.listed", "ip.delisted", e.State == "listed")
		if r.listed[h.key] = h.state != ""; h.state == "" {
			delete(r.listed, h.key)
		}
	default:
		h.key = key("names", addr(e.SendingIP))
		name("ip.names_wrong", "ip.names_right", e.State != "named" && e.State != "unknown")
	}
	return append(to, h)
}

// isListed says whether it is known which list has a sending IP.
func (r *ear) isListed(ip string) bool {
	for k := range r.listed {
		if strings.HasPrefix(k, key("listed", ip, "")) {
			return true
		}
	}
	return false
}

// Probes that are refused are counted for a day. A probe that had no answer, which tells nothing, is followed by the next after two minutes.
const (
	mostProbes = 3
	refusedFor = 5 * time.Minute
)

// byList is who has decided, where a list said so that kanmon has asked itself.
const byList = "dnsbl"

// level is what has been decided about a sender. What is only observed is a condition of its own.
func level(to []happening, e *event.Entry) []happening {
	if e.Tenant == "" {
		return to
	}
	d := ofEntry(e)
	if e.State == "normal" {
		released := newEvent(ofTenant("account.released", e), e.At, d)
		return append(to, happening{key: key("contained", e.Gateway, e.Tenant, e.Account), event: released}, happening{key: key("would", e.Gateway, e.Tenant, e.Account), event: released})
	}
	if e.Would {
		return append(to, happening{key: key("would", e.Gateway, e.Tenant, e.Account), state: e.State, event: newEvent(ofTenant("account.would_be_contained", e), e.At, d)})
	}
	return append(to, happening{key: key("contained", e.Gateway, e.Tenant, e.Account), state: e.State, event: newEvent(ofTenant("account.contained", e), e.At, d)})
}

func ordered(to []happening, e *event.Entry) []happening {
	d := ofEntry(e)
	d.Was, d.State = e.Before, e.After
	limited := key("limited", e.Gateway, e.Tenant, e.Account)
	if e.Limit {
		return append(to, happening{key: limited, state: "block", event: newEvent("limit.blocked", e.At, d)})
	}
	if e.Action == "unblock" {
		to = append(to, happening{key: limited, event: newEvent("limit.released", e.At, d)})
	}
	return append(to, happening{key: key("order", e.Action, addr(e.SendingIP), e.Provider, e.Tenant, e.Account), moment: true, event: newEvent("order.done", e.At, d)})
}

// found is a finding of times.
func found(e *event.Entry) happening {
	d := ofEntry(e)
	d.Condition, d.Did, d.Since = e.Scope, e.Acted, e.Since
	for _, number := range [...]Number{
		{Name: "here_ms", Value: float64(e.Here)},
		{Name: "others_ms", Value: float64(e.Others)},
		{Name: "before_ms", Value: float64(e.BeforeIt)},
		{Name: "mails", Value: float64(e.Mails)},
		{Name: "tenants", Value: float64(e.Tenants)},
	} {
		if number.Value > 0 {
			d.Numbers = append(d.Numbers, number)
		}
	}
	h := happening{key: key("slow", e.Gateway, addr(e.SendingIP), e.Provider, e.Phase), state: e.Scope, event: newEvent("provider.slow", e.At, d)}
	if e.Action == "cleared" {
		h.state, h.event.Type = "", "provider.normal"
		h.event.Data.Severity = Info
	}
	return h
}

func gatewaySteps(to []happening, e *event.Entry) []happening {
	if e.Action != "drain" && e.Action != "stop" && e.Action != "reload_refused" {
		to = rulesLost(to, e)
	}
	d := ofEntry(e)
	step := func(name config.NotifyEvent) happening {
		return happening{key: key("gateway", e.Action, e.Gateway), moment: true, event: newEvent(name, e.At, d)}
	}
	switch e.Action {
	case "start":
		if e.Unclean {
			d.Severity = Warning
		}
		return append(to, step("gateway.started"))
	case "reload":
		return append(to, step("gateway.reloaded"))
	case "reload_refused":
		return append(to, step("gateway.reload_refused"))
	case "drain":
		return append(to, step("gateway.draining"))
	}
	return to
}

// rulesLost is about the firewall rules: without them mail leaves directly.
func rulesLost(to []happening, e *event.Entry) []happening {
	d := ofEntry(e)
	d.Condition = e.Rules
	h := happening{key: key("rules", e.Gateway), event: newEvent("gateway.rules_in_force", e.At, d)}
	if e.Rules != "" && !strings.HasPrefix(e.Rules, "in force") {
		h.state, h.event = "lost", newEvent("gateway.rules_lost", e.At, d)
		if e.Action != "rules" { // a process that begins puts them in force
			h.wait = rulesWait
		}
	}
	return append(to, h)
}

const rulesWait = 2 * time.Minute

// addressOf takes the address of an address and port.
func addressOf(source string) netip.Addr {
	of, err := netip.ParseAddrPort(source)
	if err != nil {
		return netip.Addr{}
	}
	return of.Addr()
}

// ofTenant names the event about an account as it is called of a whole tenant.
func ofTenant(name config.NotifyEvent, e *event.Entry) config.NotifyEvent {
	if e.Account == "" {
		return "tenant" + name[len("account"):]
	}
	return name
}
