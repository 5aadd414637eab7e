package session_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/smtp/smtptest"
)

// lastCommand is the last one that an MX has heard.
func lastCommand(mx *smtptest.MX) string {
	if all := mx.Mailbox.Commands(); len(all) > 0 {
		return all[len(all)-1]
	}
	return ""
}

// A leg that refused, and is replaced by one from another sending IP, is left with QUIT; so is the one that takes over, at the end.
//
// law: N-f S1/replay S2/replay S3/replay S4/replay S5/replay S7/replay
func TestRescuedLegIsLeftWithQuit(t *testing.T) {
	cert := smtptest.Certificate(t, smtptest.CertificateOptions{})
	for _, stage := range refusalStages {
		for i := range 4 {
			synctest.Test(t, func(t *testing.T) {
				r := newManyIPs(2)
				pipelined := i&1 != 0
				if i&2 != 0 {
					r.mx.TLS, r.mxs[1].TLS = newTLSServer(cert), newTLSServer(cert)
				}
				r.mx.Reply = refuseAt(stage.verb, stage.number(3), "550 5.7.1 203.0.113.10 is listed\r\n")
				msa := r.msa(t)
				got := msa.Deliver("a@example.com", []string{"b@example.net", "c@example.net", "d@example.net"}, []byte("text\r\n"), pipelined)
				synctest.Wait()
				// Where the group went on to DATA, and some recipients were accepted, the MX has said 354: a QUIT would be text.
				inText := pipelined && stage.verb == "RCPT"
				if !got.All(smtptest.Accepted) || inText == (lastCommand(&r.mx) == "QUIT") || lastCommand(r.mxs[1]) == "QUIT" {
					t.Errorf("%s, run %d: %v, the MX heard last %q and %q", stage.name, i, got.Verdicts, lastCommand(&r.mx), lastCommand(r.mxs[1]))
				}
				_ = msa.Conn().Close()
				synctest.Wait()
				if lastCommand(r.mxs[1]) != "QUIT" {
					t.Errorf("%s, run %d: at the end the MX heard last %q", stage.name, i, lastCommand(r.mxs[1]))
				}
			})
		}
	}
}

// A leg that could not take over is left with QUIT as well, and the first one goes on.
func TestLegThatDidNotTakeOverIsLeftWithQuit(t *testing.T) {
	for _, course := range replayCourses[1:] {
		synctest.Test(t, func(t *testing.T) {
			r := newManyIPs(2)
			r.mx.Reply = refuseAt("RCPT", 2, "550 5.7.1 203.0.113.10 is listed\r\n")
			course.set(r.mxs[1], refusalStage{}, 2)
			if course.name == "worse" {
				r.mxs[1].Reply = refuseAt("BANNER", 1, "554 5.7.1 this one is listed, too\r\n") // it waits for QUIT (RFC 5321 §3.1)
			}
			msa := r.msa(t)
			_ = msa.Deliver("a@example.com", []string{"b@example.net", "c@example.net"}, []byte("text\r\n"), false)
			synctest.Wait()
			if lastCommand(r.mxs[1]) != "QUIT" || r.mx.Mailbox.Len() != 1 {
				t.Errorf("%s: the second heard last %q, %d delivered", course.name, lastCommand(r.mxs[1]), r.mx.Mailbox.Len())
			}
			_ = msa.Quit()
			synctest.Wait()
		})
	}
}

// A leg that a mail must not leave from is left with QUIT when it moves, at MAIL and at RCPT.
//
// law: N-f
func TestMovedLegIsLeftWithQuit(t *testing.T) {
	for i := range 4 {
		synctest.Test(t, func(t *testing.T) {
			r := newMoving()
			from, to := "b@example.com", "c@example.net"
			if i&1 != 0 {
				from, to = "a@example.com", "x@other.example"
			}
			msa := r.msa(t)
			got := msa.Deliver(from, []string{to}, []byte("text\r\n"), i&2 != 0)
			synctest.Wait()
			if !got.All(smtptest.Accepted) || lastCommand(&r.mx) != "QUIT" {
				t.Errorf("run %d: %v, the MX heard last %q", i, got.Verdicts, lastCommand(&r.mx))
			}
			_ = msa.Quit()
			synctest.Wait()
		})
	}
}

// A drain leaves idle legs with QUIT.
func TestDrainedLegIsLeftWithQuit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		msa := r.msa(t)
		got := msa.Deliver("a@example.com", []string{"b@example.net"}, []byte("text\r\n"), true)
		_ = r.live.Drain(context.Background())
		if !got.All(smtptest.Accepted) || lastCommand(&r.mx) != "QUIT" {
			t.Errorf("%v, the MX heard last %q", got.Verdicts, lastCommand(&r.mx))
		}
		_ = msa.Conn().Close()
	})
}

// Wherever an MSA is lost, by FIN, by RST or in silence: the MX gets QUIT, but never where it may be text of a message, and never where
// it does not wait for a command.
//
// law: N-f I4 S1/MSA-lost S2/MSA-lost S3/MSA-lost S4/MSA-lost S5/MSA-lost S6/MSA-lost S9/MSA-lost
func TestQuitWhereverTheMSAIsLost(t *testing.T) {
	c := newCutter(t)
	quits, runs := 0, 0
	for i := range 4 {
		p := cutPoint{pipelined: i&1 != 0, tls: i&2 != 0}
		length := c.length(t, p)
		step := 1
		if p.tls && !inFull() {
			step = 41
		}
		for p.offset = 0; p.offset <= length; p.offset += step {
			for _, p.how = range []smtptest.Cut{smtptest.FIN, smtptest.RST, smtptest.Stall} {
				runs++
				if c.quitBehind(t, p) {
					quits++
				}
			}
		}
	}
	t.Logf("%d losses, %d ended in QUIT", runs, quits)
	if quits < 500 {
		t.Error("the losses did not reach what they are to show")
	}
}

