package daemon

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"kanmon/internal/config"
	"kanmon/internal/event"
	"kanmon/internal/policy/contain"
	"kanmon/internal/session"
	"kanmon/internal/smtp"
	"kanmon/internal/smtp/smtptest"
	"kanmon/test/testnames"
)

// audit-C1: what a reload changes is in force with the next thing that is asked, for every key that is not described to need a
// restart. A key that is neither here nor shown by another test fails.
func TestEveryReloadableKeyIsInForceAtOnce(t *testing.T) {
	tables, err := config.Reference()
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]bool{}
	for _, r := range reloadables {
		rows[r.key] = true
	}
	for _, table := range tables {
		for i := range table.Keys {
			if table.Keys[i].Restart {
				continue
			}
			key := table.Heading + " " + table.Keys[i].Name
			test := shownElsewhere[key]
			if test == "" {
				test = shownElsewhere[table.Heading+" *"]
			}
			if !rows[key] && test == "" {
				t.Errorf("%s: nothing shows that it is in force behind a reload", key)
			}
		}
	}
	for key, test := range shownElsewhere {
		folder, name, _ := strings.Cut(test, " ")
		known, err := testnames.In(filepath.Join("../..", folder))
		if err != nil {
			t.Fatal(err)
		}
		if !known[name] {
			t.Errorf("%s: there is no %s", key, test)
		}
	}
	for _, r := range reloadables {
		t.Run(r.key, func(t *testing.T) {
			tables := func(own string) string {
				switch {
				case strings.HasPrefix(r.key, "Top level"):
					return own + listenTable
				case strings.HasPrefix(own, bothPools):
					return listenTable + own
				}
				return listenTable + bothPools + own
			}
			p := &asker{world: newWorld(t, tables(r.before))}
			p.daemon.resolver = abusedDNS
			p.start()
			if p.daemon.policy.Active() {
				p.abuse()
			}
			if got := r.probe(p); got != r.want[0] {
				t.Errorf("before: %q, want %q", got, r.want[0])
			}
			if err := p.daemon.Reload(t.Context(), p.with(tables(r.after))); err != nil {
				t.Fatal(err)
			}
			if got := r.probe(p); got != r.want[1] {
				t.Errorf("behind the reload: %q, want %q", got, r.want[1])
			}
			p.stop()
		})
	}
}

// An asker asks a running daemon, as sessions and people do.
type asker struct {
	*world
	senders int // that have been made up
}

var reloadOrigin = session.Origin{Source: netip.MustParseAddrPort("10.1.0.7:40000"), Destination: netip.MustParseAddrPort("192.0.2.1:25")}

// someone is a sender of whom nothing has been heard.
func (p *asker) someone() string {
	p.senders++
	return fmt.Sprintf("s%d@acme.example", p.senders)
}

// mail plays a mail to some recipients, which the MX takes, and says what the gate said to MAIL, or the first refusal.
func (p *asker) mail(from string, to int) (d session.Decision, passed int) {
	pass := p.daemon.policy.Gate().Enter(reloadOrigin)
	defer pass.Close()
	for _, q := range []session.Question{
		{Step: event.StepConnect}, {Step: event.StepMail, Sender: from}, {Step: event.StepLeave, SendingIP: netip.MustParseAddr("127.0.0.1")},
	} {
		pool := d.Pool
		if d = pass.Ask(q); d.Refuse != session.RefuseNot {
			return d, 0
		}
		if pool != "" {
			d.Pool = pool
		}
	}
	pass.Tell(session.News{Step: event.StepMail, Code: 250})
	for i := range to {
		p.senders++
		if one := pass.Ask(session.Question{Step: event.StepRecipient, Recipient: fmt.Sprintf("r%d@example.net", p.senders+i)}); one.Refuse != session.RefuseNot {
			continue
		}
		passed++
		pass.Tell(session.News{Step: event.StepRecipient, Code: 250})
	}
	pass.Tell(session.News{Step: event.StepMessage, Code: 250, Octets: 100, Recipients: passed})
	pass.Tell(session.News{Step: event.StepOver})
	return d, passed
}

