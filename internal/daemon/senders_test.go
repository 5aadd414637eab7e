package daemon

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"kanmon/internal/admin"
	"kanmon/internal/event"
	"kanmon/internal/policy"
	"kanmon/internal/session"
	"kanmon/internal/who/mailbox"
)

// customers are two tenants, acme on 10.20.1.5 and blue on every other address.
const customers = listenTable + `
[[tenant]]
name    = 'acme'
sources = ['10.20.1.5/32']
[[tenant]]
name    = 'blue'
sources = ['10.20.2.0/24']
[senders]
file           = 'FILE'
unknown_tenant = 'blue'
[[sender_limit]]
name  = 'tenant-hour'
per   = 'tenant'
count = 'messages'
limit = 10_000
every = '1h'
[[sender_limit]]
name  = 'account-hour'
per   = 'account'
count = 'recipients'
limit = 10_000
every = '1h'
[containment]
enforce = true
[admin]
socket = 'DIR/s'
`

var msa = netip.MustParseAddr("10.20.1.5")

// sends lets an account send mails, of which every second has a recipient that the MXs do not know.
func sends(p *policy.Policy, account string, mails int) {
	mxs := []string{"192.0.2.1:25", "198.51.100.1:25", "203.0.113.1:25"}
	for i := range mails {
		pass := p.Gate().Enter(session.Origin{Source: netip.AddrPortFrom(msa, 40000), Destination: netip.MustParseAddrPort(mxs[i/2%len(mxs)])})
		pass.Ask(session.Question{Step: event.StepMail, Sender: mailbox.Form([]byte(account))})
		pass.Tell(session.News{Step: event.StepMail, Code: 250})
		pass.Ask(session.Question{Step: event.StepRecipient, Recipient: fmt.Sprintf("%d@mx%d.example", i, i/2%len(mxs))})
		news := session.News{Step: event.StepRecipient, Code: 250}
		if i%2 == 0 {
			news.Code, news.Class, news.Text = 550, event.RecipientInvalid, []byte("550 5.1.1 no such user")
		}
		pass.Tell(news)
		pass.Close()
	}
}

// withSocket starts a daemon that has an admin socket, and gives a client of it.
func withSocket(t *testing.T, tables string) (*world, *admin.Client) {
	t.Helper()
	w := newWorld(t, tables)
	w.start()
	return w, admin.NewClient(filepath.Join(w.dir, "s"))
}

func customersIn(file string) string { return strings.ReplaceAll(customers, "FILE", file) }

