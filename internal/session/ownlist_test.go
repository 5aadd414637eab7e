package session_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"kanmon/internal/event"
	"kanmon/internal/session"
	"kanmon/internal/smtp/smtptest"
)

// ownKeywords are what an MSA bounces mail for, or changes it, where they are missing.
var ownKeywords = []string{"SIZE", "8BITMIME", "SMTPUTF8", "DSN", "ENHANCEDSTATUSCODES", "PIPELINING"}

// laterSuspended makes a session whose sending IPs are suspended until the sender is known.
func laterSuspended(keywords ...string) *manyIPs {
	r := newMoving()
	r.mx.Keywords = keywords
	dial := r.dial
	r.engine.Dialer = dialFunc(func(ctx context.Context, req session.DialRequest) (session.Outbound, error) {
		if !req.SenderKnown {
			return session.Outbound{}, session.ErrSuspended
		}
		return dial(ctx, req)
	})
	return r
}

// helloWithoutMX opens a session without an MX and wants kanmon's own list.
func helloWithoutMX(t *testing.T, r *rig) *smtptest.MSA {
	t.Helper()
	msa := r.msa(t)
	msa.Expect(220)
	if reply := msa.Command("EHLO msa.example.com"); !slices.Equal(reply.Lines[1:], ownKeywords) {
		t.Errorf("EHLO got %v, want %v", reply, ownKeywords)
	}
	return msa
}

// Whatever keeps a session from an MX, its EHLO lists all that an MSA would bounce or change mail for, and MAIL gets a 4xx.
//
// law: I9 I13 K-SMTPUTF8 K-8BITMIME K-DSN K-SIZE
func TestSessionWithoutMXBouncesNothing(t *testing.T) {
	shut := refusing(func(q session.Question) bool { return q.Step == event.StepConnect }, tooMuch)
	for name, set := range map[string]func(*manyIPs){
		"all sending IPs suspended": func(r *manyIPs) { r.suspended = true },
		"not let in":                func(r *manyIPs) { r.engine.Gate = shut },
		"no TLS where it must be": func(r *manyIPs) {
			r.engine.Destination = func(netip.Addr) session.Destination { return session.Destination{TLS: session.TLSRequire} }
			r.mx.Keywords = []string{"STARTTLS"} // and it refuses the command
		},
	} {
		t.Run(name, bubble(func(t *testing.T) {
			r := newManyIPs(2)
			set(r)
			msa := helloWithoutMX(t, &r.rig)
			for _, mail := range []string{"MAIL FROM:<用户@example.com> SMTPUTF8", "MAIL FROM:<a@example.com> BODY=8BITMIME SIZE=10000000 RET=HDRS ENVID=x"} {
				replies := msa.Pipeline(mail, "RCPT TO:<受け@example.net> NOTIFY=NEVER", "RCPT TO:<b@example.net>", "DATA")
				for i, code := range []int{451, 503, 503, 503} {
					if replies[i].Code != code {
						t.Errorf("%s, reply %d: %s, want %d", mail, i, replies[i], code)
					}
				}
			}
			if reply := msa.Command("RSET"); reply.Code != 250 {
				t.Errorf("RSET: %s", reply)
			}
			if reply := msa.Command("HELO msa.example.com"); reply.Code != 250 || len(reply.Lines) != 1 {
				t.Errorf("HELO: %s", reply)
			}
			finishSession(msa)
		}))
	}
}

// A mail of more recipients than a session may have bad commands is refused with 4xx, not with the end of the connection.
//
// law: I13
func TestManyRecipientsBehindARefusedMail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newManyIPs(2)
		r.suspended = true
		msa := helloWithoutMX(t, &r.rig)
		group := []string{"MAIL FROM:<a@example.com>"}
		for i := range 500 {
			group = append(group, fmt.Sprintf("RCPT TO:<b%d@example.net>", i))
		}
		for i, reply := range msa.Pipeline(append(group, "DATA")...) {
			if want := min(503, 451+52*i); reply.Code != want {
				t.Fatalf("reply %d: %s, want %d", i, reply, want)
			}
		}
		finishSession(msa)
	})
}

