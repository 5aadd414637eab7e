package notify

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"kanmon/internal/config"
	"kanmon/internal/event"
	"kanmon/internal/view/history"
)

// Each event comes of lines that kanmon writes, and each that begins something has its end.
func TestEveryEventComesOfLines(t *testing.T) {
	order := func(action string, by event.Entry) event.Entry {
		by.Type, by.Action, by.Tenant, by.Account = "order", action, "acme", "bob@acme.example"
		return by
	}
	finding := func(action string) event.Entry {
		return event.Entry{Type: "finding", Action: action, Scope: "this IP here", Phase: "rcpt", SendingIP: ip10, Provider: "docomo", Here: 41_000, Others: 500, Acted: "slowed"}
	}
	step := func(action string) event.Entry {
		return event.Entry{Type: "gateway", Action: action, Rules: "in force"}
	}
	stuck := event.Entry{Type: "session", EndReason: "ips_suspended", Pool: "default", Provider: "docomo"}
	seen := func(list, state string) event.Entry {
		return event.Entry{Type: "sighting", SendingIP: ip10, List: list, State: state}
	}
	ofList := standing("suspended")
	ofList.By, ofList.Provider = byList, ""
	delisted := standing("slowed")
	delisted.Provider = ""
	would := contained("stop", "bob@acme.example")
	would.Would = true
	wouldTenant := contained("stop", "")
	wouldTenant.Would = true
	listUnbelieved := event.Entry{Type: "sighting", List: "list.example", State: "not_believed"}
	listBelieved := event.Entry{Type: "sighting", List: "list.example", State: "believed"}
	told := map[config.NotifyEvent]bool{digestEvent: true}
	for _, row := range []struct {
		lines []event.Entry
		want  string
	}{
		{[]event.Entry{standing("suspended"), standing("active")}, "ip.suspended ip.recovered"},
		{[]event.Entry{ofList, delisted}, "ip.listed ip.delisted"},
		{[]event.Entry{seen("zen.example", "listed"), ofList, seen("zen.example", "clear"), delisted}, "ip.listed ip.suspended ip.delisted ip.recovered"},
		{[]event.Entry{seen("", "no_ptr"), seen("", "named")}, "ip.names_wrong ip.names_right"},
		{[]event.Entry{listUnbelieved, listBelieved}, "list.not_believed list.believed"},
		{[]event.Entry{contained("stop", "bob@acme.example"), contained("normal", "bob@acme.example")}, "account.contained account.released"},
		{[]event.Entry{contained("slow", ""), contained("normal", "")}, "tenant.contained tenant.released"},
		{[]event.Entry{would, contained("normal", "bob@acme.example")}, "account.would_be_contained account.released"},
		{[]event.Entry{wouldTenant, contained("normal", "")}, "tenant.would_be_contained tenant.released"},
		{[]event.Entry{order("block", event.Entry{By: "account-hour", Limit: true}), order("unblock", event.Entry{By: "alice"})}, "limit.blocked limit.released order.done"},
		{[]event.Entry{order("block", event.Entry{By: "alice", Unkept: true, Cause: "spam"}), order("block", event.Entry{By: "alice", Cause: "spam"})}, "order.done"},
		{[]event.Entry{finding("begun"), finding("continued"), finding("acted"), finding("cleared")}, "provider.slow provider.normal"},
		{[]event.Entry{{Type: "decision", Action: "spoofed", Tenant: "acme"}, {Type: "decision", Action: "spoofed", Tenant: "acme"}}, "spoofing.first"},
		{[]event.Entry{{Type: "transaction", Outcome: "ambiguous", Provider: "docomo"}}, "mail.ambiguous"},
		{[]event.Entry{{Type: "changed", SendingIP: ip10, State: "warming", Cause: "step 2 of 9 begins"}}, "warmup.stage"},
		{[]event.Entry{{Type: "changed", SendingIP: ip10, State: "active", Was: "warming", Cause: "warm"}}, "warmup.stage"},
		{[]event.Entry{step("start"), step("reload"), step("reload_refused"), step("drain"), step("stop")}, "gateway.started gateway.reloaded gateway.reload_refused gateway.draining"},
		{[]event.Entry{{Type: "gateway", Action: "rules", Rules: "NOT in force: jump of kanmon"}, step("rules")}, "gateway.rules_lost gateway.rules_in_force"},
		{[]event.Entry{{Type: "dropped", Records: 40}}, "gateway.records_dropped"},
		{[]event.Entry{stuck, {Type: "wait"}, {Type: "heartbeat"}, {Type: "transaction", Outcome: "delivered"}}, ""},
	} {
		inTime(t, func(r *rig) {
			for _, e := range row.lines {
				r.hear(e)
				time.Sleep(time.Second)
			}
			got := r.told(10 * time.Second)
			if strings.Join(got, " ") != row.want {
				t.Errorf("%+v:\ntold %v, want %v", row.lines, got, row.want)
			}
			for _, name := range got {
				told[config.NotifyEvent(name)] = true
			}
		})
	}
	for _, name := range []config.NotifyEvent{ // tests of their own have these
		"ip.probe_failing", "ip.probe_passed", "pool.exhausted", "pool.usable", "provider.deferring", "refusal.new_kind", "gateway.silent", "gateway.heard",
		"limit.near", "limit.far", "gateway.disk_low", "gateway.disk_room", "certificate.ending", "certificate.renewed", "resolver.failing", "resolver.well",
	} {
		told[name] = true
	}
	for _, name := range config.NotifyEvents {
		if !told[name] {
			t.Errorf("%s is never told", name)
		}
	}
}

