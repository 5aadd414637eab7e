package daemon

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"kanmon/internal/admin"
	"kanmon/internal/smtp/smtptest"
)

var peopleTables = listenTable + "[admin]\nsocket = 'DIR/s'\n" + recordsTable + twoPools("bounces") + `
[[tenant]]
name            = 'acme'
sources         = ['127.0.0.0/8']
sender_domains  = ['bücher.example', 'acme.example', '*.acme.example']
account_header  = 'X-Auth-User'
account_pattern = '(news)-[0-9]+(@lists\.acme\.example)'
[[tenant]]
name           = 'blue'
sources        = ['127.0.0.0/8']
sender_domains = ['blue.example']
[[route]]
null_sender = true
pool        = 'bounces'
[senders]
spoofing = 'refuse'
`

// mail says MAIL in the words given, and gives the reply; the mail goes no further.
func (w *world) mail(line string) smtptest.Reply {
	msa := w.session()
	msa.Expect(220)
	msa.Command("EHLO msa.example.com")
	reply := msa.Command(line)
	_ = msa.Quit()
	return reply
}

// What is said of a sender by name holds on the wire, however the sender is written there: a person's block, a tenant's domains, a route of
// the null sender. What cannot be read is nobody of them, and the MX gets each line as it was.
//
// law: I17
func TestEverySpellingOnTheWire(t *testing.T) {
	w := newWorld(t, peopleTables)
	w.start()
	c := admin.NewClient(filepath.Join(w.dir, "s"))
	for _, account := range []string{"bob+x@acme.example", "news-1@lists.acme.example", "a@BÜCHER.example", "SRS0=4xKb=2Q=other.example=x@acme.example"} {
		x, err := c.Carry(t.Context(), admin.Subject{Tenant: "acme", Account: account}, admin.Order{Do: "block", Reason: "a test"})
		if err != nil || !x.Blocked {
			t.Fatalf("block %s: %+v, %v", account, x.Sender, err)
		}
	}
	if _, err := c.Carry(t.Context(), admin.Subject{Tenant: "acme", Account: "bob@acme.example@x"}, admin.Order{Do: "block", Reason: "a slip"}); err == nil {
		t.Error("a slip has blocked somebody")
	}
	for _, blocked := range []string{
		"<bob@acme.example>", "<@r.example:bob@acme.example>", "< bob@acme.example>", "<bob@acme.example >", "<bob@acme.example\t>", "<bob(x)@acme.example>", `<b\ob@acme.example>`,
		`<"bob"@acme.example>`, "<bob@ACME.example.>", "<bob@acme。example> SMTPUTF8", "bob@acme.example", "<prvs=1234abcdef=bob@acme.example>", "<bob+2@acme.example>",
		"<msprvs1=17465abcdefgh=bob@acme.example>", "<news-77@lists.acme.example>", "<a@xn--bcher-kva.example>", "<a@bücher.example> SMTPUTF8", "<a@BÜCHER.example> SMTPUTF8",
		"<SRS0=9999=AA=third.example=bob@acme.example>", "<SRS1=9fQz=first.example==4xKb=2Q=other.example=bob@acme.example>",
	} {
		if reply := w.mail("MAIL FROM:" + blocked); reply.Code != 451 || !strings.Contains(fmt.Sprint(reply), "blocked") {
			t.Errorf("MAIL FROM:%s: %s", blocked, reply)
		}
	}
	for _, other := range []string{
		"<bobby@acme.example>", "<prvs=bob@acme.example>", "<news-x@lists.acme.example>", "<b@bücher.example> SMTPUTF8", "<bob@lists.acme.example>", "<srs@acme.example>",
	} {
		if reply := w.mail("MAIL FROM:" + other); reply.Code != 250 {
			t.Errorf("MAIL FROM:%s: %s", other, reply)
		}
	}
	w.stop()
}

// law: I17
func TestNullSenderOnTheWire(t *testing.T) {
	w := newWorld(t, listenTable+twoPools("bounces")+"[[route]]\nnull_sender = true\npool = 'bounces'\n")
	w.start()
	names := map[string]string{
		"<>": "bounces.example.jp", "< >": "bounces.example.jp", "<@r.example:>": "bounces.example.jp", `<"">`: "bounces.example.jp",
		"<a@acme.example>": "default.example.jp", "<@r.example:a@acme.example>": "default.example.jp", "<a@b@acme.example>": "default.example.jp",
	}
	var want []string
	for line, name := range names {
		msa := w.session()
		msa.Expect(220)
		msa.Command("EHLO msa.example.com")
		msa.Command("MAIL FROM:" + line)
		msa.Command("RCPT TO:<b@example.net>")
		if reply := msa.Data([]byte("Subject: " + line + "\r\n\r\ntext\r\n")); reply.Code == 250 {
			want = append(want, fmt.Sprintf("Subject: %s by %s", line, name))
		}
		_ = msa.Quit()
	}
	w.stop()
	var got []string
	for _, tx := range w.mx.Mailbox.Transactions() {
		subject, _, _ := strings.Cut(string(tx.Body), "\r\n")
		got = append(got, subject+" by "+tx.Helo)
	}
	slices.Sort(got)
	slices.Sort(want)
	if len(want) < 6 || !slices.Equal(got, want) {
		t.Errorf("left %q, want %q", got, want)
	}
}

// A message that names its account twice waits, and its record says so; what the tenant's MSA alone has written counts.
//
// law: I17
func TestAccountHeaderOnTheWire(t *testing.T) {
	w := newWorld(t, peopleTables)
	w.start()
	for header, passes := range map[string]bool{
		"":                                  true,
		"X-Auth-User: eve@acme.example\r\n": true,
		"X-Auth-User: Eve <eve@acme.example>\r\nX-auth-USER:\r\n eve+x@acme.example (Eve)\r\n": true,
		"X-Auth-User: ceo@acme.example\r\nTo: b\r\nX-Auth-User: eve@acme.example\r\n":          false,
		"X-Auth-User:\r\nX-Auth-User: eve@acme.example\r\n":                                    false,
		"X-Auth-User: <>\r\n":                                false,
		"X-Auth-User: " + strings.Repeat("x", 1200) + "\r\n": false,
		"X-Auth-User: " + strings.Repeat(" ", 1200) + "ceo@acme.example\r\nX-Auth-User: eve@acme.example\r\n": false,
		"X-Auth-User" + strings.Repeat(" ", 1200) + ": ceo@acme.example\r\n":                                  false,
	} {
		d := w.deliver("a@acme.example", header+"Subject: hello\r\n\r\nHello.\r\n")
		if d.All(smtptest.Accepted) != passes {
			t.Errorf("%.60q: %+v", header, d)
		}
	}
	w.stop()
	if text := w.records(); strings.Count(text, `"account":"<unreadable>","action":"deferred","rule":"account_header X-Auth-User"`) != 6 {
		t.Errorf("records: %s", text)
	}
}
