package session_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/smtp/smtptest"
)

// A greeting that begins with 220 and ends, six seconds later, in a refusal: it is that refusal. It is judged, another sending IP is
// tried, and where none helps the MSA is to try again.
//
// law: I10 S1/MX-refuses S1/MX-421 S1/replay B13
func TestGreetingOfTwoCodes(t *testing.T) {
	for _, code := range []string{"521", "554", "450", "421"} {
		for _, second := range []string{"welcome", "listed, too", "none"} {
			t.Run(code+", second IP "+second, bubble(func(t *testing.T) {
				r := newManyIPs(2)
				greeting := "220-mx.example.net ESMTP\r\n" + smtptest.Delay(6*time.Second) +
					code + " 5.7.1 Service unavailable; client [203.0.113.10] listed at list.example.org\r\n" + smtptest.CloseConn
				r.mxs[0].Reply = refuseAt("BANNER", 1, greeting)
				switch second {
				case "none":
					r.mxs = r.mxs[:1]
				case "listed, too":
					r.mxs[1].Reply = refuseAt("BANNER", 1, greeting)
				}
				msa := r.msa(t)
				got := msa.Deliver("a@example.com", []string{"b@example.net"}, []byte("text\r\n"), true)
				_ = msa.Quit()
				time.Sleep(time.Hour)
				synctest.Wait()
				if len(r.judge.asked) == 0 || r.judge.asked[0].Code < 421 || !strings.HasPrefix(string(r.judge.asked[0].Text), code+"-mx.example.net") {
					t.Fatalf("judged: %+v", r.judge.asked)
				}
				if second == "welcome" {
					if !got.All(smtptest.Accepted) || r.mxs[1].Mailbox.Len() != 1 {
						t.Errorf("%v, %v", got.Verdicts, got.Err)
					}
					return
				}
				if !got.All(smtptest.Deferred) || got.Replies[0].Code >= 500 || len(r.dialed) != len(r.mxs) {
					t.Errorf("%v %v after dials from %v", got.Verdicts, got.Replies, r.dialed)
				}
			}))
		}
	}
}

// A reply to the dot that says yes on one line and no on another acknowledges nothing, and refuses nothing: the MX may have the
// message. It is not sent again from here either (I3).
//
// law: I1 I3 S7/malformed B13
func TestDotThatSaysYesAndNo(t *testing.T) {
	for reply, want := range map[string]smtptest.Verdict{
		"250-ok\r\n550 5.7.1 listed\r\n":                              smtptest.Deferred,
		"550-5.7.1 listed\r\n250 ok\r\n":                              smtptest.Deferred,
		"250-ok\r\n450-wait\r\n250 ok\r\n":                            smtptest.Deferred,
		"354-what\r\n250 ok\r\n":                                      smtptest.Deferred,
		"250-ok\r\n421 bye\r\n":                                       smtptest.Deferred,
		"250-a\r\n" + smtptest.CloseConn:                              smtptest.Deferred,
		"550-" + strings.Repeat("x\r\n550-", 300) + "x\r\n250 ok\r\n": smtptest.Deferred,
		"250-ok\r\n251 ok\r\n":                                        smtptest.Accepted,
		"451-4.7.1 no\r\n550 5.1.1 no\r\n":                            smtptest.Bounced,
	} {
		t.Run(strings.ReplaceAll(reply[:min(len(reply), 40)], "\r\n", "|"), bubble(func(t *testing.T) {
			r := newManyIPs(2)
			r.mx.Reply = refuseAt(".", 1, smtptest.Accept+reply)
			msa := r.msa(t)
			got := msa.Deliver("a@example.com", []string{"b@example.net"}, []byte("text\r\n"), true)
			_ = msa.Quit()
			time.Sleep(time.Hour)
			synctest.Wait()
			if !got.All(want) || len(r.dialed) != 1 || r.mxs[1].Mailbox.Len() != 0 {
				t.Errorf("%v %v, dials from %v", got.Verdicts, got.Replies, r.dialed)
			}
		}))
	}
}