// passing says how many of ten mails pass, each of whoever is next.
func (p *asker) passing(next func() string) string {
	n := 0
	for range 10 {
		if d, _ := p.mail(next(), 1); d.Refuse == session.RefuseNot {
			n++
		}
	}
	return fmt.Sprint(n)
}

func (p *asker) same() func() string {
	from := p.someone()
	return func() string { return from }
}

// refusal says how the third mail of somebody is answered.
func (p *asker) refusal() string {
	from := p.someone()
	for range 2 {
		p.mail(from, 1)
	}
	d, _ := p.mail(from, 1)
	return fmt.Sprintf("%d %s %s", d.Refuse, d.Pool, d.Say.String())
}

// abused is an account that four MXs have told of 400 people who do not exist, in the same moment.
const abused = "bad@acme.example"

// abusedDNS has their MXs, which are those of providers: strangers stop nobody.
var abusedDNS = &smtptest.DNS{
	MXs: map[string]string{
		"a.example.": "gmail-smtp-in.l.google.com.", "b.example.": "mta5.am0.yahoodns.net.",
		"c.example.": "mx01.mail.icloud.com.", "d.example.": "mfsmax.docomo.ne.jp.",
	},
	Hosts: map[string]netip.Addr{
		"gmail-smtp-in.l.google.com.": netip.MustParseAddr("192.0.2.1"), "mta5.am0.yahoodns.net.": netip.MustParseAddr("192.0.2.2"),
		"mx01.mail.icloud.com.": netip.MustParseAddr("192.0.2.3"), "mfsmax.docomo.ne.jp.": netip.MustParseAddr("192.0.2.4"),
	},
}

func (p *asker) abuse() {
	var all []session.Pass
	for domain, host := range abusedDNS.MXs {
		origin := reloadOrigin
		origin.Destination = netip.AddrPortFrom(abusedDNS.Hosts[host], 25)
		known := p.daemon.current.out.Providers()
		known.Find(p.t.Context(), strings.TrimSuffix(domain, "."), "acme")
		waitUntil(p.t, "the MX is known to be a provider's", func() bool { return known.At(origin.Destination.Addr()) != "" })
		pass := p.daemon.policy.Gate().Enter(origin)
		defer pass.Close()
		pass.Ask(session.Question{Step: event.StepMail, Sender: abused})
		pass.Tell(session.News{Step: event.StepMail, Code: 250})
		all = append(all, pass)
	}
	for i := range 400 {
		all[i%4].Ask(session.Question{Step: event.StepRecipient, Recipient: fmt.Sprintf("dead%d@example.net", i)})
		all[i%4].Tell(session.News{Step: event.StepRecipient, Code: 550, Class: event.RecipientInvalid, Text: []byte("550 5.1.1 no such user")})
	}
}

func (p *asker) explain(account string) contain.Explanation {
	return p.daemon.policy.Explain(contain.Subject{Tenant: "acme", Account: account})
}

func inForce(p *asker) string { return p.explain(abused).Answer.Level.String() }

// named says what becomes of a message of somebody that names its account.
func named(p *asker, fields ...string) session.Decision {
	pass := p.daemon.policy.Gate().Enter(reloadOrigin)
	defer pass.Close()
	first := pass.Ask(session.Question{Step: event.StepMail, Sender: p.someone()})
	var all []smtp.HeaderField
	for _, text := range fields {
		all = append(all, smtp.HeaderField{Text: text})
	}
	d := pass.Ask(session.Question{Step: event.StepAccount, Fields: all})
	d.Header, d.Strip, d.Must = first.Header, first.Strip, first.Must
	return d
}

func kindOf(account string) func(*asker) string {
	return func(p *asker) string {
		m, _ := p.daemon.policy.MarkOf(contain.Subject{Tenant: "acme", Account: account})
		return m.Kind.String()
	}
}

func limitsInForce(p *asker) string {
	l := p.daemon.current.engine.Limits
	return fmt.Sprint(l.Sessions, l.Recipients, l.BadCommands, l.IdleCommands, l.Transactions, l.BodyBytes)
}

func rescueInForce(p *asker) string {
	r := p.daemon.current.engine.Rescue
	return fmt.Sprint(r.Attempts, " ", r.Time, " ", r.BodyBytes, " ", r.BodiesBytes)
}