// An operator looks at who misbehaves, decides, acts and undoes; what was done is kept for the next kanmon.
func TestOperatorOnSenders(t *testing.T) {
	file := filepath.Join(t.TempDir(), "policy.db")
	bob := admin.Subject{Tenant: "acme", Account: "bob@acme.example"}
	w, c := withSocket(t, customersIn(file))
	sends(w.daemon.policy, "Bob@acme.example", 80)
	ctx := t.Context()

	accounts, err := c.Accounts(ctx, "")
	if err != nil || len(accounts) != 1 || accounts[0].Subject != bob || accounts[0].InForce != admin.LevelSlow || !strings.Contains(accounts[0].Why, "do not exist") {
		t.Fatalf("accounts: %+v, %v", accounts, err)
	}
	tenants, err := c.Tenants(ctx)
	if err != nil || len(tenants) != 2 || tenants[0].Tenant != "acme" || tenants[0].Accounts != 1 || tenants[1].Accounts != 0 {
		t.Errorf("tenants: %+v, %v", tenants, err)
	}
	x, err := c.Sender(ctx, admin.Subject{Account: "BOB@acme.example"}) // the only one in the list
	if err != nil || x.Subject != bob || x.Last == nil || x.Last.Reading.Signal != "unknown_recipients" || x.Last.Reading.Threshold != 0.1 ||
		x.DownIn < time.Hour || len(x.Readings) == 0 || len(x.Last.Samples) == 0 || x.Last.Samples[0].Reply != "550 5.1.1 no such user" {
		t.Fatalf("bob: %+v, %v", x, err)
	}
	if len(x.Limits) != 3 || x.Limits[0].Name != "account-hour" || x.Limits[0].Used == 0 || x.Limits[1].Name != "contained" || x.Limits[2].Scope != "tenant" || !x.Limits[0].Room || !x.Limits[0].Enforced {
		t.Errorf("limits: %+v", x.Limits)
	}

	carry := func(o admin.Order) admin.SenderDetail {
		t.Helper()
		x, err := c.Carry(ctx, bob, o)
		if err != nil {
			t.Fatalf("%s: %v", o.Do, err)
		}
		return x
	}
	if x := carry(admin.Order{Do: "block", Until: time.Now().Add(time.Hour), Reason: "stolen password"}); !x.Blocked || x.InForce != admin.LevelStop || x.Block == nil || x.Block.Until.IsZero() {
		t.Errorf("block: %+v", x.Sender)
	}
	if x := carry(admin.Order{Do: "exempt", Reason: "a test"}); !x.Blocked || x.Exempt == nil {
		t.Errorf("exempt: %+v", x.Sender)
	}
	carry(admin.Order{Do: "unexempt"})
	if x := carry(admin.Order{Do: "unblock", Reason: "has a new one"}); x.Blocked || x.InForce != admin.LevelNormal || x.Block != nil || x.Level != admin.LevelNormal {
		t.Errorf("unblock: %+v", x.Sender)
	}
	if x := carry(admin.Order{Do: "limit", Limit: "account-hour", Amount: 7}); x.Limits[0].Amount != 7 || x.Limits[0].Configured != 10_000 {
		t.Errorf("limit: %+v", x.Limits)
	}
	if x := carry(admin.Order{Do: "limit", Limit: "account-hour"}); x.Limits[0].Amount != 10_000 {
		t.Errorf("limit as configured: %+v", x.Limits)
	}
	if x, err := c.Carry(ctx, admin.Subject{Tenant: "acme"}, admin.Order{Do: "block", Reason: "unpaid"}); err != nil || !x.Blocked {
		t.Errorf("block a tenant: %+v, %v", x, err)
	}
	if x, err := c.Sender(ctx, bob); err != nil || !x.Blocked || !x.ByTenant || x.Block != nil {
		t.Errorf("an account of a blocked tenant: %+v, %v", x.Sender, err)
	}

	w.stop()
	_, c = withSocket(t, customersIn(file))
	if x, err := c.Sender(ctx, admin.Subject{Tenant: "acme"}); err != nil || !x.Blocked || x.Block.By != peerName() {
		t.Errorf("after a restart: %+v, %v", x.Sender, err)
	}
	var did []string
	changes, err := c.Changes(ctx, admin.Subject{}, netip.Addr{}, 100)
	for _, one := range changes {
		did = append(did, one.Did+" "+one.Why)
	}
	if want := []string{"block stolen password", "exempt a test", "unexempt ", "unblock has a new one", "limit ", "limit ", "block unpaid"}; err != nil || !slices.Equal(did, want) {
		t.Errorf("changes: %q, %v", did, err)
	}
	if changes, err := c.Changes(ctx, bob, netip.Addr{}, 2); err != nil || len(changes) != 2 || changes[1].Subject != bob {
		t.Errorf("the last changes of bob: %+v, %v", changes, err)
	}
}

