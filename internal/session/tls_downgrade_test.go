package session_test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/session"
	"kanmon/internal/smtp/smtptest"
)

var rules = map[string]session.TLSRule{"opportunistic": session.TLSOpportunistic, "required": session.TLSRequire}

// A hello with a ticket that breaks the connection is tried again without it, on a fresh one; then no ticket is shown to this MX for
// a day. It is no reason for plain text, nor for a 451 where TLS must be (resumption is optional, RFC 8446 §2.2, RFC 5077 §3).
//
// law: S2/MX-lost S2/MX-refuses B15
func TestTicketThatBreaksTheHandshake(t *testing.T) {
	kinds := map[string]func(*testing.T) *brokenMX{
		"closed":  alertIf(withTicket),
		"alert":   alertIf(func(h *tls.ClientHelloInfo) bool { return slices.Contains(h.Extensions, preSharedKey) }),
		"TLS 1.2": ticketOfTLS12,
		"closed behind the handshake": func(t *testing.T) *brokenMX {
			mx := soundMX(t)
			var resumed bool
			mx.TLS.VerifyConnection = func(s tls.ConnectionState) error { resumed = s.DidResume; return nil }
			mx.Reply = func(verb string, n int) string {
				if verb == "EHLO" && n == 2 && resumed {
					return smtptest.CloseConn
				}
				return smtptest.Default
			}
			return mx
		},
	}
	for kind, makeMX := range kinds {
		for rule, tlsRule := range rules {
			t.Run(kind+" "+rule, func(t *testing.T) {
				mx := makeMX(t)
				synctest.Test(t, func(t *testing.T) {
					s := newBrokenSite(mx)
					s.rule = tlsRule
					var connections []int
					for n := range 8 {
						m := s.mail(t)
						if !m.delivered() || !m.inTLS() {
							t.Errorf("mail %d: %v, %s %q", n+1, m.Verdicts, m.tls.State, m.tls.Err)
						}
						connections = append(connections, m.connections)
						time.Sleep(time.Minute)
					}
					if want := []int{1, 2, 1, 1, 1, 1, 1, 1}; !slices.Equal(connections, want) {
						t.Errorf("connections for each mail: %v, want %v", connections, want)
					}
				})
			})
		}
	}
}

// ticketOfTLS12 cannot bear a ticket in the older form (RFC 5077): one that is not empty.
func ticketOfTLS12(t *testing.T) *brokenMX {
	mx := soundMX(t)
	mx.TLS.MaxVersion = tls.VersionTLS12
	mx.TLS.UnwrapSession = func(ticket []byte, _ tls.ConnectionState) (*tls.SessionState, error) {
		if len(ticket) > 0 {
			return nil, errUnbearable
		}
		return nil, nil
	}
	return mx
}

// TLS that fails behind our own Finished is a failure of TLS like any other: one fresh connection in plain text, before the MSA has
// been told anything; where TLS must be, 451 at MAIL.
//
// law: S2/MX-lost S2/MX-refuses B19
func TestTLSThatFailsBehindTheHandshake(t *testing.T) {
	kinds := map[string]func(*testing.T) *brokenMX{
		"certificate_required": wantsCertificate(tls.VersionTLS13),
		"closed":               replies("EHLO", 2, smtptest.CloseConn),
		"reset":                replies("EHLO", 2, smtptest.ResetConn),
		"closed in the reply":  replies("EHLO", 2, "250-mx.example.net\r\n250-PIPE"+smtptest.CloseConn),
		"alert": func(t *testing.T) *brokenMX {
			mx := soundMX(t)
			mx.TLS.ClientAuth = tls.RequestClientCert
			mx.TLS.VerifyConnection = func(tls.ConnectionState) error { return errors.New("a handshake_failure of its own") }
			return mx
		},
	}
	for kind, makeMX := range kinds {
		for rule, tlsRule := range rules {
			t.Run(kind+" "+rule, func(t *testing.T) {
				mx := makeMX(t)
				synctest.Test(t, func(t *testing.T) {
					s := newBrokenSite(mx)
					s.rule = tlsRule
					m := s.mail(t)
					if tlsRule == session.TLSRequire {
						said := strings.Join(s.mx.Mailbox.Commands(), "\n")
						if m.delivered() || m.Replies[0].Code != 451 || strings.Contains(said, "MAIL") || m.connections != 1 {
							t.Errorf("the MSA was told %v, the MX heard %q on %d connections", m.Replies, said, m.connections)
						}
						return
					}
					if !m.delivered() || m.connections != 2 || m.tls.State != event.TLSDowngraded || !strings.Contains(m.tls.Err, "ehlo_tls") {
						t.Errorf("%v, %d connections, %s %q", m.Verdicts, m.connections, m.tls.State, m.tls.Err)
					}
				})
			})
		}
	}
}

