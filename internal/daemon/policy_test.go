package daemon

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"kanmon/internal/smtp/smtptest"
)

const recordsTable = "[journal]\nrecords = 'DIR/records.jsonl'\n"

// twoPools are two sending IPs and a pool of each, default and another, whose names they give in EHLO.
func twoPools(other string) string {
	return fmt.Sprintf(`
[[sending_ip]]
address = '127.0.0.1'
ehlo    = 'default.example.jp'
[[sending_ip]]
address = '127.0.0.2'
ehlo    = '%[1]s.example.jp'
[pool.default]
ips = ['127.0.0.1']
[pool.%[1]s]
ips = ['127.0.0.2']
`, other)
}

// records gives what was recorded.
func (w *world) records() string {
	w.t.Helper()
	text, err := os.ReadFile(filepath.Join(w.dir, "records.jsonl"))
	if err != nil {
		w.t.Error(err)
	}
	return string(text)
}

const gatedTables = listenTable + recordsTable + `
[[tenant]]
name                 = 'acme'
sources              = ['127.0.0.0/8']
account_header       = 'X-Sent-By'
strip_account_header = true
[[sender_limit]]
name  = 'account-hour'
per   = 'account'
count = 'messages'
limit = 2
every = '1h'
`

// deliver sends a mail in a session of its own, and gives what became of it.
func (w *world) deliver(from, body string) smtptest.Delivery {
	msa := w.session()
	d := msa.Deliver(from, []string{"b@example.net"}, []byte(body), true)
	_ = msa.Quit()
	return d
}

// What the configuration says of senders holds for real sessions: a limit, the account that a header names, and a reload.
func TestSendersOfTheConfiguration(t *testing.T) {
	w := newWorld(t, gatedTables)
	w.start()
	for i := range 2 {
		if d := w.deliver("a@example.com", "Subject: hello\r\n\r\nHello.\r\n"); !d.All(smtptest.Accepted) {
			t.Fatalf("mail %d: %+v", i, d)
		}
	}
	if d := w.deliver("a@example.com", "Subject: hello\r\n\r\nHello.\r\n"); d.All(smtptest.Accepted) || !strings.Contains(fmt.Sprint(d), `sending limit reached for this account: 2 messages per hour (limit "account-hour"); retry in `) {
		t.Errorf("the third: %+v", d)
	}
	// The header names another account than the envelope: two mails pass, from senders of any name.
	for i := range 3 {
		d := w.deliver(fmt.Sprintf("user%d@example.com", i), "X-Sent-By: alice\r\nSubject: hello\r\n\r\nHello.\r\n")
		if passed := d.All(smtptest.Accepted); passed != (i < 2) {
			t.Errorf("alice's mail %d: %+v", i, d)
		}
	}
	if err := w.daemon.Reload(t.Context(), w.with(strings.Replace(gatedTables, "limit = 2", "limit = 5", 1))); err != nil {
		t.Fatal(err)
	}
	if d := w.deliver("a@example.com", "Subject: again\r\n\r\nHello.\r\n"); !d.All(smtptest.Accepted) {
		t.Errorf("after the limit was raised: %+v", d)
	}
	w.stop()
	for _, tx := range w.mx.Mailbox.Transactions() {
		if strings.Contains(string(tx.Body), "X-Sent-By") {
			t.Errorf("the header has left: %q", tx.Body)
		}
	}
	if n := len(w.mx.Mailbox.Transactions()); n != 5 {
		t.Errorf("%d delivered, want 5", n)
	}
	text := w.records()
	if want := `"type":"decision"`; strings.Count(text, want) != 2 || !strings.Contains(text, `"tenant":"acme","account":"alice","action":"deferred"`) {
		t.Errorf("records: %s", text)
	}
}

