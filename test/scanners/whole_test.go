package scanners

import (
	"fmt"
	"strings"
	"testing"

	"kanmon/internal/policy/inspect"
	"kanmon/test/netlab"
)

// doubt has an account send until its mail is held: what passes meanwhile counts against it.
func (g *gateway) doubt(from, message string) {
	g.t.Helper()
	const most = 10
	for n := range most {
		f := g.send(g.msa, from, fmt.Sprintf("%s-bad-%d", strings.Split(from, "@")[0], n), message)
		if f.Status == "bounced" {
			f.judged(g.t, "the first one that is held", "hold", "refuse")
			return
		}
		f.judged(g.t, "an account's first ones", "behind", "accept")
	}
	g.t.Fatalf("%d bad messages of %s have passed", most, from)
}

// A real Rspamd behind a whole kanmon: an account's first spam passes, its next one is refused, what is doubtful leaves from the high-risk pool,
// and what is not is delivered as ever, as is everybody else's mail. (S1, S2, S3)
func TestRspamdHoldsTheMailOfTheDoubtful(t *testing.T) {
	g := startGateway(t, rspamdTable(startRspamd(t, setup{})))
	const bob, carol = "bob@msa1.example", "carol@msa1.example"
	g.doubt(bob, string(inspect.GTUBE()))
	at := g.mx.Count()
	spam := g.send(g.msa, bob, "gtube", string(inspect.GTUBE()))
	spam.judged(t, "GTUBE", "hold", "refuse")
	if spam.Status != "bounced" || !strings.Contains(spam.Reply, "said: 550 5.7.1 kanmon: this message was judged to be spam; reference ") || g.mx.Count() != at {
		t.Errorf("GTUBE: %s: %s; the MX has %d more", spam.Status, spam.Reply, g.mx.Count()-at)
	}
	for local, c := range map[string]struct{ from, fields, lane, done, ip string }{
		"ordinary": {bob, "", "hold", "accept", usualIP},
		"doubtful": {bob, "X-Test-Score: 7\r\n", "hold", "divert", riskIP},
		"carol":    {carol, "", "behind", "accept", usualIP},
	} {
		message := message(c.fields)
		f := g.send(g.msa, c.from, local, message)
		f.judged(t, local, c.lane, c.done)
		f.expect(t, local, message, c.ip)
	}
}

func rspamdTable(p *program) string {
	return fmt.Sprintf("[[scanner]]\nname = \"rspamd\"\ntype = \"rspamd\"\nurl = \"http://127.0.0.1:%d\"\nsettings_id = \"outbound\"\n", p.port)
}

// A real clamd: what is too large to be held is streamed, and the MX has a clean one octet by octet, and one with a virus not at all. (S9, S12)
func TestClamdKeepsTheEndOfLargeMailBack(t *testing.T) {
	g := startGateway(t, fmt.Sprintf("[[scanner]]\nname = \"clamd\"\ntype = \"clamd\"\nurl = \"tcp://127.0.0.1:%d\"\n", startClamd(t, "", nil).port))
	const bob = "bob@msa1.example"
	g.doubt(bob, attached(virus(t), 1))
	const size = 2 << 20
	text := "\x00\xff" + strings.Repeat("nothing to be found. ", size/20)
	clean := attached(text, 1)
	f := g.send(g.msa, bob, "clean", clean)
	f.judged(t, "2 MB", "tee", "accept")
	f.expect(t, "2 MB", clean, usualIP)
	at := g.mx.Count()
	f = g.send(g.msa, bob, "virus", strings.Replace(clean, "--b--\r\n", part(virus(t))+"--b--\r\n", 1))
	f.judged(t, "2 MB with a virus", "tee", "refuse")
	if f.Status != "bounced" || !strings.Contains(f.Reply, "554 5.7.1 kanmon: this message contains Test.EICAR.UNOFFICIAL; reference ") || g.mx.Count() != at {
		t.Errorf("a virus: %s: %s; the MX has %d more", f.Status, f.Reply, g.mx.Count()-at)
	}
}

// A real milter is asked behind the MX's reply: it gets the octets, nothing of what it wants happens to the mail, and all it wants is on record. (S15, S17)
func TestAMilterIsAskedBehindTheReply(t *testing.T) {
	p, heard := startFilter(t)
	g := startGateway(t, fmt.Sprintf("[[scanner]]\nname = \"filter\"\ntype = \"milter\"\nurl = \"tcp://127.0.0.1:%d\"\n", p.port))
	for n, c := range []struct {
		wish, verdict string
		changes       int
	}{{"", "accept", 0}, {"addheader", "accept", 1}, {"chgbody", "accept", 14}, {"reject", "refuse", 0}} {
		text := message("X-Test: "+c.wish+"\r\n") + ".a dot\r\n..\r\n8 bits: \x80\xff\r\n"
		f := g.send(g.msa, fmt.Sprintf("milter%d@msa1.example", n), fmt.Sprintf("milter-%d", n), text)
		f.judged(t, c.wish, "behind", "accept")
		f.expect(t, c.wish, text, usualIP)
		if f.content != nil && (f.content.Verdict != c.verdict || f.content.Scans[0].Changes != c.changes) {
			t.Errorf("%q: %s, %d changes, want %s, %d", c.wish, f.content.Verdict, f.content.Scans[0].Changes, c.verdict, c.changes)
		}
		if all := strings.Join(heard(), "\n"); !strings.Contains(all, fmt.Sprintf("user=milter%d@msa1.example", n)) || !strings.Contains(all, "connect [10.20.1.10]") {
			t.Errorf("%q: the filter has heard\n%s", c.wish, all)
		}
	}
}

