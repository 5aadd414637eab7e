// Package admin is the operator's hand on a running kanmon: a small HTTP API on a Unix socket, and the client that the command
// line uses. What may be done is what the socket's file mode allows; every change is logged with who asked for it.
//
// Normal use:
//
//  1. [Listen] on the path of the configuration; [NewServer] with what the daemon offers; [Server.Serve] in a goroutine;
//     [Server.Close] when the daemon stops.
//  2. [NewClient] with the same path, then its methods.
//
// The API (JSON; errors are {"error": "..."} with a 4xx or 5xx status):
//
//	GET  /v1/ips                          all standings that are not plainly active, and all that are answered slowly
//	GET  /v1/ips/{ip}                     those of one sending IP, with the evidence behind them
//	POST /v1/ips/{ip}/suspend             {"provider": "", "for": "2h", "reason": "..."}; with a reason; without "for" until resumed
//	POST /v1/ips/{ip}/resume              {"provider": "", "reason": "..."}
//	GET  /v1/warm-ups                     how far along the sending IPs with warm_up are
//	GET  /v1/ips/{ip}/warm-up             one of them
//	POST /v1/ips/{ip}/warm-up             {"step": 7, "reason": "..."} or {"finish": true, …}: it goes on there, or is warm
//	GET  /v1/shaping                      what of providers' limits the sending IPs use
//	GET  /v1/ips/{ip}/shaping             one of them
//	GET  /v1/sightings                    how others see the sending IPs: public lists, names; and how these lists are
//	GET  /v1/ips/{ip}/sightings           how one of them is seen
//	GET  /v1/mxs                          the MXs whose TLS has failed and not worked since
//	GET  /v1/mxs/{ip}                     what is remembered of the TLS of an MX
//	POST /v1/tries                        {"mx": "192.0.2.25"} or {"domain": "example.net"}, and "from", "sender", "recipient", "reason": how an MX answers each sending IP
//	GET  /v1/tries/{try}                  one of the last tries, as far as it is
//	GET  /v1/domains/{domain}/tls?destination= what a recipient's domain asks of its MXs, step by step; by asking for it
//	POST /v1/domains/{domain}/tls/refresh {}; its MTA-STS policy is fetched now, and answered as above
//	POST /v1/domains/{domain}/tls/forget  {"reason": "..."}; its MTA-STS policy is forgotten
//	GET  /v1/tls/policies                 the MTA-STS policies that are kept
//	GET  /v1/tls/refusals                 what mode "observe" has let pass in seven days
//	GET  /v1/status                       how kanmon itself is: sessions, memory, records that were dropped
//	GET  /v1/ready                        whether this gateway should get mail; 503 if not, with why
//	GET  /v1/sessions?held=1m&tenant=     the sessions that run, held ones first; also by session, account, provider, ip, mx, state; most=50
//	POST /v1/sessions/{session}/end       {"reason": "..."}: it ends, with 421 where a reply is possible, never between a dot and its reply
//	GET  /v1/top?tenant=                  what happens now, at a glance: status, sessions as above, what becomes of mail, refusals
//	GET  /v1/trace?provider=              the session log of what is asked for, from now on, as text; by all but state, held and most
//	POST /v1/reload                       the configuration is read anew; answered when it holds, or with why it does not
//	POST /v1/handover                     {}; kanmon takes no new sessions, soon, and ends behind those that there are
//	GET  /v1/tenants                      all tenants
//	GET  /v1/tenants/{tenant}             all that is known of one, and why it is treated as it is
//	POST /v1/tenants/{tenant}/block       {"for": "2h", "reason": "..."} or {"until": "2026-07-01T18:00:00+09:00", …}
//	POST /v1/tenants/{tenant}/unblock     {"reason": "..."}
//	POST /v1/tenants/{tenant}/exempt      as block
//	POST /v1/tenants/{tenant}/unexempt    as unblock
//	POST /v1/tenants/{tenant}/limit       {"limit": "name", "amount": 500, "reason": "..."}; 0: as it is configured
//	POST /v1/tenants/{tenant}/allow       as block, with an end; what scanners say of its mail is not held against it
//	POST /v1/tenants/{tenant}/withdraw    as unblock; that ends
//	GET  /v1/accounts?tenant=             accounts that are contained, blocked or exempt
//	…    /v1/accounts/{account}?tenant=   as with a tenant; its tenant can be left out where kanmon finds it
//	GET  /v1/audit?tenant=&account=&ip=&most= what was changed by operators and by limits that block, the newest last
//
// A body is one JSON object, and nothing behind it. An empty provider means all of them. Without "for" and "until" a
// block or an exemption lasts until it is ended.
package admin

