package netns

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"kanmon/internal/smtp/smtptest"
	"kanmon/test/netlab"
)

// A real Postfix sends by way of kanmon, which asks a real resolver what the recipients' domains ask of their MX: one has the MX's key in its DNS, one
// another's, one has none. What is only observed passes, and is named once it is enforced; then the MX hears nothing of the mail that it has not proved
// itself for, neither recipient nor sender, and the two others go out.
func TestWhatADomainAsksIsKept(t *testing.T) {
	t.Parallel()
	world := newOutbound(t, netlab.OutboundOptions{Tenants: 1, MXs: 1})
	var mails atomic.Int64
	pair := smtptest.Certificate(t, smtptest.CertificateOptions{})
	mx := &smtptest.MX{TLS: &tls.Config{Certificates: []tls.Certificate{pair}}, Reply: func(verb string, _ int) string {
		if verb == "MAIL" {
			mails.Add(1)
		}
		return smtptest.Default
	}}
	meetAll(t, world.MXs[0], func(conn net.Conn) { mx.ServeConn(conn) })
	leaf, err := x509.ParseCertificate(pair.Certificate[0])
	must(t, err)
	at := netlab.MXAddr(1, false).String()
	zone := func(key [sha256.Size]byte) string {
		return fmt.Sprintf("@ MX 10 mx\nmx A %s\n_25._tcp.mx TLSA 3 1 1 %x", at, key)
	}
	_, err = world.Gateway.ServeSignedDNS(
		netlab.SignedZone{Name: "right.test", Records: zone(sha256.Sum256(leaf.RawSubjectPublicKeyInfo))},
		netlab.SignedZone{Name: "wrong.test", Records: zone(sha256.Sum256([]byte("another's key")))},
		netlab.SignedZone{Name: "plain.test", Kind: netlab.Unsigned, Records: fmt.Sprintf("@ MX 10 mx\nmx A %s", at)},
	)
	must(t, err)
	var routes []string
	for _, name := range []string{"right", "wrong", "plain"} {
		routes = append(routes, fmt.Sprintf("{%s.test = smtp:[%s]}", name, at))
	}
	msa, err := netlab.NewPostfix(world.MSAs[0], netlab.PostfixOptions{Role: netlab.MSA, Hostname: world.MSAs[0].Name + ".example", TLS: "may", Settings: map[string]string{
		"transport_maps": "inline:{" + strings.Join(routes, ", ") + "}",
	}})
	must(t, err)
	kanmon := newKanmon(t, world)
	policy := func(mode string) string {
		return forwardedRedirect + sendingIPs + fmt.Sprintf("[admin]\nsocket = %q\n[tls_policy]\nmode = %q\nmta_sts = false\nresolver = \"127.0.0.1:53\"\n", kanmon.Socket(), mode)
	}
	must(t, kanmon.Configure(policy("observe")))
	rules(t, kanmon, "apply")
	must(t, kanmon.Start())

	send := func(name, status string) netlab.Attempt {
		t.Helper()
		m := note(fmt.Sprintf("m%d", time.Now().UnixNano()), name+".test")
		_, err := msa.Submit("sender@"+msa.Options.Hostname, []string{m.to}, m.content)
		must(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		attempt, err := msa.WaitStatus(ctx, m.to, status)
		must(t, err)
		return attempt
	}
	send("wrong", "sent")
	eventually(t, "the first mail is judged when its domain's answers are there", func() bool {
		out, err := kanmon.Ask("tls", "list", "--refused")
		return err == nil && strings.Contains(out, "wrong.test")
	})
	eventually(t, "it is on record that mail would have been refused", func() bool {
		send("wrong", "sent")
		return strings.Contains(kanmon.Records(), `"would_refuse"`)
	})
	must(t, kanmon.Configure(policy("enforce")))
	must(t, kanmon.Reload())
	eventually(t, "the reload names the domain", func() bool {
		return strings.Contains(kanmon.Log(), "refused from now on") && strings.Contains(kanmon.Log(), "wrong.test")
	})
	before := mails.Load()
	if reply := send("wrong", "deferred").Reply; !strings.Contains(reply, "451 4.7.5") || !strings.Contains(reply, "wrong.test asks for verified TLS (DANE)") {
		t.Errorf("the MSA is told %q", reply)
	}
	if n := mails.Load() - before; n != 0 {
		t.Errorf("the MX has heard %d senders of a mail that it had not proved itself for", n)
	}
	send("right", "sent")
	send("plain", "sent")
	for _, want := range []string{`"policy":"dane","verdict":"passed"`, `"policy":"dane","verdict":"refused"`} {
		eventually(t, "there is a record with "+want, func() bool { return strings.Contains(kanmon.Records(), want) })
	}
	out, err := kanmon.Ask("tls", "wrong.test", "--destination", at)
	t.Logf("%v\n%s", err, out)
	if !strings.Contains(out, "3 1 1") {
		t.Errorf("kanmon tls shows no TLSA record")
	}
}