// A pool is told to be exhausted when nothing of it could be used for two minutes, and when it can be used again.
func TestPoolExhausted(t *testing.T) {
	stuck := event.Entry{Type: "session", EndReason: "quit", Legs: []event.EntryLeg{{Failed: "not_dialled", Pool: "default", Provider: "docomo"}}}
	mail := event.Entry{Type: "transaction", Outcome: "deferred", SendingIP: ip10, Pool: "default", Provider: "docomo"}
	inTime(t, func(r *rig) {
		r.hear(stuck)
		r.pass(time.Minute)
		r.hear(mail) // a probe
		r.wants(10 * time.Minute)
		r.hear(stuck)
		r.pass(100 * time.Second)
		r.hear(stuck)
		r.again()
		r.wants(30*time.Second, "pool.exhausted")
		if found := r.last.Data.Condition; found != "" {
			t.Errorf("it was found by %q", found)
		}
		r.hear(mail)
		r.wants(10*time.Second, "pool.usable")
	})
}

// Another gateway's pool of the same name, and its account, are others.
func TestGatewaysSpeakForThemselves(t *testing.T) {
	stuck := event.Entry{Type: "session", EndReason: "quit", Gateway: "gw1", Legs: []event.EntryLeg{{Failed: "not_dialled", Pool: "default", Provider: "docomo"}}}
	mail := event.Entry{Type: "transaction", Outcome: "deferred", Gateway: "gw2", SendingIP: ip10, Pool: "default", Provider: "docomo"}
	held, free := contained("stop", "bob@acme.example"), contained("normal", "bob@acme.example")
	held.Gateway, free.Gateway = "gw1", "gw2"
	inTime(t, func(r *rig) {
		r.hear(stuck)
		r.pass(100 * time.Second)
		r.hear(mail)
		r.wants(30*time.Second, "pool.exhausted")
		r.hear(held)
		r.wants(10*time.Second, "account.contained")
		r.hear(free)
		r.wants(time.Minute)
	})
}

// Nobody is silent while history cannot keep what was said; behind that there is time to be heard.
func TestSilenceOfOurOwn(t *testing.T) {
	inTime(t, func(r *rig) {
		r.held.Store(true)
		r.hear(event.Entry{Type: "heartbeat"})
		r.silent = true
		r.wants(time.Hour)
		r.held.Store(false)
		r.wants(3 * time.Minute)
		r.wants(4*time.Minute, "gateway.silent")
	})
}

