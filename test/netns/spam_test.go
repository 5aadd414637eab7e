package netns

import (
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"kanmon/internal/admin"
	"kanmon/internal/smtp/smtptest"
	"kanmon/test/netlab"
)

// spamRefusals are what MXs say at the dot to spam, each with our address in it (IP). The cause is the message every time.
var spamRefusals = []string{
	"554 5.7.1 Spam content in the message from IP, message blocked",
	"550 5.7.1 Message from IP refused: it looks like spam",
	"554 5.7.1 Virus Test-Signature found in the message from IP",
	"552 5.7.0 Message content rejected, client [IP]",
	"550 5.7.1 [IP] Our system has detected that this message is likely unsolicited mail. To reduce the amount of spam it has been blocked.",
	"550-5.7.1 This message looks like spam\r\n550 5.7.1 host=out.example [IP]",
	"554 5.7.1 The message from [IP] contains a link to a phishing site",
	"550 5.7.0 Spam score too high (9.4), see https://mx.example.net/why?ip=IP",
	"554 rejected due to spam content (IP)",
	"550 5.7.1 Attachment with a virus, client host IP",
	"554 5.6.0 Message body refused by the content filter; IP: IP",
	"550 High probability of spam, id 12-IP-77",
	"554 5.7.1 Message refused as bulk advertising from IP",
	"550 5.7.1 URL in the body is listed on multi.surbl.org, from [IP]",
	"554 Malware detected in the mail sent by IP",
	"550 5.7.1 Nachricht als Spam abgelehnt, von IP",
	"550 5.7.1 Message refuse: contenu indesirable (spam) depuis IP",
	"554 5.7.1 mail from IP was classified as junk",
	"550 5.7.1 The content of this message looked like spam. [IP]",
	"451 4.7.1 Message temporarily refused as suspected spam from IP",
	"554-5.7.1 Blocked: message matches a spam signature\r\n554-5.7.1 client IP\r\n554 5.7.1 see our policy",
	"550 Your message was rejected because it contains spam. Client IP: IP",
	"550 5.7.1 Phishing attempt recognised in the message, connection from IP",
	"554 5.7.1 Header and body say that this is spam (IP)",
	"550 permanent failure: spam message rejected, ip=IP",
	"554 5.7.1 Message-Id and Subject are those of a spam run, IP",
	"550 5.7.509 Access denied, message of the sending domain does not pass DMARC, IP",
	"552 5.2.0 IP: unwanted message content",
	"550 5.7.1 Refused by the recipient's spam filter [IP]",
	"554 5.7.1 Sorry, message looks like SPAM to me (IP)",
}

// A spamFilter is an MX that refuses one account's messages at the dot, each time in other words, and takes all else.
type spamFilter struct {
	account string

	mu      sync.Mutex
	visits  map[netip.Addr]int
	refused int
	taken   int
}

func (m *spamFilter) serve(t *testing.T, host *netlab.Host) {
	t.Helper()
	m.visits = map[netip.Addr]int{}
	meetAll(t, host, m.meet)
}

