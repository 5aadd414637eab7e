// Package historytest says how a [history.Store] behaves, whatever keeps it, and makes lines to try it with.
package historytest

import (
	"encoding/json"
	"fmt"
	"maps"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/view/history"
)

// A Feed makes the lines of one run of a gateway.
type Feed struct {
	Gateway, Run string
	Count        uint64 // lines so far
}

// NewFeed is a feed of a gateway that began then.
func NewFeed(gateway string, began time.Time) *Feed {
	return &Feed{Gateway: gateway, Run: began.UTC().Format(time.RFC3339Nano)}
}

// M are members of a line.
type M = map[string]any

// Line makes the next line.
func (f *Feed) Line(kind string, at time.Time, members M) history.Line {
	f.Count++
	all := M{"type": kind, "at": stamp(at), "gateway": f.Gateway, "run": f.Run, "line": f.Count}
	maps.Copy(all, members)
	raw, err := json.Marshal(all)
	if err != nil {
		panic(err) //nolint:forbidigo // a test's own words
	}
	e, err := event.ParseEntry(raw)
	if err != nil {
		panic(fmt.Sprintf("%s: %v", raw, err)) //nolint:forbidigo // a test's own words
	}
	return history.Line{Raw: raw, Entry: e}
}

func stamp(at time.Time) string { return at.UTC().Format("2006-01-02T15:04:05.000Z") }

// Reply is a reply of an MX, for the members of a line.
func Reply(code int, text string, took time.Duration) M {
	return M{"code": code, "text": fmt.Sprintf("%d %s", code, text), "local": false, "took_ms": float64(took) / 1e6, "first_ms": float64(took) / 1e6}
}

// Meaning adds what a refusal was taken for.
func Meaning(reply M, class, scope, rule string) M {
	reply["class"], reply["scope"], reply["rule"] = class, scope, rule
	return reply
}

// Mail is what a test says of an attempt.
type Mail struct {
	At        time.Time
	Session   event.ID
	Tenant    string
	Account   string
	Provider  string
	SendingIP string
	Sender    string
	To        []string
	Refused   map[string]M // by recipient: the reply to its RCPT
	Policies  map[string]M // by recipient: what its domain asks of TLS
	MessageID string
	QueueID   string
	Octets    int64
	Dot       M      // nil: 250
	Outcome   string // "": what the replies say
	More      M      // other members
}

func outcomeOf(results map[string]int) string {
	switch {
	case results["delivered"] > 0:
		return "delivered"
	case results["unknown"] > 0:
		return "ambiguous"
	case results["deferred"] > 0:
		return "deferred"
	}
	return "refused"
}

// Attempt makes the line of an attempt.
func (f *Feed) Attempt(m Mail) history.Line {
	if m.Session == 0 {
		m.Session = event.ID(f.Count + 0x1000)
	}
	if m.Dot == nil {
		m.Dot = Reply(250, "2.0.0 Ok: queued as 4jYHGY1Bkqz3Z", 20*time.Millisecond)
	}
	dot, _ := m.Dot["code"].(int)
	results := map[string]int{}
	var rcpts []M
	for _, to := range m.To {
		reply, fate := m.Refused[to], "delivered"
		code := dot
		if reply != nil {
			code, _ = reply["code"].(int)
		} else {
			reply = Reply(250, "2.1.5 Ok", 3*time.Millisecond)
		}
		switch {
		case code == 0:
			fate = "unknown"
		case code >= 500:
			fate = "refused"
		case code >= 400:
			fate = "deferred"
		}
		results[fate]++
		rcpt := M{"address": to, "reply": reply, "fate": fate, "by": "mx"}
		if policy := m.Policies[to]; policy != nil {
			rcpt["tls_policy"] = policy
		}
		rcpts = append(rcpts, rcpt)
	}
	all := M{
		"session": m.Session.String(), "start": stamp(m.At.Add(-time.Second)), "source": "10.20.1.10:36806", "destination": "198.51.100.22:25",
		"sending_ip": m.SendingIP, "pool": "default", "provider": m.Provider, "tenant": m.Tenant, "number": 1, "sender": m.Sender,
		"mail": Reply(250, "2.1.0 Ok", 2*time.Millisecond), "recipients": rcpts, "results": results, "duration_ms": 1000.0, "tls_mx": M{"state": "tls"},
		"outcome": m.Outcome,
	}
	if m.Outcome == "" {
		all["outcome"] = outcomeOf(results)
	}
	if len(m.Refused) < len(m.To) {
		all["data"], all["dot"], all["body_bytes"] = Reply(354, "go on", time.Millisecond), m.Dot, m.Octets
	}
	for key, text := range map[string]string{"account": m.Account, "message_id": m.MessageID, "msa_queue_id": m.QueueID} {
		if text != "" {
			all[key] = text
		}
	}
	if m.SendingIP == "" {
		delete(all, "sending_ip")
	}
	maps.Copy(all, m.More)
	return f.Line("transaction", m.At, all)
}
