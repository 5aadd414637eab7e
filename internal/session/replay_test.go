package session_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/session"
	"kanmon/internal/smtp/smtptest"
)

// ahead gives the dialler of r another one that finds out how many commands the second MX gets at once, at most.
func ahead(r *manyIPs, most *int) {
	inText := false
	r.engine.Dialer = hookedSecond(r, func() {}, func(p []byte) {
		if inText = inText && !bytes.Contains(p, []byte("\r\n.\r\n")); !inText && !bytes.Contains(p, []byte("\r\n.\r\n")) {
			*most = max(*most, bytes.Count(p, []byte("\r\n")))
		}
		inText = inText || bytes.HasSuffix(p, []byte("DATA\r\n"))
	})
}

// A leg that kanmon makes gets no more commands ahead than the MSA sent to the one before: none, or as many as in its largest group.
//
// law: I5 S4/replay S7/replay
func TestReplaySendsNoMoreAheadThanTheMSA(t *testing.T) {
	for _, group := range []int{1, 2, 3, 7, 100} {
		for _, verb := range []string{"RCPT", "DATA", "."} {
			synctest.Test(t, func(t *testing.T) {
				const recipients = 30
				r := newManyIPs(2)
				r.mx.Reply = refuseAt(verb, map[string]int{"RCPT": recipients, "DATA": 1, ".": 1}[verb], listed)
				most := 0
				ahead(r, &most)
				conn, _, _ := r.connect()
				msa := smtptest.NewMSA(t, conn)
				msa.Expect(220)
				msa.Command("EHLO msa.example.com")
				lines := []string{"MAIL FROM:<a@example.com>"}
				for i := range recipients {
					lines = append(lines, fmt.Sprintf("RCPT TO:<r%d@example.net>", i))
				}
				for len(lines) > 0 {
					n := min(group, len(lines))
					for _, reply := range msa.Pipeline(lines[:n]...) {
						if reply.Class() != 2 {
							t.Fatalf("groups of %d, %s refused: %s", group, verb, reply)
						}
					}
					lines = lines[n:]
				}
				if reply := msa.Data([]byte("text\r\n")); reply.Code != 250 || r.mxs[1].Mailbox.Len() != 1 {
					t.Errorf("groups of %d, %s refused: %s, %d delivered", group, verb, reply, r.mxs[1].Mailbox.Len())
				}
				if most > group || group > 1 && most < min(group, recipients)/2 {
					t.Errorf("groups of %d, %s refused: %d commands at once", group, verb, most)
				}
				_ = msa.Quit()
				synctest.Wait()
			})
		}
	}
}

// The same where a mail moves to its own sending IP at its first RCPT.
func TestMoveSendsNoMoreAheadThanTheMSA(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newMoving()
		most := 0
		ahead(r, &most)
		onlySecond := r.engine.Dialer
		r.engine.Dialer = dialFunc(func(ctx context.Context, req session.DialRequest) (session.Outbound, error) {
			if r.choose(req) == sendingIPs[1] {
				req.Avoid = sendingIPs[:1]
				return onlySecond.Dial(ctx, req)
			}
			return r.dial(ctx, req)
		})
		msa := r.msa(t)
		got := msa.Deliver("a@example.com", []string{"x@other.example", "y@other.example"}, []byte("text\r\n"), false)
		_ = msa.Quit()
		synctest.Wait()
		if !got.All(smtptest.Accepted) || most > 1 {
			t.Errorf("%v, %d commands at once", got.Verdicts, most)
		}
	})
}

// A box in front of the second leg loses all but the first command of a segment. What went step by step goes through; what was sent in a
// group stalls in the replay, and the refusal of the first leg reaches the MSA in time, as a temporary one.
//
// law: I12 S4/replay
func TestReplayThroughABoxThatLosesCommands(t *testing.T) {
	for _, pipelined := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			r := newManyIPs(2)
			r.mx.Reply = refuseAt("RCPT", 5, listed)
			r.mxs[1].Reply = func(verb string, n int) string {
				if pipelined && verb == "RCPT" && n > 1 {
					return "" // lost
				}
				return smtptest.Default
			}
			most := 0
			ahead(r, &most)
			msa := r.msa(t)
			begun := time.Now()
			var to []string
			for i := range 5 {
				to = append(to, fmt.Sprintf("r%d@example.net", i))
			}
			got := msa.Deliver("a@example.com", to, []byte("text\r\n"), pipelined)
			took := time.Since(begun)
			switch last := got.Replies[4]; {
			case !pipelined && (!got.All(smtptest.Accepted) || most > 1):
				t.Errorf("step by step: %v, %d commands at once", got.Verdicts, most)
			case pipelined && (last.Class() != 4 || !strings.Contains(last.String(), "listed") || took > 4*time.Minute):
				t.Errorf("in a group: %s after %s", last, took)
			}
			_ = msa.Conn().Close()
			time.Sleep(3 * time.Hour)
		})
	}
}

// Once the body flows nothing is tried again, whatever happens.
//
// law: I3 S6/replay S6'/replay S7/replay S8/replay
func TestNothingIsReplayed(t *testing.T) {
	for name, reply := range map[string]string{
		"lost in the body":    "354 go\r\n" + smtptest.Delay(time.Second) + smtptest.ResetConn,
		"refused in the body": "354 go\r\n" + smtptest.Delay(time.Second) + "554 no\r\n" + smtptest.CloseConn,
		"lost at the dot":     "", "reset at the dot": "", "refused at the dot": "",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.mx.Reply = func(verb string, _ int) string {
					switch {
					case verb == "DATA" && reply != "":
						return reply
					case verb == "." && name == "lost at the dot":
						return smtptest.CloseConn
					case verb == "." && name == "reset at the dot":
						return smtptest.Accept + smtptest.ResetConn
					case verb == "." && name == "refused at the dot":
						return "451 4.3.0 no\r\n"
					}
					return smtptest.Default
				}
				msa := smtptest.NewMSA(t, w.connect())
				got := msa.Deliver("a@example.com", []string{"b@example.net"}, []byte(strings.Repeat("text\r\n", 10_000)), true)
				msa.Quit()
				w.close()
				if got.All(smtptest.Accepted) || w.dials != 1 {
					t.Errorf("%v after %d dials", got.Verdicts, w.dials)
				}
			})
		})
	}
}
