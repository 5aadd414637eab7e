package session_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/smtp/smtptest"
)

// A hostile is an MX that gives, at one place, a reply that it should not give.
type hostile struct {
	name  string
	verb  string // as in smtptest.MX.Reply
	nth   int    // of its verb; 0: 1
	reply string
}

// What an MX may say in the wrong place, or not at all (docs: the reply stream of known attacks).
//
// law: I1 I6 I7 B12 B13 B14 B16 B17 B18
func TestFaultHostileReplies(t *testing.T) {
	cases := wrongCodes()
	cases = append(cases, malformedReplies()...)
	cases = append(cases, surplusReplies()...)
	for _, c := range cases {
		for _, pipelined := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s at %s pipelined %t", c.name, c.verb, pipelined), func(t *testing.T) { judgeHostile(t, c, pipelined) })
		}
	}
	t.Logf("%d hostile replies, each in steps and pipelined, and directly: 0 lost, 0 bounced that would not be, 0 early acks", len(cases))
}

// wrongCodes are well-formed replies that do not belong to their stage.
func wrongCodes() (cases []hostile) {
	for _, verb := range []string{"BANNER", "EHLO", "MAIL", "RCPT", "DATA", ".", "QUIT"} {
		for _, code := range []int{220, 221, 250, 354, 421, 450, 500, 501, 502, 504, 521, 530, 550, 554, 556} {
			cases = append(cases, hostile{name: fmt.Sprintf("R3 %d", code), verb: verb, reply: fmt.Sprintf("%d R3\r\n", code)})
		}
	}
	return cases
}

// malformedReplies are no replies, or hardly.
func malformedReplies() (cases []hostile) {
	lines := 160_000 // more than a session reads of one reply
	if raceDetector {
		lines /= 10
	}
	endless := strings.Repeat("250-x\r\n", lines)
	forms := map[string]string{
		"R5 850":          "850 NONSENSE\r\n",
		"R5 000":          "000 x\r\n",
		"R5 199":          "199 x\r\n",
		"R5 600":          "600 x\r\n",
		"R5 25":           "25\r\n",
		"R5 2500":         "2500 OK\r\n",
		"R5 250OK":        "250OK\r\n",
		"R5 25O":          "25O OK\r\n",
		"R5 words":        "not really\r\n",
		"R5 empty":        "\r\n",
		"R5 no text":      "250\r\n",
		"R5 tab":          "250\t OK\r\n",
		"R6 codes change": "250-woot\r\n251-more\r\n250 done\r\n",
		"R6 classes":      "250-woot\r\n550 done\r\n",
		"R6 bare last":    "553-no\r\n553\r\n",
		"R6 no last":      "250-a\r\n" + smtptest.CloseConn,
		"R6 garbage in":   "250-a\r\nfoo\r\n250 c\r\n",
		"R6 endless":      endless + "250 x\r\n",
		"R6 200 lines":    strings.Repeat("550-x\r\n", 200) + "550 x\r\n",
		"R7 5110 octets":  "550 " + strings.Repeat("There is a problem ", 269) + "\r\n",
		"R7 1 MB line":    "250 " + strings.Repeat("x", 1<<20) + "\r\n",
		"R7 then more":    "500 5.0.0 " + strings.Repeat("QUJD", 700) + "\r\n250 2.0.0 Kk\r\n",
		"R9 controls":     "550 5.7.1 caf\xe9 \x1b[2J \x00 \r foo\x7f\r\n",
		"R9 LF only":      "550 5.7.1 no\n",
		"R9 CR only":      "550 5.7.1 no\r",
		"R9 hidden":       "550 5.7.1 no\r250 yes\r\n",
		"R10 550 2.1.5":   "550 2.1.5 ok\r\n",
		"R10 250 5.1.1":   "250 5.1.1 no\r\n",
		"R10 long":        "450 5.7.1.2 no\r\n",
		"R11 silent":      "",
		"R11 closed":      smtptest.CloseConn,
		"R11 reset":       smtptest.ResetConn,
		"R11 then closed": smtptest.Default + smtptest.CloseConn,
		"R11 421":         "421 4.3.2 going down\r\n" + smtptest.CloseConn,
		"R11 late":        smtptest.Delay(100*time.Second) + smtptest.Default,
		"R12 poison":      "550 5.1.1 user unknown; see https://www.spamhaus.org/query/ip/203.0.113.10\r\n",
	}
	for name, reply := range forms {
		for _, verb := range []string{"BANNER", "EHLO", "MAIL", "RCPT", "DATA", ".", "QUIT"} {
			cases = append(cases, hostile{name: name, verb: verb, reply: reply})
		}
	}
	return cases
}