func (m *spamFilter) meet(conn net.Conn) {
	client := conn.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().Unmap()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	m.mu.Lock()
	m.visits[client]++
	m.mu.Unlock()
	mx := &smtptest.MX{}
	mx.Reply = func(verb string, _ int) string {
		if verb != "." {
			return smtptest.Default
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		if !strings.Contains(strings.Join(mx.Mailbox.Commands(), "\n"), "FROM:<"+m.account) {
			m.taken++
			return smtptest.Default
		}
		m.refused++
		return strings.ReplaceAll(spamRefusals[m.refused%len(spamRefusals)], "IP", client.String()) + "\r\n"
	}
	mx.ServeConn(conn)
}

// A burst of spam is the account's, whatever its refusals say beside that: none of it is sent again through another sending IP of the
// pool, no sending IP loses standing, the account is contained, and nobody else's mail is held.
func TestSpamDoesNotWalkThroughThePool(t *testing.T) {
	const mxs, spams = 3, 500
	world := newWorldOfThreeIPs(t, mxs)
	const eve = "eve@acme.example"
	filters := make([]*spamFilter, mxs)
	for i := range filters {
		filters[i] = &spamFilter{account: eve}
		filters[i].serve(t, world.MXs[i])
	}
	kanmon := newKanmon(t, world)
	must(t, kanmon.Configure(spamConfiguration(kanmon.Folder())))
	rules(t, kanmon, "apply")
	must(t, kanmon.Start())

	var refused, held, sessions int
	for i := range spams {
		d := deliverFrom(t, world, i%mxs, eve, i)
		sessions++
		if strings.Contains(fmt.Sprint(d.Replies), "kanmon") {
			held++
		} else {
			refused++
		}
		if i%5 == 0 { // others of the tenant write meanwhile
			sessions++
			if d := deliverFrom(t, world, (i/5)%mxs, fmt.Sprintf("user%d@acme.example", i%25), i); !d.All(smtptest.Accepted) {
				t.Errorf("the mail of somebody else was not taken: %+v", d)
			}
		}
	}
	connections, taken, atMX := 0, 0, 0
	for _, f := range filters {
		for _, n := range f.visits {
			connections += n
		}
		taken, atMX = taken+f.taken, atMX+f.refused
	}
	out, err := kanmon.IP("list", "--json")
	must(t, err)
	account, err := kanmon.Account("show", eve, "--json")
	must(t, err)
	var shown admin.SenderDetail
	must(t, json.Unmarshal([]byte(account), &shown))
	t.Logf("%d mails of one account in %d wordings, %d refused by the MXs, %d held by kanmon; %d sessions, %d connections to MXs, so %d second ones; the account: %s; others: %d of %d mails taken; standing: %s",
		spams, len(spamRefusals), refused, held, sessions, connections, connections-sessions, shown.Level, taken, spams/5, strings.TrimSpace(out))
	switch {
	case connections > sessions:
		t.Errorf("%d connections to MXs in %d sessions: %d of them to send spam again", connections, sessions, connections-sessions)
	case atMX != refused:
		t.Errorf("the MXs refused %d messages, the MSA heard of %d", atMX, refused)
	case strings.TrimSpace(out) != "[]":
		t.Errorf("a sending IP has lost standing: %s", out)
	case shown.Level == "" || shown.Level == "normal" || held == 0:
		t.Errorf("the account is not contained: %q, %d held", shown.Level, held)
	case taken != spams/5:
		t.Errorf("%d mails of others were taken, want %d", taken, spams/5)
	}
}

// deliverFrom sends one mail in a session of its own.
func deliverFrom(t *testing.T, world *netlab.Outbound, mx int, sender string, n int) smtptest.Delivery {
	t.Helper()
	conn, err := world.MSAs[0].Dial(netip.AddrPortFrom(netlab.MXAddr(mx+1, false), 25).String(), 10*time.Second)
	must(t, err)
	msa := smtptest.NewMSA(t, conn)
	d := msa.Deliver(sender, []string{fmt.Sprintf("reader%d@%s", n, netlab.Domain(mx+1, false))}, fmt.Appendf(nil, "Subject: offer %d\r\n\r\nBuy now.\r\n", n), true)
	_ = msa.Quit()
	return d
}

func spamConfiguration(folder string) string {
	return forwardedRedirect + sendingIPs + otherSendingIPs + fmt.Sprintf(`
[[sending_ip]]
address = "203.0.113.12"
ehlo    = "out12.example"

[[tenant]]
name    = "acme"
sources = ["10.20.1.0/24"]

[containment]
enforce = true

[standing]
file = %q

[admin]
socket = %q
`, filepath.Join(folder, "standing.db"), filepath.Join(folder, "admin.sock"))
}