// The fourth probe that a provider refuses within a day is told; what a probe had no answer to does not count.
func TestProbeFailing(t *testing.T) {
	inTime(t, func(r *rig) {
		suspended := func(length time.Duration) event.Entry {
			e := standing("suspended")
			e.Until = time.Now().Add(length)
			return e
		}
		r.hear(suspended(time.Hour))
		r.wants(10*time.Second, "ip.suspended")
		for i := range 8 {
			r.hear(standing("probing"))
			r.pass(time.Minute)
			if i%2 == 0 {
				r.hear(suspended(2 * time.Minute))
			} else {
				r.hear(suspended(4 * time.Hour))
			}
			if i < 7 {
				r.wants(2 * time.Minute)
			}
		}
		r.wants(10*time.Second, "ip.probe_failing")
		r.hear(standing("probing"), standing("slowed"))
		r.wants(10*time.Second, "ip.recovered", "ip.probe_passed")
	})
}

// A gateway of which nothing is heard is told of, unless it was stopped; nobody takes the time when nobody listened for silence.
func TestSilence(t *testing.T) {
	inTime(t, func(r *rig) {
		r.hear(event.Entry{Type: "heartbeat"})
		r.silent = true
		r.wants(3 * time.Minute)
		r.wants(2*time.Minute, "gateway.silent")
		r.silent = false
		r.wants(3*time.Minute, "gateway.heard")
		r.hear(event.Entry{Type: "gateway", Action: "stop"})
		r.silent = true
		r.wants(5 * time.Hour)
		r.hear(event.Entry{Type: "heartbeat"})
		r.end()
		time.Sleep(time.Hour)
		r.begin()
		r.wants(2 * time.Minute)
	})
}

// An event has the mail that it has come of, and replies: of that mail, and of others of the same sender, each kind once, and three at most.
func TestWhatStandsAroundAnEvent(t *testing.T) {
	inTime(t, func(r *rig) {
		const id = event.ID(7)
		reply := func(text string) event.EntryReply { return event.EntryReply{Code: 550, Text: text} }
		r.past.mu.Lock()
		r.past.lines = []event.Entry{
			{Type: "transaction", Session: id, Number: 1, Source: "10.20.1.9:4711", Sender: "other@acme.example"},
			{
				Type: "transaction", Session: id, Number: 2, Source: "10.20.1.10:4711", Sender: "bob@acme.example", MessageID: "1@acme.example",
				Recipients: []event.EntryRecipient{{Reply: reply("550 5.1.1 no such user")}, {Reply: event.EntryReply{Code: 250, Text: "250 ok"}}},
				Dot:        event.EntryReply{Code: 451, Text: "451 kanmon's own", Local: true},
			},
		}
		attempt := func(shape, text string) history.Attempt {
			return history.Attempt{Reply: history.Reply{Code: 550, Shape: shape, Text: text}}
		}
		r.past.attempts = []history.Attempt{attempt("a", "550 a1"), attempt("a", "550 a2"), attempt("b", "550 b"), attempt("c", "550 c")}
		r.past.mu.Unlock()
		e := contained("stop", "bob@acme.example")
		e.Session, e.Number = id, 2
		r.hear(e)
		r.pass(10 * time.Second)
		if len(r.got) != 1 {
			t.Fatalf("told %v", r.got)
		}
		d := &r.got[0].Data
		if d.IP != netip.MustParseAddr("10.20.1.10") || d.Sender != "bob@acme.example" || d.MessageID != "1@acme.example" || d.Session != id || d.Transaction != 2 ||
			d.Condition != "18 % unknown of 210, at least 12 %" || d.Severity != Warning {
			t.Errorf("data %+v", d)
		}
		if want := []string{"550 5.1.1 no such user", "550 a1", "550 b"}; !slices.Equal(d.Replies, want) {
			t.Errorf("replies %q, want %q", d.Replies, want)
		}
	})
}
