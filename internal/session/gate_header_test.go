package session_test

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/session"
	"kanmon/internal/smtp/smtptest"
)

// naming wants to see the field X-Sent-By of every message, and says the same of each account.
func naming(strip bool, account session.Decision) *script {
	return &script{decide: func(q session.Question) session.Decision {
		switch q.Step {
		case event.StepMail:
			return session.Decision{Header: "X-Sent-By", Strip: strip}
		case event.StepAccount:
			return account
		}
		return session.Decision{}
	}}
}

// accounts are those that the gate was asked about, once all that goes on in the bubble has come to a halt.
func (g *script) accounts() []string {
	synctest.Wait()
	others := func(line string) bool { return !strings.HasPrefix(line, "account?") }
	return slices.DeleteFunc(slices.Clone(g.heard), others)
}

// toBody is an MSA on a new session, and kanmon's end of it, as far as the 354.
func (r *rig) toBody(t *testing.T) (msa *smtptest.MSA, conn, proxy *smtptest.Conn) {
	conn, proxy, _ = r.connect()
	msa = smtptest.NewMSA(t, conn)
	msa.Expect(220)
	msa.Command("EHLO msa.example.com")
	msa.Pipeline("MAIL FROM:<a@example.com>", "RCPT TO:<b@example.net>", "DATA")
	return msa, conn, proxy
}

func send(t *testing.T, conn io.Writer, text string) {
	t.Helper()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
}

// Messages on the wire, what is left of each when the field is stripped, and what the gate is asked.
var namingMessages = []struct{ message, rest, asked string }{
	{"X-Sent-By: a@b\r\nTo: c\r\n\r\ntext\r\n", "To: c\r\n\r\ntext\r\n", "account? a@b"},
	{"To: c\r\nx-sent-by :\r\n <a@b>\r\nCc: d\r\n\r\n..\r\n", "To: c\r\nCc: d\r\n\r\n..\r\n", "account? <a@b>"},
	{"To: c\r\n.X-Sent-By: a\r\n. b\r\nX-Sent-By: d\r\n\r\n", "To: c\r\n\r\n", "account? a b | d"},
	{"X-Sent-By: ceo@a\r\nTo: c\r\nX-Sent-By: eve@a\r\n\r\nX-Sent-By: d\r\n", "To: c\r\n\r\nX-Sent-By: d\r\n", "account? ceo@a | eve@a"},
	{"X-Sent-By:\r\nX-Sent-By: <>\r\nX-Sent-By: eve@a\r\n", "", "account?  | <> | eve@a"},
	{"To: c\r\nX-Sent-By: a\x00\xff\r\n", "To: c\r\n", "account? a\x00\xff"},
	{"X-Sent-By:\r\n\r\nX-Sent-By: a\r\n", "\r\nX-Sent-By: a\r\n", "account?"},
	{"X-Sent: a\r\n X-Sent-By: a\r\n\r\nX-Sent-By: a\r\n", "", ""},
	{"\r\nX-Sent-By: a\r\n", "", ""},
	{"text\r\n", "", ""},
	{"", "", ""},
}

// However the message comes: the gate is asked once if the field is there and never if it is not, and the MX gets every other octet.
func TestAccountAtEverySplit(t *testing.T) {
	for _, c := range namingMessages {
		for split := range len(c.message) + 4 {
			for _, strip := range []bool{true, false} {
				name := fmt.Sprintf("%q cut at %d, strip %t", c.message, split, strip)
				synctest.Test(t, func(t *testing.T) {
					r := newRig()
					gate := naming(strip, session.Decision{})
					r.engine.Gate = gate
					msa, conn, proxy := r.toBody(t)
					switch split {
					case 0: // the MSA writes octet by octet
						for i := range len(c.message) {
							send(t, conn, c.message[i:i+1])
							synctest.Wait()
						}
					case 1:
						proxy.Chunk(1)
						send(t, conn, c.message)
					default:
						proxy.Chunk(split-1, 1<<16)
						send(t, conn, c.message)
					}
					send(t, conn, ".\r\n")
					msa.Expect(250)
					_ = msa.Quit()
					checkNaming(t, name, r, gate, c.message, c.rest, c.asked, strip)
				})
			}
		}
	}
}

