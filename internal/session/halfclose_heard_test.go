package session_test

import (
	"context"
	"testing"
	"time"

	"kanmon/internal/smtp/smtptest"
)

// sayAndShut sends a whole mail, and a FIN at once behind its dot, from a host that acknowledges so late, and reads what it is told.
func sayAndShut(late time.Duration) func(*smtptest.MSA) {
	return func(msa *smtptest.MSA) {
		conn := msa.Conn().(*smtptest.Conn)
		conn.AcksLate(late)
		msa.Command("MAIL FROM:<a@x>")
		msa.Pipeline("RCPT TO:<r@x>", "DATA")
		msa.Send("text", ".")
		_ = conn.CloseWrite()
		_ = readAll(conn)
	}
}

// A host that has nothing to say keeps its acknowledgement back: by RFC 1122 for half a second, where it is Linux and has sent its FIN for
// 200 ms. What was lost on the way is acknowledged later still. An MSA there that reads what it is told has heard it all the same.
//
// law: S6'/MSA-lost S7/MSA-lost
func TestWhoReadsBehindItsFINIsTold(t *testing.T) {
	for _, late := range []time.Duration{0, 40 * time.Millisecond, 210 * time.Millisecond, 600 * time.Millisecond, 1500 * time.Millisecond} {
		for reply, want := range map[string]string{
			smtptest.Default:             "a@x delivered; r@x delivered told 250 by mx",
			"451 4.3.0 later\r\n":        "a@x deferred; r@x deferred told 451 by mx",
			"421 4.3.2 closing\r\n":      "a@x deferred; r@x deferred told 421 by mx",
			smtptest.CloseConn:           "a@x ambiguous; r@x unknown told 451 by kanmon",
			"550-no\r\n250 2.0.0 ok\r\n": "a@x ambiguous; r@x unknown told 451 by kanmon",
		} {
			c := recorded(t, func(r *manyIPs) {
				r.engine.Judge = indifferent{}
				r.mx.Reply = refuseAt(".", 1, smtptest.Delay(300*time.Millisecond)+reply)
			}, sayAndShut(late))
			c.wants(t, want)
		}
	}
}

// Where nobody acknowledges anything any more, that is known in two seconds, and a stop does not wait for it.
//
// law: S7/MSA-lost
func TestAHostThatIsGoneIsNotWaitedForLong(t *testing.T) {
	for most, stopAfter := range map[time.Duration]time.Duration{3500 * time.Millisecond: time.Hour, 1800 * time.Millisecond: 1500 * time.Millisecond} {
		c := recorded(t, func(r *manyIPs) {
			r.mx.Reply = lateReply(".", time.Second)
			time.AfterFunc(stopAfter, func() {
				now, cancel := context.WithCancel(context.Background())
				cancel()
				_ = r.live.Drain(now)
			})
		}, sayAndShut(time.Hour))
		c.wants(t, "a@x orphan_ack; r@x delivered told 0 by mx")
		if c.end.Duration > most {
			t.Errorf("a stop after %s: over after %s", stopAfter, c.end.Duration)
		}
	}
}