// Lists and forwarders are shown with who has said so, in the lists, too; a callout is counted; what a person orders is kept.
func TestOperatorOnKinds(t *testing.T) {
	file := filepath.Join(t.TempDir(), "policy.db")
	tables := strings.Replace(customersIn(file), "name    = 'acme'", "name    = 'acme'\nlists   = ['@lists.acme.example']\nforwarders = ['@alumni.acme.example']", 1)
	w, c := withSocket(t, tables)
	ctx := t.Context()
	ask := func(account string) admin.SenderDetail {
		t.Helper()
		x, err := c.Sender(ctx, admin.Subject{Tenant: "acme", Account: account})
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	if x := ask("News-Bounces+7@lists.acme.example"); x.Mark == nil || *x.Mark != (admin.Mark{Kind: admin.KindList, Of: "@lists.acme.example"}) || x.CountsFor != "" {
		t.Errorf("a list of the configuration: %+v", x)
	}
	if x := ask("SRS0=4xKb=2Q=other.example=bob@alumni.acme.example"); x.CountsFor != mailbox.Forwarded {
		t.Errorf("forwarded mail: %+v", x)
	}
	x, err := c.Carry(ctx, admin.Subject{Tenant: "acme", Account: "@Other.example"}, admin.Order{Do: "kind", Kind: admin.KindList, Reason: "the club's"})
	if err != nil || x.Account != "@other.example" || x.Mark == nil || x.Mark.Hand == nil || x.Mark.Hand.Why != "the club's" || x.Mark.Hand.By != peerName() {
		t.Errorf("a domain that is marked: %+v, %v", x, err)
	}
	if x, err := c.Carry(ctx, admin.Subject{Tenant: "acme", Account: "@lists.acme.example"}, admin.Order{Do: "kind", Kind: admin.KindNone, Reason: "gone"}); err != nil || x.Mark == nil || x.Mark.Kind != admin.KindNone {
		t.Errorf("a mark that is taken away: %+v, %v", x, err)
	}
	if _, err := c.Carry(ctx, admin.Subject{Tenant: "acme", Account: "<>"}, admin.Order{Do: "kind", Kind: admin.KindList, Reason: "x"}); err == nil {
		t.Error("the null sender is a list")
	}
	callout := w.daemon.policy.Gate().Enter(session.Origin{Source: netip.AddrPortFrom(msa, 40000), Destination: netip.MustParseAddrPort("192.0.2.1:25")})
	callout.Ask(session.Question{Step: event.StepMail})
	callout.Tell(session.News{Step: event.StepMail, Code: 250})
	callout.Ask(session.Question{Step: event.StepRecipient, Recipient: "b@example.net"})
	callout.Tell(session.News{Step: event.StepRecipient, Code: 550, Class: event.RecipientInvalid, Text: []byte("550 5.1.1 no such user")})
	callout.Close()
	for _, account := range []string{"", "<>"} {
		if x := ask(account); x.Callouts == nil || *x.Callouts != (admin.Callouts{Asked: 1, Dead: 1}) {
			t.Errorf("callouts of %q: %+v", account, x.Callouts)
		}
	}
	w.stop()
	_, c = withSocket(t, tables)
	all, err := c.Accounts(ctx, "acme")
	var names []string
	for _, one := range all {
		names = append(names, one.Account+" "+one.Mark.Kind)
	}
	if got, want := strings.Join(names, ", "), "@alumni.acme.example forwarder, @lists.acme.example none, @other.example list"; err != nil || got != want {
		t.Errorf("after a restart %s are marked, want %s (%v)", got, want, err)
	}
	if changes, err := c.Changes(ctx, admin.Subject{Tenant: "acme", Account: "@other.example"}, netip.Addr{}, 5); err != nil || len(changes) != 1 || changes[0].After != "list, by "+peerName() {
		t.Errorf("the audit: %+v, %v", changes, err)
	}
}

func peerName() string {
	if os.Getuid() == 0 {
		return "root"
	}
	return os.Getenv("USER")
}

func TestOperatorsSlips(t *testing.T) {
	_, c := withSocket(t, customersIn(filepath.Join(t.TempDir(), "policy.db")))
	ctx := t.Context()
	for _, test := range []struct {
		of   admin.Subject
		o    admin.Order
		want string
	}{
		{admin.Subject{Tenant: "cyan"}, admin.Order{Do: "block", Reason: "x"}, `there is no such tenant: "cyan"`},
		{admin.Subject{Tenant: "cyan", Account: "a@b.example"}, admin.Order{Do: "unblock"}, `there is no such tenant: "cyan"`},
		{admin.Subject{Account: "a@b.example"}, admin.Order{Do: "block", Reason: "x"}, `cannot tell which tenant account "a@b.example" belongs to: add --tenant`},
		{admin.Subject{Tenant: "acme", Account: "a@b.example"}, admin.Order{Do: "unblock"}, "acme/a@b.example: nothing is known of it, so there is nothing to end"},
		{admin.Subject{Tenant: "acme"}, admin.Order{Do: "limit", Limit: "nonsense", Amount: 5}, `there is no such limit: "nonsense"`},
		{admin.Subject{Tenant: "acme"}, admin.Order{Do: "limit", Limit: "tenant-hour", Amount: 1 << 60}, "not an amount for this limit"},
	} {
		if x, err := c.Carry(ctx, test.of, test.o); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%+v %+v: %+v, %v, want %s", test.of, test.o, x.Sender, err, test.want)
		}
	}
	if _, err := c.Accounts(ctx, "cyan"); err == nil || !strings.Contains(err.Error(), "there is no such tenant") {
		t.Errorf("accounts of a slip: %v", err)
	}
	shared := admin.Subject{Account: "<>"}
	for _, tenant := range []string{"acme", "blue"} {
		if _, err := c.Carry(ctx, admin.Subject{Tenant: tenant, Account: "<>"}, admin.Order{Do: "block", Reason: "x"}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Sender(ctx, shared); err == nil || !strings.Contains(err.Error(), `acme and blue have an account "<>"`) {
		t.Errorf("whose null sender: %v", err)
	}
}

// Who is no longer configured, and still blocked, is seen and can be let go.
func TestTenantThatIsGone(t *testing.T) {
	w, c := withSocket(t, customersIn(filepath.Join(t.TempDir(), "policy.db")))
	ctx, gone := t.Context(), admin.Subject{Tenant: "blue"}
	if _, err := c.Carry(ctx, gone, admin.Order{Do: "block", Reason: "left us"}); err != nil {
		t.Fatal(err)
	}
	if err := w.daemon.policy.Configure(policy.Settings{Active: true, Tenants: []string{"acme"}}); err != nil {
		t.Fatal(err)
	}
	if all, err := c.Tenants(ctx); err != nil || len(all) != 2 || all[1].Tenant != "blue" || !all[1].Blocked {
		t.Errorf("tenants: %+v, %v", all, err)
	}
	if x, err := c.Carry(ctx, gone, admin.Order{Do: "unblock"}); err != nil || x.Blocked {
		t.Errorf("unblock: %+v, %v", x, err)
	}
}

// Without a file everything can be seen and done; only the audit, of which there is none, says so.
func TestSendersWithoutAFile(t *testing.T) {
	_, c := withSocket(t, strings.Replace(customers, "file           = 'FILE'\n", "", 1))
	acme := admin.Subject{Tenant: "acme"}
	if x, err := c.Sender(t.Context(), acme); err != nil || x.Subject != acme {
		t.Errorf("show: %+v, %v", x, err)
	}
	if x, err := c.Carry(t.Context(), acme, admin.Order{Do: "block", Reason: "unpaid"}); err != nil || !x.Blocked {
		t.Errorf("block: %+v, %v", x, err)
	}
	if _, err := c.Changes(t.Context(), acme, netip.Addr{}, 5); err == nil || !strings.Contains(err.Error(), "names no file in [senders]") {
		t.Errorf("audit: %v", err)
	}
}

func TestNoTenantIsConfigured(t *testing.T) {
	_, c := withSocket(t, listenTable+"[admin]\nsocket = 'DIR/s'\n")
	ctx := t.Context()
	_, list := c.Tenants(ctx)
	_, accounts := c.Accounts(ctx, "")
	_, show := c.Sender(ctx, admin.Subject{Tenant: "acme"})
	_, block := c.Carry(ctx, admin.Subject{Tenant: "acme"}, admin.Order{Do: "block", Reason: "x"})
	if _, err := c.Changes(ctx, admin.Subject{}, netip.Addr{}, 5); err == nil || !strings.Contains(err.Error(), "names no file in [senders]") { // of IPs there can be one
		t.Errorf("audit: %v", err)
	}
	for i, err := range []error{list, accounts, show, block} {
		if err == nil || !strings.Contains(err.Error(), "no tenant is configured") {
			t.Errorf("%d: %v", i, err)
		}
	}
}
