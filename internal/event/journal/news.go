package journal

import (
	"strconv"
	"time"

	"kanmon/internal/event"
)

// news gives the JSON line of what happened beside the mail.
func (o *object) news(n event.News) {
	switch n := n.(type) {
	case event.Gateway:
		o.gateway(&n)
	case event.Heartbeat:
		o.begin("heartbeat", o.r.At)
		o.milliseconds("up_ms", n.Up)
		o.integer("sessions", int64(n.Sessions))
		o.integer("dropped", int64(n.Dropped))
		o.stalled(n.Stalled)
		o.end()
	case event.Order:
		o.order(&n)
	case event.Changed:
		o.changed(&n)
	case event.Finding:
		o.finding(&n)
	case event.Sighting:
		o.sighting(&n)
	case event.Judged:
		o.judged(&n)
	case event.Wait:
		o.begin("wait", o.r.At)
		o.id(n.Session)
		o.workOf(n.Transaction)
		o.wait(&n)
		o.end()
	}
}

func (o *object) wait(n *event.Wait) {
	o.ip("sending_ip", o.r.Session.SendingIP)
	o.own("tenant", n.Tenant)
	if way := o.r.Session.Way; way != nil {
		o.own("provider", way.Provider)
	}
	o.word("phase", n.Phase.String())
	o.milliseconds("waited_ms", n.Waited)
	if n.Began {
		o.boolean("began", true)
		o.integer("pieces", int64(n.Pieces))
		o.milliseconds("first_ms", n.First)
	}
	if n.RcptsRefused > 0 {
		o.integer("recipients_refused", int64(n.RcptsRefused))
	}
	if n.Size > 0 {
		o.integer("body_bytes", n.Size)
	}
	if n.Window > 0 {
		o.milliseconds("window_ms", n.Window)
	}
	o.wire(0, n.Resent, n.RTT)
	o.stalled(n.Stalled)
}

func (o *object) gateway(n *event.Gateway) {
	o.begin("gateway", o.r.At)
	o.word("action", n.Did.String())
	o.own("version", n.Version)
	o.integer("sending_ips", int64(n.SendingIPs))
	o.integer("sessions", int64(n.Sessions))
	o.own("rules", n.Rules)
	o.foreign("cause", n.Why)
	if u := n.Unclean; u != nil {
		o.boolean("unclean", true)
		o.own("last_run", u.Name)
		o.integer("last_line", int64(u.Line)) //nolint:gosec // no run has so many
		o.moment("last_at", u.At)
	}
	o.end()
}

func (o *object) order(n *event.Order) {
	o.begin("order", o.r.At)
	o.causedBy(n.Cause)
	o.own("by", n.By)
	if n.Rule {
		o.boolean("limit", true)
	}
	o.own("tenant", n.Tenant)
	o.account(n.Account)
	o.ip("sending_ip", n.IP)
	o.own("provider", n.Provider)
	o.foreign("action", n.Did)
	o.foreign("before", n.Before)
	o.foreign("after", n.After)
	o.foreign("cause", n.Why)
	if n.Unkept {
		o.boolean("unkept", true)
	}
	o.end()
}

func (o *object) changed(n *event.Changed) {
	o.begin("changed", o.r.At)
	o.causedBy(n.Cause)
	o.ip("sending_ip", n.IP)
	o.own("provider", n.Provider)
	o.own("tenant", n.Tenant)
	o.account(n.Account)
	o.own("state", n.State)
	o.own("was", n.Was)
	if n.Would {
		o.boolean("would", true)
	}
	if !n.Until.IsZero() {
		o.moment("until", n.Until)
	}
	if n.Share > 0 && n.Share < 1 {
		o.open("share", 0)
		o.dst = strconv.AppendFloat(o.dst, n.Share, 'g', 4, 64)
	}
	o.own("by", n.By)
	o.own("rule", n.Rule)
	o.foreign("cause", n.Why)
	o.end()
}

func (o *object) finding(n *event.Finding) {
	o.begin("finding", o.r.At)
	o.word("action", n.Did.String())
	o.word("scope", n.Scope)
	o.word("phase", n.Phase)
	o.ip("sending_ip", n.IP)
	o.own("provider", n.Provider)
	o.own("host", n.Host)
	o.own("tenant", n.Tenant)
	if !n.Since.IsZero() {
		o.moment("since", n.Since)
	}
	o.integer("mails", int64(n.Mails))
	o.integer("tenants", int64(n.Tenants))
	for _, took := range [...]struct {
		name string
		d    time.Duration
	}{{"here_ms", n.Here}, {"others_ms", n.Others}, {"before_ms", n.Before}} {
		if took.d > 0 {
			o.milliseconds(took.name, took.d)
		}
	}
	if n.Refuses > 0 {
		o.open("refuses", 0)
		o.dst = strconv.AppendFloat(o.dst, n.Refuses, 'g', 4, 64)
	}
	o.word("acted", n.Acted)
	o.end()
}

func (o *object) sighting(n *event.Sighting) {
	o.begin("sighting", o.r.At)
	o.ip("sending_ip", n.IP)
	o.own("list", n.List)
	o.word("state", n.State.String())
	o.word("was", n.Was.String())
	for _, many := range [...]struct {
		name string
		all  []string
	}{{"names", n.Names}, {"names_before", n.Before}, {"answers", n.Codes}} {
		if len(many.all) > 0 {
			o.texts(many.name, many.all)
		}
	}
	o.foreign("cause", n.Why)
	o.end()
}

// causedBy names the mail that news has come of, where it has come of one.
func (o *object) causedBy(c event.Cause) {
	if c.Session != 0 {
		o.id(c.Session)
	}
	if c.Transaction > 0 {
		o.integer("number", int64(c.Transaction))
	}
}

// begin begins an object that tells of a time; the zero time is not known.
func (o *object) begin(kind string, at time.Time) {
	o.dst = append(o.dst, `{"type":"`...)
	o.dst = append(o.dst, kind...)
	o.dst = append(o.dst, '"')
	if !at.IsZero() {
		o.moment("at", at)
	}
}

func (o *object) end() { o.dst = append(o.dst, "}\n"...) }

func (o *object) moment(name string, at time.Time) {
	o.open(name, '"')
	o.dst = o.f.utc.append(o.dst, at.UTC())
	o.dst = append(o.dst, '"')
}

func (o *object) id(id event.ID) {
	o.open("session", '"')
	o.dst = appendID(o.dst, id)
	o.dst = append(o.dst, '"')
}

// account appends whose mail it was, as the address mode says; "" is left out.
func (o *object) account(account string) {
	if account == "" {
		return
	}
	o.open("account", 0)
	o.f.guard.foreign = append(o.f.guard.foreign[:0], account...)
	o.dst = o.f.appendJSON(o.dst, o.f.guard.address(o.f.guard.foreign), 0)
}
