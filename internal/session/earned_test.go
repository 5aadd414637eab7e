package session_test

import (
	"bytes"
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/smtp/smtptest"
)

// One reply, one judgement: what an MX says unasked while its leg is being opened, too, where both whoever reads it and whoever would try
// another sending IP want to know what it means. Told twice, one reply halves what the sending IP may take.
func TestOneReplyIsJudgedOnce(t *testing.T) {
	const goodbye = "421 4.7.0 too many connections from your IP\r\n" + smtptest.CloseConn
	for _, test := range []struct{ name, verb, reply string }{
		{"with the greeting", "BANNER", "220 mx.example.net ESMTP\r\n" + goodbye},
		{"as greeting", "BANNER", goodbye},
		{"in place of EHLO's reply", "EHLO", goodbye},
		{"with the reply to EHLO", "EHLO", "250-mx.example.net\r\n250 PIPELINING\r\n" + goodbye},
		{"to MAIL", "MAIL", goodbye},
		{"with the reply to MAIL", "MAIL", "250 ok\r\n" + goodbye},
		{"to RCPT", "RCPT", goodbye},
		{"to DATA", "DATA", goodbye},
		{"to the dot", ".", goodbye},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newManyIPs(2)
				r.mx.Reply = refuseAt(test.verb, 1, test.reply)
				msa := r.msa(t)
				_ = msa.Deliver("a@example.com", []string{"b@example.net"}, []byte("text\r\n"), false)
				_ = msa.Quit()
				_ = msa.Conn().Close()
				time.Sleep(time.Hour)
				synctest.Wait()
				if len(r.judge.asked) != 1 || r.judge.asked[0].Code != 421 {
					t.Errorf("%d judgements of one reply: %+v", len(r.judge.asked), r.judge.asked)
				}
			})
		})
	}
}

// What a judge knows of a session that was refused: whether another sending IP was tried for the mail already, and whether one can be.
func TestTheJudgeIsToldWhetherAMailCanGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newManyIPs(2)
		r.engine.Rescue.BodyBytes = 50_000
		r.mx.Reply = func(verb string, n int) string {
			if verb == "." {
				return "550 5.7.1 unknown refusal\r\n"
			}
			return smtptest.Default
		}
		msa := r.msa(t)
		for _, lines := range []int{1, 10_000} {
			_ = msa.Deliver("a@example.com", []string{"b@example.net"}, bytes.Repeat([]byte("a line\r\n"), lines), false)
		}
		_ = msa.Quit()
		synctest.Wait()
		if n := len(r.judge.asked); n != 2 || r.judge.asked[0].Stuck || !r.judge.asked[1].Stuck {
			t.Errorf("%+v", r.judge.asked)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		r := newManyIPs(2)
		r.mx.Reply = refuseAt("RCPT", 1, "550 5.7.1 203.0.113.10 is listed\r\n")
		r.mxs[1].Reply = refuseAt("RCPT", 1, "550 5.7.1 203.0.113.11 is listed\r\n")
		msa := r.msa(t)
		_ = msa.Deliver("a@example.com", []string{"b@example.net"}, []byte("text\r\n"), false)
		_ = msa.Quit()
		synctest.Wait()
		if n := len(r.judge.asked); n != 2 || r.judge.asked[0].Again || !r.judge.asked[1].Again {
			t.Errorf("%+v", r.judge.asked)
		}
	})
}

// Sending IPs that would be refused as the one before are not dialled for the mail at hand, and the last for those after it.
//
// law: I19
func TestSendingIPsOfTheSameFateAreNotDialled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newManyIPs(2)
		r.judge.Avoid = []netip.Addr{sendingIPs[1]}
		r.mx.Reply = refuseAt("RCPT", 1, "550 5.7.1 the network of 203.0.113.10 is listed\r\n")
		msa := r.msa(t)
		got := msa.Deliver("a@example.com", []string{"b@example.net"}, []byte("text\r\n"), false)
		_ = msa.Quit()
		synctest.Wait()
		if len(r.dialed) != 1 || !got.All(smtptest.Deferred) || got.Replies[0].Code != 450 {
			t.Errorf("dialled %v: %v", r.dialed, got.Replies)
		}
	})
}

// Where no other sending IP is spent on a mail the record says why: with what was softened, or by itself.
//
// law: I19
func TestTheRecordSaysWhyThereWasNoRescue(t *testing.T) {
	for reply, want := range map[string]string{
		"550 5.7.1 203.0.113.10 is listed\r\n": "softened rcpt 550: 20 within the hour",
		"451 4.7.1 203.0.113.10 is listed\r\n": "not_rescued rcpt 451: 20 within the hour",
		"421 4.7.1 203.0.113.10 is listed\r\n": "not_rescued rcpt 421: 20 within the hour",
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newManyIPs(2)
			r.judge.Rescue, r.judge.Why = false, "20 within the hour"
			var kept causes
			r.engine.Recorder = &kept
			r.mx.Reply = refuseAt("RCPT", 1, reply)
			msa := r.msa(t)
			got := msa.Deliver("a@example.com", []string{"b@example.net"}, []byte("text\r\n"), false)
			_ = msa.Quit()
			synctest.Wait()
			if !got.All(smtptest.Deferred) || len(kept) != 1 || kept[0] != want || len(r.dialed) != 1 {
				t.Errorf("%v, dialled %v, recorded %q, want %q", got.Replies, r.dialed, kept, want)
			}
		})
	}
}

// causes keeps what was done about refusals, and why.
type causes []string

func (c *causes) Record(r *event.Record) {
	for _, x := range r.Actions {
		*c = append(*c, fmt.Sprintf("%s %s %d: %s", x.Did, x.Phase, x.Code, x.Why))
	}
	r.Release()
}
