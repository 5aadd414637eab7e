package netns

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"kanmon/test/netlab"
)

// families are the two halves of every scenario. The domains of each have an MX of that family only.
var families = []struct {
	name string
	v6   bool
}{{"IPv4", false}, {"IPv6", true}}

// newLab begins a lab that lasts as long as the test.
func newLab(t *testing.T) *netlab.Lab {
	t.Helper()
	lab, err := netlab.New(t.Name())
	must(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the lab's logs:\n%s", lab.Logs(40))
		}
		if err := lab.Close(); err != nil {
			t.Errorf("close the lab: %v", err)
		}
	})
	return lab
}

// newOutbound builds a world in a lab of its own.
func newOutbound(t *testing.T, options netlab.OutboundOptions) *netlab.Outbound {
	t.Helper()
	world, err := netlab.NewOutbound(newLab(t), options)
	must(t, err)
	return world
}

// thirdSendingIPv4 is a sending IP beside those of all worlds.
var thirdSendingIPv4 = netip.MustParseAddr("203.0.113.12")

// newWorldOfThreeIPs builds a tenant, a gateway with three sending IPs, and MXs on which nothing runs yet.
func newWorldOfThreeIPs(t *testing.T, mxs int) *netlab.Outbound {
	t.Helper()
	t.Parallel()
	world := newOutbound(t, netlab.OutboundOptions{Tenants: 1, MXs: mxs})
	must(t, world.Gateway.Address("out0", netip.PrefixFrom(thirdSendingIPv4, 32)))
	return world
}

// newWorld builds tenants, a gateway and one MX that is a Postfix with STARTTLS.
func newWorld(t *testing.T, tenants int) (*netlab.Outbound, *netlab.Postfix) {
	t.Helper()
	t.Parallel()
	world := newOutbound(t, netlab.OutboundOptions{Tenants: tenants, MXs: 1})
	mx, err := netlab.NewPostfix(world.MXs[0], netlab.PostfixOptions{
		Role: netlab.MX, Hostname: netlab.MXName(1), TLS: "may",
	})
	must(t, err)
	return world, mx
}

// newMSA starts a Postfix that sends mail from the host.
func newMSA(t *testing.T, host *netlab.Host, tls string) *netlab.Postfix {
	t.Helper()
	msa, err := netlab.NewPostfix(host, netlab.PostfixOptions{
		Role: netlab.MSA, Hostname: host.Name + ".example", TLS: tls,
	})
	must(t, err)
	return msa
}

// A mail is a message with the one recipient that names it in all logs.
type mail struct {
	to      string
	content []byte
}

func newMail(local, domain string, content []byte) mail {
	return mail{to: local + "@" + domain, content: content}
}

// note is a small message.
func note(local, domain string) mail {
	return newMail(local, domain, []byte("Subject: note\r\nMessage-ID: <"+local+"@client.example>\r\n\r\nHello.\r\n"))
}

// awkwardMails are messages that a relay could spoil: each must arrive octet by octet.
func awkwardMails(domain string) []mail {
	const header = "Subject: test\r\nMIME-Version: 1.0\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
	return []mail{
		newMail("nothing", domain, nil),
		newMail("no-body", domain, []byte("Subject: no body\r\n\r\n")),
		newMail("dots", domain, []byte(header+".\r\n..\r\n...\r\n.a\r\na.\r\n\r\n.\r\n\r\n")),
		newMail("8bit", domain, []byte(header+strings.Repeat("関門 \xff\xfe\x80 ÄÖÜ\r\n", 50))),
		newMail("blank-lines", domain, []byte(header+"\r\n\r\n\r\n")),
		newMail("large", domain, append([]byte(header), largeBody(50<<20)...)),
	}
}

// largeBody is at least size octets of text lines, dots and 8-bit octets among them, with nothing repeating.
func largeBody(size int) []byte {
	body := make([]byte, size)
	_, _ = rand.Read(body)
	for i, b := range body {
		if b == 0 || b == '\r' || b == '\n' {
			body[i] = '.'
		}
	}
	for i := 78; i+1 < len(body); i += 80 {
		copy(body[i:], "\r\n")
	}
	return append(body, "\r\n"...)
}

// deliver submits the mail, waits until the MX has it, and checks that the MSA was told the MX's own queue id and that
// the message is the same octet by octet.
func deliver(t *testing.T, msa, mx *netlab.Postfix, m mail) (netlab.Attempt, netlab.Stored) {
	t.Helper()
	_, err := msa.Submit("sender@"+msa.Options.Hostname, []string{m.to}, m.content)
	must(t, err)
	return expect(t, msa, mx, m)
}

// expect does what deliver does for mail that was submitted before.
func expect(t *testing.T, msa, mx *netlab.Postfix, m mail) (netlab.Attempt, netlab.Stored) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	attempt, err := msa.WaitStatus(ctx, m.to, "sent")
	must(t, err)
	if attempt.RemoteQueueID() == "" {
		t.Fatalf("mail to %s: the MSA was told %q, without a queue id", m.to, attempt.Reply)
	}
	stored, err := mx.WaitStored(ctx, attempt.RemoteQueueID())
	must(t, err)
	if !bytes.Equal(stored.Message, m.content) {
		t.Errorf("mail to %s arrived changed: %s", m.to, difference(stored.Message, m.content))
	}
	return attempt, stored
}

// difference tells where two messages part.
func difference(got, want []byte) string {
	at := 0
	for at < min(len(got), len(want)) && got[at] == want[at] {
		at++
	}
	return fmt.Sprintf("got %d octets, want %d; at %d got %.60q, want %.60q", len(got), len(want), at, got[at:], want[at:])
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// ipLiteral writes an address as Postfix does in a Received field (RFC 5321 §4.1.3).
func ipLiteral(address netip.Addr) string {
	if address.Is6() {
		return "IPv6:" + address.String()
	}
	return address.String()
}