// onTheWire are the messages that an MX has accepted, as they came.
func onTheWire(mx *smtptest.MX) (list []string) {
	for _, tx := range mx.Mailbox.Transactions() {
		list = append(list, string(tx.Raw))
	}
	return list
}

func checkNaming(t *testing.T, name string, r *rig, gate *script, message, rest, asked string, strip bool) {
	if asked == "" || !strip {
		rest = message
	}
	if got := onTheWire(&r.mx); !slices.Equal(got, []string{rest}) {
		t.Errorf("%s: delivered %.200q, want %.200q", name, got, rest)
	}
	var want []string
	if asked != "" {
		want = []string{asked}
	}
	if got := gate.accounts(); !slices.Equal(got, want) {
		t.Errorf("%s: asked %q, want %q", name, got, want)
	}
}

// When the gate is asked, the MX has got the header, and nothing of what stands behind it.
//
// law: I4
func TestAccountIsAskedFirst(t *testing.T) {
	for _, strip := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig()
			var mxEnd *smtptest.Conn
			r.wire = func(_ int, _, mx *smtptest.Conn) { mxEnd = mx }
			var got string
			decide := naming(strip, session.Decision{}).decide
			r.engine.Gate = &script{decide: func(q session.Question) session.Decision {
				if q.Step == event.StepAccount {
					synctest.Wait()
					got = string(mxEnd.Record())
				}
				return decide(q)
			}}
			msa, conn, _ := r.toBody(t)
			mxEnd.Record()
			send(t, conn, "To: c\r\nX-Sent-By: a\r\nSubject: open\r\n\r\ntext\r\n.\r\n")
			msa.Expect(250)
			want := "To: c\r\n"
			if !strip {
				want += "X-Sent-By: a\r\n"
			}
			want += "Subject: open\r\n\r\n"
			if got != want {
				t.Errorf("strip %t: the MX had %q, want %q", strip, got, want)
			}
			_ = msa.Quit()
		})
	}
}

// A gate that must be told whose a message is hears of one without the field as well, at the end of its header; what is refused is
// never complete at the MX.
//
// law: I4
func TestAccountMustBeNamed(t *testing.T) {
	for _, message := range []string{"To: c\r\n\r\ntext\r\n", "\r\ntext\r\n", "To: c\r\n", ""} {
		for must, code := range map[bool]int{true: 451, false: 250} {
			synctest.Test(t, func(t *testing.T) {
				r := newRig()
				gate := naming(true, tooMuch)
				decide := gate.decide
				gate.decide = func(q session.Question) session.Decision {
					d := decide(q)
					d.Must = must
					return d
				}
				r.engine.Gate = gate
				msa, conn, _ := r.toBody(t)
				send(t, conn, message+".\r\n")
				msa.Expect(code)
				_ = conn.Close()
				time.Sleep(time.Hour)
				synctest.Wait()
				if asked := len(gate.accounts()) == 1; asked != must || (r.mx.Mailbox.Len() == 0) != must {
					t.Errorf("%q, must %t: asked %q, %d delivered", message, must, gate.accounts(), r.mx.Mailbox.Len())
				}
			})
		}
	}
}

// A message whose account is refused never gets its dot, wherever its end is; the MSA may send all of it, and is told why.
//
// law: I4
func TestAccountIsRefused(t *testing.T) {
	forGood := tooMuch
	forGood.Refuse = session.RefuseForGood
	for _, message := range []string{
		"X-Sent-By: a\r\nTo: c\r\n\r\ntext\r\n", "To: c\r\nX-Sent-By: a\r\n", "X-Sent-By: a\r\n\r\n" + strings.Repeat("text\r\n", 200_000),
	} {
		for code, decision := range map[int]session.Decision{451: tooMuch, 550: forGood} {
			for _, strip := range []bool{true, false} {
				synctest.Test(t, func(t *testing.T) {
					r := newRig()
					r.engine.Gate = naming(strip, decision)
					var mxEnd *smtptest.Conn
					r.wire = func(_ int, _, mx *smtptest.Conn) { mxEnd = mx }
					msa, conn, _ := r.toBody(t)
					mxEnd.Record()
					send(t, conn, message+".\r\n")
					if reply := msa.Expect(code); !strings.Contains(fmt.Sprint(reply), "retry in 5 minutes") {
						t.Errorf("told %s", reply)
					}
					if more := readAll(conn); more != "" {
						t.Errorf("%.30q: more than one reply: %q", message, more)
					}
					_ = conn.Close()
					time.Sleep(time.Hour)
					synctest.Wait()
					if got := mxEnd.Record(); r.mx.Mailbox.Len() != 0 || bytes.Contains(got, []byte("\n.\r\n")) || bytes.Contains(got, []byte("text")) {
						t.Errorf("%.30q: %d delivered, the MX got %q", message, r.mx.Mailbox.Len(), got)
					}
					if r.log.lastEnd() != "account_refused" || r.log.count(event.OutcomeAborted) != 1 {
						t.Errorf("%.30q: recorded %q", message, r.log.ends)
					}
				})
			}
		}
	}
}