// What was promised and the MX that is found after all does not offer is told at the command that uses it, with a 4xx; the rest passes.
//
// law: I9 K-SMTPUTF8 K-8BITMIME K-DSN K-SIZE K-PIPELINING
func TestPromiseOfASessionThatBeganWithoutMX(t *testing.T) {
	const lacks = "451 4.3.3 kanmon: "
	all := []string{"SIZE 1000", "8BITMIME", "SMTPUTF8", "DSN"}
	without := func(word string) []string {
		return slices.DeleteFunc(slices.Clone(all), func(k string) bool { return strings.HasPrefix(k, word) })
	}
	for name, c := range map[string]struct {
		keywords   []string
		mail, rcpt string
		lackMail   bool
		lackRcpt   bool
	}{
		"nothing used": {nil, "MAIL FROM:<a@example.com>", "RCPT TO:<b@example.net>", false, false},
		"all used, all there": {
			all, "MAIL FROM:<ü@example.com> SMTPUTF8 BODY=8BITMIME SIZE=1000 RET=HDRS ENVID=x",
			"RCPT TO:<ü@example.net> NOTIFY=NEVER ORCPT=rfc822;b", false, false,
		},
		"SMTPUTF8":                  {without("SMTPUTF8"), "MAIL FROM:<ü@example.com> SMTPUTF8", "", true, false},
		"SMTPUTF8, ASCII addresses": {without("SMTPUTF8"), "MAIL FROM:<a@example.com> smtputf8", "", true, false},
		"UTF-8 in a recipient":      {without("SMTPUTF8"), "MAIL FROM:<a@example.com>", "RCPT TO:<ü@example.net>", false, true},
		"8BITMIME":                  {[]string{"SIZE 1000", "DSN"}, "MAIL FROM:<a@example.com> BODY=8BITMIME", "", true, false},
		"8BITMIME, 7 bits":          {[]string{"SIZE 1000", "DSN"}, "MAIL FROM:<a@example.com> BODY=7BIT", "", true, false},
		"SIZE":                      {without("SIZE"), "MAIL FROM:<a@example.com> SIZE=1", "", true, false},
		"SIZE over the limit":       {all, "MAIL FROM:<a@example.com> SIZE=1001", "", true, false},
		"SIZE without a limit":      {append(without("SIZE"), "SIZE"), "MAIL FROM:<a@example.com> SIZE=1001", "RCPT TO:<b@example.net>", false, false},
		"SIZE 0: no limit":          {append(without("SIZE"), "SIZE 0"), "MAIL FROM:<a@example.com> SIZE=1001", "RCPT TO:<b@example.net>", false, false},
		"RET":                       {without("DSN"), "MAIL FROM:<a@example.com> RET=FULL", "", true, false},
		"ENVID":                     {without("DSN"), "MAIL FROM:<a@example.com> ENVID=x", "", true, false},
		"NOTIFY":                    {without("DSN"), "MAIL FROM:<a@example.com>", "RCPT TO:<b@example.net> NOTIFY=SUCCESS", false, true},
		"ORCPT":                     {without("DSN"), "MAIL FROM:<a@example.com>", "RCPT TO:<b@example.net> ORCPT=rfc822;b@example.net", false, true},
	} {
		t.Run(name, bubble(func(t *testing.T) {
			if c.keywords == nil {
				c.keywords = []string{}
			}
			r := laterSuspended(c.keywords...)
			msa := helloWithoutMX(t, &r.rig)
			check := func(line string, lack bool) {
				if reply := msa.Command(line); lack != strings.HasPrefix(reply.String(), lacks) || !lack && reply.Code != 250 {
					t.Errorf("%s: %s", line, reply)
				}
			}
			check(c.mail, c.lackMail)
			if c.rcpt != "" {
				check(c.rcpt, c.lackRcpt)
			}
			if c.lackMail { // the session goes on with what the MX has
				check("MAIL FROM:<a@example.com>", false)
			}
			msa.Pipeline("RCPT TO:<other@example.net>", "RCPT TO:<third@example.net>") // promised; an MX without it gets them one by one
			if reply := msa.Data([]byte("text\r\n")); reply.Code != 250 {
				t.Errorf("the message: %s", reply)
			}
			if reply := msa.Command("EHLO msa.example.com"); len(reply.Lines) != 1+len(c.keywords) {
				t.Errorf("behind the MX's own EHLO the MSA is told %s", reply)
			}
			finishSession(msa)
			if n := r.mx.Mailbox.Len(); n != 1 {
				t.Errorf("%d delivered", n)
			}
		}))
	}
}