// surplusReplies are more replies than commands, or fewer.
func surplusReplies() (cases []hostile) {
	for _, verb := range []string{"BANNER", "EHLO", "MAIL", "RCPT", "DATA", ".", "QUIT"} {
		cases = append(cases,
			hostile{name: "R8 twice", verb: verb, reply: smtptest.Default + "250 2.0.0 ok\r\n"},
			hostile{name: "R8 refusal behind", verb: verb, reply: smtptest.Default + "550 5.0.0 no\r\n"},
			hostile{name: "R8 garbage before", verb: verb, reply: "garbage\r\n" + smtptest.Accept + smtptest.Default},
			hostile{name: "R8 fragment behind", verb: verb, reply: smtptest.Default + "25"},
			hostile{name: "R8 354 and ack", verb: verb, reply: smtptest.Default + "354 go\r\n250 2.0.0 queued\r\n"},
		)
	}
	return append(cases,
		hostile{name: "R8 one of two missing", verb: "RCPT", nth: 2, reply: ""},
		hostile{name: "R4 only 250", verb: "EHLO", reply: "250 OK\r\n"},
		hostile{name: "R4 long AUTH", verb: "EHLO", reply: "250-mx\r\n250-AUTH" + strings.Repeat(" MECHANISM", 640) + "\r\n250 PIPELINING\r\n"},
		hostile{name: "R4 lower case", verb: "EHLO", reply: "250-mx\r\n250-pipelining\r\n250 size=10\r\n"},
		hostile{name: "R4 STARTTLS first", verb: "EHLO", reply: "250-STARTTLS\r\n250 PIPELINING\r\n"},
		hostile{name: "R4 10,000 keywords", verb: "EHLO", reply: "250-mx\r\n" + strings.Repeat("250-X-MANY yes\r\n", 10_000) + "250 PIPELINING\r\n"},
		hostile{name: "R1 454 and more", verb: "EHLO", reply: "250-mx\r\n250-PIPELINING\r\n250 SIZE 1\r\n235 in\r\n250 a\r\n250 b\r\n354 go\r\n250 done\r\n"},
	)
}

// judgeHostile delivers a message with two recipients through kanmon and without, and compares.
func judgeHostile(t *testing.T, c hostile, pipelined bool) {
	through := deliverHostile(t, c, pipelined, true)
	direct := deliverHostile(t, c, pipelined, false)
	for i, v := range through.verdicts {
		switch {
		case v == smtptest.Accepted && through.copies == 0:
			t.Errorf("lost: recipient %d was accepted and the MX has no message", i+1)
		case v == smtptest.Bounced && direct.verdicts[i] != smtptest.Bounced && !refusal.MatchString(c.reply):
			t.Errorf("recipient %d bounced (%s), directly %s", i+1, through.replies[i], direct.verdicts[i])
		case v == smtptest.Deferred && direct.verdicts[i] == smtptest.Bounced:
			t.Logf("recipient %d deferred, directly bounced", i+1) // MSAs keep the mail: no loss
		}
	}
	if !wellFormed.MatchString(through.heard) {
		t.Errorf("the MSA got what is no sanitised reply: %.500q", through.heard)
	}
	for _, line := range strings.Split(through.heard, "\r\n") {
		if strings.HasPrefix(line, "3") && !strings.HasPrefix(line, "354") && c.verb != "BANNER" {
			t.Errorf("the MSA was told %q", line)
		}
	}
	if n := strings.Count(through.heard, "\r\n354 "); n > 1 || n == 1 && !through.data {
		t.Errorf("a 354 without DATA: %q", through.heard)
	}
}

