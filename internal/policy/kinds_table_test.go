package policy

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/policy/contain"
	"kanmon/internal/session"
	"kanmon/internal/who/mailbox"
)

// What a list and a forwarder do to a tenant with 30 users, who have sent for 30 days before: everything in virtual time, through the
// gate. make kinds prints the table, all of it; else what is in the middle of it is left out.

// A campaign is the mail of a list or a forwarder beside that of the users.
type campaign struct {
	what    string
	bad     int // percent: recipients that do not exist, messages refused
	mails   int
	span    time.Duration
	sender  func(i int) string
	account string // that may be contained for it
	dot     bool   // refused at the dot, as spam
	marked  bool
	kinds   map[string]contain.Kind // where it is marked
}

// An outcome is how far it went. Everything that was held or deferred at MAIL is held: it is not sent again.
type outcome struct {
	account, tenant    contain.Level // the highest
	passed, held       int
	users, usersHeld   int
	why                string
	first              time.Duration // until the account was first contained; 0: never
	containedElsewhere int
}

func TestListsAndForwarders(t *testing.T) {
	before := month(t)
	tab := newTable(t, "what\tbad\tmarked\taccount\tits level\tafter\tits mails passed\theld\ttenant's level\tothers contained\tusers' mails\theld")
	for _, c := range campaigns() {
		if ends := []int{2, 20, 1, 50}; !testing.Verbose() && !slices.Contains(ends, c.bad) {
			continue
		}
		o := c.run(t, before)
		mark := "no"
		if c.marked {
			mark = "yes"
		}
		fmt.Fprintf(tab, "%s\t%d %%\t%s\t%s\t%s\t%s\t%d\t%d\t%s\t%d\t%d\t%d\n", c.what, c.bad, mark, c.account, o.account, o.first.Round(time.Minute),
			o.passed, o.held, o.tenant, o.containedElsewhere, o.users, o.usersHeld)
		name := fmt.Sprintf("%s, %d %%, marked %s", c.what, c.bad, mark)
		// Without a mark, strangers' senders as they are look like any stolen relay.
		folded := c.marked || c.account != ""
		if folded && (o.tenant != contain.Normal || o.usersHeld > 0 || o.containedElsewhere > 0) {
			t.Errorf("%s: the tenant came to %s, %d others were contained, %d of %d mails of users held: %s", name, o.tenant, o.containedElsewhere, o.usersHeld, o.users, o.why)
		}
		if c.bad >= 20 && folded && o.account == contain.Normal {
			t.Errorf("%s: its account was left alone", name)
		}
		if c.marked && c.bad <= 2 && o.held > 0 {
			t.Errorf("%s: %d mails were held: %s", name, o.held, o.why)
		}
	}
	tab.Flush()
}

func campaigns() (all []campaign) {
	list, alumni := map[string]contain.Kind{"@lists.acme.example": contain.List}, map[string]contain.Kind{"": contain.Forwarder}
	for _, marked := range []bool{false, true} {
		for _, bad := range []int{1, 10, 25, 50} {
			c := campaign{bad: bad, mails: 3000, span: time.Hour, account: "news-bounces@lists.acme.example", marked: marked, kinds: list}
			c.what, c.sender = "list, VERP", func(i int) string { return fmt.Sprintf("news-bounces+m%d=example.com@lists.acme.example", i) }
			all = append(all, c)
			c.what, c.sender = "list, one sender", func(int) string { return "news-bounces@lists.acme.example" }
			all = append(all, c)
		}
		for _, bad := range []int{2, 5, 7, 10, 20} {
			c := campaign{bad: bad, mails: 4000, span: 2 * time.Hour, dot: true, marked: marked, kinds: alumni}
			c.what, c.account = "forwarder, SRS", "<srs>@alumni.acme.example"
			c.sender = func(i int) string { return fmt.Sprintf("SRS0=HHH=TT=o%d.example=x@alumni.acme.example", i) }
			if marked {
				c.account = mailbox.Forwarded
			}
			all = append(all, c)
			c.what, c.sender = "forwarder, no SRS", func(i int) string { return fmt.Sprintf("x@o%d.example", i) }
			if !marked {
				c.account = ""
			}
			all = append(all, c)
		}
	}
	return all
}