import (
	"net/netip"
	"time"
)

// A Standing is what kanmon thinks of a sending IP at a provider.
type Standing struct {
	IP       netip.Addr `json:"ip"`
	Provider string     `json:"provider"` // "": all
	State    string     `json:"state"`    // of package standing, Absent, Standby, CutOff, Warming, Listed or Misnamed
	Since    time.Time  `json:"since,omitzero"`
	Until    time.Time  `json:"until,omitzero"`
	Reason   string     `json:"reason,omitempty"`
	Rule     string     `json:"rule,omitempty"`   // the classification rule behind it
	Sample   string     `json:"sample,omitempty"` // a reply of an MX, sanitised
	Lists    []string   `json:"lists,omitempty"`
	Share    float64    `json:"share"` // of its usual traffic, 0 to 1
	By       string     `json:"by,omitempty"`
	Note     string     `json:"note,omitempty"` // why it may not act as it seems to
	Evidence []Evidence `json:"evidence,omitempty"`
	Timing   *Timing    `json:"timing,omitempty"` // what the times of its mail say; nil: nothing
}

// A Timing is what the times of an IP's mail to a provider say, by docs/why/timing.md.
type Timing struct {
	Suspected bool      `json:"suspected,omitempty"` // it is no finding yet: the scope is what it would be reported as, or why it is not
	Scope     string    `json:"scope"`               // whom it concerns, in words
	Phase     string    `json:"phase"`               // what is slow
	Since     time.Time `json:"since,omitzero"`
	Mails     int       `json:"mails,omitempty"`   // that it rests on
	Tenants   int       `json:"tenants,omitempty"` // whose mail was slow
	Host      string    `json:"host,omitempty"`
	Tenant    string    `json:"tenant,omitempty"`
	Here      float64   `json:"here_s,omitempty"`   // seconds that the phase takes; 0: not known
	Others    float64   `json:"others_s,omitempty"` // from other sending IPs
	Before    float64   `json:"before_s,omitempty"` // from this one before
	Refuses   float64   `json:"refuses,omitempty"`  // of connections: which part the provider usually refuses
	Waits     float64   `json:"waits_s,omitempty"`  // seconds that a mail waits there in all
	Done      string    `json:"done"`               // told, split, slowed, moved
	Why       string    `json:"why,omitempty"`      // no more is done
	Shaping   string    `json:"shaping,omitempty"`  // what is left of what the provider takes, or why nothing is tightened
}

// Absent is the state of a sending IP that the host does not have: whatever else stands, nothing leaves from it.
const Absent = "absent"

// CutOff is the state of a sending IP whose path is dead: no MX answers it, and they answer others. Mail leaves from it where there is no other.
const CutOff = "cut-off"

// Standby is the state of a sending IP that floats and that the host does not have: another gateway has it, which is no trouble.
const Standby = "standby"

// Evidence is one refusal that counted.
type Evidence struct {
	At          time.Time `json:"at"`
	Tenant      string    `json:"tenant,omitempty"`
	Destination string    `json:"destination,omitempty"`
	Class       string    `json:"class"`
	Rule        string    `json:"rule"`
	Sample      string    `json:"sample"`
}

// SendingIPs is what the daemon offers for the API to work on.
type SendingIPs interface {
	// Standings gives those of one sending IP, or with the zero Addr of all; with the evidence behind them where one was named.
	Standings(ip netip.Addr) ([]Standing, error)
	// Suspend takes a sending IP out of use, until the time or, with the zero Time, until it is resumed.
	Suspend(ip netip.Addr, provider string, until time.Time, reason, who string) error
	// Resume lifts every suspension.
	Resume(ip netip.Addr, provider, reason, who string) error
	// WarmUps says how far along the sending IPs with warm_up are; with an address one of them.
	WarmUps(ip netip.Addr) ([]WarmUp, error)
	// Shaping says what of providers' limits the sending IPs use; with an address one of them.
	Shaping(ip netip.Addr) (Shaping, error)
	// Sightings says how others see the sending IPs, and how the lists are that are asked; with an address how one IP is seen.
	Sightings(ip netip.Addr) ([]Sighting, error)
	// WarmUp has one go on at another step, or end.
	WarmUp(ip netip.Addr, order WarmUpOrder, who string) error
}