// refusal is a reply line that lets a message bounce.
var refusal = regexp.MustCompile(`(?m)^5[0-9][0-9]`)

// wellFormed is a stream of whole replies in printable ASCII.
var wellFormed = regexp.MustCompile(`^([2-5][0-9][0-9][ -][ -~]*\r\n)*$`)

type hostileResult struct {
	verdicts []smtptest.Verdict
	replies  []smtptest.Reply
	copies   int
	heard    string // by the MSA
	data     bool   // the MX got DATA
}

func deliverHostile(t *testing.T, c hostile, pipelined, through bool) (res hostileResult) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		r.mx.Reply = func(verb string, n int) string {
			if verb == c.verb && n == max(1, c.nth) {
				return c.reply
			}
			return smtptest.Default
		}
		var far *smtptest.Conn
		r.wire = func(_ int, _, mx *smtptest.Conn) { far = mx }
		var conn *smtptest.Conn
		ended := make(<-chan struct{})
		if through {
			conn, _, ended = r.connect()
		} else {
			conn, far = smtptest.Pair(msaAddr, mxAddr)
			go r.mx.ServeConn(far)
		}
		conn.Record()
		body := []byte("Subject: hostile\r\n\r\n.text\r\n")
		msa := smtptest.NewMSA(t, conn)
		d := msa.Deliver("a@example.com", []string{"b@example.net", "c@example.net"}, body, pipelined)
		if d.Err == nil {
			_ = msa.Quit()
		}
		_ = conn.Close()
		if through {
			<-ended
		}
		time.Sleep(10 * time.Minute) // the MX may be in a delay
		if far != nil {
			far.Reset()
		}
		synctest.Wait()
		commands := strings.Join(r.mx.Mailbox.Commands(), "\n")
		res = hostileResult{d.Verdicts, d.Replies, r.mx.Mailbox.Count(body), string(conn.Record()), strings.Contains(commands, "DATA")}
	})
	return res
}

// What an MX says between commands answers none of them: the next one gets 421, and is not sent. Its own 421 is passed on.
//
// law: I1 I6 B12 N-d
func TestFaultUnaskedReplyBetweenCommands(t *testing.T) {
	steps := [][]string{
		{"BANNER"},
		{"EHLO", "EHLO a"},
		{"MAIL", "MAIL FROM:<a@example.com>"},
		{"RCPT", "RCPT TO:<b@example.net>"},
		{".", "DATA", "text\r\n."},
		{"RSET", "RSET"},
		{"NOOP", "NOOP"},
	}
	for at, last := range steps {
		for surplus, want := range map[string]string{"250 ok": "421 4.5.0 kanmon: ", "550 no": "421 4.5.0 kanmon: ", "250-part": "421 4.", "421 bye": "421 bye"} {
			t.Run(surplus+" behind "+last[0], func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r := newRig()
					r.mx.Reply = func(verb string, _ int) string {
						if verb == last[0] {
							return smtptest.Default + smtptest.Delay(time.Second) + surplus + "\r\n"
						}
						return smtptest.Default
					}
					conn, _, ended := r.connect()
					msa := smtptest.NewMSA(t, conn)
					msa.Expect(220)
					for _, step := range steps[:at+1] {
						for _, line := range step[1:] {
							msa.Command(line)
						}
					}
					time.Sleep(2 * time.Second)
					next := "MAIL FROM:<next@example.com>"
					switch last[0] {
					case "BANNER":
						next = "EHLO next"
					case "MAIL", "RCPT":
						next = "RCPT TO:<next@example.net>"
					}
					msa.Send(next)
					if heard := readAll(conn); !strings.HasPrefix(heard, want) || strings.Count(heard, "\n") != 1 {
						t.Errorf("the next command was answered with %q, want %q", heard, want)
					}
					_ = conn.Close()
					<-ended
					synctest.Wait()
					if heard := strings.Join(r.mx.Mailbox.Commands(), "\n"); strings.Contains(heard, "next") {
						t.Errorf("the MX got the next command: %q", heard)
					}
				})
			})
		}
	}
}
