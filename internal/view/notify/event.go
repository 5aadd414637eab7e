package notify

import (
	"net/netip"
	"strings"
	"time"

	"kanmon/internal/config"
	"kanmon/internal/event"
)

// An Event is what people are told. Its JSON is the body of a webhook.
type Event struct {
	ID   string             `json:"-"`
	Type config.NotifyEvent `json:"type"`
	At   time.Time          `json:"timestamp"` // when it happened
	Data Data               `json:"data"`
}

// Data is what is known of an event. Names are those of docs/ref/record.md where it has them.
type Data struct {
	Subject  string    `json:"subject"`  // in a line
	Severity Severity  `json:"severity"` // for people: what wakes whom
	Gateway  string    `json:"gateway,omitempty"`
	Since    time.Time `json:"since,omitzero"` // when the condition began
	Until    time.Time `json:"until,omitzero"`
	More     int       `json:"more,omitempty"` // of the same subject, that nobody was told of since the last time

	SendingIP netip.Addr `json:"sending_ip,omitzero"`
	Provider  string     `json:"provider,omitempty"`
	Pool      string     `json:"pool,omitempty"`
	List      string     `json:"list,omitempty"`  // public list
	Names     []string   `json:"names,omitempty"` // of the PTR of the sending IP
	Tenant    string     `json:"tenant,omitempty"`
	Account   string     `json:"account,omitempty"`
	Phase     string     `json:"phase,omitempty"`
	State     string     `json:"state,omitempty"`
	Was       string     `json:"was,omitempty"`
	Action    string     `json:"action,omitempty"`
	By        string     `json:"by,omitempty"`
	Rule      string     `json:"rule,omitempty"`
	Class     string     `json:"class,omitempty"`
	Version   string     `json:"version,omitempty"`
	Unclean   bool       `json:"unclean,omitempty"`
	Unkept    bool       `json:"unkept,omitempty"`

	Condition string   `json:"condition,omitempty"` // what was found, as the records have it
	Numbers   []Number `json:"numbers,omitempty"`
	Replies   []string `json:"replies,omitempty"` // of MXs, at most three
	Did       string   `json:"did,omitempty"`     // what kanmon did
	ToDo      string   `json:"to_do,omitempty"`
	Link      string   `json:"link,omitempty"`

	// The mail that it has come of, where that is known.
	IP          netip.Addr `json:"ip,omitzero"` // of the MSA
	Session     event.ID   `json:"session,omitzero"`
	Transaction int        `json:"transaction,omitempty"`
	Sender      string     `json:"sender,omitempty"`
	MessageID   string     `json:"message_id,omitempty"`

	Text string `json:"text,omitempty"` // of the digest
}

// A Number is something measured, and from where on it is told.
type Number struct {
	Name      string  `json:"name"`
	Value     float64 `json:"value"`
	Threshold float64 `json:"threshold,omitempty"`
}

// Severity is how soon a person should look.
type Severity string

// The severities are those of the alerts that are shipped.
const (
	Critical Severity = "critical" // mail waits, or leaves by a wrong way
	Warning  Severity = "warning"  // it will, or something is not seen
	Info     Severity = "info"
)

// ends says of each event that ends a condition which begins it.
var ends = map[config.NotifyEvent]bool{
	"ip.recovered": true, "ip.delisted": true, "ip.probe_passed": true, "ip.names_right": true, "list.believed": true, "pool.usable": true, "provider.normal": true, "account.released": true,
	"tenant.released": true, "limit.released": true, "limit.far": true, "gateway.disk_room": true, "certificate.renewed": true, "resolver.well": true, "gateway.heard": true, "gateway.rules_in_force": true,
}

// severities are those of events that begin something; what is not here is for information.
var severities = map[config.NotifyEvent]Severity{
	"ip.suspended": Warning, "ip.listed": Critical, "ip.probe_failing": Warning, "ip.names_wrong": Warning, "list.not_believed": Warning, "pool.exhausted": Critical, "provider.slow": Warning,
	"provider.deferring": Warning, "account.contained": Warning, "tenant.contained": Critical, "limit.blocked": Warning, "limit.near": Warning, "gateway.disk_low": Warning, "certificate.ending": Warning, "resolver.failing": Warning,
	"refusal.new_kind": Warning, "spoofing.first": Warning, "mail.ambiguous": Warning, "gateway.reload_refused": Warning,
	"gateway.rules_lost": Critical, "gateway.silent": Critical, "gateway.records_dropped": Warning,
}

// newEvent begins an event.
func newEvent(t config.NotifyEvent, at time.Time, d Data) Event {
	if d.Severity == "" {
		if d.Severity = severities[t]; d.Severity == "" {
			d.Severity = Info
		}
	}
	return Event{Type: t, At: at.UTC().Truncate(time.Millisecond), Data: d}
}

// ofEntry begins the data of an event with what its line has.
func ofEntry(e *event.Entry) Data {
	return Data{
		Gateway: e.Gateway, SendingIP: e.SendingIP, Provider: e.Provider, Pool: e.Pool, List: e.List, Names: e.Names, Tenant: e.Tenant, Account: e.Account, Phase: e.Phase,
		State: e.State, Was: e.Was, Action: e.Action, By: e.By, Rule: e.Rule, Until: e.Until, Condition: e.Cause, Session: e.Session,
		Transaction: e.Number, Version: e.Version, Unclean: e.Unclean, Unkept: e.Unkept,
	}
}

// key joins what names a subject. No part has a line end: names of the configuration have none, and the records write none in what strangers say.
func key(parts ...string) string { return strings.Join(parts, "\n") }

func addr(ip netip.Addr) string {
	if !ip.IsValid() {
		return ""
	}
	return ip.String()
}
