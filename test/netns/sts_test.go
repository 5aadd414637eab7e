package netns

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"net/textproto"
	"strings"
	"testing"
	"time"

	"kanmon/test/netlab"
)

// Real MSAs send to real MXs, Postfix and Exim each, whose domains have policies of MTA-STS on a real host, by way of a real
// resolver. An MX that keeps to the policy has the mail; one that shows another name, an old certificate, one of its own, or no
// STARTTLS hears not even who has sent it. Of a domain with two MXs the second one has the mail in the same attempt if the first
// does not keep to the policy. A policy that is kept holds while its host is gone, and behind a kill.
//
// tls-S1, tls-S2, tls-S3, tls-S4, tls-S5, tls-S15, tls-S20, tls-S62, tls-A1
func TestPoliciesOfMTASTSAreKept(t *testing.T) {
	t.Parallel()
	w := newSTSWorld(t, func(w *stsWorld) {
		for _, bad := range mxServers {
			for _, good := range mxServers {
				domain := domainOf("both", bad.name+"-"+good.name)
				mxs := []string{"mx." + domainOf("wrong", bad.name), "mx." + domainOf("good", good.name)}
				w.addDomain(domain, mxs...)
				w.serve(domain, policyFor(mxs...))
			}
		}
	})
	w.servePostfix(t)
	w.serveExim(t)
	w.sendByPostfix(t)
	w.sendByExim(t)
	w.startKanmon(t, "")
	for _, msa := range stsSenders {
		for _, mx := range mxServers {
			for _, kind := range mxKinds {
				w.sends(t, msa, domainOf(kind.name, mx.name), kind.said, "")
			}
			for _, name := range bothNames { // the MX shows the right certificate to who names it
				w.sends(t, msa, domainOf(name, mx.name), "", "")
			}
			for _, good := range mxServers {
				w.sends(t, msa, domainOf("both", mx.name+"-"+good.name), "", "mx."+domainOf("good", good.name))
			}
		}
	}

	must(t, w.host.Close())
	w.kanmon.Kill()
	must(t, w.kanmon.Start())
	for _, msa := range stsSenders {
		w.sends(t, msa, domainOf("wrong", "exim"), "is for mx.elsewhere.example", "")
		w.sends(t, msa, domainOf("good", "postfix"), "", "")
	}
	w.nobodyHeard(t)
	if out, err := w.kanmon.Ask("tls", domainOf("stripped", "exim")); err != nil || !strings.Contains(out, "enforce, id 20260101, fetched") {
		t.Errorf("kanmon tls shows of a policy that is kept: %v\n%s", err, out)
	}
}

// sends has an MSA send one mail to a domain, and says what must come of it in the first attempt: that the MSA is told something,
// or that the mail goes out, by a relay if one is named.
func (w *stsWorld) sends(t *testing.T, msa stsSender, domain, said, relay string) {
	t.Helper()
	from := fmt.Sprintf("s%d@%s.example", time.Now().UnixNano(), msa.name)
	to := fmt.Sprintf("r%d@%s", time.Now().UnixNano(), domain)
	o := msa.send(w, t, from, to)
	switch {
	case said == "" && !o.sent, said != "" && o.sent:
		t.Errorf("%s sends to %s: delivered %t: %s", msa.name, domain, o.sent, o.text)
	case said == "" && !strings.HasPrefix(o.relay, relay):
		t.Errorf("%s sends to %s by %q, want %q: %s", msa.name, domain, o.relay, relay, o.text)
	case said == "":
		eventually(t, fmt.Sprintf("an MX of %s has in its log whom %s has sent for", domain, msa.name), func() bool { return w.heard(from) })
	case said != "" && (!strings.Contains(o.text, said) || !strings.Contains(o.text, domain+" asks for verified TLS (MTA-STS)") || !strings.Contains(o.text, "451 4.7.5")):
		t.Errorf("%s sends to %s, and is told %s: want %q", msa.name, domain, o.text, said)
	default:
		w.unproved = append(w.unproved, from)
	}
}

// nobodyHeard sees to it that no MX knows a sender of a mail that it had not proved itself for. It comes behind a mail whose sender is in the log of
// the MX: programs write their logs when they come to it.
func (w *stsWorld) nobodyHeard(t *testing.T) {
	t.Helper()
	for _, from := range w.unproved {
		if w.heard(from) {
			t.Errorf("an MX has heard of %s, and has not proved itself", from)
		}
	}
}