// A group that was promised reaches an MX without PIPELINING one command at a time, the body in its place.
//
// law: K-PIPELINING
func TestPromisedPipeliningIsSerialised(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := laterSuspended("8BITMIME")
		r.mx.Reply = func(verb string, _ int) string {
			if verb == "RCPT" {
				return "550 5.1.1 no\r\n"
			}
			return smtptest.Default
		}
		msa := helloWithoutMX(t, &r.rig)
		replies := msa.Pipeline("MAIL FROM:<a@example.com>", "RCPT TO:<b@example.net>", "DATA", "RSET", "MAIL FROM:<a@example.com>", "RSET")
		var codes []int
		for _, reply := range replies {
			codes = append(codes, reply.Code)
		}
		if want := []int{250, 550, 503, 250, 250, 250}; !slices.Equal(codes, want) {
			t.Errorf("got %v, want %v", codes, want)
		}
		finishSession(msa)
	})
}

// An MX that takes one EHLO on a connection serves MSAs that say it again, as HELO or inside a transaction.
//
// law: I9
func TestMXThatTakesOneHello(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		r.mx.Reply = func(verb string, n int) string {
			if verb == "HELO" || verb == "EHLO" && n > 1 {
				return "503 5.5.1 wrong state\r\n"
			}
			return smtptest.Default
		}
		msa := r.msa(t)
		msa.Expect(220)
		told := msa.Command("EHLO msa.example.com")
		for _, again := range []string{"HELO msa.example.com", "EHLO msa.example.com"} {
			msa.Pipeline("MAIL FROM:<a@example.com>", "RCPT TO:<lost@example.net>")
			if reply := msa.Command(again); reply.Code != 250 || reply.Lines[0] != told.Lines[0] {
				t.Errorf("%s: %s", again, reply)
			}
			if reply := msa.Command("RCPT TO:<b@example.net>"); reply.Code != 503 {
				t.Errorf("RCPT behind %s: %s", again, reply)
			}
			msa.Pipeline("MAIL FROM:<a@example.com>", "RCPT TO:<b@example.net>")
			if reply := msa.Data([]byte("text\r\n")); reply.Code != 250 {
				t.Errorf("the message behind %s: %s", again, reply)
			}
		}
		finishSession(msa)
		for _, tx := range r.mx.Mailbox.Transactions() {
			if !slices.Equal(tx.Recipients, []string{"b@example.net"}) {
				t.Errorf("delivered to %q", tx.Recipients)
			}
		}
	})
}

// An MSA that wants TLS with kanmon gets it where there is no MX, too.
//
// law: I8 I13 K-STARTTLS
func TestTLSTowardTheMSAWithoutMX(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newManyIPs(2)
		r.suspended = true
		cert := smtptest.Certificate(t, smtptest.CertificateOptions{})
		r.engine.Certificate = func() (*tls.Certificate, error) { return &cert, nil }
		msa := r.msa(t)
		msa.Expect(220)
		if reply := msa.Command("EHLO msa.example.com"); reply.Lines[len(reply.Lines)-1] != "STARTTLS" {
			t.Errorf("EHLO: %s", reply)
		}
		msa.Pipeline("MAIL FROM:<a@example.com>", "RCPT TO:<b@example.net>")
		msa.StartTLS(&tls.Config{InsecureSkipVerify: true})
		if reply := msa.Command("RCPT TO:<b@example.net>"); reply.Code != 503 {
			t.Errorf("RCPT: %s", reply)
		}
		if reply := msa.Command("EHLO msa.example.com"); !slices.Equal(reply.Lines[1:], ownKeywords) {
			t.Errorf("EHLO inside TLS: %s", reply)
		}
		if reply := msa.Command("MAIL FROM:<a@example.com>"); reply.Code != 451 {
			t.Errorf("MAIL: %s", reply)
		}
		finishSession(msa)
	})
}
