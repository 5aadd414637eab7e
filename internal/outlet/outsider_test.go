package outlet

import (
	"flag"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/outlet/route"
	"kanmon/internal/outlet/standing"
	"kanmon/internal/policy"
	"kanmon/internal/policy/contain"
	"kanmon/internal/session"
	"kanmon/internal/who/mailbox"
	"kanmon/internal/who/whose"
)

// The outsider owns n addresses, domains and mailboxes, and can get an innocent account to write to them as often as he likes: by a form, an
// auto-responder, a list. What he wants is that the account, its tenant or a sending IP is slowed, diverted, stopped, suspended.
var outsiderDay = flag.Bool("full", false, "let the outsider go on for a day")

// A manner is how his MXs refuse. A reply that begins with a dot is that to the message.
type manner struct {
	name    string
	replies []string
}

var manners = []manner{
	{"no such user", []string{"550 5.1.1 no such user here"}},
	{"spam", []string{".554 5.7.1 message rejected as spam"}},
	{"the sender is refused", []string{"550 5.7.1 sender domain rejected: blacklisted"}},
	{"some of each", []string{"550 5.1.1 no such user here", ".554 5.7.1 message rejected as spam", "", ""}},
	{"every tenth only", []string{"550 5.1.1 no such user here", "", "", "", "", "", "", "", "", ""}},
	{"blocked", []string{"550 5.7.1 Your IP address is on our block list"}},
	{"listed", []string{"554 5.7.1 Service unavailable; Client host blocked using zen.spamhaus.org"}},
	{"a provider's code", []string{"550 5.7.606 Access denied, banned sending IP"}},
	{"poor reputation", []string{"550 5.7.1 Message rejected due to the poor reputation of your IP"}},
	{"too many connections", []string{"421 4.7.0 too many connections from your IP address", "451 4.7.1 too much mail from your IP address, slow down"}},
	{"the netblock", []string{"550 5.7.1 your network 203.0.113.0/24 is on our block list"}},
}

const alice = "alice@acme.example"

// A trial is one outsider at work.
type trial struct {
	*site
	policy  *policy.Policy
	usual   map[mailOf]netip.Addr // which IP others' mail leaves from
	account contain.Level
	tenant  contain.Level
	moved   int // mails of others that left from another IP, or none
	sent    int // mails of others
}

func newTrial(t *testing.T, enforce bool) *trial {
	g := poolOf(3).byTenant().tenant("acme", "10.20.1.0/24").tenant("beta", "10.20.2.0/24")
	x := &trial{site: newSite(t, g), usual: map[mailOf]netip.Addr{}}
	for mx, host := range map[string]string{"192.0.2.1": "gmail-smtp-in.l.google.com", "192.0.2.2": "x.mail.protection.outlook.com"} {
		x.known(netip.MustParseAddr(mx), host)
	}
	numbers := contain.DefaultNumbers()
	numbers.Enforce = contain.Enforce{On: enforce, Slow: true, Divert: true, Stop: true}
	settings := policy.Settings{
		Tenants: []string{"acme", "beta"}, Active: true, Containment: policy.Containment{Policy: numbers},
		Identify: x.identify, Behind: x.behind, Provider: x.Provider, ProviderOf: x.ProviderOf, Witness: x.Witness,
	}
	var err error
	if x.policy, err = policy.New(policy.Options{Settings: settings, Clock: x.clock.Now}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := x.policy.Close(); err != nil {
			t.Error(err)
		}
	})
	return x
}

func (x *trial) identify(origin session.Origin, _ *string) *whose.Owner {
	return x.router.Owner(queryOf(origin))
}

func (x *trial) behind(origin session.Origin) []string { return x.router.Behind(queryOf(origin)) }

func queryOf(origin session.Origin) route.Query {
	return route.Query{Source: origin.Source.Addr(), Port: origin.Port, Destination: origin.Destination, Suspicion: -1}
}

