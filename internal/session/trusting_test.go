package session

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"kanmon/internal/smtp"
)

// still is a Trust that knows each of its needs.
type still map[string]*stillNeed

type stillNeed struct{ name string }

func (s still) Need(q TrustQuestion) Need {
	n := s[q.Domain]
	if n == nil {
		n = &stillNeed{}
		s[q.Domain] = n
	}
	return n
}
func (still) ServerName(netip.AddrPort) string { return "" }
func (still) Proved(netip.AddrPort, string)    {}
func (still) Unknown(netip.AddrPort, string)   {}

func (*stillNeed) Ready() <-chan struct{} { return nil }
func (n *stillNeed) Judge(leg TrustLeg) Verdict {
	return Verdict{Pass: true, Name: n.name, Until: leg.Now.Add(time.Hour)}
}

func newTrusting() *session {
	s := &session{e: &Engine{Trust: still{"policy.test": {"mx.policy.test"}}, Live: new(Live)}}
	s.info.Start, s.info.Source = time.Now(), netip.MustParseAddrPort("10.20.1.5:40000")
	s.info.Destination = netip.MustParseAddrPort("192.0.2.25:25")
	s.log.of = s
	s.mx.info.Number = 1
	return s
}

// rcpt is what a RCPT of the mail at hand costs for its domain.
func (s *session) rcpt(t testing.TB, cmd smtp.Command) {
	s.askTrust(&cmd)
	if no := s.proves(&cmd); no != nil {
		t.Fatal(no)
	}
	s.trust.endRcpt()
}

// A session keeps a bounded number of domains, whatever a mail names, and each mail's own first.
func TestTrustingIsBounded(t *testing.T) {
	s := newTrusting()
	for mail := range 3 {
		for i := range 100 {
			cmd, _ := smtp.ParseCommand(fmt.Appendf(nil, "RCPT TO:<b@d%d-%d.test>", mail, i))
			s.rcpt(t, cmd)
			if n := len(s.trust.proofs); n > mostProofs {
				t.Fatalf("%d domains are kept", n)
			}
		}
		for i := range s.trust.proofs {
			if p := &s.trust.proofs[i]; p.mail != s.trust.mail {
				t.Errorf("mail %d: %s of another mail is kept", mail, p.domain)
			}
		}
		s.trust.anew()
	}
	s.endTrust()
	if again := newTrusting().trusts(); len(again.proofs) != 0 || again.hand != -1 || again.by != "" {
		t.Errorf("the next session has %+v", again)
	}
}

// Whatever a recipient is written as, it is its domain that is asked about (I17).
func TestDomainThatIsAskedAbout(t *testing.T) {
	for path, want := range map[string]string{
		"u@policy.test": "policy.test", "<@nopolicy.test:u@policy.test>": "policy.test", `"u@nopolicy"@policy.test`: "policy.test",
		"u%x@policy.test": "policy.test", "u@policy.test.": "policy.test", "U@POLICY.test": "policy.test", "u@b\u00fccher.test": "xn--bcher-kva.test",
		"postmaster": "", "u@[192.0.2.1]": "[192.0.2.1]", "u@policy.test@nopolicy.test": "<unreadable>",
		"@a.test,@b.test:u@policy.test": "policy.test", `"u x"@policy.test`: "policy.test", `"u\"@x"@policy.test`: "policy.test", `u\@x@policy.test`: "policy.test",
		"nopolicy.test!u@policy.test": "policy.test", "u(a comment)@policy.test": "policy.test", " u @ policy . test ": "policy.test", "": "",
		"PostMaster": "", `"postmaster"`: "", "u@[IPv6:2001:db8::1]": "[ipv6:2001:db8::1]", "u@policy_x.test": "policy_x.test", "u@POLICY\u3002test": "policy.test",
		"u@poli\u00adcy.test": "policy.test", "u@\u2603.test": "xn--n3h.test", "u@xn--zzzzz.test": "xn--zzzzz.test", "\u00fc@policy.test": "policy.test",
		"u": "<unreadable>", "postmaster2": "<unreadable>", "u%policy.test": "<unreadable>", "policy.test!u": "<unreadable>", "u@": "<unreadable>",
		"u@policy.test..": "<unreadable>", "u@policy..test": "<unreadable>", "u@[policy.test]": "<unreadable>", "@policy.test": "<unreadable>",
		"u\xff@policy.test": "<unreadable>", "u@policy.test\xff": "<unreadable>", "@a.test:u": "<unreadable>", `"u@policy.test"`: "<unreadable>",
	} {
		cmd, _ := smtp.ParseCommand([]byte("RCPT TO:<" + trimmed(path) + ">"))
		if got := string(domainIn(cmd)); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
	for args, want := range map[string]string{
		"TO:u@policy.test": "policy.test", "TO: <u@policy.test>": "policy.test", "to:<u@policy.test> NOTIFY=NEVER": "policy.test", "TO:postmaster": "",
		"TO:<u@policy.test": "<unreadable>", "TO:Bob <u@policy.test>": "<unreadable>", "TO:<u@policy.test>>": "<unreadable>", "TO:<postmaster": "<unreadable>",
		"TO:u@policy.test>": "<unreadable>", "TO :<u@policy.test>": "<unreadable>", "<u@policy.test>": "<unreadable>", "TO:<<u@policy.test>>": "<unreadable>",
	} {
		cmd, _ := smtp.ParseCommand([]byte("RCPT " + args))
		if got := string(domainIn(cmd)); got != want {
			t.Errorf("RCPT %s: %q, want %q", args, got, want)
		}
	}
}

func trimmed(path string) string {
	if strings.HasPrefix(path, "<") {
		return path[1 : len(path)-1]
	}
	return path
}

// BenchmarkTrusting is what a recipient costs for its domain once that is known, in each of many mails on one connection.
func BenchmarkTrusting(b *testing.B) {
	for _, domain := range []string{"free.test", "policy.test"} {
		b.Run(domain, func(b *testing.B) {
			s := newTrusting()
			cmd, _ := smtp.ParseCommand([]byte("RCPT TO:<b@" + domain + ">"))
			b.ReportAllocs()
			for b.Loop() {
				s.rcpt(b, cmd)
				s.trust.anew()
			}
		})
	}
}