// run plays a campaign, and an hour behind it.
func (c *campaign) run(t *testing.T, before *State) (o outcome) {
	set := enforcing(named(settingsWith()))
	accounts := &Accounts{Senders: mailbox.NewDomains([]string{"acme.example", "*.acme.example"})}
	if c.marked {
		accounts.Kinds = c.kinds
	}
	set.Accounts = func(string) *Accounts { return accounts }
	began := before.Containment.At.Add(time.Minute)
	own := before.clone() // what it keeps is no other campaign's beginning
	r := newRigAt(t, set, &memory{state: &own}, began)
	step := c.span / time.Duration(c.mails)
	for i := range c.mails + int(time.Hour/step) {
		if i < c.mails {
			if r.letter(c.sender(i), fmt.Sprintf("m%d@example.com", i%c.recipients()), c.class(i), i, c.octets(i)) {
				o.passed++
			} else {
				o.held++
			}
		}
		if i%10 == 0 {
			o.users++
			if !r.letter(user(i/10), fmt.Sprintf("friend%d@example.net", i%400), "", i, 3000) {
				o.usersHeld++
			}
		}
		r.Pass(step)
		if i%30 == 0 {
			r.detector.Tick()
		}
	}
	others := map[string]bool{}
	for _, d := range r.detector.Decisions(0) {
		switch d.Subject {
		case contain.Subject{Tenant: "acme"}:
			o.tenant, o.why = max(o.tenant, d.To), d.Why
		case contain.Subject{Tenant: "acme", Account: c.account}:
			if o.account = max(o.account, d.To); o.first == 0 {
				o.first = d.At.Sub(began)
			}
			o.why = d.Why
		default:
			others[d.Subject.Account] = true
		}
	}
	o.containedElsewhere = len(others)
	return o
}

// recipients are those of the list, or the members that mail is forwarded to.
func (c *campaign) recipients() int {
	if c.dot {
		return 400
	}
	return c.mails
}

func (c *campaign) octets(i int) int64 {
	if c.dot {
		return 2000 + int64(mixed(i)%40_000)
	}
	return 12_000 + int64(i%40)
}

// class spreads what is refused evenly, and as if by chance.
func (c *campaign) class(i int) string {
	switch {
	case int(mixed(i)>>16%100) >= c.bad:
		return ""
	case c.dot:
		return "content_rejected"
	default:
		return "recipient_invalid"
	}
}

func mixed(i int) uint64 {
	h := (uint64(i) + 1) * 0x9e3779b97f4a7c15
	return (h ^ h>>29) * 0xbf58476d1ce4e5b9 >> 8
}

func user(i int) string { return fmt.Sprintf("user%d@acme.example", i%30) }

// letter sends a mail to one of four providers, and reports whether it passed MAIL at once.
func (r *rig) letter(from, to, class string, i int, octets int64) bool {
	return r.letterTo(netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(1 + mixed(i)>>32%4)}), 25), from, to, class, octets)
}

func (r *rig) letterTo(mx netip.AddrPort, from, to, class string, octets int64) bool {
	pass := r.Gate().Enter(session.Origin{Source: addrPort("10.0.1.1"), Destination: mx})
	defer pass.Close()
	d := pass.Ask(session.Question{Step: event.StepMail, Sender: mailbox.Form([]byte(from))})
	if d.Again {
		pass.Tell(session.News{Step: event.StepGivenUp})
	}
	if d.Again || d.Refuse != session.RefuseNot {
		return false
	}
	pass.Tell(session.News{Step: event.StepMail, Code: 250, SendingIP: ours})
	pass.Ask(session.Question{Step: event.StepRecipient, Recipient: to})
	if class == "recipient_invalid" {
		pass.Tell(news(event.StepRecipient, class))
	} else {
		pass.Tell(news(event.StepRecipient, ""))
		n := news(event.StepMessage, "")
		if class != "" {
			n = news(event.StepMessage, class)
		}
		n.Octets, n.Recipients = octets, 1
		pass.Tell(n)
	}
	pass.Tell(session.News{Step: event.StepOver})
	return true
}

// month is what is remembered of 30 days of the users' mail.
var month = func() func(t *testing.T) *State {
	var once sync.Once
	var state *State
	return func(t *testing.T) *State {
		once.Do(func() {
			kept := &memory{}
			r := newRig(t, settingsWith(), kept)
			for i := range 30 * 24 * 2 {
				if hour := i / 2 % 24; hour < 9 {
					for n := range 15 {
						class := ""
						if mixed(i*15+n)%100 == 0 {
							class = "recipient_invalid"
						}
						r.letter(user(i*15+n), fmt.Sprintf("friend%d@example.net", mixed(n*i)%400), class, i+n, 3000)
					}
				}
				r.detector.Tick()
				r.Pass(30 * time.Minute)
			}
			if err := r.saveAll(t.Context()); err != nil {
				t.Fatal(err)
			}
			state = kept.state
		})
		again := *state
		again.Containment.Subjects = append([]contain.Saved(nil), state.Containment.Subjects...)
		return &again
	}
}()

// newTable prints where the test is verbose.
func newTable(t *testing.T, head string) *tabwriter.Writer {
	out := os.Stdout
	if !testing.Verbose() {
		null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = null.Close() })
		out = null
	}
	tab := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tab, head)
	return tab
}