// mail lets a mail leave, and its MX answer as it does.
func (x *trial) mail(m mailOf, reply string) (from netip.Addr) {
	from = x.send(m)
	origin := session.Origin{Source: netip.AddrPortFrom(netip.MustParseAddr(m.source), 40000), Destination: netip.MustParseAddrPort(m.mx)}
	pass := x.policy.Gate().Enter(origin)
	defer pass.Close()
	if d := pass.Ask(session.Question{Step: event.StepMail, Sender: mailbox.Form([]byte(m.sender))}); d.Refuse != session.RefuseNot || !from.IsValid() {
		return from
	}
	pass.Tell(session.News{Step: event.StepMail, Code: 250})
	if d := pass.Ask(session.Question{Step: event.StepRecipient, Recipient: m.recipient}); d.Refuse != session.RefuseNot {
		return from
	}
	text, atDot := strings.CutPrefix(reply, ".")
	news := session.News{Step: event.StepRecipient, Code: 250, SendingIP: from, Recipients: 1, Octets: 2000}
	phase := event.PhaseRcpt
	if atDot || text == "" {
		pass.Tell(news)
		news.Step, phase = event.StepMessage, event.PhaseDot
	}
	if text != "" {
		r := refusedTo(m.source, from, origin.Destination, m.sender, m.recipient, text)
		if _, err := fmt.Sscan(text, &r.Code); err != nil {
			x.t.Fatal(err)
		}
		r.Session, r.Mails = m.session, 1
		r.Domain = mailbox.DomainOf(m.recipient)
		r.Phase, news.Code, news.Text = phase, r.Code, []byte(text)
		r.Contained = func() bool { return pass.Ask(session.Question{Step: event.StepRescue}).Contained }
		news.Class = x.refuse(&r)
	} else {
		x.Accepted(origin.Destination, from)
	}
	pass.Tell(news)
	return from
}

// refuse lets an MX refuse a mail, and again as often as the session goes on from another sending IP.
func (x *trial) refuse(r *rejection) (class event.Class) {
	req := request{
		Session: r.Session, Source: r.Source, Destination: r.Destination,
		DialRequest: session.DialRequest{Sender: string(r.Sender), SenderKnown: true, Recipient: string(r.Recipient), Rescue: true},
	}
	for attempts := 0; ; attempts++ {
		r.Again, r.Stuck = attempts > 0, attempts == session.DefaultRescueAttempts
		j := x.Judge(*r)
		if !j.Rescue {
			return j.Class
		}
		req.Avoid = append(append(req.Avoid, r.SendingIP), j.Avoid...)
		var left bool
		if r.SendingIP, left = x.dialled(req); !left {
			return j.Class
		}
	}
}

// others is mail that has nothing to do with the outsider: alice's own, and another tenant's. All of it but some dead addresses is accepted.
func (x *trial) others(i int) {
	for _, m := range []mailOf{
		{source: "10.20.1.5", sender: alice, recipient: fmt.Sprintf("r%d@gmail.com", i%90), mx: "192.0.2.1:25"},
		{source: "10.20.1.5", sender: alice, recipient: fmt.Sprintf("r%d@partner.example", i%70), mx: "192.0.2.2:25"},
		{source: "10.20.2.5", sender: "bob@beta.example", recipient: fmt.Sprintf("r%d@gmail.com", i%90), mx: "192.0.2.1:25"},
		{source: "10.20.2.5", sender: "bob@beta.example", recipient: fmt.Sprintf("r%d@customer.example", i%40), mx: "198.51.100.3:25"},
	} {
		reply := ""
		if i%80 == 79 {
			reply = "550 5.1.1 no such user"
		}
		m.session = event.ID(x.clock.Now().UnixNano())
		from := x.mail(m, reply)
		m.session = 0
		m.recipient = m.recipient[strings.IndexByte(m.recipient, '@'):]
		if usual, known := x.usual[m]; !known {
			x.usual[m] = from
		} else if x.sent++; from != usual {
			x.moved++
		}
	}
}