// bodySizes keeps the size of each message, as recorded.
type bodySizes []int64

func (b *bodySizes) Record(r *event.Record) {
	if r.Transaction != nil {
		*b = append(*b, r.Transaction.BodyBytes)
	}
	r.Release()
}

// Each mail of a session has its own field, and what was wanted of one is not done to the next. The record has the MSA's octets.
func TestAccountOfEachMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		var sizes bodySizes
		r.engine.Recorder = &sizes
		gate := naming(true, session.Decision{})
		decide := gate.decide
		gate.decide = func(q session.Question) session.Decision {
			if q.Sender == "other@example.com" {
				return session.Decision{}
			}
			return decide(q)
		}
		r.engine.Gate = gate
		msa := r.msa(t)
		for i, from := range []string{"a@example.com", "a@example.com", "other@example.com", "a@example.com"} {
			message := fmt.Appendf(nil, "X-Sent-By: %d\r\n\r\ntext\r\n", i)
			got := msa.Deliver(from, []string{"b@example.net"}, message, false)
			if !got.All(smtptest.Accepted) {
				t.Errorf("message %d: %v %v", i, got.Verdicts, got.Err)
			}
		}
		_ = msa.Quit()
		synctest.Wait()
		if want := []string{"\r\ntext\r\n", "\r\ntext\r\n", "X-Sent-By: 2\r\n\r\ntext\r\n", "\r\ntext\r\n"}; !slices.Equal(onTheWire(&r.mx), want) {
			t.Errorf("delivered %q, want %q", onTheWire(&r.mx), want)
		}
		if want := []string{"account? 0", "account? 1", "account? 3"}; !slices.Equal(gate.accounts(), want) {
			t.Errorf("asked %q, want %q", gate.accounts(), want)
		}
		if want := []int64{22, 22, 22, 22}; !slices.Equal(sizes, want) {
			t.Errorf("recorded %d octets, want %d", sizes, want)
		}
	})
}

// What goes out again through another sending IP is what went out before, and nobody is asked twice.
func TestAccountAndRescueAtTheDot(t *testing.T) {
	for _, strip := range []bool{true, false} {
		for _, lines := range []int{0, 1, 5000} {
			synctest.Test(t, func(t *testing.T) {
				r := newManyIPs(2)
				gate := naming(strip, session.Decision{})
				r.engine.Gate = gate
				r.mx.Reply = refuseAt(".", 1, "550 5.7.1 203.0.113.10 is listed\r\n")
				rest := "To: c\r\n\r\n" + strings.Repeat("some text\r\n", lines)
				message := "X-Sent-By: a\r\n b\r\n" + rest
				msa := r.msa(t)
				got := msa.Deliver("a@example.com", []string{"b@example.net"}, []byte(message), true)
				_ = msa.Quit()
				time.Sleep(time.Hour)
				synctest.Wait()
				if !strip {
					rest = message
				}
				raw := onTheWire(r.mxs[1])
				if !got.All(smtptest.Accepted) || r.mx.Mailbox.Len() != 0 || !slices.Equal(raw, []string{rest}) {
					t.Errorf("strip %t, %d lines: %v, delivered %.80q", strip, lines, got.Verdicts, raw)
				}
				if want := []string{"account? a b"}; !slices.Equal(gate.accounts(), want) {
					t.Errorf("strip %t, %d lines: asked %q", strip, lines, gate.accounts())
				}
			})
		}
	}
}