// What opendkim has signed verifies at the MX, whichever lane it came through. (S20)
func TestASignatureVerifiesThroughEachLane(t *testing.T) {
	g := startGateway(t, rspamdTable(startRspamd(t, setup{})))
	g.startSigning()
	const bob = "bob@msa2.example"
	g.doubt(bob, string(inspect.GTUBE()))
	signed := func(fields string, lines int) string {
		return "From: <" + bob + ">\r\nTo: <one@mx.example>\r\nSubject: =?utf-8?q?=E9=96=A2?=\r\nDate: Thu, 01 Jan 2026 00:00:00 +0000\r\nMIME-Version: 1.0\r\n" +
			"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n" + fields + "\r\n" + strings.Repeat(".関門 \r\n..\r\n\r\n", lines) + "\r\n\r\n"
	}
	var last string
	const enforce, scan = "enforce      = true", "scan        = \"all\"\nunavailable = \"defer\"\n"
	for _, c := range []struct {
		lane, done, ip string
		without        []string
		message        string
	}{
		{"hold", "accept", usualIP, nil, signed("", 5)},
		{"hold", "divert", riskIP, nil, signed("X-Test-Score: 7\r\n", 5)},
		{"tee", "accept", usualIP, nil, signed("", 10_000)},
		{"behind", "accept", usualIP, []string{enforce}, signed("", 5)},
		{"", "", usualIP, []string{enforce, scan}, signed("", 5)},
	} {
		if c.without != nil {
			g.reload(c.without...)
		}
		what := fmt.Sprintf("lane %q, %s", c.lane, c.done)
		f := g.send(g.signing, bob, "signed-"+c.lane+c.done, c.message)
		if f.Status != "sent" || f.ip != c.ip {
			t.Errorf("%s: %s from %s: %s", what, f.Status, f.ip, f.Reply)
		}
		if c.lane != "" {
			f.judged(t, what, c.lane, c.done)
		} else if f.content != nil {
			t.Errorf("%s: judged %+v", what, f.content)
		}
		last = string(f.Relayed)
		if says := g.verify(last); !strings.Contains(says, "succeeded") {
			t.Errorf("%s: opendkim says %s", what, says)
		}
	}
	if says := g.verify(last + "more\r\n"); strings.Contains(says, "succeeded") {
		t.Errorf("opendkim says of a message that was changed: %s", says)
	}
}

// dkimKey is the file of the key that opendkim signs with, and keyFolder where it is.
const (
	keyFolder = "/etc/opendkim-whole"
	dkimKey   = keyFolder + "/key.pem"
)

// startSigning starts the MSA that signs what it sends, by opendkim, and has the key ready for whoever verifies.
func (g *gateway) startSigning() {
	g.t.Helper()
	host := world.MSAs[1]
	image, err := host.Image("scanners")
	must(g.t, err)
	key := privateKey(g.t)
	must(g.t, image.Write(dkimKey, key))
	must(g.t, image.Write(keyFolder+"/conf", "Mode s\nDomain msa2.example\nSelector s\nKeyFile "+dkimKey+"\nInternalHosts 127.0.0.1\nSyslog no\nRequireSafeKeys no\n"))
	const port = 8891
	_, err = host.Start(netlab.Command{Name: "opendkim", Args: []string{
		"/usr/sbin/chroot", image.Path("/"), "/usr/sbin/opendkim", "-f", "-x", keyFolder + "/conf", "-p", fmt.Sprintf("inet:%d@127.0.0.1", port),
	}})
	must(g.t, err)
	must(g.t, host.WaitListening(port, startTime))
	g.signing, err = netlab.NewPostfix(host, netlab.PostfixOptions{Role: netlab.MSA, Hostname: "msa2.example", Settings: map[string]string{
		"smtpd_milters": fmt.Sprintf("inet:127.0.0.1:%d", port),
	}})
	must(g.t, err)
	write(g.t, dkimKey, key)
	public, err := world.host.Run("/usr/sbin/chroot", world.image.Path("/"), "/usr/bin/openssl", "pkey", "-in", dkimKey, "-pubout")
	must(g.t, err)
	lines := strings.Split(strings.TrimSpace(public), "\n")
	write(g.t, keyFolder+"/public", "s._domainkey.msa2.example v=DKIM1; k=rsa; p="+strings.Join(lines[1:len(lines)-1], "")+"\n")
	write(g.t, keyFolder+"/verify", "Mode v\nSyslog no\nTestPublicKeys "+keyFolder+"/public\n")
}

// verify is what opendkim says of a message, as its MX has it.
func (g *gateway) verify(message string) string {
	g.t.Helper()
	write(g.t, keyFolder+"/message", message)
	says, err := world.host.Run("/usr/sbin/chroot", world.image.Path("/"), "/usr/sbin/opendkim", "-x", keyFolder+"/verify", "-v", "-t", keyFolder+"/message")
	if err != nil {
		return err.Error()
	}
	return says
}