// A listener of its own makes a tenant known, whoever else has the MSA's address.
func TestListenerOfATenant(t *testing.T) {
	tables := listenTable + recordsTable + `
[[tenant]]
name    = 'acme'
sources = ['127.0.0.0/8']
[[tenant]]
name        = 'vlan'
listen_port = OWN
[[sender_limit]]
name   = 'one'
per    = 'tenant'
count  = 'messages'
limit  = 1
every  = '1h'
tenant = 'vlan'
`
	w := newWorld(t, listenTable)
	own := freePort(t)
	cfg := w.parse(strings.ReplaceAll(tables, "OWN", fmt.Sprint(own)))
	w.daemon = w.newDaemon(cfg)
	w.start()
	if got := w.daemon.Addrs(); len(got) != 2 || int(got[1].Port()) != own {
		t.Errorf("listening on %v, want the second at port %d", got, own)
	}
	deliver := func(port int) smtptest.Delivery {
		msa := w.sessionAt(uint16(port))
		d := msa.Deliver("a@example.com", []string{"b@example.net"}, []byte("Subject: hello\r\n\r\nHello.\r\n"), true)
		_ = msa.Quit()
		return d
	}
	for i, passes := range []bool{true, false} {
		if d := deliver(own); d.All(smtptest.Accepted) != passes {
			t.Errorf("mail %d by the tenant's listener: %+v", i, d)
		}
	}
	if d := deliver(int(cfg.Intercept.Listen[0].Port())); !d.All(smtptest.Accepted) {
		t.Errorf("by the other listener: %+v", d)
	}
	w.stop()
}

// Mail that is no tenant's stays in its MSA's queue, and says why; a tenant for the rest takes it.
func TestUnknownTenant(t *testing.T) {
	tables := strings.Replace(gatedTables, "127.0.0.0/8", "10.20.1.0/24", 1)
	w := newWorld(t, tables)
	w.start()
	if d := w.deliver("a@example.com", "Subject: hello\r\n\r\nHello.\r\n"); d.All(smtptest.Accepted) || !strings.Contains(fmt.Sprint(d), "451") {
		t.Errorf("a stranger's: %+v", d)
	}
	if err := w.daemon.Reload(t.Context(), w.with(tables+"[senders]\nunknown_tenant = 'acme'\n")); err != nil {
		t.Fatal(err)
	}
	if d := w.deliver("a@example.com", "Subject: hello\r\n\r\nHello.\r\n"); !d.All(smtptest.Accepted) {
		t.Errorf("with a tenant for all others: %+v", d)
	}
	w.stop()
}

// Whoever enforces containment, and has neither tenants nor limits, has it enforced: each MSA is a tenant.
func TestContainmentAlone(t *testing.T) {
	for enforce, want := range map[string]bool{"true": true, "false": false} {
		w := newWorld(t, listenTable+"[containment]\nenforce = "+enforce+"\n")
		w.start()
		if gate := w.daemon.current.engine.Gate; (gate != nil) != want || w.daemon.policy.Active() != want {
			t.Errorf("enforce = %s: gate %v, active %t", enforce, gate, w.daemon.policy.Active())
		}
		w.stop()
	}
}

// law: I18
//
// A session that a reload overtakes is decided by one configuration: a limit of its own diverts its mail to a pool of its own, never
// a limit of the new file to the default pool of the old one.
func TestOneConfigurationADecision(t *testing.T) {
	tables := func(pool string) string {
		return listenTable + recordsTable + twoPools(pool) + fmt.Sprintf(`
[[tenant]]
name    = 'acme'
sources = ['127.0.0.0/8']
[[sender_limit]]
name   = 'first'
per    = 'account'
count  = 'messages'
limit  = 1
every  = '1h'
action = 'divert'
pool   = '%s'
`, pool)
	}
	w := newWorld(t, tables("before"))
	w.start()
	older := w.session()
	send := func(msa *smtptest.MSA) {
		t.Helper()
		if d := msa.Deliver("a@example.com", []string{"b@example.net"}, []byte("Subject: hello\r\n\r\nHello.\r\n"), true); !d.All(smtptest.Accepted) {
			t.Fatalf("%+v", d)
		}
	}
	send(older)
	if err := w.daemon.Reload(t.Context(), w.with(tables("behind"))); err != nil {
		t.Fatal(err)
	}
	send(older)
	newer := w.session()
	send(newer)
	_ = older.Quit()
	_ = newer.Quit()
	w.stop()
	var names []string
	for _, tx := range w.mx.Mailbox.Transactions() {
		names = append(names, tx.Helo)
	}
	if want := []string{"default.example.jp", "before.example.jp", "behind.example.jp"}; !slices.Equal(names, want) {
		t.Errorf("left as %q, want %q", names, want)
	}
}
