package scanners

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"kanmon/internal/event"
	"kanmon/test/netlab"
)

// A gateway is a running kanmon, with the Postfixes before and behind it.
type gateway struct {
	t        *testing.T
	kanmon   *netlab.Kanmon
	msa, mx  *netlab.Postfix
	signing  *netlab.Postfix // an MSA that signs, once a test has started it
	scanners string          // tables of the configuration
}

// servers are what all tests with a whole kanmon share, made by the first one that asks.
var servers = sync.OnceValues(func() (g gateway, err error) {
	var errs [3]error
	g.msa, errs[0] = netlab.NewPostfix(world.MSAs[0], netlab.PostfixOptions{Role: netlab.MSA, Hostname: "msa1.example"})
	g.mx, errs[1] = netlab.NewPostfix(world.MXs[0], netlab.PostfixOptions{Role: netlab.MX, Hostname: netlab.MXName(1)})
	g.kanmon, errs[2] = netlab.NewKanmon(world.Gateway, "")
	return g, errors.Join(errs[:]...)
})

// gatewayTables are what all configurations have. A message above hold_message is streamed: that is the least there can be.
const gatewayTables = `
[intercept]
sources = ["10.20.0.0/16"]
mark    = 0x2525
[[sending_ip]]
address = "203.0.113.10"
ehlo    = "out10.example"
[[sending_ip]]
address = "203.0.113.11"
ehlo    = "out11.example"
[pool.default]
ips = ["203.0.113.10"]
[pool.risk]
ips       = ["203.0.113.11"]
high_risk = true
[containment]
pool = "risk"
[content]
enforce      = true
hold_message = "64KiB"
[[tenant]]
name        = "acme"
sources     = ["10.20.0.0/16"]
scan        = "all"
unavailable = "defer"
`

// startGateway has kanmon run with further tables of its configuration, until the test ends.
func startGateway(t *testing.T, scanners string) *gateway {
	t.Helper()
	g, err := servers()
	must(t, err)
	g.t, g.scanners = t, scanners
	g.configure()
	_, err = g.kanmon.Rules("apply")
	must(t, err)
	must(t, g.kanmon.Start())
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the lab's logs:\n%s", world.lab.Logs(25))
		}
		must(t, g.kanmon.Stop(20*time.Second))
	})
	return &g
}

// configure writes the configuration, without some texts of it.
func (g *gateway) configure(without ...string) {
	g.t.Helper()
	tables := gatewayTables
	for _, text := range without {
		if !strings.Contains(tables, text) {
			g.t.Fatalf("%q is not in the configuration", text)
		}
		tables = strings.Replace(tables, text, "", 1)
	}
	must(g.t, g.kanmon.Configure(tables+g.scanners))
}

// reload has kanmon read its configuration without some texts of it.
func (g *gateway) reload(without ...string) {
	g.t.Helper()
	g.configure(without...)
	before := strings.Count(g.kanmon.Log(), "msg=reloaded")
	must(g.t, g.kanmon.Reload())
	until(g.t, 20*time.Second, "it is reloaded", func() bool { return strings.Count(g.kanmon.Log(), "msg=reloaded") > before })
}

// A fate is what became of a mail.
type fate struct {
	netlab.Attempt
	netlab.Stored                     // where the MX has it
	content       *event.EntryContent // as recorded; of one scanned behind, once it has been
	ip            string              // that it left from
}

// send has an MSA send a mail, and waits until it has an answer and kanmon's record.
func (g *gateway) send(msa *netlab.Postfix, from, local, message string) (f fate) {
	g.t.Helper()
	to := local + "-" + g.t.Name()[len("Test"):len("TestRspamd")] + "@" + netlab.Domain(1, false)
	_, err := msa.Submit(from, []string{to}, []byte(message))
	must(g.t, err)
	ctx, cancel := context.WithTimeout(g.t.Context(), time.Minute)
	defer cancel()
	until(g.t, time.Minute, "the MSA has tried to deliver to "+to, func() bool { return len(msa.Attempts(to)) > 0 })
	f.Attempt = msa.Attempts(to)[0]
	if f.Status == "sent" {
		f.Stored, err = g.mx.WaitStored(ctx, f.RemoteQueueID())
		must(g.t, err)
	}
	until(g.t, 30*time.Second, "the mail to "+to+" and its judgement are on record", func() bool { return g.recorded(to, &f) })
	return f
}

// recorded looks for a mail's record, and for that of its scan if nobody has waited for that.
func (g *gateway) recorded(to string, f *fate) bool {
	type key struct {
		session event.ID
		number  int
	}
	var own key
	judged := map[key]*event.EntryContent{}
	for r, err := range event.NewReader(strings.NewReader(g.kanmon.Records())).All() {
		if err != nil {
			return false // a line that is being written
		}
		at := key{r.Session, r.Number}
		switch {
		case r.Type == "judged":
			judged[at] = r.Content
		case r.Type == "transaction" && len(r.Recipients) > 0 && r.Recipients[0].Address == to:
			own, f.content, f.ip = at, r.Content, r.SendingIP.String()
		}
	}
	if own.number == 0 {
		return false
	}
	if f.content != nil && f.content.Lane == "behind" {
		f.content = judged[own]
		return f.content != nil
	}
	return true
}

// expect wants a mail to be delivered, octet by octet, from a sending IP.
func (f *fate) expect(t *testing.T, what, message, ip string) {
	t.Helper()
	if f.Status != "sent" || f.ip != ip || !strings.Contains(f.Received, "["+ip+"]") {
		t.Errorf("%s: %s from %s: %s (%s)", what, f.Status, f.ip, f.Reply, f.Received)
	}
	if !bytes.Equal(f.Message, []byte(message)) {
		t.Errorf("%s: %d octets at the MX, and not the %d that were sent", what, len(f.Message), len(message))
	}
}

// judged wants it to have been judged in a lane, with something done, by scanners of which each has a verdict.
func (f *fate) judged(t *testing.T, what, lane, done string) {
	t.Helper()
	c := f.content
	if c == nil || c.Lane != lane || c.Done != done || len(c.Scans) == 0 {
		t.Errorf("%s: judged %+v, want %s, %s", what, c, lane, done)
		return
	}
	for _, one := range c.Scans {
		if one.State != "scanned" {
			t.Errorf("%s: %s: %s %s", what, one.Scanner, one.State, one.Lack)
		}
	}
}

const (
	usualIP = "203.0.113.10"
	riskIP  = "203.0.113.11"
)