// quitBehind cuts the MSA off and judges what the MX has heard.
func (c *cutter) quitBehind(t *testing.T, p cutPoint) (quit bool) {
	synctest.Test(t, func(t *testing.T) {
		r := c.rig(p)
		var end *smtptest.Conn
		r.wire = func(_ int, _, mx *smtptest.Conn) {
			end = mx
			end.Record()
		}
		conn, proxy, ended := r.connect()
		p.apply(conn, proxy)
		_ = attempt(t, conn, nil, p.pipelined)
		mustEnd(t, p, ended)
		synctest.Wait()
		heard := r.mx.Mailbox.Commands()
		quit = len(heard) > 0 && heard[len(heard)-1] == "QUIT"
		inText := false
		for _, command := range heard {
			inText = command == "DATA" || inText && command != "QUIT"
		}
		if whole := r.mx.Mailbox.Count(cutBody()) > 0; quit == (inText && !whole) {
			t.Errorf("%s: the MX heard %q, QUIT %t", p, heard, quit)
		}
		if raw := end.Record(); !p.tls && bytes.Count(raw, []byte("QUIT\r\n")) > 1 {
			t.Errorf("%s: more than one QUIT: %q", p, raw)
		}
	})
	return quit
}

// An MX that owes replies takes QUIT only where it offers PIPELINING, and never behind DATA.
//
// law: N-f S3/MSA-lost S4/MSA-lost S5/MSA-lost I4
func TestNoQuitWhereAReplyIsOwed(t *testing.T) {
	mail, rcpt := "MAIL FROM:<a@example.com>", "RCPT TO:<b@example.net>"
	for _, c := range []struct {
		verb     string   // that gets no reply
		before   []string // what is said before
		line     string
		keywords []string // of the MX; nil: with PIPELINING
	}{
		{"MAIL", nil, mail, []string{"SIZE 1000"}},
		{"RCPT", []string{mail}, rcpt, []string{"SIZE 1000"}},
		{"RSET", []string{mail, rcpt}, "RSET", []string{"SIZE 1000"}},
		{"DATA", []string{mail, rcpt}, "DATA", nil},
		{"NOOP", nil, "NOOP", nil},
		{"RSET", []string{mail}, "EHLO y", []string{"SIZE 1000"}}, // a further EHLO is answered here, and RSET for the MX
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig()
			r.mx.Keywords = c.keywords
			r.mx.Reply = func(verb string, n int) string {
				if verb == c.verb {
					return "" // nothing comes, and the MX goes on reading
				}
				return smtptest.Default
			}
			var end *smtptest.Conn
			r.wire = func(_ int, _, mx *smtptest.Conn) {
				end = mx
				end.Record()
			}
			conn, _, ended := r.connect()
			msa := smtptest.NewMSA(t, conn)
			msa.Expect(220)
			for _, line := range append([]string{"EHLO x"}, c.before...) {
				msa.Command(line)
			}
			msa.Send(c.line)
			synctest.Wait()
			_ = conn.Close()
			<-ended
			synctest.Wait()
			last := c.verb
			if !strings.HasPrefix(c.line, "EHLO") {
				last = c.line
			}
			if raw := string(end.Record()); strings.Contains(raw, "QUIT") || !strings.HasSuffix(raw, last+"\r\n") {
				t.Errorf("%s unanswered: the MX got %q", c.line, raw)
			}
		})
	}
}

// An MX that reads no more, and one that has said something unasked, keep nobody waiting at the end.
func TestQuitIsNotWaitedFor(t *testing.T) {
	for _, way := range []string{"full", "surplus"} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig()
			var end *smtptest.Conn
			r.wire = func(_ int, _, mx *smtptest.Conn) { end = mx }
			conn, _, ended := r.connect()
			msa := smtptest.NewMSA(t, conn)
			msa.Expect(220)
			msa.Command("EHLO x")
			if way == "full" {
				_ = end.SetReadBuffer(0)
			} else {
				_, _ = fmt.Fprint(end, "250 surplus\r\n")
			}
			begun := time.Now()
			_ = conn.Close()
			<-ended
			if took := time.Since(begun); took > 100*time.Millisecond {
				t.Errorf("%s: it took %s", way, took)
			}
			synctest.Wait()
			if quit := lastCommand(&r.mx) == "QUIT"; quit != (way == "surplus") {
				t.Errorf("%s: the MX heard last %q", way, lastCommand(&r.mx))
			}
			end.Reset()
		})
	}
}

// A leg that had to be connected again, in plain text, is left as any other.
//
// law: N-f
func TestQuitBehindADowngrade(t *testing.T) {
	cert := smtptest.Certificate(t, smtptest.CertificateOptions{})
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		r.mx.TLS = newTLSServer(cert)
		r.mx.Reply = refuseAt("STARTTLS", 1, "454 4.7.0 not available\r\n")
		msa := r.msa(t)
		if got := msa.Deliver("a@example.com", []string{"b@example.net"}, []byte("text\r\n"), false); !got.All(smtptest.Accepted) {
			t.Fatalf("%+v", got)
		}
		synctest.Wait()
		_ = msa.Conn().Close()
		synctest.Wait()
		if heard := r.mx.Mailbox.Commands(); heard[len(heard)-1] != "QUIT" {
			t.Errorf("the MX heard %q", heard)
		}
	})
}