// work lets the outsider go on for some hours, behind two hours of others' mail.
func (x *trial) work(w manner, hours int, mxOf func(i int) (mx, domain string)) {
	step := 30 * time.Second
	for i := range int((time.Duration(hours) + 2) * time.Hour / step) {
		x.clock.Pass(step)
		if i%8 == 0 {
			x.others(i / 8)
		}
		if i < int(2*time.Hour/step) {
			continue
		}
		mx, domain := mxOf(i)
		m := mailOf{source: "10.20.1.5", sender: alice, recipient: fmt.Sprintf("u%d@%s", i, domain), mx: mx, session: event.ID(i)}
		x.mail(m, w.replies[i%len(w.replies)])
		x.account = max(x.account, x.level(alice))
		x.tenant = max(x.tenant, x.level(""))
	}
}

// level is that of an account or, with "", of its tenant, whether it is acted on or not.
func (x *trial) level(account string) contain.Level {
	return x.policy.Explain(contain.Subject{Tenant: "acme", Account: account}).Level
}

// found are the standings that he has brought about: at his own MXs, and elsewhere.
func (x *trial) found(own func(provider string) bool) (his, elsewhere standing.State, where []string) {
	for _, s := range x.book.List() {
		if own(s.Provider) {
			his = max(his, s.State)
			continue
		}
		elsewhere = max(elsewhere, s.State)
		where = append(where, s.IP.String()+" "+s.Provider)
	}
	return his, elsewhere, where
}

// Without a provider's name he slows the one account, and takes sending IPs from his own MXs.
//
// audit-A3
func TestOutsider(t *testing.T) {
	hours := 1
	if *outsiderDay {
		hours = 24
	}
	out := os.Stdout
	if !testing.Verbose() {
		out, _ = os.Open(os.DevNull)
	}
	tab := tabwriter.NewWriter(out, 0, 0, 1, ' ', tabwriter.Debug)
	fmt.Fprintln(tab, "n\towns\taccount\ttenant\tsending IPs at his own MXs\tsending IPs elsewhere\tothers' mail that left otherwise")
	for _, n := range []int{1, 2, 5, 20} {
		for _, owner := range []struct {
			owns     string
			stranger bool
			mx       func(i int) (mx, domain string)
			own      func(provider string) bool
		}{
			{
				"addresses, in as many networks, and domains", true,
				func(i int) (string, string) {
					return fmt.Sprintf("100.%d.0.1:25", 64+i%n), fmt.Sprintf("evil%d.example", i%n)
				},
				func(provider string) bool { return strings.HasPrefix(provider, "mx:100.") },
			},
			{
				"domains at Microsoft 365, without its own codes", false,
				func(i int) (string, string) { return "192.0.2.2:25", fmt.Sprintf("evil%d.example", i%n) },
				func(provider string) bool { return strings.HasPrefix(provider, "office365/evil") },
			},
		} {
			worst := trial{}
			var his, elsewhere standing.State
			for _, w := range manners {
				if !owner.stranger && w.name == "a provider's code" {
					continue // he cannot
				}
				for _, enforce := range []bool{true, false} {
					x := newTrial(t, enforce)
					x.work(w, hours, owner.mx)
					h, e, where := x.found(owner.own)
					if owner.stranger && e > standing.Active {
						t.Errorf("n %d, %s: sending IPs elsewhere: %v", n, w.name, where)
					}
					if owner.stranger && n <= 5 && (x.account > contain.Slow || x.tenant > contain.Slow) {
						t.Errorf("n %d, %s: account %v, tenant %v", n, w.name, x.account, x.tenant)
					}
					if owner.stranger && n <= 5 && x.moved > 0 && x.account == contain.Normal {
						t.Errorf("n %d, %s: %d of %d mails of others left from another IP", n, w.name, x.moved, x.sent)
					}
					his, elsewhere = max(his, h), max(elsewhere, e)
					worst.account, worst.tenant = max(worst.account, x.account), max(worst.tenant, x.tenant)
					worst.moved, worst.sent = max(worst.moved, x.moved), x.sent
				}
			}
			fmt.Fprintf(tab, "%d\t%s\t%v\t%v\t%v\t%v\t%.0f %%\n", n, owner.owns, worst.account, worst.tenant, his, elsewhere, 100*float64(worst.moved)/float64(worst.sent))
		}
	}
	_ = tab.Flush()
}