// A scriptedMSA is a session with an MX through kanmon, step by step.
type scriptedMSA struct {
	t *testing.T
	*textproto.Conn
}

func (w *stsWorld) connects(t *testing.T, mx netip.Addr) scriptedMSA {
	t.Helper()
	conn, err := w.MSAs[0].DialFrom(netlab.MSAAddr(1, false), netip.AddrPortFrom(mx, 25), 30*time.Second)
	must(t, err)
	must(t, conn.SetDeadline(time.Now().Add(3*time.Minute)))
	m := scriptedMSA{t, textproto.NewConn(conn)}
	m.wants(220)
	m.says("EHLO msa1.example", 250)
	return m
}

func (m scriptedMSA) wants(code int) (text string) {
	m.t.Helper()
	_, text, err := m.ReadResponse(code)
	if err != nil {
		m.t.Errorf("want %d: %v", code, err)
	}
	return text
}

func (m scriptedMSA) says(line string, code int) (text string) {
	m.t.Helper()
	must(m.t, m.PrintfLine("%s", line))
	if text = m.wants(code); m.t.Failed() {
		m.t.Logf("behind %q", line)
	}
	return text
}

// mail sends one to recipients, each with the code that its RCPT is answered with.
func (m scriptedMSA) mail(wants map[string]int, to ...string) {
	m.t.Helper()
	m.says("MAIL FROM:<s@msa1.example>", 250)
	for _, domain := range to {
		m.says("RCPT TO:<r@"+domain+">", wants[domain])
	}
	m.says("DATA", 354)
	m.says("Subject: note\r\n\r\nHello.\r\n.", 250)
}

// Two domains want two names of one address: in one mail the second one is told to come alone, in two mails of one session both
// go out. A policy that no MX fits stops its own domain alone, in whatever order they come.
//
// tls-S22, tls-S23, tls-S24
func TestPoliciesAreOfDomainsAtOneAddress(t *testing.T) {
	t.Parallel()
	closed, free := domainOf("closed", "sts"), domainOf("free", "sts")
	w := newSTSWorld(t, func(w *stsWorld) {
		mx := "mx." + domainOf("good", "postfix")
		w.addDomain(closed, mx)
		w.serve(closed, policyFor("mx.nobody.example"))
		w.addDomain(free, mx)
	})
	w.servePostfix(t)
	w.serveExim(t)
	w.startKanmon(t, "")
	for _, server := range mxServers {
		one, two := domainOf("one", server.name), domainOf("two", server.name)
		at := addressOf(server.first, len(mxKinds))
		msa := w.connects(t, at)
		msa.mail(map[string]int{one: 250, two: 451}, one, two)
		msa.mail(map[string]int{two: 250}, two)
		msa.mail(map[string]int{one: 250}, one)
		msa.says("QUIT", 221)
	}
	msa := w.connects(t, mxServers[0].first)
	msa.mail(map[string]int{closed: 451, free: 250}, closed, free)
	msa.mail(map[string]int{closed: 451, free: 250}, free, closed)
	msa.mail(map[string]int{free: 250}, free)
	msa.says("QUIT", 221)
}

// What is a record, a policy's host and a policy, and what is none, is told apart by way of a real resolver and a real host: each
// of these domains has a policy that its MX does not fit, or else none, and a recipient shows which.
//
// tls-S12, tls-S13, tls-S14
func TestWhatIsAPolicyOfMTASTS(t *testing.T) {
	t.Parallel()
	wants := map[string]int{}
	var all []string
	w := newSTSWorld(t, func(w *stsWorld) {
		add := func(name string, code int, records ...string) string {
			domain := domainOf(name, "is")
			w.addDomain(domain, "mx."+domainOf("good", "postfix"))
			for _, record := range records {
				w.announce(domain, record)
			}
			all, wants[domain] = append(all, domain), code
			return domain
		}
		for _, c := range stsRecords {
			domain := add(c.name, c.code, c.records...)
			w.serves(domain, policyFor("mx.nobody.example"))
		}
		fmt.Fprintf(&w.records, "elsewhere.%s. TXT \"v=STSv1; id=1;\"\n", stsZone)
		for n, c := range stsTexts {
			w.serves(add(fmt.Sprintf("text%d", n), c.code, `TXT "v=STSv1; id=1;"`), c.text)
		}
		for n, c := range stsHosts {
			domain := add(fmt.Sprintf("host%d", n), 250, `TXT "v=STSv1; id=1;"`)
			w.policies[domain] = c
		}
	})
	w.servePostfix(t)
	w.startKanmon(t, "")
	msa := w.connects(t, mxServers[0].first)
	msa.says("MAIL FROM:<s@msa1.example>", 250)
	for _, domain := range all {
		msa.says("RCPT TO:<r@"+domain+">", wants[domain])
	}
	msa.says("QUIT", 221)
}