// A lost connection behind the first answer inside TLS is a lost connection: the MSA has been told what this MX can do.
func TestConnectionLostBehindEHLOInsideTLS(t *testing.T) {
	mx := soundMX(t)
	mx.Reply = refuseAt("MAIL", 1, smtptest.CloseConn)
	synctest.Test(t, func(t *testing.T) {
		s := newBrokenSite(mx)
		if m := s.mail(t); m.delivered() || m.connections != 1 || m.tls.State != event.TLSOn {
			t.Errorf("%v, %d connections, %s", m.Verdicts, m.connections, m.tls.State)
		}
	})
}

// refusalsOfPlainText are what MXs say that take no mail without TLS.
var refusalsOfPlainText = []string{
	"530 5.7.0 Must issue a STARTTLS command first\r\n",
	"530 Must issue a STARTTLS command first\r\n",
	"550 5.7.1 encryption needed\r\n",
	"554 5.7.1 TLS required by policy\r\n",
	"554-5.7.1 sorry\r\n554 5.7.1 unencrypted connections are refused\r\n",
	"523 5.7.10 Encryption Needed\r\n",
	"538 5.7.11 Encryption required for requested authentication mechanism\r\n",
	"571 secure channel only\r\n",
	"554 5.3.3 Relaying denied, session is not secured\r\n",
	"550 5.7.1 insecure connection\r\n",
}

// An MX that wants TLS refuses plain text that is our own doing: that is a 4xx, with both causes on record, and the next session has TLS.
//
// law: I10 S3/MX-refuses S4/MX-refuses
func TestRefusedForOurOwnPlainText(t *testing.T) {
	for _, refusal := range refusalsOfPlainText {
		for _, verb := range []string{"MAIL", "RCPT", "DATA", "."} {
			for _, pipelined := range []bool{true, false} {
				for _, judged := range []bool{true, false} {
					t.Run(fmt.Sprintf("%.20s at %s, pipelined %t, judge %t", refusal, verb, pipelined, judged), func(t *testing.T) {
						refusedInPlainText(t, refusal, verb, pipelined, judged)
					})
				}
			}
		}
	}
}

func refusedInPlainText(t *testing.T, refusal, verb string, pipelined, judged bool) {
	broken, inTLS := true, false
	mx := alertIf(func(*tls.ClientHelloInfo) bool { inTLS = !broken; return broken })(t)
	mx.Reply = func(v string, _ int) string {
		if v == verb && !inTLS {
			return refusal
		}
		return smtptest.Default
	}
	synctest.Test(t, func(t *testing.T) {
		s := newBrokenSite(mx)
		if !judged {
			s.engine.Observe = true
		}
		msa := smtptest.NewMSA(t, s.connect())
		got := msa.Deliver("a@example.com", []string{"b@example.net"}, []byte("text\r\n"), pipelined)
		_ = msa.Quit()
		synctest.Wait()
		if r := got.Replies[0]; r.Code != 451 || !strings.HasPrefix(r.Lines[0], "4.7.0 ") {
			t.Errorf("the MSA was told %s", r)
		}
		if got.All(smtptest.Accepted) || s.mx.Mailbox.Len() > 0 {
			t.Errorf("%v, %d in the mailbox", got.Verdicts, s.mx.Mailbox.Len())
		}
		record := strings.Join(s.record.lines, "\n")
		if !strings.Contains(record, "|< "+refusal[:9]) || !strings.Contains(record, "TLS failed at handshake") {
			t.Errorf("not both causes in the record:\n%s", record)
		}
		broken = false
		if m := s.mail(t); !m.delivered() || !m.inTLS() {
			t.Errorf("the next mail: %v, %s %q", m.Verdicts, m.tls.State, m.tls.Err)
		}
	})
}

// An MX that has been given up, and now refuses plain text, gets TLS again with the next session.
func TestRefusedPlainTextEndsTheMemory(t *testing.T) {
	broken, wants := true, false
	mx := alertIf(func(*tls.ClientHelloInfo) bool { return broken })(t)
	mx.Reply = func(v string, _ int) string {
		if v == "MAIL" && wants && broken {
			return refusalsOfPlainText[0]
		}
		return smtptest.Default
	}
	synctest.Test(t, func(t *testing.T) {
		s := newBrokenSite(mx)
		for range 4 {
			s.mail(t)
			time.Sleep(2 * time.Minute)
		}
		wants = true
		if m := s.mail(t); m.connections != 1 || m.Replies[0].Code != 451 {
			t.Errorf("%d connections, %v", m.connections, m.Replies)
		}
		broken = false
		if m := s.mail(t); !m.delivered() || !m.inTLS() {
			t.Errorf("%v, %s", m.Verdicts, m.tls.State)
		}
	})
}

// What is not our doing, or not about TLS, is passed on as it is.
func TestOtherRefusalsInPlainTextAreFinal(t *testing.T) {
	for name, c := range map[string]struct {
		offers  bool
		refusal string
	}{
		"TLS was never offered":   {false, refusalsOfPlainText[0]},
		"unknown user":            {true, "550 5.1.1 no such user\r\n"},
		"a name that holds TLS":   {true, "550 5.7.1 <tls@encrypt.example>: refused, see https://tls.example/ssl\r\n"},
		"AUTH":                    {true, "530 5.7.0 Authentication required\r\n"},
		"a user of encrypt, 5.1.": {true, "550 5.1.1 encrypt is no user here\r\n"},
		"a user of insecure":      {true, "550 5.1.1 insecure session is no user here\r\n"},
		"a secure gateway's name": {true, "550 5.7.1 refused by Secure Mail Gateway\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			mx := alertIf(func(*tls.ClientHelloInfo) bool { return true })(t)
			if !c.offers {
				mx.TLS = nil
			}
			mx.Reply = refuseAt("MAIL", 1, c.refusal)
			synctest.Test(t, func(t *testing.T) {
				s := newBrokenSite(mx)
				if m := s.mail(t); m.Replies[0].Code != 530 && m.Replies[0].Code != 550 {
					t.Errorf("the MSA was told %s", m.Replies[0])
				}
			})
		})
	}
}

// At the dot the message is what most refusals are about: one that is encrypted is not plain text.
func TestRefusedContentInPlainTextIsFinal(t *testing.T) {
	for _, refusal := range []string{
		"554 5.7.1 encrypted attachments are not accepted\r\n", "550 5.6.0 cannot decrypt: SSL certificate in message\r\n", "554 5.7.1 spam\r\n",
		"530 5.7.0 Authentication required\r\n", "554 5.7.1 unencrypted card number found\r\n",
	} {
		t.Run(fmt.Sprintf("%.30s", refusal), func(t *testing.T) {
			mx := alertIf(func(*tls.ClientHelloInfo) bool { return true })(t)
			mx.Reply = refuseAt(".", 1, refusal)
			synctest.Test(t, func(t *testing.T) {
				s := newBrokenSite(mx)
				if m := s.mail(t); m.Replies[len(m.Replies)-1].Code/100 != 5 {
					t.Errorf("the MSA was told %v", m.Replies)
				}
			})
		})
	}
}