var stsRecords = []struct {
	name    string
	code    int
	records []string
}{
	{"none", 250, nil},
	{"two-records", 250, []string{`TXT "v=STSv1; id=1;"`, `TXT "v=STSv1; id=2;"`}},
	{"version10", 250, []string{`TXT "v=STSv10; id=1;"`}},
	{"id-first", 250, []string{`TXT "id=1; v=STSv1"`}},
	{"no-id", 250, []string{`TXT "v=STSv1;"`}},
	{"id33", 250, []string{`TXT "v=STSv1; id=` + strings.Repeat("a", 33) + `;"`}},
	{"id32", 451, []string{`TXT "v=STSv1; id=` + strings.Repeat("a", 32) + `;"`}},
	{"more-fields", 451, []string{`TXT "v=STSv1; id=1; later=x;"`}},
	{"two-strings", 451, []string{`TXT "v=STS" "v1; id=1;"`}},
	{"alias", 451, []string{"CNAME elsewhere." + stsZone + "."}},
	{"beside-another", 451, []string{`TXT "something else"`, `TXT "v=STSv1; id=1;"`}},
}

var stsTexts = []struct {
	code int
	text string
}{
	{451, "version: STSv1\nmode: enforce\nmax_age: 86400\nmx: mx.nobody.example\n"},
	{451, "version: STSv1\r\nmode: enforce\r\nmax_age: 86400\r\nmx: mx.nobody.example"},
	{451, "version: STSv1\nmode: enforce\nlater: x\nmax_age: 86400\nmx: mx.nobody.example\n"},
	{451, "version: STSv1\nmode: enforce\nmode: none\nmax_age: 86400\nmx: mx.nobody.example\n"},
	{250, "mode: enforce\nmax_age: 86400\nmx: mx.nobody.example\n"},
	{250, "version: STSv1\nmode: enforce\nmx: mx.nobody.example\n"},
	{451, "version: STSv1\nmode: enforce\nmax_age: 31557601\nmx: mx.nobody.example\n"},
	{250, "version: STSv1\nmode: enforce\nmax_age: 99999999999\nmx: mx.nobody.example\n"},
	{250, "version: STSv1\nmode: enforce\nmax_age: -1\nmx: mx.nobody.example\n"},
	{250, "version: STSv1\nmode: enforce\nmax_age: 1e3\nmx: mx.nobody.example\n"},
	{250, "version: STSv1\nmode: enforce\nmax_age: 86400\n"},
	{250, "version: STSv1\nmode: enforce\nmax_age: 86400\nmx: MX.Good-Postfix." + stsZone + ".\n"},
	{250, "version: STSv1\nmode: testing\nmax_age: 86400\nmx: mx.nobody.example\n"},
	{250, "version: STSv1\nmode: none\nmax_age: 86400\n"},
}

// stsHosts have a policy that would refuse, if it were one.
var stsHosts = []http.HandlerFunc{
	func(out http.ResponseWriter, r *http.Request) {
		http.Redirect(out, r, "/elsewhere", http.StatusMovedPermanently)
	},
	func(out http.ResponseWriter, r *http.Request) { http.NotFound(out, r) },
	func(out http.ResponseWriter, _ *http.Request) {
		out.Header().Set("Content-Type", "text/html")
		_, _ = out.Write([]byte(policyFor("mx.nobody.example")))
	},
	func(out http.ResponseWriter, _ *http.Request) {
		out.Header().Set("Content-Type", "text/plain")
		_, _ = out.Write([]byte(policyFor("mx.nobody.example") + strings.Repeat("x: y\n", 64<<10/5)))
	},
}

// waitsFor gives a program of the lab time under load.
func (w *stsWorld) waitsFor(t *testing.T, what string, is func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	for !is() {
		select {
		case <-ctx.Done():
			t.Fatalf("not seen in time: %s", what)
		case <-time.After(50 * time.Millisecond):
		}
	}
}