// Where kanmon itself has connected a second time, what the MX says to that for now is no evidence against the sending IP.
//
// law: B15
func TestSecondConnectionIsNoEvidence(t *testing.T) {
	for name, c := range map[string]struct {
		dial  error
		reply string
		told  bool
	}{
		"421 as banner":      {nil, "421 4.7.0 too many connections from 203.0.113.10\r\n" + smtptest.CloseConn, false},
		"450 as banner":      {nil, "450 4.7.1 listed for too many connections\r\n" + smtptest.CloseConn, false},
		"refused":            {syscall.ECONNREFUSED, "", false},
		"554 as banner":      {nil, "554 5.7.1 listed\r\n" + smtptest.CloseConn, true},
		"the first one, 421": {nil, "421 4.7.0 too many connections from 203.0.113.10\r\n" + smtptest.CloseConn, true},
	} {
		t.Run(name, func(t *testing.T) {
			mx := replies("STARTTLS", 1, "454 4.7.0 not now\r\n")(t)
			synctest.Test(t, func(t *testing.T) {
				s := newBrokenSite(mx)
				from := 2
				if strings.HasPrefix(name, "the first") {
					from = 1
				}
				var refuses atomic.Bool
				first, later := s.mx.Reply, refuseAt("BANNER", 1, c.reply)
				s.mx.Reply = func(verb string, n int) string {
					if refuses.Load() {
						return later(verb, n)
					}
					return first(verb, n)
				}
				s.dialed = func(n int) error {
					if n >= from {
						refuses.Store(true)
						return c.dial
					}
					return nil
				}
				msa := smtptest.NewMSA(t, s.connect())
				got := msa.Deliver("a@example.com", []string{"b@example.net"}, []byte("text\r\n"), true)
				_ = msa.Quit()
				synctest.Wait()
				if got.All(smtptest.Accepted) || len(s.judge.asked) > 0 != c.told {
					t.Errorf("%v, %d refusals judged", got.Verdicts, len(s.judge.asked))
				}
			})
		})
	}
}

// An MX that allows ten connections a minute, and whose TLS is broken, gets ten mails a minute: once it is known none is refused.
func TestMXThatCountsConnections(t *testing.T) {
	mx := handshakes(func(int) bool { return true })(t)
	synctest.Test(t, func(t *testing.T) {
		s := newBrokenSite(mx)
		var recent []time.Time
		refused := 0
		s.dialed = func(int) error {
			recent = slices.DeleteFunc(recent, func(at time.Time) bool { return time.Since(at) >= time.Minute })
			if s.mx.Reply = nil; len(recent) >= 10 {
				refused++
				s.mx.Reply = refuseAt("BANNER", 1, "421 4.7.0 too many connections from 203.0.113.10\r\n"+smtptest.CloseConn)
				return nil
			}
			recent = append(recent, time.Now())
			return nil
		}
		late := 0
		for n := range 100 {
			before := refused
			s.mail(t)
			if n >= 30 {
				late += refused - before
			}
			time.Sleep(6 * time.Second)
		}
		t.Logf("100 mails, ten a minute: %d connections refused, %d of them behind the first three minutes", refused, late)
		if late > 0 {
			t.Errorf("%d connections refused although the MX was known", late)
		}
		for _, asked := range s.judge.asked {
			t.Errorf("held against %s: %q at %s", asked.SendingIP, asked.Text, asked.Phase)
		}
	})
}

// Plain text has a cause, also where TLS is not tried any more.
func TestPlainTextHasACause(t *testing.T) {
	for want, makeMX := range map[event.TLSCause]func(*testing.T) *brokenMX{
		event.TLSRefused:           replies("STARTTLS", 1, "454 4.7.0 TLS not available due to temporary reason\r\n"),
		event.TLSForeign:           sawHello(everyHello(garbageForHello)),
		event.TLSSilent:            sawHello(everyHello(hang)),
		event.TLSLost:              replies("EHLO", 2, smtptest.CloseConn),
		event.TLSClientCertificate: wantsCertificate(tls.VersionTLS13),
	} {
		t.Run(want.String(), func(t *testing.T) {
			mx := makeMX(t)
			synctest.Test(t, func(t *testing.T) {
				s := newBrokenSite(mx)
				for n := range 5 {
					if m := s.mail(t); m.tls.State != event.TLSDowngraded || m.tls.Cause != want {
						t.Errorf("mail %d: %s, %s, want the cause %s: %s", n+1, m.tls.State, m.tls.Cause, want, m.tls.Err)
					}
					time.Sleep(2 * time.Minute)
				}
				if plain, _ := s.live.InPlainText(); len(plain) != 1 {
					t.Errorf("in plain text: %v", plain)
				}
			})
		})
	}
}
